"""Reads what really lies in the sealed columns of the store and opens each value; changes nothing, shows no value.

It goes through the store's port past every policy, as an operator's act that holds every key class by a grant that
says so. A value that opened is dropped at once. Rows are told by the person's id, or by their place in the order of
the store's own key where the gateway knows nobody behind them: neither says anything about a person.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import sqlalchemy as sa

from consent_gateway.database import reading_connection
from consent_gateway.errors import KeysDestroyed, KeysMissing, KeysUnavailable
from consent_gateway.people.directory import by_store_keys
from consent_gateway.people.suppression import SuppressionTags, suppressed
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.ports import CustomerStore, Page, StoredRecord
from consent_gateway.protection.fields import is_sealed, key_id_of, open_sealed, refused_format
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import KeyGrant
from consent_gateway.protection.tokens import REFUSED_VERSION, TokenKind, looks_like_token
from consent_gateway.vocabulary import JsonValue

Progress = Callable[[int, int], None]
_PEOPLE = 500  # rows of the root collection at once
_CHILDREN = 100  # rows of a child collection at once
_EXAMPLES = 3
_OURS = re.compile(rf"{TokenKind.SEALED_FIELD.value}[0-9]+\.")


class Cause(StrEnum):
    """Why a value in a sealed column is not protected as the catalogue says."""

    PLAIN_TEXT = "plain_text"
    UNKNOWN_FORMAT = "unknown_format"
    EARLIER_FORMAT = "earlier_format"
    NOT_ENROLLED = "not_enrolled"
    ERASED_PERSONS = "erased_persons"
    ERASED_PERSONS_PLAIN = "erased_persons_plain"
    ANOTHER_PERSONS = "another_persons"
    KEYS_MISSING = "keys_missing"
    KEYS_DESTROYED = "keys_destroyed"
    ALTERED = "altered"


MEANINGS: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.PLAIN_TEXT: "stand in the clear",
        Cause.UNKNOWN_FORMAT: "begin like a token of ours, but are damaged or of a format that is not known",
        Cause.EARLIER_FORMAT: "were sealed before key classes",
        Cause.NOT_ENROLLED: "are sealed, in rows of people the gateway does not know",
        Cause.ERASED_PERSONS: "are sealed, in rows of people who were erased here and are still in the store",
        Cause.ERASED_PERSONS_PLAIN: "stand in the clear, in rows of erased people that are still in the store",
        Cause.ANOTHER_PERSONS: "are sealed for another person",
        Cause.KEYS_MISSING: "are sealed, but the key table has no keys of the person",
        Cause.KEYS_DESTROYED: "are sealed under keys that were destroyed",
        Cause.ALTERED: "do not open: altered, moved from another field, or sealed under another key class",
    }
)
_ENROL_AND_SEAL = "run `consent-gateway people enrol`, then `consent-gateway people seal`"
_RESTORE = "restore the column from a back-up of the store, for these rows"
MENDS: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.PLAIN_TEXT: _ENROL_AND_SEAL,
        Cause.UNKNOWN_FORMAT: f"{_RESTORE}; or empty it and write it anew",
        Cause.EARLIER_FORMAT: REFUSED_VERSION[TokenKind.SEALED_FIELD, 1].partition(": ")[2],
        Cause.NOT_ENROLLED: "run `consent-gateway people enrol` and look again",
        Cause.ERASED_PERSONS: "erase these rows in the store: nobody can open them again",
        Cause.ERASED_PERSONS_PLAIN: "erase these rows in the store; if somebody came back by their own act, run"
        " `consent-gateway people suppression lift --kind store_key`, then enrol and seal",
        Cause.ANOTHER_PERSONS: f"{_RESTORE}: they were copied between rows",
        Cause.KEYS_MISSING: "restore the key table that belongs to this store",
        Cause.KEYS_DESTROYED: "empty the column for these rows: nobody can open them again",
        Cause.ALTERED: f"{_RESTORE}; if the field's `key_class` was changed, change it back",
    }
)
CHILD_MEND = "empty the column or remove `protection: sealed`: the gateway seals no rows of child collections"


@dataclass(frozen=True, slots=True)
class Unprotected:
    """Values of one field with one cause. `examples` are ids of people, or `row 7` of the store in order of its key."""

    field: str
    cause: Cause
    values: int
    examples: tuple[str, ...]
    mend: str


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What was looked at and what is not protected. `opened` counts the values that open, by field."""

    looked: int  # records
    records: int  # records there are
    opened: Mapping[str, int]
    unprotected: tuple[Unprotected, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """One record of the store: its place from 1, and who it is, if the directory knows them or has let them go."""

    place: int
    store_key: str
    data_subject: str | None
    erased: bool


class StoreScan:
    """Looks through the sealed fields of one store."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        store: CustomerStore,
        catalogue: Catalogue,
        keyring: KeyRing,
        grant: KeyGrant,
        tags: SuppressionTags,
    ) -> None:
        self._engine = engine
        self._store = store
        self._keyring = keyring
        self._grant = grant
        self._tags = tags
        self._classes = catalogue.key_classes
        self._root = frozenset(one.name for one in catalogue.root.fields)

    def run(self, sample: int | None, progress: Progress) -> ScanReport:
        """Look at every record, or at `sample` of them, spread evenly. Raises what store, keys and database raise.

        A whole scan reads each record by itself, so that no row is held back from those who write meanwhile.
        """
        total = self._store.count()
        stride = 1 if sample is None else max(1, -(-total // sample))
        tally = _Tally(self._classes)
        looked = 0
        for row in self._rows(stride):
            for record in self._pages(row.store_key):
                for field, value in _sealed_values(record, self._classes):
                    tally.add(field, self._cause(value, field, row), row.data_subject or f"row {row.place}")
            looked += 1
            progress(looked, -(-total // stride))
        return ScanReport(looked, total, tally.opened, tally.found(self._root))

    def _rows(self, stride: int) -> Iterator["_Row"]:
        """Every `stride`-th record, in order of the store's key."""
        place, after = 0, None
        while self._classes and (rows := self._store.identities(after, _PEOPLE)):
            wanted = {place + at: row.store_key for at, row in enumerate(rows, 1) if (place + at - 1) % stride == 0}
            with reading_connection(self._engine) as connection:
                people = by_store_keys(connection, list(wanted.values()))
                unknown = {key: self._tags.of_store_key(key) for key in wanted.values() if key not in people}
                erased = suppressed(connection, unknown.values())
            yield from (_Row(at, key, people.get(key), unknown.get(key) in erased) for at, key in wanted.items())
            place += len(rows)
            after = rows[-1].store_key

    def _pages(self, store_key: str) -> Iterator[StoredRecord]:
        """The record, with its child rows page after page; later pages are of the child collections alone."""
        fields = tuple(self._classes)
        offset = 0
        while fields:
            record = self._store.read(store_key, fields, Page(_CHILDREN, offset))
            if record is None:
                return
            yield record
            fields = tuple(name for name in fields if name.rpartition(".")[0] in record.more)
            offset += _CHILDREN

    def _cause(self, value: JsonValue, field: str, row: "_Row") -> Cause | None:
        """Why a value is not protected; None for one that opens under its person, field and class."""
        if not isinstance(value, str) or not is_sealed(value):
            cause = cause_unsealed(value)
            return Cause.ERASED_PERSONS_PLAIN if row.erased and cause is Cause.PLAIN_TEXT else cause
        if row.data_subject is None:
            return Cause.ERASED_PERSONS if row.erased else Cause.NOT_ENROLLED
        return self._sealed_cause(value, field, row.data_subject)

    def _sealed_cause(self, value: str, field: str, data_subject: str) -> Cause | None:
        try:
            keys = self._keyring.person_keys(data_subject)
        except KeysDestroyed:
            return Cause.KEYS_DESTROYED
        except KeysMissing:
            return Cause.KEYS_MISSING
        if key_id_of(value) != keys.key_id:
            return Cause.ANOTHER_PERSONS
        try:
            open_sealed(value, field, data_subject, keys.class_key(self._classes[field], self._grant))
        except KeysUnavailable:
            return Cause.ALTERED
        return None


def cause_unsealed(value: JsonValue) -> Cause:
    """Why a value that is not null and no whole sealed value is not protected.

    What begins like a token of ours is never plain text, however little is left of it: who sealed it anew would make
    the damage the truth. An empty string is text like any other.
    """
    if refused_format(value) is not None:
        return Cause.EARLIER_FORMAT
    ours = isinstance(value, str) and (looks_like_token(value) or _OURS.match(value) is not None)
    return Cause.UNKNOWN_FORMAT if ours else Cause.PLAIN_TEXT


def _sealed_values(record: StoredRecord, classes: Mapping[str, str]) -> Iterator[tuple[str, JsonValue]]:
    named: list[tuple[str, JsonValue]] = list(record.values.items())
    for collection, rows in record.children.items():
        named += [(f"{collection}.{column}", value) for row in rows for column, value in row.items()]
    return ((name, value) for name, value in named if name in classes and value is not None)


class _Tally:
    """Counts values by field and cause, and keeps the first few places of each."""

    def __init__(self, fields: Sequence[str] | Mapping[str, str]) -> None:
        self.opened = dict.fromkeys(fields, 0)
        self._counts: dict[tuple[str, Cause], int] = defaultdict(int)
        self._examples: dict[tuple[str, Cause], dict[str, None]] = defaultdict(dict)

    def add(self, field: str, cause: Cause | None, where: str) -> None:
        if cause is None:
            self.opened[field] += 1
            return
        self._counts[field, cause] += 1
        if len(self._examples[field, cause]) < _EXAMPLES:
            self._examples[field, cause][where] = None

    def found(self, root: frozenset[str]) -> tuple[Unprotected, ...]:
        return tuple(
            Unprotected(
                field,
                cause,
                count,
                tuple(self._examples[field, cause]),
                MENDS[cause] if field in root or cause is not Cause.PLAIN_TEXT else CHILD_MEND,
            )
            for (field, cause), count in sorted(self._counts.items())
        )
