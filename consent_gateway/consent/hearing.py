"""Hears signals: records what they ask, once, and says what a signal does for a person; opens nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from consent_gateway.consent.choices import Choices, NewChoice
from consent_gateway.consent.facts import Known
from consent_gateway.consent.signals import SIGNAL, Contradiction, Told, asks, contradictions, first_of
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy import Policies, decide
from consent_gateway.policy.documents import SignalDuty, covers
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import AccessRequest, Caller, EventKind, Facts, Reason

CROSS_CONTEXT = "cross_context"
"""The group of the policy's purposes that sell or share data for advertising."""


@dataclass(frozen=True, slots=True)
class Programme:
    """Where the loyalty programme and a signal meet (11 CCR 7025(c)(4)).

    `ask` is true while the person is a member and the signal stands: tell them, and ask whether they want to leave.
    Until they say so, by a choice `leave_programme`, they stay.
    """

    member: bool
    ask: bool


@dataclass(frozen=True, slots=True)
class SignalStatus:
    """What a signal does for one person, to be shown to them (11 CCR 7025(c)(6)).

    `honoured` and `turned_off` say which purposes the law of the person's residence closes because of it. `duty` is
    that law's own demand, None where no pack speaks of one.
    """

    data_subject: str | None
    gpc: bool
    since: datetime | None
    event_id: str | None
    turned_off: tuple[str, ...]
    duty: SignalDuty | None
    contradictions: tuple[Contradiction, ...]
    programme: Programme

    @property
    def honoured(self) -> bool:
        """Whether the signal closes anything for this person."""
        return bool(self.turned_off)


class Hearing:
    """The signals' service. Safe to share between threads; one instance per process."""

    def __init__(self, *, choices: Choices, policies: Policies, clock: Clock) -> None:
        self._choices = choices
        self._policies = policies
        self._clock = clock
        purposes = policies.purposes
        self._cross_context = tuple(sorted(key for key, one in purposes.items() if CROSS_CONTEXT in one.groups))

    def hear(self, caller: Caller, persons: Sequence[PersonRef], told: Told) -> tuple[str, ...]:
        """Record what the signal asks, for everyone named: the device, the profile, the known person.

        Returns the ids of the new events; none where all of it held already. Raises as `Choices.restrict` does; the
        persons before stay bound, and the same call again binds the rest.
        """
        asked = asks(told, self._cross_context)
        now = self._clock.now()
        events: list[str] = []
        for person in persons:
            news = [NewChoice(person, one.kind, now, SIGNAL, one.purpose, reference=told.reference) for one in asked]
            events += self._choices.restrict(caller, news)
        return tuple(events)

    def status(self, person: PersonRef) -> SignalStatus:
        """What the signal does for a person. Raises `NotFound`; of a shared identifier, all holders' together.

        History is one person's, so of a shared identifier neither time nor contradictions are told.
        """
        known = self._choices.state(person)
        facts = known.facts
        events = () if known.shared else self._choices.history(PersonRef(data_subject=known.data_subject))
        first = first_of(events, EventKind.GPC)
        return SignalStatus(
            data_subject=None if known.shared else known.data_subject,
            gpc=facts.gpc,
            since=None if first is None else first.recorded_at,
            event_id=None if first is None else first.event_id,
            turned_off=tuple(key for key in self._cross_context if facts.gpc and self._closed(key, facts.jurisdiction)),
            duty=self._duty(facts),
            contradictions=contradictions(events, self._cross_context),
            programme=_programme(known),
        )

    def _closed(self, purpose: str, jurisdiction: str | None) -> bool:
        """Whether the law of this residence closes the purpose on the signal alone, whatever else closes it too."""
        policies = self._policies
        declared = policies.purposes[purpose].categories
        fields = tuple(
            name
            for name, field in policies.catalogue.fields.items()
            if all(any(covers(key, category) for key in declared) for category in field.categories)
        )
        channel = next(iter(policies.channels), "")
        request = AccessRequest("signals", channel, purpose, fields, self._clock.now())
        verdicts = decide(policies.rulebook, request, Facts(jurisdiction, gpc=True)).verdicts.values()
        return any(verdict.reason is Reason.GPC for verdict in verdicts)

    def _duty(self, facts: Facts) -> SignalDuty | None:
        segment = self._policies.rulebook.segment(facts.jurisdiction, self._clock.now().date())
        pack = None if segment is None else self._policies.documents.packs.get(segment.pack.partition("@")[0])
        return None if pack is None else pack.signal_duty


def _programme(known: Known) -> Programme:
    return Programme(known.facts.member, known.facts.member and known.facts.gpc)
