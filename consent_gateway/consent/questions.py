"""Tells about which purposes a person may be asked now, by the law of their place; asks nobody anything."""

from collections.abc import Mapping

import sqlalchemy as sa

from consent_gateway.consent import ledger
from consent_gateway.consent.asking import may_ask_again
from consent_gateway.consent.choices import Choices
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import Conflict, DatabaseUnavailable
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy import Policies
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import Caller

CHOICE = "choice"
"""The group of purposes that a person can be asked about."""


class Questions:
    """One instance per process; safe to share between threads."""

    def __init__(self, engine: sa.Engine, choices: Choices, policies: Policies, clock: Clock) -> None:
        self._engine = engine
        self._choices = choices
        self._policies = policies
        self._clock = clock

    def open(self, caller: Caller, person: PersonRef) -> Mapping[str, bool]:
        """Whether the person may be asked, by each purpose of choice that the caller is registered for.

        Where no law is known to speak for the person, nobody asks. Raises `NotFound`, `Conflict`.
        """
        known = self._choices.state(person)
        if known.shared:
            raise Conflict("several people use this identifier: name the one to ask by `data_subject`")
        self._choices.account_for(caller, "read_questions", known.data_subject)
        try:
            with reading_connection(self._engine) as connection:
                state = ledger.state(connection, known.data_subject)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the choices could not be read: ask again") from error
        now, rulebook = self._clock.now(), self._policies.rulebook
        segment = rulebook.segment(known.facts.jurisdiction, now.date())
        every = self._policies.purposes.values()
        purposes = (one for one in every if CHOICE in one.groups and one.key in caller.purposes)
        return {
            purpose.key: segment is not None
            and may_ask_again(
                purpose,
                state,
                now,
                reask_months=segment.parameters.reask_months,
                consent_months=segment.parameters.consent_months,
                accepted=rulebook.accepted_notices(purpose.key, now.date()),
            )
            for purpose in purposes
        }
