"""Contracts for what really varies: CustomerStore, KeyProvider, EventSink, Clock; no implementation lives here.

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
