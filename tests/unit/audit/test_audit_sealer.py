"""Sealing: order, exactly once, checkpoints that only grow, and refusal to sign on top of damage."""

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit import merkle, writer_files
from consent_gateway.audit.append_only import append_only_ddl, drop_append_only_ddl
from consent_gateway.audit.columns import UNREADABLE
from consent_gateway.audit.recorder import Recorder, open_recorder, record_in
from consent_gateway.audit.sealer import NOTED_CHECKPOINT, STEPS, Sealer, read_own_checkpoint
from consent_gateway.audit.signer import Signer
from consent_gateway.audit.stores import audit_folder
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_LOG, AUDIT_NODES, AUDIT_QUEUE, AUDIT_WRITERS
from consent_gateway.audit.tree import node_reader
from consent_gateway.database import METADATA, open_engine, to_micros
from consent_gateway.errors import LogDamaged


def log_rows(engine: sa.Engine) -> list[Any]:
    """The log's rows in order."""
    with engine.connect() as connection:
        return list(connection.execute(sa.select(AUDIT_LOG).order_by(AUDIT_LOG.c.leaf_index)))


def notes(engine: sa.Engine) -> list[str]:
    """The checkpoints in order of size."""
    with engine.connect() as connection:
        return list(
            connection.execute(sa.select(AUDIT_CHECKPOINTS.c.note).order_by(AUDIT_CHECKPOINTS.c.size)).scalars()
        )


def unguarded(engine: sa.Engine, *statements: str) -> None:
    """What a database administrator can do: drop the triggers and run these statements."""
    with engine.begin() as connection:
        for statement in (*drop_append_only_ddl(engine.dialect.name), *statements):
            connection.exec_driver_sql(statement)


def test_everything_waiting_is_sealed_once_and_in_order(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any
) -> None:
    """Entries of both ways in are sealed in the order recorded, under the checkpoint of their naive root."""
    made = []
    for i in range(10):
        made.append(make_entry())
        if i % 3:
            recorder.record(made[-1])
        else:
            with gateway_engine.begin() as connection:
                record_in(connection, made[-1])
    result = sealer.seal_once()
    rows = log_rows(gateway_engine)
    assert (result.sealed, result.size, result.busy, result.more) == (10, 10, False, False)
    assert [row.entry_id for row in rows] == [one.entry_id for one in made]
    assert [row.leaf_index for row in rows] == list(range(10))
    tree = merkle.CompactRange()
    for row in rows:
        assert row.leaf_hash == merkle.leaf_hash(row.entry)
        assert (row.kind, row.caller, row.data_subject) == ("decision", "web-shop", "ds_1")
        tree.append(row.leaf_hash)
    assert [row.recorded_at for row in rows] == [to_micros(one.at) for one in made]
    (note,) = notes(gateway_engine)
    checkpoint = read_own_checkpoint(note, sealer._signer.vkey)
    assert (checkpoint.size, checkpoint.root) == (10, tree.root())
    with gateway_engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(AUDIT_QUEUE)).scalar_one() == 0


def test_nothing_new_makes_no_checkpoint(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any
) -> None:
    """A round with nothing to seal leaves the log as it is, empty or not."""
    assert (sealer.seal_once().sealed, notes(gateway_engine)) == (0, [])
    recorder.record(make_entry())
    sealer.seal_once()
    assert sealer.seal_once().sealed == 0
    assert len(notes(gateway_engine)) == 1


def test_batches_and_restarts_give_the_same_tree(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, state_dir: Path, clock: Any
) -> None:
    """Sealing 600 entries in uneven batches, by sealers that remember and by fresh ones, gives the naive tree."""
    recorder.record_all([make_entry() for _ in range(600)])
    sizes = []
    for i, limit in enumerate((1, 7, 250, 255, 300)):
        used = Sealer(gateway_engine, state_dir, sealer._signer, clock) if i % 2 else sealer
        result = used.seal_once(limit)
        assert result.more is (result.sealed == limit)
        sizes.append(result.size)
    assert sizes == [1, 8, 258, 513, 600]
    hashes = [row.leaf_hash for row in log_rows(gateway_engine)]
    with gateway_engine.connect() as connection:
        for note in notes(gateway_engine):
            checkpoint = read_own_checkpoint(note, sealer._signer.vkey)
            tree = merkle.CompactRange()
            for one in hashes[: checkpoint.size]:
                tree.append(one)
            assert tree.root() == checkpoint.root == merkle.root_at(checkpoint.size, node_reader(connection))
        stored = connection.execute(sa.select(AUDIT_NODES.c.level, AUDIT_NODES.c.position)).all()
    assert sorted(tuple(row) for row in stored) == [(8, 0), (8, 1)]


@pytest.mark.only_on("postgresql", reason="SQLite has one writer at a time")
def test_a_late_commit_never_slips_in_behind_a_sealed_row(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any
) -> None:
    """On PostgreSQL rows of younger transactions wait until every older transaction has ended."""
    late, later = make_entry(), make_entry()
    with gateway_engine.begin() as connection:
        record_in(connection, late)
        recorder.record(later)
        assert sealer.seal_once().sealed == 0
    assert sealer.seal_once().sealed == 2
    assert [row.entry_id for row in log_rows(gateway_engine)] == [late.entry_id, later.entry_id]


@pytest.mark.only_on("postgresql", reason="SQLite rows carry no transaction id")
def test_rows_that_came_with_a_dump_are_sealed(gateway_engine: sa.Engine, sealer: Sealer, make_entry: Any) -> None:
    """On PostgreSQL a row with a transaction id of another server's future does not wait for ever."""
    made = make_entry()
    with gateway_engine.begin() as connection:
        record_in(connection, made)
    unguarded(gateway_engine, "UPDATE audit_queue SET txid = 900000000000")
    with gateway_engine.begin() as connection:
        for statement in append_only_ddl("postgresql"):
            connection.exec_driver_sql(statement)
    assert sealer.seal_once().sealed == 1


def test_only_one_sealer_works_at_a_time(
    gateway_engine: sa.Engine, sealer: Sealer, recorder: Recorder, make_entry: Any, state_dir: Path, clock: Any
) -> None:
    """A second sealer that comes while the first works finds it busy and does nothing."""
    recorder.record(make_entry())
    seen = []

    def second(step: str) -> None:
        if step == "signed":
            seen.append(Sealer(gateway_engine, state_dir, sealer._signer, clock).seal_once())

    first = Sealer(gateway_engine, state_dir, sealer._signer, clock, second)
    assert first.seal_once().sealed == 1
    assert [one.busy for one in seen] == [True]
    assert len(notes(gateway_engine)) == 1


def test_the_steps_are_those_that_are_named(
    gateway_engine: sa.Engine, signer: Signer, recorder: Recorder, make_entry: Any, state_dir: Path, clock: Any
) -> None:
    """A round takes every named step, in order: the fault tests stop at each of them."""
    recorder.record(make_entry())
    taken: list[str] = []
    Sealer(gateway_engine, state_dir, signer, clock, taken.append).seal_once()
    assert tuple(taken) == STEPS


@pytest.mark.only_on("sqlite", reason="PostgreSQL has no writers' files")
def test_finished_files_of_dead_writers_go_and_others_stay(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, state_dir: Path
) -> None:
    """On SQLite a closed writer's file is removed once sealed to its end, a living one's never; bookmarks follow."""
    folder = audit_folder(state_dir)
    gone = open_recorder(gateway_engine, state_dir)
    gone.record_all([make_entry() for _ in range(3)])
    recorder.record(make_entry())
    gone.close()
    assert sealer.seal_once(2).sealed == 2
    assert len(writer_files.writer_files(folder)) == 2
    assert sealer.seal_once().sealed == 2
    (left,) = writer_files.writer_files(folder)
    assert left.rows(0, 10)
    recorder.record(make_entry())
    sealer.seal_once()
    with gateway_engine.connect() as connection:
        marks = connection.execute(sa.select(AUDIT_WRITERS)).all()
    assert [tuple(mark) for mark in marks] == [(left.writer, 2)]
    assert {path.suffix for path in folder.iterdir()} <= {".db", ".lock", ".txt", ".key", ".db-wal", ".db-shm"}


def test_a_lost_bookmark_seals_nothing_twice(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any
) -> None:
    """Leaves that the log holds already are passed over, byte for byte the same."""
    recorder.record_all([make_entry() for _ in range(3)])
    sealer.seal_once()
    with gateway_engine.begin() as connection:
        connection.execute(sa.delete(AUDIT_WRITERS))
        for row in log_rows(gateway_engine) if gateway_engine.dialect.name == "postgresql" else ():
            connection.execute(sa.insert(AUDIT_QUEUE).values(entry_id=row.entry_id, entry=row.entry, txid=1))
    recorder.record(make_entry())
    assert sealer.seal_once().sealed == 1
    assert len(log_rows(gateway_engine)) == 4


@pytest.mark.only_on("sqlite", reason="PostgreSQL has no writers' files")
def test_an_unreadable_file_is_named_and_stops_no_other(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, state_dir: Path
) -> None:
    """On SQLite a damaged writer's file is told in the result while the others are sealed; it stays."""
    broken = audit_folder(state_dir) / "wrt_broken.db"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"not a database" * 100)
    (audit_folder(state_dir) / "wrt_begun.db").touch()
    recorder.record(make_entry())
    result = sealer.seal_once()
    assert (result.sealed, result.unreadable) == (1, ("wrt_broken",))
    assert broken.exists()
    assert not (audit_folder(state_dir) / "wrt_begun.db").exists()


@pytest.mark.parametrize("leaf", [b"garbage", b'{"entry":{"id":"other"},"format":1}', b'{"entry":{"id":5},"format":1}'])
def test_what_somebody_slipped_into_the_queue_is_sealed_and_shows(
    gateway_engine: sa.Engine, sealer: Sealer, leaf: bytes
) -> None:
    """A row that is no entry of ours neither vanishes nor stops the log: it is sealed as unreadable."""
    with gateway_engine.begin() as connection:
        connection.execute(sa.insert(AUDIT_QUEUE).values(entry_id="x_1", entry=leaf))
    assert sealer.seal_once().sealed == 1
    (row,) = log_rows(gateway_engine)
    assert (row.entry_id, row.kind, row.entry) == ("x_1", UNREADABLE, leaf)


def test_the_sealer_refuses_to_build_on_damage(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, state_dir: Path, clock: Any
) -> None:
    """After a leaf's hash was altered, or the last checkpoint is another's, a fresh sealer refuses to sign."""
    recorder.record_all([make_entry() for _ in range(5)])
    sealer.seal_once()
    recorder.record(make_entry())
    unguarded(gateway_engine, "UPDATE audit_log SET leaf_hash = entry WHERE leaf_index = 2")
    with pytest.raises(LogDamaged):
        Sealer(gateway_engine, state_dir, sealer._signer, clock).seal_once()
    with pytest.raises(LogDamaged, match="not this log's"):
        Sealer(gateway_engine, state_dir, Signer("log.example/audit", bytes(32)), clock).seal_once()
    assert len(notes(gateway_engine)) == 1


def test_the_sealer_refuses_a_cut_or_rolled_back_log(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, state_dir: Path, clock: Any
) -> None:
    """A cut tail is refused, and so is a consistent older state, because the last checkpoint is noted outside."""
    for _ in range(3):
        recorder.record(make_entry())
        sealer.seal_once()
    unguarded(gateway_engine, "DELETE FROM audit_log WHERE leaf_index = 2")
    fresh = Sealer(gateway_engine, state_dir, sealer._signer, clock)
    with pytest.raises(LogDamaged, match="2 entries, its last checkpoint says 3") as cut:
        fresh.seal_once()
    assert cut.value.index == 2
    unguarded(gateway_engine, "DELETE FROM audit_checkpoints WHERE size = 3")
    with pytest.raises(LogDamaged, match="rolled back from 3 to 2"):
        fresh.seal_once()
    (audit_folder(state_dir) / NOTED_CHECKPOINT).unlink()
    assert fresh.seal_once().size == 2


def test_a_rewritten_log_is_refused_by_what_was_noted_outside(
    gateway_engine: sa.Engine, sealer: Sealer, make_entry: Any, state_dir: Path, clock: Any
) -> None:
    """A log sealed anew with the same key, longer than before, is refused: the noted checkpoint does not fit it."""
    with gateway_engine.begin() as connection:
        record_in(connection, make_entry())
    sealer.seal_once()
    noted = (audit_folder(state_dir) / NOTED_CHECKPOINT).read_text()
    tables = ("audit_log", "audit_checkpoints", "audit_nodes", "audit_writers")
    unguarded(gateway_engine, *(f"DELETE FROM {table}" for table in tables))
    (audit_folder(state_dir) / NOTED_CHECKPOINT).unlink()
    with gateway_engine.begin() as connection:
        for _ in range(3):
            record_in(connection, make_entry())
    Sealer(gateway_engine, state_dir, sealer._signer, clock).seal_once()
    (audit_folder(state_dir) / NOTED_CHECKPOINT).write_text(noted)
    with pytest.raises(LogDamaged, match="first 1 entries"):
        Sealer(gateway_engine, state_dir, sealer._signer, clock).seal_once()


def test_a_missing_stored_hash_is_damage(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, state_dir: Path, clock: Any
) -> None:
    """A stored tree that lacks a node is told as damage, with the first entry below it."""
    recorder.record_all([make_entry() for _ in range(300)])
    sealer.seal_once()
    unguarded(gateway_engine, "DELETE FROM audit_nodes")
    with pytest.raises(LogDamaged, match="lacks 1 hashes") as told:
        Sealer(gateway_engine, state_dir, sealer._signer, clock).seal_once()
    assert told.value.index == 0


def test_the_loop_seals_until_it_is_stopped(
    gateway_engine: sa.Engine, recorder: Recorder, signer: Signer, make_entry: Any, state_dir: Path, clock: Any
) -> None:
    """The loop seals batch after batch, survives an unreachable database, and ends when told."""
    recorder.record_all([make_entry() for _ in range(5)])
    stop, rounds = threading.Event(), []

    def watch(step: str) -> None:
        if step == "locked" and not rounds:
            rounds.append("failed")
            raise sa.exc.OperationalError("away", {}, Exception())
        if step == "removed":
            stop.set()

    Sealer(gateway_engine, state_dir, signer, clock, watch).run(stop, interval_seconds=0)
    assert len(log_rows(gateway_engine)) == 5


@pytest.mark.only_on("sqlite", reason="PostgreSQL has no writers' files")
def test_the_loop_tells_of_unreadable_files(
    gateway_engine: sa.Engine, signer: Signer, state_dir: Path, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """On SQLite the loop names a file that it cannot read in the service's log, and goes on."""
    (audit_folder(state_dir) / "wrt_broken.db").write_bytes(b"not a database" * 100)
    stop = threading.Event()
    sealer = Sealer(gateway_engine, state_dir, signer, clock, lambda step: stop.set() if step == "removed" else None)
    sealer.run(stop, interval_seconds=0)
    assert "audit files cannot be read: wrt_broken" in caplog.text


@pytest.mark.only_on("sqlite", reason="on PostgreSQL the transactions give the order")
def test_order_follows_the_entries_times_across_writers(
    gateway_engine: sa.Engine, sealer: Sealer, make_entry: Any, state_dir: Path, clock: Any
) -> None:
    """On SQLite the leaves of several writers are merged by time, each writer's own order kept."""
    writers = [open_recorder(gateway_engine, state_dir) for _ in range(3)]
    made = []
    for i in range(9):
        made.append(make_entry())
        writers[i % 3].record(made[-1])
    clock.moment -= timedelta(hours=1)
    backwards = make_entry()
    writers[2].record(backwards)
    for writer in writers:
        writer.close()
    sealer.seal_once()
    order = [json.loads(row.entry)["entry"]["id"] for row in log_rows(gateway_engine)]
    assert order == [*(one.entry_id for one in made), backwards.entry_id]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET kind = 'x'",
        "DELETE FROM audit_log",
        "UPDATE audit_checkpoints SET note = 'x'",
        "DELETE FROM audit_checkpoints",
        "UPDATE audit_nodes SET hash = 'x'",
        "DELETE FROM audit_nodes",
        "UPDATE audit_queue SET entry_id = 'x'",
        "DELETE FROM audit_queue",
        "INSERT INTO audit_checkpoints (size, issued_at, note) VALUES (3, 0, 'x')",
        "INSERT INTO audit_checkpoints (size, issued_at, note) VALUES (300, 0, 'x')",
    ],
)
def test_triggers_keep_the_tables_append_only(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, statement: str
) -> None:
    """Nothing is updated or deleted, an unsealed queue row least of all, and checkpoints only grow."""
    recorder.record_all([make_entry() for _ in range(300)])
    sealer.seal_once()
    with gateway_engine.begin() as connection:
        record_in(connection, make_entry())
    with pytest.raises(sa.exc.DBAPIError), gateway_engine.begin() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize("table", ["audit_log", "audit_nodes", "audit_checkpoints", "audit_queue"])
def test_tables_cannot_be_truncated_or_replaced(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, table: str
) -> None:
    """TRUNCATE on PostgreSQL and INSERT OR REPLACE on SQLite, which escape delete triggers, are refused."""
    recorder.record_all([make_entry() for _ in range(300)])
    sealer.seal_once()
    with gateway_engine.begin() as connection:
        record_in(connection, make_entry())
    replace = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"
    statement = f"TRUNCATE {table}" if gateway_engine.dialect.name == "postgresql" else replace
    with pytest.raises(sa.exc.DBAPIError), gateway_engine.begin() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.only_on("sqlite", reason="PostgreSQL leaves this to the sealer and the verifier")
def test_on_sqlite_the_log_takes_no_gap(gateway_engine: sa.Engine) -> None:
    """On SQLite a row that skips an index is refused."""
    row = {"leaf_index": 1, "entry_id": "x", "kind": "x", "recorded_at": 0, "entry": b"", "leaf_hash": b""}
    with pytest.raises(sa.exc.IntegrityError), gateway_engine.begin() as connection:
        connection.execute(sa.insert(AUDIT_LOG).values(row))


def test_the_guards_can_be_made_again_and_undone(empty_database: str) -> None:
    """The statements may be run twice, and a downgrade undoes every one of them."""
    engine = open_engine(empty_database, threads=1)
    METADATA.create_all(engine)
    with engine.begin() as connection:
        for statement in (*append_only_ddl(engine.dialect.name), *drop_append_only_ddl(engine.dialect.name)):
            connection.exec_driver_sql(statement)
        if engine.dialect.name == "sqlite":
            left = connection.exec_driver_sql(
                "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit%'"
            )
        else:
            left = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'audit%%'"
            )
        assert left.scalar_one() == 0
    engine.dispose()
