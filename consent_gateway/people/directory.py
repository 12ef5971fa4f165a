"""Who is who: people, their identifiers as blind indexes, and their keys in the store; commits nothing.

Every function works on the connection passed in. An identifier that comes up for a second person is never silently
moved: it is marked shared, and from then on stands for all of its holders. The one exception is a person who is
known by a choice alone, made before there was a record: when the record appears, choice and record become one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import sqlalchemy as sa

from consent_gateway.database import to_micros
from consent_gateway.errors import Conflict, FieldFault, InputRefused, NotFound
from consent_gateway.ids import random_id
from consent_gateway.people.linking import (
    Carry,
    Index,
    Tags,
    add_holder,
    chunks,
    held,
    insert_ignoring,
    link_all,
)
from consent_gateway.people.tables import PEOPLE, SHARED_IDENTIFIERS
from consent_gateway.vocabulary import Identifier


@dataclass(frozen=True, slots=True)
class PersonRef:
    """A person as a caller names them: by our id or by one identifier, never both."""

    data_subject: str | None = None
    identifier: Identifier | None = None

    def __post_init__(self) -> None:
        if (self.data_subject is None) == (self.identifier is None):
            fault = FieldFault("/identifier", "give either `data_subject` or `identifier`")
            raise InputRefused("the person is named twice or not at all", (fault,))


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person of the store, ready to be enrolled or refreshed.

    `minor_born` is the day of birth of someone who may be a minor; where `birth_known` is False the store did not
    say, and a day known from before is kept. `tags` are the suppression tags of the identifiers.
    """

    store_key: str
    jurisdiction: str | None
    minor_born: date | None = None
    birth_known: bool = True
    identifiers: tuple[Index, ...] = ()
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holder:
    """One person who holds an identifier. `store_key` is None where the store has no record of them."""

    data_subject: str
    store_key: str | None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a batch came to: the ids in the order given, and counts of people and identifiers."""

    data_subjects: tuple[str, ...]
    added: int
    adopted: int  # people known by a choice before, now joined to their record
    changed: int  # people whose residence or minority changed
    linked: int  # identifiers new to the directory
    shared: int  # identifiers that turned out to be used by a further person


@dataclass(frozen=True, slots=True)
class _Row:
    data_subject: str
    jurisdiction: str | None
    minor_born: str | None


_INSERT_PEOPLE = insert_ignoring(PEOPLE)
_BY_STORE_KEY = sa.select(PEOPLE.c.store_key, PEOPLE.c.data_subject, PEOPLE.c.jurisdiction, PEOPLE.c.minor_born).where(
    PEOPLE.c.store_key.in_(sa.bindparam("keys", expanding=True, type_=sa.String()))
)
_CHANGE = (
    sa.update(PEOPLE)
    .where(PEOPLE.c.data_subject == sa.bindparam("of_person"))
    .values(jurisdiction=sa.bindparam("new_jurisdiction"), minor_born=sa.bindparam("new_minor_born"))
)


def find(connection: sa.Connection, index: Index) -> tuple[Holder, ...]:
    """Everyone who holds this identifier, in order of id: nobody, one person, or the people who share it."""
    holder = held(connection, [index]).get(index)
    if holder is None:
        return ()
    if not holder.shared:
        return (Holder(holder.data_subject, holder.store_key),)
    query = (
        sa.select(PEOPLE.c.data_subject, PEOPLE.c.store_key)
        .join(SHARED_IDENTIFIERS, SHARED_IDENTIFIERS.c.data_subject == PEOPLE.c.data_subject)
        .where(SHARED_IDENTIFIERS.c.kind == index[0], SHARED_IDENTIFIERS.c.blind_index == index[1])
        .order_by(PEOPLE.c.data_subject)
    )
    return tuple(Holder(each.data_subject, each.store_key) for each in connection.execute(query))


def by_store_keys(connection: sa.Connection, store_keys: Sequence[str]) -> dict[str, str]:
    """The ids of the people behind these keys of the store; a key that is nobody's is left out."""
    return {key: row.data_subject for key, row in _rows(connection, store_keys).items()}


def minority(connection: sa.Connection, store_key: str) -> date | None:
    """The day of birth kept of someone who may be a minor; None for everybody else."""
    query = sa.select(PEOPLE.c.minor_born).where(PEOPLE.c.store_key == store_key)
    kept = connection.execute(query).scalar_one_or_none()
    return None if kept is None else date.fromisoformat(kept)


def exists(connection: sa.Connection, data_subject: str) -> bool:
    """Whether this id is a person's."""
    query = sa.select(PEOPLE.c.data_subject).where(PEOPLE.c.data_subject == data_subject)
    return connection.execute(query).one_or_none() is not None


def pre_register(
    connection: sa.Connection, index: Index, *, now: datetime, tag: str | None = None
) -> tuple[Holder, ...]:
    """The holders of an identifier; where there is none, a new person known by this identifier alone.

    `tag` is the identifier's suppression tag, kept with it.

    They have no store key and no residence until a record appears, so nothing can be read of them meanwhile.
    """
    holders = find(connection, index)
    if holders:
        return holders
    person = random_id("ds")
    connection.execute(sa.insert(PEOPLE), [_new_row(person, None, now)])
    add_holder(connection, person, index, tag)
    holders = find(connection, index)
    if all(holder.data_subject != person for holder in holders):  # another writer was first
        connection.execute(sa.delete(PEOPLE).where(PEOPLE.c.data_subject == person))
    return holders


def set_store_key(connection: sa.Connection, data_subject: str, store_key: str) -> None:
    """Give a person their key in the store. Raises `Conflict` if they or someone else has one, else `NotFound`."""
    holder = by_store_keys(connection, [store_key]).get(store_key)
    if holder == data_subject:
        return
    if holder is not None:
        raise Conflict("the store's key belongs to another person already")
    keyless = sa.update(PEOPLE).where(PEOPLE.c.data_subject == data_subject, PEOPLE.c.store_key.is_(None))
    if connection.execute(keyless.values(store_key=store_key)).rowcount == 1:
        return
    if exists(connection, data_subject):
        raise Conflict("the person has another key in the store already")
    raise NotFound("no person has this id: enrol the person first")


def link(connection: sa.Connection, data_subject: str, index: Index, *, carry: Carry) -> bool:
    """Add an identifier to a person. True if that made it shared, or shared with one more."""
    return link_all(connection, [(data_subject, index)], carry)[1] > 0


def enrol(connection: sa.Connection, person: NewPerson, *, now: datetime, carry: Carry) -> str:
    """Enrol or refresh one person of the store and return their id."""
    return enrol_many(connection, [person], now=now, carry=carry).data_subjects[0]


def enrol_many(connection: sa.Connection, people: Sequence[NewPerson], *, now: datetime, carry: Carry) -> Enrolled:
    """Enrol or refresh people of the store, each known by its store key. Run again, it adds only what is new."""
    ids: list[str] = []
    added = adopted = changed = linked = shared = 0
    for chunk in chunks(people):
        known = _rows(connection, [person.store_key for person in chunk])
        changed += _refresh(connection, chunk, known)
        newcomers = {person.store_key: person for person in chunk if person.store_key not in known}
        adopted += _adopt(connection, newcomers, now)
        added += _insert(connection, newcomers, now)
        known |= _rows(connection, [person.store_key for person in chunk if person.store_key not in known])
        people_ids = [known[person.store_key].data_subject for person in chunk]
        pairs = [(key, index) for key, person in zip(people_ids, chunk, strict=True) for index in person.identifiers]
        tags = {index: tag for person in chunk for index, tag in person.tags.items()}
        fresh, common = link_all(connection, pairs, carry, tags)
        ids += people_ids
        linked, shared = linked + fresh, shared + common
    return Enrolled(tuple(ids), added, adopted, changed, linked, shared)


def _rows(connection: sa.Connection, store_keys: Sequence[str]) -> dict[str, _Row]:
    found: dict[str, _Row] = {}
    for chunk in chunks(list(dict.fromkeys(store_keys))):
        for row in connection.execute(_BY_STORE_KEY, {"keys": chunk}):
            found[row.store_key] = _Row(row.data_subject, row.jurisdiction, row.minor_born)
    return found


def _refresh(connection: sa.Connection, people: Sequence[NewPerson], known: Mapping[str, _Row]) -> int:
    changes = []
    for person in people:
        row = known.get(person.store_key)
        if row is None:
            continue
        born = _stored_day(person.minor_born) if person.birth_known else row.minor_born
        if (person.jurisdiction, born) != (row.jurisdiction, row.minor_born):
            change = {"of_person": row.data_subject, "new_jurisdiction": person.jurisdiction, "new_minor_born": born}
            changes.append(change)
    if changes:
        connection.execute(_CHANGE, changes)
    return len(changes)


def _adopt(connection: sa.Connection, newcomers: dict[str, NewPerson], now: datetime) -> int:
    """Give newcomers the row of the person known by a choice who has one of their identifiers; they are new no more."""
    early = held(connection, [index for person in newcomers.values() for index in person.identifiers])
    adopted = 0
    for store_key, person in list(newcomers.items()):
        for index in person.identifiers:
            holder = early.get(index)
            if holder is None or not holder.early:
                continue
            free = sa.update(PEOPLE).where(PEOPLE.c.data_subject == holder.data_subject, PEOPLE.c.store_key.is_(None))
            row = _new_row(holder.data_subject, person, now)
            values = {name: row[name] for name in ("store_key", "jurisdiction", "minor_born")}
            if connection.execute(free.values(values)).rowcount == 1:
                del newcomers[store_key]
                adopted += 1
                break
    return adopted


def _insert(connection: sa.Connection, newcomers: Mapping[str, NewPerson], now: datetime) -> int:
    if newcomers:
        rows = [_new_row(random_id("ds"), person, now) for person in newcomers.values()]
        # Another writer may enrol the same person at this moment: the unique store key lets one row in.
        connection.execute(_INSERT_PEOPLE[connection.dialect.name], rows)
    return len(newcomers)


def _new_row(data_subject: str, person: NewPerson | None, now: datetime) -> dict[str, object]:
    return {
        "data_subject": data_subject,
        "store_key": person.store_key if person else None,
        "jurisdiction": person.jurisdiction if person else None,
        "minor_born": _stored_day(person.minor_born) if person else None,
        "created_at": to_micros(now),
    }


def _stored_day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def shares_identifier(connection: sa.Connection, data_subject: str) -> bool:
    """Whether somebody else uses an identifier of this person too."""
    found = sa.select(SHARED_IDENTIFIERS.c.kind).where(SHARED_IDENTIFIERS.c.data_subject == data_subject).limit(1)
    return connection.execute(found).first() is not None
