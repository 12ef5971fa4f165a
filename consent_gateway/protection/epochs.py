"""The steps that close an epoch: everybody living gets under a new one, and nothing under the old one opens again.

An old back-up holds the wrapped keys of people erased since, their shard's key and their epoch's. All of them hang from
a root version that is retired here, and the new epoch's and shards' keys are drawn afresh, so nothing that stays opens
them: a shard key that was only wrapped anew would still open the old rows. Nobody is lost: a root version is retired
only once a back-up of everyone living has been read back. Nobody is brought back: a row that was emptied stays so.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import to_micros
from consent_gateway.errors import Conflict, KeysUnavailable
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.backups import Backups
from consent_gateway.protection.hierarchy import Hierarchy
from consent_gateway.protection.jobs import At, Job, Progress
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.material import draw_key
from consent_gateway.protection.root import State, backup_of
from consent_gateway.protection.rows import RawRow, living_of_shard, rewrap_rows
from consent_gateway.protection.tables import EPOCHS, SHARD_KEYS


class EpochSteps:
    """The steps of one closing that `RootSteps` does not have."""

    def __init__(
        self,
        *,
        provider: KeyProvider,
        database: KeyDatabase,
        backups: Backups,
        tenant: str,
        clock: Clock,
        progress: Progress,
        at: At,
    ) -> None:
        self._provider = provider
        self._database = database
        self._backups = backups
        self._keys = Hierarchy(tenant)
        self._clock = clock
        self._progress = progress
        self._at = at

    def open_next(self, job: Job) -> State:
        """A fresh epoch under the new root version. Whoever makes keys under the old one is waited for first."""
        old, now = job.state["epoch_before"], to_micros(self._clock.now())
        with self._database.shut() as connection:
            if connection.execute(sa.select(sa.func.max(EPOCHS.c.epoch))).scalar_one() == old:
                # Changed, not only locked: whoever waits for the row must not find it present when they get it.
                connection.execute(EPOCHS.update().where(EPOCHS.c.epoch == old).values(superseded_at=now))
                wrapped = self._provider.wrap(draw_key(), self._keys.epoch_context(old + 1))
                connection.execute(sa.insert(EPOCHS), {"epoch": old + 1, "wrapped": wrapped, "created_at": now})
        return {"epoch": old + 1}

    def rewrap_people(self, job: Job) -> State:
        """Everybody living under the old epoch gets under the new one, shard by shard, each under a fresh shard key."""
        old, new = job.state["epoch_before"], job.state["epoch"]
        with self._database.reading() as connection:
            old_key, new_key = self._epoch_key(connection, old), self._epoch_key(connection, new)
            c = SHARD_KEYS.c
            shards = connection.execute(sa.select(c.shard, c.wrapped).where(c.epoch == old).order_by(c.shard)).all()
        fresh = self._fresh_shard_keys([row.shard for row in shards], new, new_key)
        for done, (shard, wrapped) in enumerate(shards, 1):
            old_shard_key = self._keys.open_shard(old_key, shard, old, wrapped)
            self._rewrap_shard(shard, (old, old_shard_key), (new, fresh[shard]))
            self._at("shard")
            self._progress("re-wrap", done, len(shards))
        return {"shards": len(shards)}

    def _rewrap_shard(self, shard: int, old: tuple[int, bytes], new: tuple[int, bytes]) -> None:
        """One shard in one short transaction; the work of the keys is done before it, so that others get between."""
        with self._database.reading() as connection:
            rows = living_of_shard(connection, shard, old[0])
        if not rows:
            return
        changes = self._rewrapped(rows, old, new, shard)
        with self._database.transaction() as connection:
            rewrap_rows(connection, shard, new[0], changes)

    def _rewrapped(
        self, rows: Sequence[RawRow], old: tuple[int, bytes], new: tuple[int, bytes], shard: int
    ) -> list[tuple[str, bytes, bytes]]:
        before, after = self._keys.people(old[1], old[0]), self._keys.people(new[1], new[0])
        changes: list[tuple[str, bytes, bytes]] = []
        for data_subject, wrapped in rows:
            try:
                changes.append((data_subject, wrapped, after.wrap(data_subject, before.open(data_subject, wrapped))))
            except KeysUnavailable as error:
                raise KeysUnavailable(
                    f"the keys of `{data_subject}` in shard {shard} do not open, and closing would make that final:"
                    " restore their row from a back-up, or erase them, then run this again"
                ) from error
        return changes

    def _fresh_shard_keys(self, shards: Sequence[int], epoch: int, epoch_key: bytes) -> dict[int, bytes]:
        """These shards' keys in the new epoch: ours, or those of whoever enrolled somebody there before."""
        now, c = to_micros(self._clock.now()), SHARD_KEYS.c
        fresh = [
            {
                "epoch": epoch,
                "shard": shard,
                "wrapped": self._keys.wrap_shard(epoch_key, shard, epoch, draw_key()),
                "created_at": now,
            }
            for shard in shards
        ]
        with self._database.transaction() as connection:
            if fresh:
                connection.execute(self._database.insert_if_absent(SHARD_KEYS), fresh)
            kept = connection.execute(sa.select(c.shard, c.wrapped).where(c.epoch == epoch)).all()
        return {row.shard: self._keys.open_shard(epoch_key, row.shard, epoch, row.wrapped) for row in kept}

    def drop_old(self, job: Job) -> State:
        """The old epoch's key and its shards' are emptied, and the back-up that allows it is named."""
        old, now = job.state["epoch_before"], to_micros(self._clock.now())
        with self._database.transaction() as connection:
            self._database.erase_deleted(connection)
            connection.execute(SHARD_KEYS.delete().where(SHARD_KEYS.c.epoch == old))
            connection.execute(EPOCHS.update().where(EPOCHS.c.epoch == old).values(wrapped=None, closed_at=now))
            self._database.raise_mark(connection, "closed")
            self._backups.note(connection, backup_of(job))
        self._database.empty_log()
        return {"closed": old}

    def _epoch_key(self, connection: Connection, epoch: int) -> bytes:
        wrapped = connection.execute(sa.select(EPOCHS.c.wrapped).where(EPOCHS.c.epoch == epoch)).scalar_one()
        if wrapped is None:
            raise Conflict(f"epoch {epoch} is closed already")
        return self._provider.unwrap(wrapped, self._keys.epoch_context(epoch))
