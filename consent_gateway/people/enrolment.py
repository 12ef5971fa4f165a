"""Brings the store's people into the directory, page by page; reads identities and residence and keeps no value.

What cannot be read in a row is counted by kind and the person is enrolled all the same: a mistyped telephone
number must not keep a customer from objecting by e-mail. Who was erased stays out: a record that comes with a store
key or an identifier of the suppression list is left out and counted, and a person who is enrolled already is not given
such an identifier.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Protocol

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.database import DRIVER_ERRORS, let_others_write, reading_connection
from consent_gateway.errors import (
    DatabaseUnavailable,
    FieldFault,
    IdentifierRefused,
    InputRefused,
    NotFound,
    Suppressed,
)
from consent_gateway.ids import new_id
from consent_gateway.people.blind_index import BlindIndex, Indexed
from consent_gateway.people.directory import NewPerson, by_store_keys, enrol_many, minority
from consent_gateway.people.linking import Index, unlink_others
from consent_gateway.people.moving import move_to_newest
from consent_gateway.people.residence import Unreadable, is_member, jurisdiction, minor_born
from consent_gateway.people.search_rows import Part, drop_unasked, keep, search_modes
from consent_gateway.people.suppression import SuppressionTags, hold_for_enrolment, suppressed
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.ports import Clock, CustomerStore, Page, StoredRecord
from consent_gateway.vocabulary import Identifier, JsonValue

PAGE = 1000  # people per page and transaction
_PLACES = 3  # of records left out that are told
_ALL_ROWS = Page(limit=1000)

Progress = Callable[[int, int], None]
"""`progress(done, total)`, called after each page."""


class Ledger(Protocol):
    """What enrolment needs of the consent room, which stands above this one."""

    def join_programme(self, connection: sa.Connection, data_subjects: Sequence[str], now: datetime) -> int:
        """Record that these people are members, except who is, ever left, or is erased; returns how many."""
        ...

    def carry(self, connection: sa.Connection, early: str, person: str, now: datetime) -> bool:
        """Take the restricting choices of `early` over to `person`; False if `early` must stay as it is."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to. `unreadable` counts values that could not be read, by kind or attribute.

    `suppressed` are records left out because their person was erased, `withheld` such identifiers of other people.
    `left_out` are the places of the first few of the former, from 1 in the order of the store's key.
    """

    read: int = 0
    added: int = 0
    adopted: int = 0
    changed: int = 0
    linked: int = 0
    shared: int = 0
    joined: int = 0
    suppressed: int = 0
    withheld: int = 0
    left_out: tuple[int, ...] = ()
    unreadable: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What the values of a record that is being created say of residence and age, before anyone is enrolled."""

    jurisdiction: str | None
    minor_born: date | None
    identifiers: tuple[Identifier, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    store_key: str
    identities: Sequence[tuple[str, str]]
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Reading:
    person: NewPerson
    member: bool
    store_tag: str
    identifiers: Mapping[Index, Indexed]
    parts: Mapping[Index, tuple[Part, ...]]

    def without(self, listed: Collection[str]) -> "_Reading":
        """The same without the identifiers that are on the suppression list, nor what search would keep of them."""
        tags = self.person.tags
        kept = tuple(index for index in self.person.identifiers if tags[index] not in listed)
        return replace(self, person=replace(self.person, identifiers=kept))

    @property
    def indexed(self) -> list[Indexed]:
        """The identifiers to be linked, under every key in use."""
        return [self.identifiers[index] for index in self.person.identifiers]

    @property
    def searched(self) -> tuple[Part, ...]:
        """What search keeps of them."""
        return tuple(part for index in self.person.identifiers for part in self.parts[index])


class Enrolment:
    """Enrols and refreshes the people of one store. Safe to share between threads."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        store: CustomerStore,
        catalogue: Catalogue,
        indexes: BlindIndex,
        tags: SuppressionTags,
        ledger: Ledger,
        record_in: Callable[[sa.Connection, Entry], None],
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._store = store
        self._indexes = indexes
        self._tags = tags
        self._ledger = ledger
        self._record_in = record_in
        self._clock = clock
        fields = catalogue.fields
        self._kinds = {name: each.identity for name, each in fields.items() if each.identity is not None}
        self._modes = search_modes(catalogue)
        self._attributes = {name: each.attribute for name, each in fields.items() if each.attribute is not None}
        root = catalogue.root
        at_root = ((name, each) for name, each in fields.items() if each.collection == root.name)
        self._key_field = next((name for name, each in at_root if each.column == root.primary_key), None)

    def run(self, progress: Progress) -> Report:
        """Enrol every person of the store, a page a transaction.

        What stands under an older index key is brought under the newest, and what search needs is filled and, where
        the catalogue no longer asks for it, dropped. Interrupted and run again, it passes over what is there already
        and goes on. Raises `StoreUnavailable` and `DatabaseUnavailable`; the pages before stay enrolled.
        """
        self._drop_unasked()
        total, after, report, unreadable = self._store.count(), None, Report(), Counter[str]()
        while True:
            rows = self._store.identities(after, PAGE)
            if not rows:
                return report
            read = [_Row(row.store_key, row.identities, row.attributes) for row in rows]
            report = self._page(read, report, unreadable)
            after = rows[-1].store_key
            progress(report.read, total)
            let_others_write(self._engine)

    def newcomer(self, values: Mapping[str, JsonValue]) -> Newcomer:
        """Residence and minority as the values of a new record, by field name, say them."""
        attributes = {
            attribute: _text(values[name])
            for name, attribute in self._attributes.items()
            if name in values and values[name] is not None
        }
        person = self._reading(_Row("", (), attributes), Counter()).person
        identifiers = tuple(
            Identifier(kind, _text(values[name])) for name, kind in self._kinds.items() if values.get(name) is not None
        )
        return Newcomer(person.jurisdiction, person.minor_born, identifiers)

    def refuse_unreadable(self, values: Mapping[str, JsonValue]) -> None:
        """Refuse values of identity fields that could never be found again. Raises `InputRefused` naming the field."""
        for name, kind in self._kinds.items():
            value = values.get(name)
            if value is None:
                continue
            try:
                self._indexes.of(Identifier(kind, _text(value)))
            except IdentifierRefused as error:
                fault = FieldFault(f"/record/{name}", error.message)
                raise InputRefused("an identifier is not well-formed", (fault,)) from error

    def refuse_suppressed(self, values: Mapping[str, JsonValue]) -> None:
        """Refuse values that would bring back an erased person. Raises `Suppressed` naming the field, as `refresh`.

        For values that `refuse_unreadable` has passed.
        """
        tags = {
            name: self._tags.of(Identifier(kind, _text(values[name])))
            for name, kind in self._kinds.items()
            if values.get(name) is not None
        }
        if self._key_field is not None and values.get(self._key_field) is not None:
            tags[self._key_field] = self._tags.of_store_key(_text(values[self._key_field]))
        try:
            with reading_connection(self._engine) as connection:
                listed = suppressed(connection, tags.values())
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the suppression list could not be read: try again") from error
        for name, tag in tags.items():
            if tag in listed:
                raise _refused(f"`{name}` is an identifier")

    def refresh(self, connection: sa.Connection, store_key: str, changed: Collection[str] = ()) -> str:
        """Enrol one record anew after it changed, in the caller's transaction, and return the person's id.

        Identifiers of `changed` fields that the record no longer holds are taken from the person: a mistyped address
        must not stay shared with the one whose address it is. Raises `NotFound` where the store has no such record,
        `Suppressed` for a new one of an erased person, `StoreUnavailable`.
        """
        record = self._store.read(store_key, (*self._kinds, *self._attributes), _ALL_ROWS)
        if record is None:
            raise NotFound("the store has no record under this key")
        identities = [(kind, value) for name, kind in self._kinds.items() for value in _values(record, name)]
        attributes = {
            attribute: value for name, attribute in self._attributes.items() for value in _values(record, name)[:1]
        }
        self._indexes.settle(connection)
        reading = self._reading(_Row(store_key, identities, attributes), Counter())
        if changed:
            reading = replace(reading, person=_no_older(reading.person, minority(connection, store_key)))
        enrolled = self._enrol(connection, [reading], self._clock.now())[0]
        if not enrolled:
            raise _refused("the record holds an identifier")
        person = enrolled[0]
        kinds = {self._kinds[name] for name in changed if name in self._kinds}
        unlink_others(connection, person, kinds, reading.person.identifiers)
        return person

    def _drop_unasked(self) -> None:
        try:
            with self._engine.begin() as connection:
                drop_unasked(connection, self._modes)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("what search no longer needs could not be dropped: run again") from error

    def _page(self, rows: Sequence[_Row], before: Report, unreadable: Counter[str]) -> Report:
        now = self._clock.now()
        try:
            with self._engine.begin() as connection:
                self._indexes.settle(connection)
                readings = [self._reading(row, unreadable) for row in rows]
                _, page = self._enrol(connection, readings, now)
                self._record_in(connection, _entry(page, now))
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("people could not be enrolled: mend the database and run again") from error
        return Report(
            read=before.read + page.read,
            added=before.added + page.added,
            adopted=before.adopted + page.adopted,
            changed=before.changed + page.changed,
            linked=before.linked + page.linked,
            shared=before.shared + page.shared,
            joined=before.joined + page.joined,
            suppressed=before.suppressed + page.suppressed,
            withheld=before.withheld + page.withheld,
            left_out=(*before.left_out, *(before.read + place for place in page.left_out))[:_PLACES],
            unreadable=dict(unreadable),
        )

    def _enrol(
        self, connection: sa.Connection, readings: Sequence[_Reading], now: datetime
    ) -> tuple[tuple[str, ...], Report]:
        """The ids of the people enrolled, without those left out, and what it came to."""
        hold_for_enrolment(connection)
        read = len(readings)
        readings, withheld, left_out = self._allowed(connection, readings)
        people = [reading.person for reading in readings]

        def carry(within: sa.Connection, early: str, person: str) -> bool:
            return self._ledger.carry(within, early, person, now)

        move_to_newest(connection, [each for reading in readings for each in reading.indexed], carry)
        done = enrol_many(connection, people, now=now, carry=carry)
        keep(connection, {person: each.searched for person, each in zip(done.data_subjects, readings, strict=True)})
        members = [person for person, each in zip(done.data_subjects, readings, strict=True) if each.member]
        joined = self._ledger.join_programme(connection, members, now)
        report = Report(
            read=read,
            added=done.added,
            adopted=done.adopted,
            changed=done.changed,
            linked=done.linked,
            shared=done.shared,
            joined=joined,
            suppressed=len(left_out),
            withheld=withheld,
            left_out=left_out[:_PLACES],
        )
        return done.data_subjects, report

    def _allowed(
        self, connection: sa.Connection, readings: Sequence[_Reading]
    ) -> tuple[list[_Reading], int, tuple[int, ...]]:
        """The readings that may be enrolled, how many identifiers were taken from them, the places of the others."""
        tags = [tag for each in readings for tag in (each.store_tag, *each.person.tags.values())]
        listed = suppressed(connection, tags)
        if not listed:
            return list(readings), 0, ()
        known = by_store_keys(connection, [each.person.store_key for each in readings])
        allowed, left_out, withheld = [], [], 0
        for place, each in enumerate(readings, 1):
            kept = each.without(listed)
            taken = len(each.person.identifiers) - len(kept.person.identifiers)
            if each.store_tag not in listed and (not taken or each.person.store_key in known):
                allowed.append(kept)
                withheld += taken
            else:
                left_out.append(place)
        return allowed, withheld, tuple(left_out)

    def _reading(self, row: _Row, unreadable: Counter[str]) -> _Reading:
        attributes = row.attributes
        tags: dict[Index, str] = {}
        indexed: dict[Index, Indexed] = {}
        parts: dict[Index, tuple[Part, ...]] = {}
        for kind, value in row.identities:
            identifier = Identifier(kind, value)
            try:
                every = self._indexes.every(identifier)
            except IdentifierRefused:
                unreadable[kind] += 1
                continue
            found = ((mode, self._indexes.part(identifier, mode)) for mode in self._modes.get(kind, ()))
            tags[every.index], indexed[every.index] = self._tags.of(identifier), every
            parts[every.index] = tuple((kind, mode, part) for mode, part in found if part is not None)
        place, born, birth_known = None, None, False
        try:
            place = jurisdiction(attributes.get("country"), attributes.get("region"))
        except Unreadable:
            unreadable["residence"] += 1
        try:
            if "birth_date" in attributes:
                born, birth_known = minor_born(attributes["birth_date"], self._clock.now().date()), True
        except Unreadable:
            unreadable["birth_date"] += 1
        person = NewPerson(row.store_key, place, born, birth_known, tuple(tags), tags)
        member = "member" in attributes and is_member(attributes["member"])
        return _Reading(person, member, self._tags.of_store_key(row.store_key), indexed, parts)


def _refused(what: str) -> Suppressed:
    return Suppressed(
        f"{what} of someone who was erased: the operator lifts the suppression when they come back by their own act"
    )


def _no_older(person: NewPerson, known: date | None) -> NewPerson:
    """A write by a channel may make a person younger and never older: growing up by a data write would open things.

    The store's own record counts again at the next run of the enrolment.
    """
    if known is None or (person.minor_born is not None and person.minor_born >= known):
        return person
    return replace(person, minor_born=known, birth_known=True)


def _values(record: StoredRecord, name: str) -> list[str]:
    """The values of a root field, or of one column of all rows of a child collection, as text; nulls left out."""
    if name in record.values:
        found = [record.values[name]]
    else:
        collection, _, column = name.rpartition(".")
        found = [row.get(column) for row in record.children.get(collection, ())]
    return [_text(value) for value in found if value is not None]


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else str(value)


def _entry(page: Report, now: datetime) -> Entry:
    counts = {"read": page.read, "added": page.added, "adopted": page.adopted, "changed": page.changed}
    counts |= {"linked": page.linked, "shared": page.shared, "joined": page.joined}
    counts |= {"suppressed": page.suppressed, "withheld": page.withheld}
    return Entry(
        entry_id=new_id("enr", now),
        kind=EntryKind.PERSON,
        at=now,
        action="enrol",
        detail={name: str(count) for name, count in counts.items()},
    )
