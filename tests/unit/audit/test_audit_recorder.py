"""The recorder: durable before it returns, chained without gaps, and never wedged by one bad entry."""

import json
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit import recorder as recorder_module
from consent_gateway.audit import stores
from consent_gateway.audit.recorder import Recorder, open_recorder, record_in
from consent_gateway.audit.stores import FileStore, LeafRefused, OutcomeUnknown, Row, audit_folder
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.audit.writer_files import writer_files
from consent_gateway.errors import AuditUnavailable, InputRefused


def waiting(engine: sa.Engine, state_dir: Path) -> list[dict[str, Any]]:
    """Every leaf that waits, in order: those of the queue, then those of the writers' files."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        leaves = list(connection.execute(sa.select(AUDIT_QUEUE.c.entry).order_by(AUDIT_QUEUE.c.n)).scalars())
    for file in writer_files(audit_folder(state_dir)):
        leaves += [leaf for _entry_id, leaf in file.rows(0, 10_000)]
    return [json.loads(leaf) for leaf in leaves]


def test_a_recorded_entry_is_in_the_store(
    recorder: Recorder, gateway_engine: sa.Engine, state_dir: Path, make_entry: Any
) -> None:
    """When `record` has returned, another connection sees the entry, first in its writer's chain."""
    made = make_entry()
    recorder.record(made)
    (leaf,) = waiting(gateway_engine, state_dir)
    assert (leaf["entry"]["id"], leaf["seq"], leaf["format"]) == (made.entry_id, 1, 1)
    assert recorder.failure is None


def test_entries_of_many_threads_form_one_dense_chain(
    recorder: Recorder, gateway_engine: sa.Engine, state_dir: Path, make_entry: Any
) -> None:
    """Whatever the threads do, numbers are dense, each names the one before, and none is missing or doubled."""
    entries = [make_entry() for _ in range(120)]

    def work(mine: Sequence[Any]) -> None:
        for one in mine:
            recorder.record(one)

    threads = [threading.Thread(target=work, args=(entries[i::12],)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    leaves = waiting(gateway_engine, state_dir)
    assert sorted(leaf["entry"]["id"] for leaf in leaves) == sorted(one.entry_id for one in entries)
    assert [leaf["seq"] for leaf in leaves] == list(range(1, 121))
    assert len({leaf["writer"] for leaf in leaves}) == 1


def test_several_entries_at_once(
    recorder: Recorder, gateway_engine: sa.Engine, state_dir: Path, make_entry: Any
) -> None:
    """`record_all` makes all durable, and one unloggable entry refuses all before any is queued."""
    entries = [make_entry() for _ in range(5)]
    recorder.record_all(entries)
    with pytest.raises(InputRefused):
        recorder.record_all([make_entry(), make_entry(purpose="bad\n")])
    assert [leaf["entry"]["id"] for leaf in waiting(gateway_engine, state_dir)] == [one.entry_id for one in entries]


def test_an_entry_in_a_transaction_lives_and_dies_with_it(
    gateway_engine: sa.Engine, state_dir: Path, make_entry: Any
) -> None:
    """`record_in` commits with the change it belongs to and is gone with a rollback; it carries no chain."""
    kept, lost = make_entry(), make_entry()
    with gateway_engine.begin() as connection:
        record_in(connection, kept)
    with gateway_engine.connect() as connection, connection.begin() as transaction:
        record_in(connection, lost)
        transaction.rollback()
    (leaf,) = waiting(gateway_engine, state_dir)
    assert leaf == {"entry": json.loads(kept.canonical()), "format": 1}


@pytest.mark.only_on("postgresql", reason="SQLite has one writer at a time and needs no transaction ids")
def test_the_queue_knows_the_writing_transaction(
    gateway_engine: sa.Engine, recorder: Recorder, make_entry: Any
) -> None:
    """On PostgreSQL every queued row carries the id of the transaction that wrote it."""
    recorder.record(make_entry())
    with gateway_engine.begin() as connection:
        record_in(connection, make_entry())
        mine = connection.execute(sa.select(sa.cast(sa.cast(sa.func.pg_current_xact_id(), sa.Text), sa.BigInteger)))
        own = mine.scalar_one()
        rows = connection.execute(sa.select(AUDIT_QUEUE.c.txid).order_by(AUDIT_QUEUE.c.n)).scalars().all()
    assert rows[1] == own > rows[0] > 0


def test_a_closed_recorder_refuses(recorder: Recorder, make_entry: Any) -> None:
    """After `close` nothing is accepted, and closing twice is harmless."""
    recorder.close()
    recorder.close()
    with pytest.raises(AuditUnavailable):
        recorder.record(make_entry())


def test_close_commits_what_is_queued(state_dir: Path, make_entry: Any, tmp_path: Path) -> None:
    """Entries that were queued when the recorder was closed are still made durable."""
    entered, gate = threading.Event(), threading.Event()

    class Slow(FileStore):
        def commit(self, rows: Sequence[Row]) -> None:
            entered.set()
            assert gate.wait(10)
            super().commit(rows)

    slow = Recorder(lambda: Slow(audit_folder(state_dir)), deadline_seconds=10)
    threads = [threading.Thread(target=slow.record, args=(make_entry(),)) for _ in range(4)]
    threads[0].start()
    assert entered.wait(10)  # the others queue behind a commit that is under way
    for thread in threads[1:]:
        thread.start()
    while slow._queue.qsize() < 3:
        pass
    closing = threading.Thread(target=slow.close)
    closing.start()
    gate.set()
    for thread in (*threads, closing):
        thread.join()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    (file,) = writer_files(audit_folder(state_dir))
    assert len(file.rows(0, 10)) == 4
    engine.dispose()


def test_a_forked_child_may_not_use_its_parents_recorder(recorder: Recorder, make_entry: Any) -> None:
    """In another process the recorder has no thread: it refuses at once instead of waiting for nobody."""
    recorder._process = os.getpid() + 1
    with pytest.raises(AuditUnavailable, match="after forking"):
        recorder.record(make_entry())


def test_an_entry_id_used_twice_is_refused_and_harms_no_other(
    recorder: Recorder, gateway_engine: sa.Engine, state_dir: Path, make_entry: Any
) -> None:
    """A second entry under a taken id is told that it is not durable; the others of its batch are."""
    first = make_entry()
    recorder.record(first)
    with pytest.raises(AuditUnavailable):
        recorder.record_all([make_entry(), make_entry(entry_id=first.entry_id, purpose="payment"), make_entry()])
    recorder.record(make_entry())
    leaves = waiting(gateway_engine, state_dir)
    assert len(leaves) == 4
    assert [leaf["seq"] for leaf in leaves] == [1, 2, 3, 4]
    assert next(leaf for leaf in leaves if leaf["entry"]["id"] == first.entry_id)["entry"]["purpose"] == first.purpose


class Unreliable:
    """A store that fails as told, then stores; keeps what it was asked to store."""

    full = False
    writer = "wrt_unreliable"

    def __init__(self, *failures: Exception, stores_nevertheless: bool = False) -> None:
        self.failures = list(failures)
        self.stored: list[Row] = []
        self.tries: list[list[Row]] = []
        self._nevertheless = stores_nevertheless

    def commit(self, rows: Sequence[Row]) -> None:
        """Fail as told, or store."""
        self.tries.append(list(rows))
        failure = self.failures.pop(0) if self.failures else None
        if failure is None or self._nevertheless:
            self.stored += [row for row in rows if row not in self.stored]
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Nothing to give up."""


def given_up(opened: Recorder, store: Unreliable, make_entry: Any) -> None:
    """An entry that nobody waits for any more, once it was tried; one given up before that was never in a batch."""
    while not store.tries:
        with pytest.raises(AuditUnavailable):
            opened.record(make_entry())


@pytest.mark.parametrize("failure", [sqlite3.OperationalError("locked"), OutcomeUnknown("cut"), OSError(28, "full")])
def test_a_passing_failure_delays_and_loses_nothing(failure: Exception, make_entry: Any) -> None:
    """A commit that fails once is tried again with the very same leaves before the caller hears anything."""
    store = Unreliable(failure)
    opened = Recorder(lambda: store)
    opened.record(make_entry())
    opened.close()
    assert store.tries[0] == store.tries[1] == store.stored


def test_after_a_broken_commit_the_number_is_not_given_twice(make_entry: Any) -> None:
    """A batch whose fate is unknown is held until it is known, so that its numbers are never reused."""
    store = Unreliable(*[OutcomeUnknown("cut")] * 4, stores_nevertheless=True)
    opened = Recorder(lambda: store, deadline_seconds=0.01)
    given_up(opened, store, make_entry)
    opened._deadline = 10
    opened.record(make_entry())
    opened.close()
    assert [json.loads(leaf)["seq"] for _entry_id, leaf in store.stored] == [1, 2]


def test_leaves_known_not_to_be_stored_give_their_numbers_back(make_entry: Any) -> None:
    """When nobody waits any more for a batch that is known not to be stored, its numbers are used again."""
    store = Unreliable(*[sqlite3.OperationalError("disk full")] * 3)
    opened = Recorder(lambda: store, deadline_seconds=0.01)
    given_up(opened, store, make_entry)
    opened._deadline = 10
    later = make_entry()
    opened.record(later)
    opened.close()
    ((entry_id, leaf),) = store.stored
    assert entry_id == later.entry_id
    assert json.loads(leaf)["seq"] == 1


def test_a_store_that_cannot_be_opened_denies(make_entry: Any) -> None:
    """While no store opens, entries are refused within the deadline and the failure is told."""

    def closed() -> Unreliable:
        raise PermissionError(13, "denied")

    opened = Recorder(closed, deadline_seconds=0.05)
    with pytest.raises(AuditUnavailable):
        opened.record(make_entry())
    assert opened.failure is not None
    assert "PermissionError" in opened.failure
    opened.close()


def test_too_many_waiting_entries_are_refused_at_once(make_entry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound an entry is refused without waiting, so that an outage cannot eat the memory."""
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 0)
    store = Unreliable()
    opened = Recorder(lambda: store)
    with pytest.raises(AuditUnavailable, match="too many"):
        opened.record(make_entry())
    opened.close()
    assert not store.stored


def test_a_refused_leaf_takes_its_number_back(make_entry: Any) -> None:
    """A leaf that the store will never take leaves no gap in the chain."""
    store = Unreliable(LeafRefused("taken"))
    opened = Recorder(lambda: store)
    with pytest.raises(AuditUnavailable):
        opened.record(make_entry())
    opened.record(make_entry())
    opened.close()
    assert [json.loads(leaf)["seq"] for _entry_id, leaf in store.stored] == [1]


def test_a_full_file_is_followed_by_a_fresh_one(
    state_dir: Path, make_entry: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Past its bound a writer's file is closed and the next entries go to a new writer's file and chain."""
    monkeypatch.setattr(stores, "LEAVES_PER_FILE", 3)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    opened = open_recorder(engine, state_dir)
    for _ in range(7):
        opened.record(make_entry())
    opened.close()
    engine.dispose()
    files = writer_files(audit_folder(state_dir))
    assert sorted(len(file.rows(0, 10)) for file in files) == [1, 3, 3]
    for file in files:
        assert json.loads(file.rows(0, 1)[0][1])["seq"] == 1
        assert file.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_a_file_removed_under_the_recorder_is_noticed(
    state_dir: Path, make_entry: Any, tmp_path: Path, ending: str
) -> None:
    """A removed file still takes writes that nobody will ever read: the entry goes to a new file instead."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    opened = open_recorder(engine, state_dir)
    opened.record(make_entry())
    (file,) = writer_files(audit_folder(state_dir))
    file.path.with_name(file.path.name + ending).unlink()
    later = make_entry()
    opened.record(later)
    opened.close()
    engine.dispose()
    (fresh,) = (one for one in writer_files(audit_folder(state_dir)) if one.writer != file.writer)
    ((entry_id, leaf),) = fresh.rows(0, 10)
    assert entry_id == later.entry_id
    assert json.loads(leaf)["seq"] == 1


def test_a_file_that_cannot_be_made_leaves_nothing_behind(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed opening removes what it made, so that a long outage does not fill the folder."""
    monkeypatch.setattr(stores, "_FILE_SCHEMA", "not a statement")
    with pytest.raises(sqlite3.OperationalError):
        FileStore(audit_folder(state_dir))
    assert list(audit_folder(state_dir).iterdir()) == []


@pytest.mark.only_on("postgresql", reason="a SQLite file never leaves the outcome unknown")
def test_the_queue_recognises_what_it_stored_before(gateway_engine: sa.Engine, make_entry: Any) -> None:
    """On PostgreSQL storing the same batch again succeeds silently, and another leaf under its id is refused."""
    store = stores.QueueStore(gateway_engine)
    row = ("dec_1", make_entry(entry_id="dec_1").canonical())
    store.commit([row])
    store.commit([row])
    with pytest.raises(LeafRefused):
        store.commit([("dec_1", b"another")])
    store.close()
    with gateway_engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(AUDIT_QUEUE)).scalar_one() == 1


@pytest.mark.only_on("postgresql", reason="SQLite has no server that ends connections")
def test_a_broken_connection_is_replaced(gateway_engine: sa.Engine, recorder: Recorder, make_entry: Any) -> None:
    """On PostgreSQL an entry recorded after the server ended the connection is durable all the same."""
    recorder.record(make_entry())
    with gateway_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
        recorder.record(make_entry())
        assert connection.execute(sa.select(sa.func.count()).select_from(AUDIT_QUEUE)).scalar_one() == 2
