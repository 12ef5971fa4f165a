"""The key ring: the one way from a data subject or a domain to a key; writes no key down unwrapped and prints none.

Downwards: the provider's root wraps the key of an epoch; a key derived from the epoch's wraps the random keys of its
4,096 shards; a key derived from the shard's, for this data subject alone, wraps their random data key and seed. So a
wrapped key does not open for another person, and a key that was drawn at random cannot be computed again once its row
is empty. Domain, index, token and service keys hang from the root directly, for they belong to no one person.

One statement reads a person's row; keys of shards stay in memory. Before keys are used the ring looks, once a second at
most, whether any were destroyed or an epoch was closed elsewhere, and forgets what it holds of them.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import KeysDestroyed, KeysMissing, KeysUnavailable, NotFound
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.cache import PersonKeyCache, Watch
from consent_gateway.protection.hierarchy import Hierarchy, ShardOfPeople, shard_of
from consent_gateway.protection.inventory import KeyInventory, take_inventory
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.making import PersonKeyMaker
from consent_gateway.protection.material import DestroyedKey, NamedKey, PersonKeys
from consent_gateway.protection.named_keys import NamedKeys
from consent_gateway.protection.primitives import KEY_BYTES
from consent_gateway.protection.rows import lose
from consent_gateway.protection.tables import EPOCHS, PERSON_KEYS, SHARD_KEYS
from consent_gateway.tracing import NO_TRACER, Step, Tracer
from consent_gateway.vocabulary import COMPANY

_DOMAIN_KINDS = ("pseudonym", "token")
_CHUNK = 1000  # people whose keys are made in one transaction, or read in one page
_ATTEMPTS = 3  # at reading what a closing or a rotation replaces in between

_WRAPPED = (PERSON_KEYS.c.epoch, PERSON_KEYS.c.shard, PERSON_KEYS.c.key_id, PERSON_KEYS.c.wrapped)
_SHARD, _ID = sa.bindparam("shard", type_=sa.Integer()), sa.bindparam("data_subject", type_=sa.String())
_PERSON = sa.select(*_WRAPPED).where(PERSON_KEYS.c.shard == _SHARD, PERSON_KEYS.c.data_subject == _ID)
_SHARD_KEY = (
    sa.select(SHARD_KEYS.c.wrapped, SHARD_KEYS.c.under, EPOCHS.c.wrapped)
    .join(EPOCHS, EPOCHS.c.epoch == SHARD_KEYS.c.under)
    .where(SHARD_KEYS.c.epoch == sa.bindparam("epoch", type_=sa.Integer()), SHARD_KEYS.c.shard == _SHARD)
)
_PAGE = (
    sa.select(PERSON_KEYS.c.data_subject, *_WRAPPED)
    .where(sa.tuple_(PERSON_KEYS.c.shard, PERSON_KEYS.c.data_subject) > sa.tuple_(_SHARD, _ID))
    .where(PERSON_KEYS.c.wrapped.is_not(None))
    .order_by(PERSON_KEYS.c.shard, PERSON_KEYS.c.data_subject)
    .limit(_CHUNK)
)


class KeyRing:
    """All keys of one tenant. Safe to share between threads; one instance per process."""

    def __init__(
        self, provider: KeyProvider, key_engine: Engine, tenant: str, clock: Clock, tracer: Tracer = NO_TRACER
    ) -> None:
        self.tenant = tenant
        self._tracer = tracer
        self.clock = clock
        self._provider = provider
        self._database = KeyDatabase(key_engine)
        self._named = NamedKeys(provider, self._database, tenant, clock)
        self._read_person = self._database.prepared(_PERSON)
        self._read_shard = self._database.prepared(_SHARD_KEY)
        self._keys = Hierarchy(tenant)
        self._read_page = self._database.prepared(_PAGE)
        self._people = PersonKeyCache(clock)
        self._watch = Watch(self._database, clock)
        self._epochs: dict[bytes, bytes] = {}  # wrapped epoch keys -> keys
        self._shards: dict[tuple[int, int], ShardOfPeople] = {}  # by epoch drawn in and shard: at most 4,096 an epoch
        self._lock = threading.Lock()
        self._maker = PersonKeyMaker(provider, self._database, self._keys, clock, self._epoch_key)

    def __repr__(self) -> str:
        return f"KeyRing(tenant={self.tenant!r})"

    # -- people

    def person_keys(self, data_subject: str) -> PersonKeys:
        """The keys of one person; raises `KeysUnavailable` if they were never made or are destroyed."""
        with self._tracer.step(Step.KEY_USE):
            keys = self._opened_person(data_subject)
        if keys is None:
            raise KeysMissing("this person has no keys: enrol them first")
        return keys

    def create(self, data_subject: str) -> PersonKeys:
        """A person's keys, made durably if they never had any; raises `KeysUnavailable` if theirs were destroyed."""
        with self._tracer.step(Step.KEY_USE):
            keys = self._opened_person(data_subject)
        if keys is None:
            self.create_many((data_subject,))
            keys = self.person_keys(data_subject)
        return keys

    def create_many(self, data_subjects: Iterable[str]) -> None:
        """Make the keys of all these people who have none, a thousand to a transaction; destroyed ones stay so.

        Call it before the people themselves are written down: a key without a person harms nothing.
        """
        self._maker.make(data_subjects)

    def everybody(self) -> Iterator[PersonKeys]:
        """The keys of every person who has some, shard by shard, read a thousand at a time and kept nowhere.

        For a look-up by what only a seed can tell; 10 to 20 seconds for a million people.
        """
        shard, last = -1, ""
        while rows := self._read_page.rows(shard=shard, data_subject=last):
            for data_subject, *row in rows:
                keys = self._open_or_again(data_subject, tuple(row))
                if keys is not None:
                    yield keys
            last, shard = rows[-1][0], rows[-1][2]

    def destroy(self, data_subject: str) -> DestroyedKey:
        """Empty the person's row, durably, and forget their keys; the second call gives the evidence of the first.

        Other processes forget within a second. A back-up of the key database older than this still holds the wrapped
        keys, until the epoch in the evidence is closed. Raises `NotFound` where there is no row.
        """
        c = PERSON_KEYS.c
        row_of = (c.shard == shard_of(data_subject), c.data_subject == data_subject)
        read = sa.select(c.fingerprint, c.shard, c.epoch, c.destroyed_at).where(*row_of)
        with self._database.transaction() as connection:
            self._database.erase_deleted(connection)
            found = connection.execute(read.with_for_update()).first()
            if found is not None and found.destroyed_at is None:
                now = to_micros(self.clock.now())
                epoch = lose(connection, found.shard, found.epoch, now)
                emptied = PERSON_KEYS.update().where(*row_of).values(wrapped=None, epoch=epoch, destroyed_at=now)
                connection.execute(emptied)
                self._database.raise_mark(connection, "destroyed")
                found = connection.execute(read).first()
        self._people.forget(data_subject)
        if found is None:
            raise NotFound("this person has no keys to destroy")
        self._database.empty_log()
        return DestroyedKey(data_subject, found.fingerprint, found.shard, found.epoch, from_micros(found.destroyed_at))

    # -- keys that belong to no one person

    def domain_key(self, purpose: str, recipient: str | None) -> NamedKey:
        """The pseudonym key of one purpose and recipient (None: the company), made on first use."""
        with self._tracer.step(Step.KEY_USE):
            return self._named.key("pseudonym", _domain(purpose, recipient))

    def token_key(self, purpose: str, recipient: str | None) -> NamedKey:
        """The key of reversible tokens of one purpose and recipient; another than the domain's pseudonym key."""
        with self._tracer.step(Step.KEY_USE):
            return self._named.key("token", _domain(purpose, recipient))

    def handed_out_key(self, kind: str, purpose: str, recipient: str | None, key_id: str | None) -> NamedKey:
        """The key of this domain with this id, or its present one for None; never makes one.

        Raises `ProtectionRefused` where the domain has no such key and `KeysUnavailable` where it was retired.
        """
        return self._named.existing(kind, _domain(purpose, recipient), key_id)

    def rotate_domain(self, purpose: str, recipient: str | None) -> tuple[NamedKey, ...]:
        """New versions of a domain's pseudonym and token key, under one number; old tokens still reverse.

        Raises `NotFound` where the domain has no key yet. Other processes use the new ones within 60 seconds.
        """
        return self._named.rotate_together(_DOMAIN_KINDS, _domain(purpose, recipient))

    def retire_domain(self, purpose: str, recipient: str | None, version: int) -> tuple[str, ...]:
        """Delete both keys of a version of a domain: nobody can reverse or link its tokens again. Returns their ids.

        Raises `Conflict` for the present version and `NotFound` for none. Other processes forget within 60 seconds.
        """
        return self._named.retire_together(_DOMAIN_KINDS, _domain(purpose, recipient), version)

    def index_versions(self, kind: str, mode: str, rule: int) -> tuple[NamedKey, ...]:
        """The index keys of one identifier kind, search mode and normalisation rule, newest first; made if none is."""
        return self._named.versions("index", (kind, mode, rule))

    def index_key(self, key_id: str) -> NamedKey:
        """The index key of this id; raises `KeysUnavailable` for one that is retired."""
        return self._named.by_id("index", key_id)

    def rotate_index(self, kind: str, mode: str, rule: int) -> NamedKey:
        """A further version of an index key; used by nobody until the directory lists it."""
        return self._named.rotate("index", (kind, mode, rule))

    def retire_index(self, key_id: str) -> None:
        """Take an index key out of use for good."""
        self._named.retire_by_id("index", key_id)

    def service_key(self, name: str) -> bytes:
        """A key of the gateway itself, by name: token hashing, cursors, suppression; each for one use only."""
        return self._named.key("service", (name,)).secret

    # -- upkeep

    def forget(self, data_subject: str | None = None) -> None:
        """Drop what is unwrapped in memory: one person's keys, or everything."""
        self._people.forget(data_subject)
        if data_subject is None:
            self._named.forget()
            self._forget_epochs()

    def load(self) -> None:
        """Unwrap the keys of every open epoch and every named key, in the provider's batches; makes nothing.

        To be called at a start: no request then waits for the provider, and a root that is gone is found at once.
        """
        with self._database.reading() as connection:
            statement = sa.select(EPOCHS.c.epoch, EPOCHS.c.wrapped).where(EPOCHS.c.closed_at.is_(None))
            epochs = [(row.wrapped, self._keys.epoch_context(row.epoch)) for row in connection.execute(statement)]
        for (wrapped, _), key in zip(epochs, self._provider.unwrap_many(epochs), strict=True):
            with self._lock:
                self._epochs.setdefault(wrapped, key)
        self._named.load()

    def check(self) -> None:
        """Raise `KeysUnavailable` where the provider does not open the present epoch or a present named key.

        Makes nothing: an empty key table is in order.
        """
        with self._database.reading() as connection:
            epochs = connection.execute(
                sa.select(EPOCHS.c.epoch, EPOCHS.c.wrapped).where(EPOCHS.c.superseded_at.is_(None))
            )
            wrapped = [(row.wrapped, self._keys.epoch_context(row.epoch)) for row in epochs]
            wrapped += self._named.wrapped(connection)
        for _key in self._provider.unwrap_many(wrapped):
            pass

    def close(self) -> None:
        """Forget everything and give the database connections back; to be called when no thread uses the ring."""
        self.forget()
        self._database.close()

    def inventory(self, *, count: bool = False) -> KeyInventory:
        """What keys there are, without a key: for `keys status` and the algorithm inventory.

        With `count` the people of each epoch are counted, which reads the whole table.
        """
        with self._database.reading() as connection:
            return take_inventory(connection, self.tenant, self._provider, count=count)

    # -- inside

    def _opened_person(self, data_subject: str) -> PersonKeys | None:
        """The keys of one person, from memory or by one statement; None if they were never made."""
        self._forget_what_ended()
        cached = self._people.get(data_subject)
        if cached is not None:
            return cached
        generation = self._people.generation
        found = self._read_row(data_subject)
        for _attempt in range(_ATTEMPTS):
            if found is None:
                return None
            try:
                keys = self._open(data_subject, found)
            except KeysUnavailable:
                again = self._read_row(data_subject)
                if again == found:
                    raise
                found = again  # a closing or a rotation replaced it between reading and opening
            else:
                self._people.put(keys, generation)
                return keys
        raise KeysUnavailable("the keys of this person change again and again: try again later")

    def _open_or_again(self, data_subject: str, found: tuple[Any, ...]) -> PersonKeys | None:
        """What a page held, or what stands there now; None where the person was erased in between."""
        try:
            return self._open(data_subject, found)
        except KeysUnavailable:
            try:
                return self._opened_person(data_subject)
            except KeysDestroyed:
                return None

    def _read_row(self, data_subject: str) -> tuple[Any, ...] | None:
        rows = self._read_person.rows(shard=shard_of(data_subject), data_subject=data_subject)
        return tuple(rows[0]) if rows else None

    def _open(self, data_subject: str, found: tuple[Any, ...]) -> PersonKeys:
        epoch, shard, key_id, wrapped = found
        if wrapped is None:
            raise KeysDestroyed("the keys of this person were destroyed: nothing of theirs can be opened again")
        people = self._shards.get((epoch, shard)) or self._opened_shard(epoch, shard)
        both = people.open(data_subject, wrapped)
        return PersonKeys(self.tenant, data_subject, key_id, both[:KEY_BYTES], both[KEY_BYTES:])

    def _forget_what_ended(self) -> None:
        changed = self._watch.changed()
        if "destroyed" in changed:
            self._people.forget(None)
        if "closed" in changed:
            self._forget_epochs()

    def _forget_epochs(self) -> None:
        with self._lock:
            self._epochs.clear()
            self._shards.clear()

    def _epoch_key(self, epoch: int, wrapped: bytes) -> bytes:
        key = self._epochs.get(wrapped)
        if key is None:
            key = self._provider.unwrap(wrapped, self._keys.epoch_context(epoch))
            with self._lock:
                key = self._epochs.setdefault(wrapped, key)
        return key

    def _opened_shard(self, epoch: int, shard: int) -> ShardOfPeople:
        rows = self._read_shard.rows(epoch=epoch, shard=shard)
        if not rows or rows[0][2] is None:
            raise KeysUnavailable(
                f"the keys of this person are under epoch {epoch}, which is closed: restore a back-up"
            )
        wrapped, under, epoch_wrapped = rows[0]
        key = self._keys.open_shard(self._epoch_key(under, epoch_wrapped), shard, under, wrapped)
        with self._lock:
            return self._shards.setdefault((epoch, shard), self._keys.people(key, epoch))


def _domain(purpose: str, recipient: str | None) -> tuple[str, str]:
    receiver = COMPANY if recipient is None else recipient
    if not purpose or not receiver:
        raise KeysUnavailable("a domain key needs a purpose and a recipient: none is ever left out")
    return (purpose, receiver)
