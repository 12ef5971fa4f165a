"""The append-only ledger of consent events and the state kept with it in the same transaction; commits nothing.

Every function works on the connection passed in, inside the caller's transaction: the events, the state that
follows from them and whatever else belongs to the change stand or fall together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import sqlalchemy as sa

from consent_gateway.consent.evidence import check
from consent_gateway.consent.projection import FLAGS, PersonState, apply, project
from consent_gateway.consent.stored import event_row, read_event, read_events, read_states, write_states
from consent_gateway.consent.tables import CONSENT_EVENTS, PURPOSE_STATE
from consent_gateway.errors import ConsentNotRaised, DatabaseUnavailable, NotFound
from consent_gateway.ids import new_id
from consent_gateway.people.tables import PEOPLE
from consent_gateway.vocabulary import OPENING, Choice, ConsentEvent, NewConsentEvent

Announce = Callable[[sa.Connection, Sequence[ConsentEvent]], None]
"""Writes, in the transaction of the change, that committed events must be told; see `propagation.outbox`."""

_BATCH = 500  # people whose rows are read by one statement
_NOTHING = PersonState()
_LOCK = (
    sa.select(PEOPLE.c.data_subject)
    .where(PEOPLE.c.data_subject.in_(sa.bindparam("people", expanding=True, type_=sa.String())))
    .order_by(PEOPLE.c.data_subject)
    .with_for_update(key_share=True)  # SQLite: not rendered; there a transaction has the whole file
)
_APPEND = sa.insert(CONSENT_EVENTS)


@dataclass(frozen=True, slots=True)
class Difference:
    """A stored state that did not follow from its events; `what` names a flag, a purpose or `position`."""

    data_subject: str
    what: tuple[str, ...]


def record(connection: sa.Connection, event: NewConsentEvent, *, now: datetime) -> ConsentEvent:
    """Append one event and update the person's state. Raises as `record_many` does."""
    return record_many(connection, [event], now=now)[0]


def record_many(
    connection: sa.Connection, events: Sequence[NewConsentEvent], *, now: datetime
) -> tuple[ConsentEvent, ...]:
    """Append events of any number of people, in the order given, and update the people's states.

    The people's rows stay locked until the transaction ends, so that the positions of one person are dense and in
    the order of commit. Raises `InputRefused` for a malformed event, `ConsentNotRaised` for an opening event without
    its evidence or about an erased person, and `NotFound` for an id that is nobody's; then nothing was written.
    """
    for event in events:
        check(event, now)
    return append_checked(connection, events, now=now)


def append_checked(
    connection: sa.Connection, events: Sequence[NewConsentEvent], *, now: datetime
) -> tuple[ConsentEvent, ...]:
    """As `record_many`, for events that have passed `evidence.check` already."""
    before = _locked(connection, sorted({event.data_subject for event in events}))
    after = dict(before)
    committed = []
    for event in events:
        state = after[event.data_subject]
        if "erased" in state.flags and event.kind in OPENING:
            raise ConsentNotRaised(f"`{event.kind.value}` cannot be recorded: the person's data has been erased")
        appended = ConsentEvent(new_id("cev", now), state.position + 1, now, event)
        after[event.data_subject] = apply(state, appended)
        committed.append(appended)
    if committed:
        connection.execute(_APPEND, [event_row(each) for each in committed])
        write_states(connection, after, {person: _changed(before[person], after[person]) for person in after})
    return tuple(committed)


def history(connection: sa.Connection, data_subject: str) -> tuple[ConsentEvent, ...]:
    """All events of one person, in order of position; empty if there are none."""
    return tuple(read_events(connection, [data_subject]))


def find_event(connection: sa.Connection, event_id: str) -> ConsentEvent | None:
    """The event of this id, or None."""
    row = connection.execute(sa.select(CONSENT_EVENTS).where(CONSENT_EVENTS.c.event_id == event_id)).one_or_none()
    return None if row is None else read_event(row)


def state(connection: sa.Connection, data_subject: str) -> PersonState:
    """The stored state of one person; an empty one if nothing was ever recorded."""
    return read_states(connection, [data_subject]).get(data_subject, _NOTHING)


def rebuild(connection: sa.Connection, data_subject: str | None = None) -> tuple[Difference, ...]:
    """Project the state of one person, or of everyone, anew from the events; return where the stored one differed."""
    if data_subject is not None:
        return rebuild_people(connection, [data_subject])
    differences: list[Difference] = []
    people = people_after(connection, "")
    while people:
        differences += rebuild_people(connection, people)
        people = people_after(connection, people[-1])
    return tuple(differences)


def rebuild_people(connection: sa.Connection, people: Sequence[str]) -> tuple[Difference, ...]:
    """Project these people's states anew. At most as many as `people_after` gives; raises `NotFound`."""
    lock(connection, people)
    projected = dict.fromkeys(people, _NOTHING)
    for person, events in groupby(read_events(connection, people), key=lambda each: each.event.data_subject):
        projected[person] = project(events)
    return tuple(_mend(connection, projected))


def people_after(connection: sa.Connection, last: str) -> list[str]:
    """The next ids after `last`, in order; empty at the end."""
    query = sa.select(PEOPLE.c.data_subject).where(PEOPLE.c.data_subject > last)
    return list(connection.execute(query.order_by(PEOPLE.c.data_subject).limit(_BATCH)).scalars())


def lock(connection: sa.Connection, people: Sequence[str]) -> None:
    """Keep these people's events and states as they are for others until the transaction ends. Raises `NotFound`."""
    for start in range(0, len(people), _BATCH):
        chunk = people[start : start + _BATCH]
        if len(connection.execute(_LOCK, {"people": chunk}).all()) != len(chunk):
            raise NotFound("no person has this id: enrol the person first")


def _locked(connection: sa.Connection, people: Sequence[str]) -> dict[str, PersonState]:
    """Lock these people's rows, in the order of their ids so that two writers never wait for each other, and read."""
    lock(connection, people)
    states = dict.fromkeys(people, _NOTHING)
    for start in range(0, len(people), _BATCH):
        # Read only now: what was read before the lock was granted may be older than the last commit.
        states |= read_states(connection, people[start : start + _BATCH])
    return states


def _changed(before: PersonState, after: PersonState) -> tuple[str, ...]:
    """The purposes whose stored row is no longer what it was: an event that does something makes a new choice."""
    return tuple(purpose for purpose, choice in after.choices.items() if choice is not before.choices.get(purpose))


def _mend(connection: sa.Connection, projected: Mapping[str, PersonState]) -> list[Difference]:
    people = list(projected)
    try:
        stored = read_states(connection, people)
    except DatabaseUnavailable:
        stored = {}  # a row that cannot even be read is one that differs: all of this batch is written anew
    wrong = {}
    for person, right in projected.items():
        what = _differing(stored.get(person, _NOTHING), right)
        if what:
            wrong[person] = what
    if wrong:
        connection.execute(sa.delete(PURPOSE_STATE).where(PURPOSE_STATE.c.data_subject.in_(list(wrong))))
        write_states(
            connection,
            {person: projected[person] for person in wrong},
            {person: tuple(projected[person].choices) for person in wrong},
        )
    return [Difference(person, what) for person, what in wrong.items()]


def _differing(stored: PersonState, right: PersonState) -> tuple[str, ...]:
    purposes = sorted(set(stored.choices) | set(right.choices))
    return (
        *(("position",) if stored.position != right.position else ()),
        *(name for name in FLAGS if _flag(stored, name) != _flag(right, name)),
        *(purpose for purpose in purposes if _standing(stored, purpose) != _standing(right, purpose)),
    )


def _flag(state: PersonState, name: str) -> tuple[bool, datetime | None]:
    return name in state.flags, state.flags_closed.get(name)


def _standing(state: PersonState, purpose: str) -> tuple[Choice | None, datetime | None]:
    return state.choices.get(purpose), state.closed.get(purpose)
