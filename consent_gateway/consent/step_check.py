"""Says whether a choice that opens something took the steps its place demands; reads the ledger, records nothing.

A request is pending until it is answered, refused or out of time. Time is judged by the clock of the call that
answers it: no sweep ends a request, and one that nobody swept is over all the same.
"""

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.consent.stored import read_event
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.errors import ConsentNotRaised
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy.step_book import StepBook
from consent_gateway.vocabulary import ANY_PURPOSE, ConsentEvent, EventKind, NewConsentEvent

MAIL_LINK = "mail_link"
"""The way of a choice that a mailed link confirmed; no channel can claim it."""

GRANTS = frozenset({EventKind.GRANT, EventKind.GRANT_EXPLICIT})
_AGAIN = GRANTS | {EventKind.OPT_IN_AGAIN}
_LAST_WORDS = tuple(
    kind.value
    for kind in (
        EventKind.REQUEST,
        EventKind.REFUSE,
        EventKind.WITHDRAW,
        EventKind.OBJECT,
        EventKind.OPT_OUT,
        EventKind.UNSUBSCRIBE,
    )
)


class StepCheck:
    """The check of one installation. Safe to share between threads."""

    def __init__(self, book: StepBook) -> None:
        self._book = book

    def refuse_short(self, connection: sa.Connection, event: NewConsentEvent, now: datetime) -> None:
        """Raise `ConsentNotRaised` for an opening event that lacks a step. The person's row must be locked."""
        if event.kind not in _AGAIN:
            return
        person = sa.select(PEOPLE.c.jurisdiction, PEOPLE.c.minor_born)
        row = connection.execute(person.where(PEOPLE.c.data_subject == event.data_subject)).one_or_none()
        place = None if row is None else row.jurisdiction
        if event.kind in GRANTS and self._book.double_opt_in(place, event.purpose, event.evidence.how, now.date()):
            raise ConsentNotRaised(
                "where this person lives a yes given on a form counts once it was confirmed from the mailbox: ask by"
                " `POST /v1/confirmations`"
            )
        if event.kind is EventKind.OPT_IN_AGAIN:
            self._refuse_one_step(connection, event, place, now)
        if row is not None and row.minor_born is not None:
            self._refuse_beyond_mail(connection, event, place, now)

    def with_end(self, connection: sa.Connection, event: NewConsentEvent, now: datetime) -> NewConsentEvent:
        """A request with the end that the place's packs name, where it has none of its own: none waits for ever."""
        if event.kind is not EventKind.REQUEST or event.valid_until is not None:
            return event
        place = sa.select(PEOPLE.c.jurisdiction).where(PEOPLE.c.data_subject == event.data_subject)
        link = self._book.confirm(connection.execute(place).scalar_one_or_none(), now.date())
        return event if link is None else replace(event, valid_until=now + link.life)

    def _refuse_one_step(
        self, connection: sa.Connection, event: NewConsentEvent, place: str | None, now: datetime
    ) -> None:
        step = self._book.opt_in_again(place, now.date())
        first = pending(connection, event.data_subject, event.purpose, now)
        if step is None or first is None or first.recorded_at + step.within <= now:
            within = "" if step is None else f" within {step.minutes} minutes"
            raise ConsentNotRaised(
                "to opt in after an opt-out takes two steps: record `request` when the person asks, and `opt_in_again`"
                f" when they confirm it{within}, with nothing in between"
            )

    def _refuse_beyond_mail(
        self, connection: sa.Connection, event: NewConsentEvent, place: str | None, now: datetime
    ) -> None:
        """A parent who was asked by mail alone has not authorised what a mailed link may not speak for."""
        parental = (EventKind.PARENTAL_AUTHORISATION.value, EventKind.PARENTAL_REVOCATION.value)
        last = _last(connection, event.data_subject, ANY_PURPOSE, parental)
        if last is None or last.event.kind is EventKind.PARENTAL_REVOCATION or last.event.evidence.how != MAIL_LINK:
            return
        link = self._book.parent_by_mail(place, now.date())
        if link is None or event.purpose not in self._book.speaks_for(link):
            raise ConsentNotRaised(
                "the parent authorised by a mailed link, which is not enough for this purpose: have a form signed and"
                " record `parental_authorisation` with its image's hash"
            )


def pending(connection: sa.Connection, data_subject: str, purpose: str, now: datetime) -> ConsentEvent | None:
    """The request for this purpose that is still open: nothing was said against it since, and its time is not over."""
    last = _last(connection, data_subject, purpose, _LAST_WORDS)
    if last is None or last.event.kind is not EventKind.REQUEST:
        return None
    until = last.event.valid_until
    return None if until is not None and until <= now else last


def _last(connection: sa.Connection, data_subject: str, purpose: str, kinds: tuple[str, ...]) -> ConsentEvent | None:
    found = (
        sa.select(CONSENT_EVENTS)
        .where(
            CONSENT_EVENTS.c.data_subject == data_subject,
            CONSENT_EVENTS.c.purpose == purpose,
            CONSENT_EVENTS.c.kind.in_(kinds),
        )
        .order_by(CONSENT_EVENTS.c.position.desc())
        .limit(1)
    )
    row = connection.execute(found).one_or_none()
    return None if row is None else read_event(row)
