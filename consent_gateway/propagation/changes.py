"""Reads changes for an audience, by number; shows nobody what their registration does not cover, and sends nothing.

What is told of a person is that a choice about a purpose was made, never a value of their record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.consent.stored import read_event
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.database import from_micros
from consent_gateway.propagation.tables import CHANGES
from consent_gateway.vocabulary import ANY_PURPOSE, COMPANY, PERSON_WIDE, ConsentEvent, EventKind

_NOBODYS = frozenset({EventKind.LEGAL_HOLD, EventKind.LIFT_LEGAL_HOLD})  # a claim against someone is not a channel's
TOLD_WITHIN = PERSON_WIDE - _NOBODYS
"""Of what concerns the whole person, what channels of the company itself are told."""

TOLD_OUTSIDE = frozenset(
    {
        EventKind.GPC,
        EventKind.LIMIT,
        EventKind.LIFT_LIMIT,
        EventKind.RESTRICT,
        EventKind.LIFT_RESTRICTION,
        EventKind.ERASED,
    }
)
"""Of the same, what other recipients are told: restriction and erasure (GDPR Art. 19), opt-outs of sale and sharing."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who listens: for which purposes, and as which recipient."""

    purposes: frozenset[str]
    recipient: str

    @property
    def is_company(self) -> bool:
        """True for the company's own channels, which know people by our id."""
        return self.recipient == COMPANY

    @property
    def domain(self) -> tuple[str, str]:
        """The purpose and recipient in which an outside recipient knows people; it has one purpose alone."""
        (purpose,) = self.purposes
        return purpose, self.recipient


@dataclass(frozen=True, slots=True)
class Change:
    """One committed choice and its number."""

    number: int
    committed: ConsentEvent


def read(connection: sa.Connection, audience: Audience, after: int, up_to: int, limit: int) -> list[Change]:
    """The first `limit` changes for this audience with a number past `after` and up to `up_to`, in order."""
    numbers = (CHANGES.c.number > after, CHANGES.c.number <= up_to)
    return _changes(connection, [*numbers, _told_to(audience)], limit)


def read_these(connection: sa.Connection, numbers: Sequence[int]) -> list[Change]:
    """The changes of these numbers, in order."""
    return _changes(connection, [CHANGES.c.number.in_(numbers)], len(numbers))


def latest_of(connection: sa.Connection, audience: Audience, data_subject: str) -> Change | None:
    """The latest numbered change of one person that this audience is told of, or None."""
    latest = (
        sa.select(CHANGES.c.number, CONSENT_EVENTS)
        .select_from(_JOINED)
        .where(CONSENT_EVENTS.c.data_subject == data_subject, CHANGES.c.number.is_not(None), _told_to(audience))
        .order_by(CHANGES.c.number.desc())
        .limit(1)
    )
    row = connection.execute(latest).one_or_none()
    return None if row is None else Change(row.number, read_event(row))


def untold(connection: sa.Connection, audience: Audience, after: int) -> tuple[int, datetime | None]:
    """How many changes past `after` this audience is still to be told, and when the first of them was recorded."""
    row = connection.execute(
        sa.select(sa.func.count(), sa.func.min(CONSENT_EVENTS.c.recorded_at))
        .select_from(_JOINED)
        .where(CHANGES.c.number > after, _told_to(audience))
    ).one()
    return int(row[0]), None if row[1] is None else from_micros(row[1])


_JOINED = CHANGES.join(CONSENT_EVENTS, CHANGES.c.event_id == CONSENT_EVENTS.c.event_id)


def _changes(connection: sa.Connection, where: Sequence[sa.ColumnElement[bool]], limit: int) -> list[Change]:
    statement = sa.select(CHANGES.c.number, CONSENT_EVENTS).select_from(_JOINED).where(*where)
    rows = connection.execute(statement.order_by(CHANGES.c.number).limit(limit))
    return [Change(row.number, read_event(row)) for row in rows]


def _told_to(audience: Audience) -> sa.ColumnElement[bool]:
    kinds = TOLD_WITHIN if audience.is_company else TOLD_OUTSIDE
    events = CONSENT_EVENTS.c
    return events.purpose.in_(sorted(audience.purposes)) | (
        (events.purpose == ANY_PURPOSE) & events.kind.in_(sorted(kind.value for kind in kinds))
    )
