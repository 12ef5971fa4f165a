"""Every way to tamper with a sealed log, at many places: each is found, and the first bad entry is named.

In the suite the log has 1,200 entries; with SOAK=1 it has 100,000.
"""

import hashlib
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit import rotation
from consent_gateway.audit.append_only import drop_append_only_ddl
from consent_gateway.audit.columns import columns_of
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.live import Verified, verify_database, verify_stretch
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import open_recorder, record_in
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import Signer, open_signer
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_LOG, AUDIT_NODES
from consent_gateway.audit.verify import LogKey, Report
from consent_gateway.database import open_engine
from consent_gateway.errors import LogDamaged
from tests.conftest import StillClock
from tests.databases import build_schema

SOAK = "SOAK" in os.environ
SIZE = 100_000 if SOAK else 1_200
BATCH = 1_999 if SOAK else 199
PLACES = 8  # of each mutation
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
COLUMN = AUDIT_LOG.c


@dataclass
class Log:
    """A sealed log whose triggers are dropped; `old` is the key that was retired half-way, `sizes` its checkpoints."""

    engine: sa.Engine
    state_dir: Path
    signer: Signer
    old: Signer
    sizes: list[int]
    half: Path  # a copy of the database from half-way

    def verified(self, connection: sa.Connection, *earlier: str) -> Report:
        """The report on what the connection sees."""
        count = connection.execute(sa.select(sa.func.max(COLUMN.leaf_index) + 1)).scalar_one()
        sealed = connection.execute(sa.select(sa.func.max(AUDIT_CHECKPOINTS.c.size))).scalar_one()
        return verify_stretch(connection, LogKey(self.signer.published), Verified(), count, sealed, earlier)[0]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Built once: two writers, every tenth entry in a transaction of its own, the key changed half-way."""
    base = tmp_path_factory.mktemp("mutations")
    engine = open_engine(f"sqlite:///{base / 'gateway.db'}", threads=2)
    build_schema(engine, "gateway")
    path = base / "state" / "audit" / "log.key"
    clock, old = StillClock(NOON), open_signer(path, "log.example/audit")
    made = _grow(engine, base / "state", open_signer(path), clock, 0, SIZE // 2)
    rotation.begin(engine, path, clock.now())
    made = _grow(engine, base / "state", open_signer(path), clock, made, made + BATCH)
    rotation.finish(engine, path, clock.now())
    with closing(sqlite3.connect(base / "gateway.db")) as whole, closing(sqlite3.connect(base / "half.db")) as half:
        whole.backup(half)
    _grow(engine, base / "state", open_signer(path), clock, made, SIZE - 2)
    with engine.begin() as connection:
        for statement in drop_append_only_ddl("sqlite"):
            connection.exec_driver_sql(statement)
        sizes = list(
            connection.execute(sa.select(AUDIT_CHECKPOINTS.c.size).order_by(AUDIT_CHECKPOINTS.c.size)).scalars()
        )
    yield Log(engine, base / "state", open_signer(path), old, sizes, base / "half.db")
    engine.dispose()


def _grow(engine: sa.Engine, state_dir: Path, signer: Signer, clock: StillClock, start: int, end: int) -> int:
    """Record the entries from `start` to before `end` and seal them in batches; `end`."""
    recorders = [open_recorder(engine, state_dir) for _ in range(2)]
    for first in range(start, end, 200):
        clock.moment += timedelta(seconds=1)
        chained = []
        for n in range(first, min(first + 200, end)):
            kind = EntryKind.DECISION if n % 10 else EntryKind.CONSENT_EVENT
            entry = Entry(f"e_{n}", kind, clock.now(), caller="web-shop", data_subject=f"ds_{n % 97}")
            if n % 10:
                chained.append(entry)
                continue
            with engine.begin() as connection:
                record_in(connection, entry)
        for recorder, part in zip(recorders, (chained[::2], chained[1::2]), strict=True):
            recorder.record_all(part)
    for recorder in recorders:
        recorder.close()
    sealer = Sealer(engine, state_dir, signer, clock)
    while sealer.seal_once(BATCH).more:
        pass
    return end


def _row(connection: sa.Connection, index: int) -> dict[str, Any]:
    return dict(connection.execute(sa.select(AUDIT_LOG).where(COLUMN.leaf_index == index)).mappings().one())


def _store(connection: sa.Connection, index: int, values: dict[str, Any]) -> None:
    connection.execute(sa.update(AUDIT_LOG).where(COLUMN.leaf_index == index).values(**values))


def _move(connection: sa.Connection, start: int, by: int) -> None:
    """Renumber everything from `start` on."""
    connection.execute(sa.update(AUDIT_LOG).where(COLUMN.leaf_index >= start).values(leaf_index=-COLUMN.leaf_index - 2))
    connection.execute(sa.update(AUDIT_LOG).where(COLUMN.leaf_index < 0).values(leaf_index=-COLUMN.leaf_index - 2 + by))


def _other(row: dict[str, Any]) -> dict[str, Any]:
    """The row with another caller, and every copy of it made to fit."""
    leaf = row["entry"].replace(b'"caller":"web-shop"', b'"caller":"web-shoq"')
    assert leaf != row["entry"]
    return columns_of(leaf, row["entry_id"])


def edit(connection: sa.Connection, at: int) -> int:
    """Change an entry."""
    _store(connection, at, {"entry": _row(connection, at)["entry"].replace(b"web-shop", b"web-shoq")})
    return at


def edit_and_fit(connection: sa.Connection, at: int) -> int:
    """Change an entry, its hash and its columns."""
    _store(connection, at, _other(_row(connection, at)))
    return at


def hide(connection: sa.Connection, at: int) -> int:
    """Change the column that searches for a person rely on."""
    _store(connection, at, {"data_subject": "ds_nobody"})
    return at


def delete(connection: sa.Connection, at: int) -> int:
    """Remove an entry; the rest closes ranks."""
    connection.execute(sa.delete(AUDIT_LOG).where(COLUMN.leaf_index == at))
    _move(connection, at + 1, -1)
    return at


def cut_out(connection: sa.Connection, at: int) -> int:
    """Remove an entry and leave its place empty."""
    connection.execute(sa.delete(AUDIT_LOG).where(COLUMN.leaf_index == at))
    return at


def insert(connection: sa.Connection, at: int) -> int:
    """Put in an entry that was never recorded; the rest moves up."""
    entry = json.loads(_row(connection, at)["entry"])["entry"] | {"id": "e_forged"}
    leaf = json.dumps({"entry": entry, "format": 1}, sort_keys=True, separators=(",", ":")).encode()
    _move(connection, at, 1)
    connection.execute(sa.insert(AUDIT_LOG).values(leaf_index=at, **columns_of(leaf, "e_forged")))
    return at


def reorder(connection: sa.Connection, at: int) -> int:
    """Swap an entry with the one after the next."""
    first, second = _row(connection, at), _row(connection, at + 2)
    for row, index in ((first, at + 2), (second, at)):
        _store(connection, index, {name: value for name, value in row.items() if name != "leaf_index"})
    return at


def duplicate(connection: sa.Connection, at: int) -> int:
    """Repeat an entry right behind itself; the rest moves up."""
    row = _row(connection, at)
    _move(connection, at + 1, 1)
    connection.execute(sa.insert(AUDIT_LOG).values(**row | {"leaf_index": at + 1}))
    return at + 1


def truncate(connection: sa.Connection, at: int) -> int:
    """Cut the tail off; the checkpoints stay."""
    connection.execute(sa.delete(AUDIT_LOG).where(COLUMN.leaf_index >= at))
    return at


MUTATIONS: tuple[Callable[[sa.Connection, int], int], ...] = (
    edit,
    edit_and_fit,
    hide,
    delete,
    cut_out,
    insert,
    reorder,
    duplicate,
    truncate,
)


def named(report: Report, at: int, sizes: list[int]) -> bool:
    """Whether the report names the entry: exactly, or as the stretch between two checkpoints where it must lie."""
    assert not report.ok
    if any((one.index, one.last) == (at, None) for one in report.findings):
        return report.first_bad == at
    below, above = max(size for size in [0, *sizes] if size <= at), min(size for size in sizes if size > at)
    return (below, above - 1) in {(one.index, one.last) for one in report.findings} or any(
        one.code == "truncated" and one.index == below and one.last == at for one in report.findings
    )


def test_the_untouched_log_verifies(log: Log) -> None:
    """No false alarm over the change of keys, with every checkpoint as one kept from before."""
    with log.engine.connect() as connection:
        notes = connection.execute(sa.select(AUDIT_CHECKPOINTS.c.note)).scalars().all()
        report = log.verified(connection, notes[0], notes[-1])
    assert (report.findings, report.whole, report.size) == ([], True, log.sizes[-1])
    assert log.sizes[-1] == SIZE


@pytest.mark.parametrize("mutate", MUTATIONS, ids=[one.__name__ for one in MUTATIONS])
def test_each_mutation_is_found_and_its_place_named(log: Log, mutate: Callable[[sa.Connection, int], int]) -> None:
    """At the first entry, the last ones and places between, next to checkpoints and far from them."""
    places = random.Random(mutate.__name__)
    chosen = [3, log.sizes[1] - 1, log.sizes[1], SIZE - 4, *(places.randrange(5, SIZE - 5) for _ in range(PLACES - 4))]
    missed = []
    for place in chosen:
        with log.engine.connect() as connection:
            is_key_act = b"web-shop" not in _row(connection, place)["entry"]
            at = mutate(connection, place + 2 * is_key_act)
            if not named(log.verified(connection), at, log.sizes):
                missed.append(place)
            connection.rollback()
    assert missed == []


def test_swapped_checkpoints_are_found(log: Log) -> None:
    """Two checkpoints in each other's place do not count, and the entries they vouched for are named."""
    first, second = log.sizes[1], log.sizes[3]
    with log.engine.connect() as connection:
        table = AUDIT_CHECKPOINTS
        notes = dict(connection.execute(sa.select(table.c.size, table.c.note)).all())
        for size, other in ((first, second), (second, first)):
            connection.execute(sa.update(table).where(table.c.size == size).values(note=notes[other]))
        report = log.verified(connection)
        connection.rollback()
    assert [(one.code, one.index, one.last) for one in report.findings] == [
        ("checkpoint", log.sizes[0], first - 1),
        ("checkpoint", log.sizes[2], second - 1),
    ]


def test_a_tail_signed_with_an_old_key_is_found(log: Log) -> None:
    """Whoever kept the retired key changes an entry, makes everything fit and signs anew: it does not count."""
    at = log.sizes[-2]
    with log.engine.connect() as connection:
        edit_and_fit(connection, at)
        table, node = AUDIT_CHECKPOINTS, AUDIT_NODES.c
        hashes = connection.execute(sa.select(COLUMN.leaf_hash).order_by(COLUMN.leaf_index)).scalars().all()
        root = _root([bytes(one) for one in hashes])
        connection.execute(sa.update(table).where(table.c.size == SIZE).values(note=log.old.sign(SIZE, root)))
        assert connection.execute(sa.select(sa.func.count()).where(node.level == 8)).scalar_one() == SIZE // 256
        report = log.verified(connection)
        connection.rollback()
    wrong = next(one for one in report.findings if one.code == "checkpoint")
    assert (wrong.index, wrong.last) == (log.sizes[-2], SIZE - 1)
    assert "only a retired key signed it" in wrong.message


def _root(hashes: list[bytes]) -> bytes:
    """RFC 6962's tree hash, by its definition."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + _root(hashes[:split]) + _root(hashes[split:])).digest()


def test_a_database_rolled_back_whole_is_found_with_one_outside_checkpoint(log: Log, tmp_path: Path) -> None:
    """The earlier copy verifies by itself; one checkpoint kept outside names the first entry that is gone.

    The sealer's own note is such a checkpoint: it refuses to go on from the copy.
    """
    note = AuditLog(log.engine, log.state_dir).checkpoint()
    shutil.copy(log.half, tmp_path / "gateway.db")
    engine = open_engine(f"sqlite:///{tmp_path / 'gateway.db'}", threads=1)
    key = LogKey(log.signer.published)
    alone, held = verify_database(engine, key), verify_database(engine, key, [note])
    with pytest.raises(LogDamaged, match="rolled back"):
        Sealer(engine, log.state_dir, log.signer, StillClock(NOON)).seal_once()
    engine.dispose()
    assert alone.ok
    assert 0 < alone.size < SIZE
    assert [(one.code, one.index) for one in held.findings] == [("rolled_back", alone.size)]
