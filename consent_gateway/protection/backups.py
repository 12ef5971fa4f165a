"""Back-ups of the key table: one SQLite file whatever the database, verified by reading it back; no key in the clear.

A file holds wrapped keys only: without the root key it opens nothing. It shows the table as it is once the epoch being
closed is gone, so no superseded epoch is in it.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import Conflict, InputRefused, KeysUnavailable
from consent_gateway.migrate import newest
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.hierarchy import SHARDS, Hierarchy, ShardOfPeople
from consent_gateway.protection.jobs import Progress
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.named_keys import NamedKeys
from consent_gateway.protection.rows import Digest, RawRow, every_person, insert_rows, raw_rows
from consent_gateway.protection.tables import EPOCHS, KEPT, KEY_BACKUPS, KEY_MARKS, PERSON_KEYS, SHARD_KEYS

_FORMAT = 1
_ABOUT = sa.Table(
    "about",
    sa.MetaData(),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("schema", sa.Text, nullable=False),  # revision of the key database's tables
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("people", sa.BigInteger, nullable=False),
    sa.Column("destroyed", sa.BigInteger, nullable=False),
    sa.Column("ends_epoch", sa.Integer),
)


@dataclass(frozen=True, slots=True)
class Backup:
    """One back-up file. `people` are living; `digest` is SHA-256 over its rows.

    `ends_epoch` is the epoch that was closed on the strength of it. `destroyed` is how many keys had ever been
    destroyed when it was made, or for a closing when that began: all those that no older back-up opens any more.
    """

    file: Path
    made_at: datetime
    digest: str
    epoch: int
    people: int
    destroyed: int
    ends_epoch: int | None = None


class Backups:
    """Writes, verifies and restores back-ups of one tenant's key table."""

    def __init__(
        self, provider: KeyProvider, database: KeyDatabase, named: NamedKeys, tenant: str, clock: Clock
    ) -> None:
        self._provider = provider
        self._database = database
        self._named = named
        self._tenant = tenant
        self._keys = Hierarchy(tenant)
        self._clock = clock

    def write(self, folder: Path, made_at: datetime, ends_epoch: int | None, progress: Progress) -> Backup:
        """Write the key table into a new file of `folder`, flush it to disk, rename it and verify what is there.

        Called again with the same `made_at` and epoch it replaces its file. Raises `InputRefused` where the folder
        cannot be written and `KeysUnavailable` where what was read back is not what was written or does not open.
        """
        with self._database.snapshot() as live:
            epoch = live.execute(sa.select(sa.func.max(EPOCHS.c.epoch))).scalar_one()
            if epoch is None:
                raise Conflict(
                    "no person has a key yet: nothing to back up; a key is made with the first sealed value or"
                    " pseudonym"
                )
            file = folder / f"keys-{made_at:%Y%m%dT%H%M%S.%fZ}-epoch{epoch}.db"
            fresh = file.with_name(file.name + ".new")
            try:
                _make_empty(fresh)
                with _file(fresh, "rwc") as target:
                    made = self._copied(live, target, Backup(file, made_at, "", epoch, 0, 0, ends_epoch), progress)
                _flushed_into_place(fresh, file)
            except (OSError, sa.exc.DBAPIError) as error:
                raise InputRefused(f"`{folder}` cannot be written: free space there, or name another folder") from error
        try:
            if self.verify(file, progress) != made:
                raise KeysUnavailable("a back-up holds something else than was written: use another disk")
        except KeysUnavailable:
            file.unlink()  # never leave what looks like a back-up and is none
            raise
        except InputRefused as error:  # ours a moment ago, and now it says that it is not
            file.unlink()
            raise KeysUnavailable("a back-up holds something else than was written: use another disk") from error
        return made

    def _copied(self, live: Connection, target: Connection, about: Backup, progress: Progress) -> Backup:
        digest, people = Digest(), 0
        for table in KEPT:
            table.create(target)
            rows = _sorted(table, raw_rows(live, _kept(table, about.epoch)))
            insert_rows(target, table, rows)
            digest.add(table.name, rows)
        PERSON_KEYS.create(target)
        for done, rows in every_person(live):
            insert_rows(target, PERSON_KEYS, rows)
            digest.add_people(rows)
            people += sum(row[5] is not None for row in rows)
            progress("back-up", done, SHARDS)
        counted = mark(live, "destroyed")
        if about.ends_epoch is not None:
            counted = live.execute(sa.select(EPOCHS.c.destroyed).where(EPOCHS.c.epoch == about.epoch)).scalar_one()
        made = replace(about, digest=digest.hex(), people=people, destroyed=counted)
        _ABOUT.create(target)
        values = {"format": _FORMAT, "schema": newest("keys"), "tenant": self._tenant, "digest": made.digest}
        values |= {"made_at": to_micros(made.made_at), "epoch": made.epoch, "people": made.people}
        values |= {"destroyed": made.destroyed, "ends_epoch": made.ends_epoch}
        target.execute(sa.insert(_ABOUT), values)
        return made

    def verify(self, file: Path, progress: Progress) -> Backup:
        """Read a back-up from disk: its digest is that of its rows, everyone living in it is under a shard key of its
        epoch, the epoch, every named key and every shard key opens, and in each shard one person's key with its
        fingerprint.

        Raises `InputRefused` for a file that is no back-up of this tenant and `KeysUnavailable` for a damaged one.
        """
        try:
            with _file(file, "ro") as connection:
                about = self._about(connection, file)
                digest = Digest()
                for table in KEPT:
                    digest.add(table.name, _sorted(table, raw_rows(connection, sa.select(table))))
                shard_keys = self._opened_shards(connection, about.epoch)
                self._try_named(connection)
                people = 0
                for done, rows in every_person(connection):
                    digest.add_people(rows)
                    people += _try_people(rows, shard_keys, about.epoch)
                    progress("verify", done, SHARDS)
        except sa.exc.DBAPIError as error:
            raise KeysUnavailable(f"the back-up `{file}` cannot be read: use another one") from error
        if (digest.hex(), people) != (about.digest, about.people):
            raise KeysUnavailable(f"the back-up `{file}` was altered or is damaged: use another one")
        return about

    def _about(self, connection: Connection, file: Path) -> Backup:
        row = connection.execute(sa.select(_ABOUT)).first()
        if row is None or row.format != _FORMAT or row.schema != newest("keys"):
            raise InputRefused(f"`{file}` was made by another version of the gateway: use that version to restore it")
        if row.tenant != self._tenant:
            raise InputRefused(f"`{file}` holds the keys of tenant `{row.tenant}`: set TENANT to it, or name another")
        made_at = from_micros(row.made_at)
        return Backup(file, made_at, row.digest, row.epoch, row.people, row.destroyed, row.ends_epoch)

    def _opened_shards(self, connection: Connection, epoch: int) -> dict[tuple[int, int], ShardOfPeople]:
        """By shard and the epoch its key was drawn in."""
        wrapped = connection.execute(sa.select(EPOCHS.c.wrapped).where(EPOCHS.c.epoch == epoch)).scalar_one()
        epoch_key = self._provider.unwrap(wrapped, self._keys.epoch_context(epoch))
        shards = connection.execute(sa.select(SHARD_KEYS.c.shard, SHARD_KEYS.c.epoch, SHARD_KEYS.c.wrapped))
        return {
            (shard, drawn): self._keys.people(self._keys.open_shard(epoch_key, shard, epoch, wrapped), drawn)
            for shard, drawn, wrapped in shards
        }

    def _try_named(self, connection: Connection) -> None:
        for _key in self._provider.unwrap_many(self._named.wrapped(connection)):
            pass

    def note(self, connection: Connection, made: Backup) -> None:
        """List a verified back-up in the key database, once."""
        c = KEY_BACKUPS.c
        known = connection.execute(sa.select(c.number).where(c.file == str(made.file), c.digest == made.digest)).first()
        if known is not None:
            return
        last = connection.execute(sa.select(sa.func.max(c.number))).scalar_one() or 0
        row = {"number": last + 1, "file": str(made.file), "digest": made.digest, "epoch": made.epoch}
        row |= {"people": made.people, "destroyed": made.destroyed, "ends_epoch": made.ends_epoch}
        row["verified_at"] = to_micros(self._clock.now())
        connection.execute(sa.insert(KEY_BACKUPS), row)

    def restore(self, file: Path, progress: Progress) -> Backup:
        """Fill an empty key database from a back-up that verifies; in one transaction, all or nothing.

        The back-ups it lists, itself among them, are listed by their bare names from here on: where they lie they may
        belong to an installation that goes on, so this one never deletes them.
        Raises `Conflict`, changing nothing, where the key database holds any key.
        """
        about = self.verify(file, progress)
        with self._database.transaction() as live, _file(file, "ro") as source:
            for table in (*KEPT, PERSON_KEYS):
                if live.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
                    raise Conflict("the key database is not empty: restore into a fresh one and keep this one apart")
            for table in KEPT:
                insert_rows(live, table, raw_rows(source, sa.select(table)))
            for done, rows in every_person(source):
                insert_rows(live, PERSON_KEYS, rows)
                progress("restore", done, SHARDS)
            c = KEY_BACKUPS.c
            for number, listed in live.execute(sa.select(c.number, c.file)).all():
                live.execute(sa.update(KEY_BACKUPS).where(c.number == number).values(file=Path(listed).name))
            self.note(live, replace(about, file=Path(file.name)))
        return about


def _try_people(rows: list[RawRow], shards: Mapping[tuple[int, int], ShardOfPeople], present: int) -> int:
    """How many living people are among the rows, of whom the first of each shard is tried."""
    living, tried, drawn = 0, -1, -1
    for shard, data_subject, epoch, _key_id, fingerprint, wrapped, _created_at, _destroyed_at in rows:
        if wrapped is None:
            continue
        living += 1
        if shard == tried and epoch == drawn:
            continue
        people = shards.get((shard, epoch))
        if people is None:
            raise KeysUnavailable(f"keys in shard {shard} are not under epoch {present}: close the epoch again")
        if not people.opens(data_subject, wrapped, fingerprint):
            raise KeysUnavailable(f"a key in shard {shard} opens to another than was made: restore its row")
        tried, drawn = shard, epoch
    return living


def digest_in(file: Path) -> str | None:
    """The digest that a back-up file carries; None for what is not there or is no back-up."""
    if not file.is_file():
        return None
    try:
        with _file(file, "ro") as connection:
            return connection.execute(sa.select(_ABOUT.c.digest)).scalar_one_or_none()
    except sa.exc.DBAPIError:
        return None


def mark(connection: Connection, name: str) -> int:
    """How far a mark has been counted up."""
    found = connection.execute(sa.select(KEY_MARKS.c.value).where(KEY_MARKS.c.name == name)).scalar_one_or_none()
    return 0 if found is None else found


def _kept(table: sa.Table, present: int) -> sa.Select[Any]:
    """What of a table goes into a back-up: superseded epochs as they are once they are closed."""
    if table is EPOCHS:
        c = EPOCHS.c
        live = sa.case((c.epoch == present, c.wrapped), else_=sa.null()).label("wrapped")
        closed = sa.func.coalesce(c.closed_at, c.superseded_at).label("closed_at")
        return sa.select(c.epoch, live, c.created_at, c.superseded_at, closed, c.destroyed)
    if table is SHARD_KEYS:
        return sa.select(table).where(SHARD_KEYS.c.under == present)
    if table is KEY_MARKS:
        return sa.select(table).where(KEY_MARKS.c.name != "wrapping")  # a door, not a count
    return sa.select(table)


def _sorted(table: sa.Table, rows: list[RawRow]) -> list[RawRow]:
    """By primary key, and here, for databases differ in how they order text."""
    places = [place for place, column in enumerate(table.columns) if column.primary_key]
    return sorted(rows, key=lambda row: tuple(row[place] for place in places))


@contextmanager
def _file(path: Path, mode: str) -> Iterator[Connection]:
    address = f"file:{quote(str(path))}?mode={mode}"
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            if mode != "ro":  # nobody reads the file before it is whole, flushed and renamed
                connection.exec_driver_sql("PRAGMA journal_mode=OFF")
                connection.exec_driver_sql("PRAGMA synchronous=OFF")
            yield connection
            connection.commit()
    finally:
        engine.dispose()


def _make_empty(path: Path) -> None:
    path.unlink(missing_ok=True)  # left by a kill
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _flushed_into_place(fresh: Path, file: Path) -> None:
    handle = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)  # so that verifying reads the disk, not the memory
    finally:
        os.close(handle)
    fresh.replace(file)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
