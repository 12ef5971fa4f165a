"""How far each destination of changes is behind, bounded: by numbers and one look at the oldest; delivers nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.callers.tables import CLIENTS
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.database import from_micros
from consent_gateway.propagation.tables import CHANGES, DESTINATIONS, SET_ASIDE


@dataclass(frozen=True, slots=True)
class Delivery:
    """One destination. `behind` is how many changes have come since the last it got, its own or not; `since` is when
    the oldest of them was recorded. The address stays out: it may hold a secret of the receiver.
    """

    destination_id: str
    client_id: str | None
    channel: str | None
    kind: str
    recipient: str
    purposes: Sequence[str]
    created_at: datetime
    delivered_at: datetime | None
    failures: int
    behind: int
    since: datetime | None
    waiting: int
    dead: int


def deliveries(connection: sa.Connection) -> tuple[Delivery, ...]:
    """Every destination that has not ended, the oldest first."""
    number = CHANGES.c.number
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(number), 0))).scalar_one()
    channels = {
        row.client_id: row.channel for row in connection.execute(sa.select(CLIENTS.c.client_id, CLIENTS.c.channel))
    }
    beside = sa.select(SET_ASIDE.c.destination_id, SET_ASIDE.c.is_dead, sa.func.count())
    aside = {
        (destination, bool(dead)): count
        for destination, dead, count in connection.execute(
            beside.group_by(SET_ASIDE.c.destination_id, SET_ASIDE.c.is_dead)
        )
    }
    present = sa.select(DESTINATIONS).where(DESTINATIONS.c.ended_at.is_(None))
    rows = connection.execute(present.order_by(DESTINATIONS.c.created_at, DESTINATIONS.c.destination_id)).all()
    return tuple(
        Delivery(
            destination_id=row.destination_id,
            client_id=row.client_id,
            channel=channels.get(row.client_id),
            kind=row.kind,
            recipient=row.recipient,
            purposes=json.loads(row.purposes),
            created_at=from_micros(row.created_at),
            delivered_at=None if row.delivered_at is None else from_micros(row.delivered_at),
            failures=row.failures,
            behind=max(0, last - row.position),
            since=_oldest(connection, row.position) if last > row.position else None,
            waiting=aside.get((row.destination_id, False), 0),
            dead=aside.get((row.destination_id, True), 0),
        )
        for row in rows
    )


def _oldest(connection: sa.Connection, position: int) -> datetime | None:
    oldest = (
        sa.select(CONSENT_EVENTS.c.recorded_at)
        .join_from(CHANGES, CONSENT_EVENTS, CONSENT_EVENTS.c.event_id == CHANGES.c.event_id)
        .where(CHANGES.c.number > position)
        .order_by(CHANGES.c.number)
        .limit(1)
    )
    found = connection.execute(oldest).scalar_one_or_none()
    return None if found is None else from_micros(found)
