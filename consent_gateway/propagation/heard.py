"""Which destinations have acknowledged a person's latest change, and when: notes it and tells it; delivers nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from consent_gateway.callers.tables import CLIENTS
from consent_gateway.callers.transactions import reading
from consent_gateway.database import from_micros, to_micros
from consent_gateway.propagation.changes import latest_of
from consent_gateway.propagation.destinations import Destination, Destinations
from consent_gateway.propagation.outbox import number
from consent_gateway.propagation.tables import HEARD, SET_ASIDE


class Stage(StrEnum):
    """How far one change is on its way to one destination."""

    HEARD = "heard"
    ON_ITS_WAY = "on_its_way"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Heard:
    """One destination and the latest change of a person that concerns it.

    `client_id` and `channel` are None for an operator's sink. `heard_at` is when the destination acknowledged this
    change or, after it, a repetition of it; None while it has not.
    """

    destination_id: str
    client_id: str | None
    channel: str | None
    kind: str
    recipient: str
    event_id: str
    recorded_at: datetime
    stage: Stage
    heard_at: datetime | None


def who_heard(engine: sa.Engine, destinations: Destinations, data_subject: str) -> tuple[Heard, ...]:
    """Every destination that is to hear of the person's latest change it may be told of, the oldest destination first.

    A destination that is not to hear of it, as one that was registered after it, is left out. Raises
    `DatabaseUnavailable`.
    """
    present = destinations.all()
    number(engine)
    with reading(engine) as connection:
        of_person = sa.select(HEARD).where(HEARD.c.data_subject == data_subject)
        noted = {row.destination_id: (row.number, row.heard_at) for row in connection.execute(of_person)}
        channels = {row.client_id: row.channel for row in connection.execute(sa.select(CLIENTS))}
        told = [_told(connection, each, data_subject, noted.get(each.destination_id), channels) for each in present]
    return tuple(each for each in told if each is not None)


def note(connection: sa.Connection, destination_id: str, heard: Mapping[str, tuple[int, datetime]]) -> None:
    """Note what a destination has acknowledged, by person; a change that came late after a later one changes nothing.

    To be called under the destination's lock.
    """
    if not heard:
        return
    of = (HEARD.c.destination_id == destination_id, HEARD.c.data_subject.in_(sorted(heard)))
    before = {row.data_subject: row.number for row in connection.execute(sa.select(HEARD).where(*of))}
    rows = [
        {"destination_id": destination_id, "data_subject": person, "number": at, "heard_at": to_micros(moment)}
        for person, (at, moment) in sorted(heard.items())
        if at >= before.get(person, 0)
    ]
    if not rows:
        return
    people = [row["data_subject"] for row in rows]
    connection.execute(
        sa.delete(HEARD).where(HEARD.c.destination_id == destination_id, HEARD.c.data_subject.in_(people))
    )
    connection.execute(sa.insert(HEARD), rows)


def _told(
    connection: sa.Connection,
    destination: Destination,
    data_subject: str,
    noted: tuple[int, int] | None,
    channels: Mapping[str, str],
) -> Heard | None:
    latest = latest_of(connection, destination.audience, data_subject)
    if latest is None:
        return None
    heard_at: datetime | None = None
    if noted is not None and noted[0] >= latest.number:
        stage, heard_at = Stage.HEARD, from_micros(noted[1])
    else:
        place = (SET_ASIDE.c.destination_id == destination.destination_id, SET_ASIDE.c.number == latest.number)
        is_dead = connection.execute(sa.select(SET_ASIDE.c.is_dead).where(*place)).scalar_one_or_none()
        if is_dead is None and latest.number <= destination.position:
            return None  # passed over: it came before the destination, or the destination knows the person no more
        stage = Stage.GIVEN_UP if is_dead else Stage.ON_ITS_WAY
    return Heard(
        destination_id=destination.destination_id,
        client_id=destination.client_id,
        channel=None if destination.client_id is None else channels.get(destination.client_id),
        kind=destination.kind,
        recipient=destination.audience.recipient,
        event_id=latest.committed.event_id,
        recorded_at=latest.committed.recorded_at,
        stage=stage,
        heard_at=heard_at,
    )
