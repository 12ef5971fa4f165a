"""Contracts for what really varies: stores, KeyProvider, EventSink, Clock; no implementation lives here.

Each contract is a Protocol whose docstrings say order, absence, retries and errors.
`conformance` holds the suites that the author of an implementation runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from consent_gateway.vocabulary import JsonValue


class Clock(Protocol):
    """Tells the time; the only way a room learns it."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Bounds on child collections of one record: rows `offset` to `offset + limit` of each."""

    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """What the store holds about one person, restricted to the fields asked for.

    `values` maps catalogue field names of the root collection to JSON-ready values. `children` maps
    a child collection's name to its rows, each a mapping from the column's short name (the part after
    the dot) to a value. `version` is opaque and changes whenever one of the root columns read does; it is
    made of no other column, so that it tells nothing of what the caller may not see.
    `more` names the child collections that hold rows past the page.
    """

    values: Mapping[str, JsonValue]
    children: Mapping[str, Sequence[Mapping[str, JsonValue]]]
    version: str
    more: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """One row for enrolment: the store's own key and the catalogued identity and residence columns."""

    store_key: str
    identities: Sequence[tuple[str, str]]  # (identifier kind, raw value), each once; several of a kind are possible
    attributes: Mapping[str, str]  # catalogue `meta.attribute` (country, region, birth_date, member) -> raw value


class CustomerStore(Protocol):
    """The retailer's customer data, addressed by the store's own key and by catalogue field names.

    An implementation asks only for the columns it is told, returns nothing else, and raises
    `StoreUnavailable` for every failure of the store itself, within its time-out. It never caches.
    """

    def read(self, store_key: str, fields: Sequence[str], page: Page) -> StoredRecord | None:
        """The named fields of one record; None if there is no such record. Child fields are `orders.total`."""
        ...

    def update(self, store_key: str, changes: Mapping[str, JsonValue], expected_version: str | None) -> str:
        """Change root fields of one record in one transaction and return the new version.

        `expected_version` is that of an earlier read or update; the new version covers the same columns, or the
        changed ones where none was given. Raises, changing nothing, `NotFound` for an unknown key, `Conflict` where
        a column that `expected_version` covers has changed since or a value must be unique and is not, and
        `InputRefused` naming each field that is not writable or whose value its column does not take.
        """
        ...

    def create(self, values: Mapping[str, JsonValue]) -> str:
        """Insert one record and return the store's key for it, given in `values` or made by the store.

        Raises, inserting nothing, `Conflict` if it exists already and `InputRefused` as `update` does.
        """
        ...

    def identities(self, after: str | None, limit: int) -> Sequence[StoredIdentity]:
        """Up to `limit` records in ascending order of store key, after `after`; empty at the end."""
        ...

    def count(self) -> int:
        """How many records there are, for a progress bar."""
        ...

    def faults(self) -> Sequence[str]:
        """What in the catalogue the store does not have, each with its mend; empty if all is there."""
        ...


class ColumnKind(StrEnum):
    """What a column holds, as far as emptying it and searching it needs to know."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    TRUTH = "truth"
    BYTES = "bytes"
    JSON = "json"
    OTHER = "other"


class Fill(StrEnum):
    """What is written over a value: null, the type's blank, a blank no other row has, or the mark of a deletion."""

    NULL = "null"
    BLANK = "blank"
    UNIQUE = "unique"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class StoreColumn:
    """One column as the store has it. `unique` is True where two rows may not hold the same value."""

    name: str
    kind: ColumnKind
    nullable: bool
    unique: bool = False


@dataclass(frozen=True, slots=True)
class StoreReference:
    """A foreign key the store enforces: `columns` of this table hold `to_columns` of the other."""

    columns: tuple[str, ...]
    table: str
    to_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreTable:
    """One table as the store has it. `key` tells its rows apart; all its columns where nothing else does."""

    name: str
    columns: Mapping[str, StoreColumn]
    key: tuple[str, ...]
    references: tuple[StoreReference, ...] = ()


StoreKey = tuple[JsonValue, ...]
"""The values of a row's key, in the order of `StoreTable.key`, in their JSON form."""


BYTES_FORM = "\0b64:"
"""Begins the JSON form of bytes in a `StoreRow`; base64 follows. No text of a database but SQLite begins like it."""


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One row, every column in its JSON form; `...` for a value that has none."""

    key: StoreKey
    values: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class StoreChange:
    """What is done to rows of one table: `fills` by column, or deletion where there are none.

    `values` are written as they stand, where a catalogue names what a column takes in place of a value. `mark` makes
    unique blanks of this change differ from those of any other, and is the same whenever the change is repeated.
    """

    table: str
    keys: tuple[StoreKey, ...]
    fills: Mapping[str, Fill]
    values: Mapping[str, JsonValue]
    mark: str
    deletes: bool = False


@dataclass(frozen=True, slots=True)
class StoreChanged:
    """How many rows there were, and what the store refused: the column, or `*` for a deletion, and its error code."""

    rows: int
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoreHits:
    """Rows of one column that hold something looked for. `more` says that there are others than `keys`."""

    table: str
    column: str
    keys: tuple[StoreKey, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Needles:
    """What is looked for, as three regular expressions that Python and PostgreSQL read alike; empty for none.

    `texts` is for text in lower case, `bare` for bytes shown as text in lower case without their zeros (octal for what
    is not ASCII, as PostgreSQL's `escape`), `digits` for the digits of a value alone. `words` are the texts that one of
    `texts` and `bare` must hold, for a search that is faster at plain texts. Personal: never logged.
    """

    texts: str = ""
    bare: str = ""
    digits: str = ""
    words: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Needles(…)"

    def __bool__(self) -> bool:
        return bool(self.texts or self.digits)


class ErasableStore(Protocol):
    """The whole of one database of the retailer's, table by table, for an erasure and for what proves it.

    It sees declared and undeclared tables alike, knows no person and no catalogue, and decides nothing. Raises
    `StoreUnavailable` for every failure of the store itself; a change that the store's own constraints refuse is no
    failure but told in `StoreChanged`.
    """

    def shape(self) -> Mapping[str, StoreTable]:
        """Every table of the database, by name; looked at anew at each call."""
        ...

    def find(self, table: str, columns: Sequence[str], wanted: Sequence[StoreKey]) -> Sequence[StoreRow]:
        """All rows whose `columns` together hold one of `wanted`; a null is never found."""
        ...

    def older(self, table: str, column: str, than: str, limit: int, offset: int) -> Sequence[StoreRow]:
        """A page of the rows whose column holds a day before `than` (ISO 8601), the oldest first."""
        ...

    def held(self, table: str, column: str, values: Sequence[JsonValue]) -> Mapping[JsonValue, int]:
        """How many rows hold each of these values in the column."""
        ...

    def apply(self, change: StoreChange) -> StoreChanged:
        """Carry the change out in one transaction; doing it again changes nothing more. What it deletes or writes
        over is not left readable in the database's file, as far as the database allows it.
        """
        ...

    def holding(self, tables: Mapping[str, Sequence[str]], needles: Needles) -> Sequence[str]:
        """Of these tables, by name with the columns that count, those in which `search` may find something.

        It may name one in which nothing is found, and never leaves one out in which something is.
        """
        ...

    def search(self, table: str, columns: Sequence[str], needles: Needles, most: int) -> Sequence[StoreHits]:
        """Where in these columns of a table one of the needles stands; up to `most` rows of each column by key."""
        ...


class RootKept(StrEnum):
    """What is known of a second root, should the first be lost."""

    ONCE = "once"
    SAME_DISK = "same_disk"  # twice, but the loss of one disk takes both
    TWICE = "twice"
    BY_SERVER = "by_server"  # nobody looked: the server's own back-up decides


@dataclass(frozen=True, slots=True)
class KeyProviderCapabilities:
    """What a provider promises (PROTECTION: declared, never guessed).

    `kind` is the word that chooses it in the settings. `batch_size` is the most pairs of `unwrap_many` that go out in
    one call of its own. `destruction_delay_days` is how long a retired version could still be brought back by whoever
    rules the provider: the erasure horizon. `root_kept` is what was seen of a second root.
    """

    kind: str
    context_binding: bool
    batch_size: int
    destruction_delay_days: int
    hardware_backed: bool
    old_material_removable: bool
    root_kept: RootKept = RootKept.BY_SERVER


class KeyProvider(Protocol):
    """Holds the root key and lends its use; the root never leaves it.

    `context` is authenticated, not secret; unwrapping under another context raises `KeysUnavailable`, as does any
    failure of the provider, within its time-out. Every thread may call it. Versions are numbers that only go up.
    """

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a key under the present root version."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt what `wrap` made."""
        ...

    def unwrap_many(self, wrapped: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """Decrypt pairs of (wrapped, context), in order, however many: a provider cuts them into its own batches."""
        ...

    def rotate(self) -> int:
        """Make a new root version for all later wraps and return its number; old versions still unwrap."""
        ...

    def retire(self, version: int) -> None:
        """Destroy a root version; what it wrapped can never be opened again. Retire the oldest first.

        Raises, changing nothing, `Conflict` for the present version, and for one that is not the oldest where the
        provider destroys from the oldest up only; `NotFound` where there is no such version.
        """
        ...

    def versions(self) -> tuple[int, ...]:
        """The root versions that still unwrap, ascending; the last is the present one. No number is used twice."""
        ...

    def describe(self) -> KeyProviderCapabilities:
        """What this provider promises."""
        ...


@dataclass(frozen=True, slots=True)
class ChangeMessage:
    """One change on its way out: `body` is a CloudEvents 1.0 document in JSON, `person` what orders it.

    `message_id` is the same at every attempt, so that who gets a message twice can tell. `person` is our id, or the
    name in the recipient's domain.
    """

    message_id: str
    person: str
    body: bytes


class EventSink(Protocol):
    """A place that changes are told to; called by one thread at a time.

    A message may come again, with the same id and body. Those of one person come in their order.
    """

    def send(self, message: ChangeMessage) -> None:
        """Hand over one message; it is durable on the other side, or acknowledged by it, when this returns.

        Raises `Undelivered` for every failure of the other side, within a bounded time; the message may then have
        arrived all the same.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files; sends nothing that was not sent."""
        ...
