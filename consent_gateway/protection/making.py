"""Makes the keys of people, with their shards and the first epoch, durably; unwraps nothing for anybody else.

Of two processes that make the same keys at once one wins, and both then use its keys.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import to_micros
from consent_gateway.errors import KeysUnavailable
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.hierarchy import Hierarchy, ShardOfPeople, fingerprint_of, shard_of
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.material import draw_key, draw_key_id
from consent_gateway.protection.tables import EPOCHS, PERSON_KEYS, SHARD_KEYS

_CHUNK = 1000  # people whose keys are made in one transaction
_ATTEMPTS = 3  # at reading an epoch that a closing supersedes in between


class PersonKeyMaker:
    """Makes keys for one ring. `epoch_key(epoch, wrapped)` opens an epoch's key, from the ring's memory if it can."""

    def __init__(
        self,
        provider: KeyProvider,
        database: KeyDatabase,
        hierarchy: Hierarchy,
        clock: Clock,
        epoch_key: Callable[[int, bytes], bytes],
    ) -> None:
        self._provider = provider
        self._database = database
        self._keys = hierarchy
        self._clock = clock
        self._epoch_key = epoch_key

    def make(self, data_subjects: Iterable[str]) -> None:
        """Make the keys of all these people who have none; destroyed ones stay so."""
        wanted = sorted((shard_of(one), one) for one in set(data_subjects))
        self._open_epoch()  # outside the transactions below, for the provider may be slow
        for start in range(0, len(wanted), _CHUNK):
            self._create_chunk(wanted[start : start + _CHUNK])

    def _open_epoch(self) -> None:
        """Make the first epoch if there is none, and have the provider unwrap the present one."""
        with self._database.reading() as connection:
            number = connection.execute(sa.select(sa.func.max(EPOCHS.c.epoch))).scalar_one()
        if number is None:
            with self._database.wrapping() as connection:
                wrapped = self._provider.wrap(draw_key(), self._keys.epoch_context(1))
                row = {"epoch": 1, "wrapped": wrapped, "created_at": to_micros(self._clock.now())}
                connection.execute(self._database.insert_if_absent(EPOCHS), row)  # another process may have been first
        with self._database.reading() as connection:
            self._epoch_key(*_present_epoch(connection))

    def _create_chunk(self, wanted: Sequence[tuple[int, str]]) -> None:
        """Make the keys of these (shard, data subject) who have none."""
        now = self._clock.now()
        with self._database.transaction() as connection:
            # The epoch's row is held so that it cannot be superseded in between. Shards, then people, both ascending:
            # two processes that enrol the same people wait for each other and never in a circle.
            epoch, wrapped = _present_epoch(connection)
            epoch_key = self._epoch_key(epoch, wrapped)
            c = PERSON_KEYS.c
            read = sa.select(c.data_subject).where(sa.tuple_(c.shard, c.data_subject).in_(wanted))
            known = set(connection.execute(read).scalars())
            missing = [(shard, one) for shard, one in wanted if one not in known]
            if not missing:
                return
            shards = self._shards(connection, epoch, epoch_key, sorted({shard for shard, _ in missing}), now)
            rows = [_person_row(one, shard, *shards[shard], now) for shard, one in missing]
            connection.execute(self._database.insert_if_absent(PERSON_KEYS), rows)

    def _shards(
        self, connection: Connection, epoch: int, epoch_key: bytes, shards: Sequence[int], now: datetime
    ) -> "dict[int, tuple[int, ShardOfPeople]]":
        """Of these shards the present keys, with the epochs they were drawn in; the missing ones are made."""
        found = _newest(connection, shards)
        missing = [shard for shard in shards if shard not in found]
        if missing:
            fresh = [
                {
                    "epoch": epoch,
                    "shard": shard,
                    "under": epoch,
                    "wrapped": self._keys.wrap_shard(epoch_key, shard, epoch, draw_key()),
                    "created_at": to_micros(now),
                }
                for shard in missing
            ]
            connection.execute(self._database.insert_if_absent(SHARD_KEYS), fresh)
            found = _newest(connection, shards)  # whoever was first has won
        opened: dict[int, tuple[int, ShardOfPeople]] = {}
        for shard, (drawn, under, wrapped) in found.items():
            if under != epoch:
                raise KeysUnavailable(f"the key of shard {shard} is not under epoch {epoch}: restore the key database")
            key = self._keys.open_shard(epoch_key, shard, epoch, wrapped)
            opened[shard] = (drawn, self._keys.people(key, drawn))
        return opened  # not kept in memory from here: this transaction may still be rolled back


def _person_row(data_subject: str, shard: int, epoch: int, people: ShardOfPeople, now: datetime) -> dict[str, object]:
    data_key, seed = draw_key(), draw_key()
    return {
        "data_subject": data_subject,
        "shard": shard,
        "epoch": epoch,
        "key_id": draw_key_id(),
        "fingerprint": fingerprint_of(data_key),
        "wrapped": people.wrap(data_subject, data_key + seed),
        "created_at": to_micros(now),
    }


def _newest(connection: Connection, shards: Sequence[int]) -> dict[int, tuple[int, int, bytes]]:
    """The newest key of each of these shards that has one: in which epoch it was drawn, under which it is, wrapped."""
    c = SHARD_KEYS.c
    read = sa.select(c.shard, c.epoch, c.under, c.wrapped).where(c.shard.in_(shards)).order_by(c.epoch)
    return {shard: (drawn, under, wrapped) for shard, drawn, under, wrapped in connection.execute(read)}


def _present_epoch(connection: Connection) -> tuple[int, bytes]:
    """The epoch that new keys go under, held so that it stays the present one until the transaction ends."""
    statement = (
        sa.select(EPOCHS.c.epoch, EPOCHS.c.wrapped)
        .where(EPOCHS.c.superseded_at.is_(None))
        .order_by(EPOCHS.c.epoch.desc())
        .limit(1)
        .with_for_update(read=True)
    )
    for _attempt in range(_ATTEMPTS):  # a row that is superseded while we wait for it is none, and the next is not seen
        found = connection.execute(statement).first()
        if found is not None:
            return found.epoch, found.wrapped
    raise KeysUnavailable("every key epoch is closed: finish closing the last, which opens the next")
