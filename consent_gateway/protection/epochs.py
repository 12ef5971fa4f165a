"""The steps that close an epoch: everybody living gets under a new one, and nobody erased before opens again.

An old back-up holds the wrapped keys of people erased since, their shard's key and their epoch's. All of them hang from
a root version that is retired here. A shard's key that is wrapped anew still opens old rows with what stays, so a shard
that lost somebody gets a key drawn afresh and everyone living in it is moved there; the key of a shard that lost nobody
opens nobody who is gone, and goes on. Nobody is lost: a root version is retired only once a back-up of everyone living
has been read back. Nobody is brought back: a row that was emptied stays so.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import to_micros
from consent_gateway.errors import Conflict, KeysUnavailable
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.backups import Backups, mark
from consent_gateway.protection.hierarchy import Hierarchy, ShardOfPeople
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
        """A fresh epoch under the new root version, and the keys of all shards under it, in one transaction.

        A shard that lost somebody gets a fresh key, beside the old one until its people are moved; the key of any
        other goes on. Whoever makes or destroys keys is waited for first. Who is erased later, while this closing goes
        on, is told that the next one counts for them, where their shard's key went on.
        """
        old, now = job.state["epoch_before"], to_micros(self._clock.now())
        new, e = old + 1, EPOCHS.c
        with self._database.shut() as connection:
            if connection.execute(sa.select(sa.func.max(e.epoch))).scalar_one() == old:
                old_key = self._epoch_key(connection, old)
                # Changed, not only locked: whoever waits for the row must not find it present when they get it.
                connection.execute(EPOCHS.update().where(e.epoch == old).values(superseded_at=now))
                new_key = draw_key()
                wrapped = self._provider.wrap(new_key, self._keys.epoch_context(new))
                row = {"epoch": new, "wrapped": wrapped, "created_at": now, "destroyed": 0}
                connection.execute(sa.insert(EPOCHS), row)
                every = bool(job.state.get("every_shard"))
                self._carry_shards(connection, (old, old_key), (new, new_key), now, every=every)
                # Counted when the shards are held: nobody whose shard's key went on may be among them.
                connection.execute(
                    EPOCHS.update().where(e.epoch == new).values(destroyed=mark(connection, "destroyed"))
                )
        return {"epoch": new}

    def _carry_shards(
        self, connection: Connection, old: tuple[int, bytes], new: tuple[int, bytes], now: int, *, every: bool
    ) -> None:
        """Fresh keys for the shards that lost somebody, or for `every` one; the others' wrapped under the new epoch."""
        c = SHARD_KEYS.c
        held = sa.select(c.epoch, c.shard, c.wrapped, c.lost_at).where(c.under == old[0]).with_for_update()
        fresh, kept = [], []
        for drawn, shard, wrapped, lost_at in connection.execute(held):
            key = self._keys.open_shard(old[1], shard, old[0], wrapped)
            lost = every or lost_at is not None
            again = self._keys.wrap_shard(new[1], shard, new[0], draw_key() if lost else key)
            if lost:
                fresh.append({"epoch": new[0], "shard": shard, "under": new[0], "wrapped": again, "created_at": now})
            else:
                kept.append({"drawn": drawn, "of_shard": shard, "again": again})
        if fresh:
            connection.execute(sa.insert(SHARD_KEYS), fresh)
        if kept:
            carried = SHARD_KEYS.update().where(c.epoch == sa.bindparam("drawn"), c.shard == sa.bindparam("of_shard"))
            connection.execute(carried.values(wrapped=sa.bindparam("again"), under=new[0]), kept)

    def rewrap_people(self, job: Job) -> State:
        """Everybody living in a shard that lost somebody gets under its fresh key, shard by shard."""
        old, new = job.state["epoch_before"], job.state["epoch"]
        c = SHARD_KEYS.c
        with self._database.reading() as connection:
            old_key, new_key = self._epoch_key(connection, old), self._epoch_key(connection, new)
            read = sa.select(c.shard, c.epoch, c.wrapped).order_by(c.shard)
            left = connection.execute(read.where(c.under == old)).all()
            fresh = {row.shard: row.wrapped for row in connection.execute(read.where(c.epoch == new))}
        for done, (shard, drawn, wrapped) in enumerate(left, 1):
            before = self._keys.people(self._keys.open_shard(old_key, shard, old, wrapped), drawn)
            after = self._keys.people(self._keys.open_shard(new_key, shard, new, fresh[shard]), new)
            self._rewrap_shard(shard, (drawn, before), (new, after))
            self._at("shard")
            self._progress("re-wrap", done, len(left))
        return {"shards": len(left)}

    def _rewrap_shard(self, shard: int, old: tuple[int, ShardOfPeople], new: tuple[int, ShardOfPeople]) -> None:
        """One shard in one short transaction; the work of the keys is done before it, so that others get between."""
        with self._database.reading() as connection:
            rows = living_of_shard(connection, shard, old[0])
        if not rows:
            return
        changes = _rewrapped(rows, old[1], new[1], shard)
        with self._database.transaction() as connection:
            rewrap_rows(connection, shard, new[0], changes)

    def drop_old(self, job: Job) -> State:
        """The old epoch's key is emptied, the shard keys still under it go, and the back-up that allows it is named."""
        old, now = job.state["epoch_before"], to_micros(self._clock.now())
        with self._database.transaction() as connection:
            self._database.erase_deleted(connection)
            connection.execute(SHARD_KEYS.delete().where(SHARD_KEYS.c.under == old))
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


def _rewrapped(
    rows: Sequence[RawRow], before: ShardOfPeople, after: ShardOfPeople, shard: int
) -> list[tuple[str, bytes, bytes]]:
    changes: list[tuple[str, bytes, bytes]] = []
    for data_subject, wrapped in rows:
        try:
            changes.append((data_subject, wrapped, before.moved(data_subject, wrapped, after)))
        except KeysUnavailable as error:
            raise KeysUnavailable(
                f"the keys of `{data_subject}` in shard {shard} do not open, and closing would make that final:"
                " restore their row from a back-up, or erase them, then run this again"
            ) from error
    return changes
