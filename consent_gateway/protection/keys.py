"""The key ring: the one way from a data subject or a domain to a key; writes no key down unwrapped and prints none.

Downwards: the provider's root wraps the key of an epoch; a key derived from the epoch's wraps the random keys of its
4,096 shards; a key derived from the shard's, for this data subject alone, wraps their random data key and seed. So a
wrapped key does not open for another person, and a key that was drawn at random cannot be computed again once its row
is empty. Domain, index, token and service keys hang from the root directly, for they belong to no one person.

One joined statement reads what opens a person's keys. Unwrapped keys of people stay in memory for at most 60 seconds,
so no process can use a destroyed key for longer than that.
"""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import KeysUnavailable, NotFound
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.cache import PersonKeyCache
from consent_gateway.protection.inventory import KeyInventory, take_inventory
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.material import DestroyedKey, NamedKey, PersonKeys, draw_key, draw_key_id
from consent_gateway.protection.named_keys import NamedKeys
from consent_gateway.protection.primitives import KEY_BYTES, bind, expand, mac, unwrap_key, wrap_key
from consent_gateway.protection.tables import EPOCHS, PERSON_KEYS, SHARD_KEYS
from consent_gateway.vocabulary import COMPANY

SHARDS = 4096
_CHUNK = 1000  # people whose keys are made in one transaction

_PERSON = (
    sa.select(
        PERSON_KEYS.c.epoch,
        PERSON_KEYS.c.shard,
        PERSON_KEYS.c.key_id,
        PERSON_KEYS.c.wrapped,
        SHARD_KEYS.c.wrapped,
        EPOCHS.c.wrapped,
    )
    .join(SHARD_KEYS, sa.and_(SHARD_KEYS.c.epoch == PERSON_KEYS.c.epoch, SHARD_KEYS.c.shard == PERSON_KEYS.c.shard))
    .join(EPOCHS, EPOCHS.c.epoch == PERSON_KEYS.c.epoch)
    .where(PERSON_KEYS.c.data_subject == sa.bindparam("data_subject"))
)


def shard_of(data_subject: str) -> int:
    """The shard, 0 to 4095, that a person's keys belong to, for good."""
    return int.from_bytes(hashlib.sha256(data_subject.encode()).digest()[:2], "big") % SHARDS


class KeyRing:
    """All keys of one tenant. Safe to share between threads; one instance per process."""

    def __init__(self, provider: KeyProvider, key_engine: Engine, tenant: str, clock: Clock) -> None:
        self.tenant = tenant
        self.clock = clock
        self._provider = provider
        self._database = KeyDatabase(key_engine)
        self._named = NamedKeys(provider, self._database, tenant, clock)
        self._read_person = self._database.prepared(_PERSON)
        self._people = PersonKeyCache(clock)
        self._opened: dict[bytes, bytes] = {}  # wrapped epoch and shard keys -> keys: at most 4,097 an epoch
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KeyRing(tenant={self.tenant!r})"

    # -- people

    def person_keys(self, data_subject: str) -> PersonKeys:
        """The keys of one person; raises `KeysUnavailable` if they were never made or are destroyed."""
        keys = self._opened_person(data_subject)
        if keys is None:
            raise KeysUnavailable("this person has no keys: enrol them first")
        return keys

    def create(self, data_subject: str) -> PersonKeys:
        """A person's keys, made durably if they never had any; raises `KeysUnavailable` if theirs were destroyed."""
        keys = self._opened_person(data_subject)
        if keys is None:
            self.create_many((data_subject,))
            keys = self.person_keys(data_subject)
        return keys

    def create_many(self, data_subjects: Iterable[str]) -> None:
        """Make the keys of all these people who have none, a thousand to a transaction; destroyed ones stay so.

        Call it before the people themselves are written down: a key without a person harms nothing.
        """
        wanted = sorted(set(data_subjects))
        self._open_epoch()  # outside the transactions below, for the provider may be slow
        for start in range(0, len(wanted), _CHUNK):
            self._create_chunk(wanted[start : start + _CHUNK])

    def destroy(self, data_subject: str) -> DestroyedKey:
        """Empty the person's row, durably, and forget their keys; the second call gives the evidence of the first.

        Other processes forget within 60 seconds. A back-up of the key database older than this still holds the
        wrapped keys, until the epoch they are wrapped under is closed and destroyed. Raises `NotFound` where there
        is no row.
        """
        row_of = PERSON_KEYS.c.data_subject == data_subject
        with self._database.transaction() as connection:
            if self._database.is_sqlite:
                connection.exec_driver_sql("PRAGMA secure_delete=ON")  # zeros, not free pages that still hold the key
            connection.execute(
                PERSON_KEYS.update()
                .where(row_of, PERSON_KEYS.c.wrapped.is_not(None))
                .values(wrapped=None, destroyed_at=to_micros(self.clock.now()))
            )
            c = PERSON_KEYS.c
            found = connection.execute(sa.select(c.fingerprint, c.shard, c.epoch, c.destroyed_at).where(row_of)).first()
        self._people.forget(data_subject)
        if found is None:
            raise NotFound("this person has no keys to destroy")
        if self._database.is_sqlite:
            self._empty_sqlite_log()
        return DestroyedKey(data_subject, found.fingerprint, found.shard, found.epoch, from_micros(found.destroyed_at))

    # -- keys that belong to no one person

    def domain_key(self, purpose: str, recipient: str | None) -> NamedKey:
        """The pseudonym key of one purpose and recipient (None: the company), made on first use."""
        return self._named.key("pseudonym", _domain(purpose, recipient))

    def token_key(self, purpose: str, recipient: str | None) -> NamedKey:
        """The key of reversible tokens of one purpose and recipient; another than the domain's pseudonym key."""
        return self._named.key("token", _domain(purpose, recipient))

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
        self._named.retire("index", key_id)

    def service_key(self, name: str) -> bytes:
        """A key of the gateway itself, by name: token hashing, cursors, suppression; each for one use only."""
        return self._named.key("service", (name,)).secret

    # -- upkeep

    def forget(self, data_subject: str | None = None) -> None:
        """Drop what is unwrapped in memory: one person's keys, or everything."""
        self._people.forget(data_subject)
        if data_subject is None:
            self._named.forget()
            with self._lock:
                self._opened.clear()

    def check(self) -> None:
        """Raise `KeysUnavailable` where the provider does not open the present epoch or a present named key.

        Makes nothing: an empty key table is in order.
        """
        with self._database.reading() as connection:
            epochs = connection.execute(sa.select(EPOCHS.c.epoch, EPOCHS.c.wrapped).where(EPOCHS.c.closed_at.is_(None)))
            wrapped = [(row.wrapped, self._epoch_context(row.epoch)) for row in epochs]
            wrapped += self._named.wrapped(connection)
        for _key in self._provider.unwrap_many(wrapped):
            pass

    def close(self) -> None:
        """Forget everything and give the database connections back; to be called when no thread uses the ring."""
        self.forget()
        self._database.close()

    def inventory(self) -> KeyInventory:
        """How many keys of what kind there are, without a key: for `keys status` and the algorithm inventory."""
        with self._database.reading() as connection:
            return take_inventory(connection, self.tenant, self._provider.describe())

    # -- inside

    def _opened_person(self, data_subject: str) -> PersonKeys | None:
        """The keys of one person, from memory or by one statement; None if they were never made."""
        cached = self._people.get(data_subject)
        if cached is not None:
            return cached
        generation = self._people.generation
        rows = self._read_person.rows(data_subject=data_subject)
        if not rows:
            return None
        epoch, shard, key_id, wrapped, shard_wrapped, epoch_wrapped = rows[0]
        if wrapped is None:
            raise KeysUnavailable("the keys of this person were destroyed: nothing of theirs can be opened again")
        shard_key = self._shard_key(epoch, shard, shard_wrapped, epoch_wrapped)
        both = unwrap_key(self._person_wrapping_key(shard_key, data_subject, epoch), wrapped)
        keys = PersonKeys(self.tenant, data_subject, key_id, both[:KEY_BYTES], both[KEY_BYTES:])
        self._people.put(keys, generation)
        return keys

    def _empty_sqlite_log(self) -> None:
        """Fold the write-ahead log into the file and cut it to nothing, for it holds the page as it was before.

        A reader that is under way keeps SQLite from cutting; the next destruction or restart does it then.
        """
        with self._database.reading() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _opened_once(self, wrapped: bytes, key: bytes) -> bytes:
        with self._lock:
            return self._opened.setdefault(wrapped, key)

    def _epoch_key(self, epoch: int, wrapped: bytes) -> bytes:
        key = self._opened.get(wrapped)
        if key is None:
            key = self._opened_once(wrapped, self._provider.unwrap(wrapped, self._epoch_context(epoch)))
        return key

    def _shard_key(self, epoch: int, shard: int, wrapped: bytes, epoch_wrapped: bytes) -> bytes:
        key = self._opened.get(wrapped)
        if key is None:
            wrapping = self._shard_wrapping_key(self._epoch_key(epoch, epoch_wrapped), shard, epoch)
            key = self._opened_once(wrapped, unwrap_key(wrapping, wrapped))
        return key

    def _epoch_context(self, epoch: int) -> bytes:
        return bind("epoch/1", self.tenant, epoch)

    def _shard_wrapping_key(self, epoch_key: bytes, shard: int, epoch: int) -> bytes:
        return expand(epoch_key, bind("shard/1", self.tenant, shard, epoch))

    def _person_wrapping_key(self, shard_key: bytes, data_subject: str, epoch: int) -> bytes:
        return expand(shard_key, bind("person/1", self.tenant, data_subject, epoch))

    def _open_epoch(self) -> None:
        """Make the first epoch if there is none, and have the provider unwrap the present one."""
        with self._database.reading() as connection:
            number = connection.execute(sa.select(sa.func.max(EPOCHS.c.epoch))).scalar_one()
        if number is None:
            wrapped = self._provider.wrap(draw_key(), self._epoch_context(1))
            row = {"epoch": 1, "wrapped": wrapped, "created_at": to_micros(self.clock.now())}
            with self._database.transaction() as connection:
                connection.execute(self._database.insert_if_absent(EPOCHS), row)  # another process may have been first
        with self._database.reading() as connection:
            self._epoch_key(*_present_epoch(connection))

    def _create_chunk(self, data_subjects: Sequence[str]) -> None:
        now = self.clock.now()
        with self._database.transaction() as connection:
            # The epoch's row is held so that it cannot be closed in between. Shards, then people, both ascending:
            # two processes that enrol the same people wait for each other and never in a circle.
            epoch, wrapped = _present_epoch(connection)
            epoch_key = self._epoch_key(epoch, wrapped)
            c = PERSON_KEYS.c
            read = sa.select(c.data_subject).where(c.data_subject.in_(data_subjects))
            known = set(connection.execute(read).scalars())
            wanted = [data_subject for data_subject in data_subjects if data_subject not in known]
            if not wanted:
                return
            shards = self._shards(connection, epoch, epoch_key, sorted({shard_of(one) for one in wanted}), now)
            rows = [self._person_row(one, epoch, shards[shard_of(one)], now) for one in wanted]
            connection.execute(self._database.insert_if_absent(PERSON_KEYS), rows)

    def _shards(
        self, connection: Connection, epoch: int, epoch_key: bytes, shards: Sequence[int], now: datetime
    ) -> dict[int, bytes]:
        """The keys of these shards in this epoch; the missing ones are made."""
        c = SHARD_KEYS.c
        read = sa.select(c.shard, c.wrapped).where(c.epoch == epoch, c.shard.in_(shards))
        found = _pairs(connection, read)
        missing = [shard for shard in shards if shard not in found]
        if missing:
            fresh = [
                {
                    "epoch": epoch,
                    "shard": shard,
                    "wrapped": wrap_key(self._shard_wrapping_key(epoch_key, shard, epoch), draw_key()),
                    "created_at": to_micros(now),
                }
                for shard in missing
            ]
            connection.execute(self._database.insert_if_absent(SHARD_KEYS), fresh)
            found = _pairs(connection, read)  # whoever was first has won
        # Not kept in memory from here: this transaction may still be rolled back.
        return {
            shard: unwrap_key(self._shard_wrapping_key(epoch_key, shard, epoch), wrapped)
            for shard, wrapped in found.items()
        }

    def _person_row(self, data_subject: str, epoch: int, shard_key: bytes, now: datetime) -> dict[str, object]:
        data_key, seed = draw_key(), draw_key()
        return {
            "data_subject": data_subject,
            "shard": shard_of(data_subject),
            "epoch": epoch,
            "key_id": draw_key_id(),
            "fingerprint": mac(data_key, b"fingerprint/1")[:16].hex(),
            "wrapped": wrap_key(self._person_wrapping_key(shard_key, data_subject, epoch), data_key + seed),
            "created_at": to_micros(now),
        }


def _pairs(connection: Connection, statement: sa.Select[int, bytes]) -> dict[int, bytes]:
    return {row[0]: row[1] for row in connection.execute(statement)}


def _present_epoch(connection: Connection) -> tuple[int, bytes]:
    statement = (
        sa.select(EPOCHS.c.epoch, EPOCHS.c.wrapped)
        .where(EPOCHS.c.closed_at.is_(None))
        .order_by(EPOCHS.c.epoch.desc())
        .limit(1)
        .with_for_update(read=True)
    )
    found = connection.execute(statement).first()
    if found is None:
        raise KeysUnavailable("every key epoch is closed: finish closing the last, which opens the next")
    return found.epoch, found.wrapped


def _domain(purpose: str, recipient: str | None) -> tuple[str, str]:
    receiver = COMPANY if recipient is None else recipient
    if not purpose or not receiver:
        raise KeysUnavailable("a domain key needs a purpose and a recipient: none is ever left out")
    return (purpose, receiver)
