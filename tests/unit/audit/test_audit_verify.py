"""Verification of a log of some thousand entries: every tampering is found and placed, in database and export."""

import copy
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit import verify as verify_module
from consent_gateway.audit.append_only import drop_append_only_ddl
from consent_gateway.audit.chain import Position, WriterChain
from consent_gateway.audit.columns import columns_of
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.export import MANIFEST_TITLE, export
from consent_gateway.audit.live import _entries, verify_database
from consent_gateway.audit.log import EntryFilter
from consent_gateway.audit.merkle import EMPTY_ROOT, leaf_hash, node_hash
from consent_gateway.audit.recorder import open_recorder, record_in
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import Signer
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_LOG, AUDIT_NODES
from consent_gateway.audit.verify import LogCheck, LogKey, Report, Unusable, verify_folder
from consent_gateway.database import open_engine
from tests.databases import build_schema

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SIZE = 2_400
SIGNER = Signer("log.example/audit", bytes(range(32)))
FOREIGN = Signer("log.example/audit", bytes(32))
KEY = LogKey(str(SIGNER.vkey))
CHAINED, UNCHAINED = 1_205, 1_210  # an index of either sort, far from any checkpoint; each ten make a round
Rows = list[dict[str, Any]]


@dataclass
class Log:
    """A sealed log: where it is, its export, and its rows."""

    url: str
    folder: Path
    rows: Rows
    notes: Rows

    @property
    def sizes(self) -> list[int]:
        """The sizes of its checkpoints."""
        return [row["size"] for row in self.notes]


class Hand:
    """A clock whose hand the test moves."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """The moment it stands at."""
        return self.moment


def fill(engine: sa.Engine, state_dir: Path) -> None:
    """Two writers and, every tenth, an entry in a transaction of its own; sealed in uneven batches."""
    clock = Hand(NOON)
    sealer = Sealer(engine, state_dir, SIGNER, clock)
    recorders = [open_recorder(engine, state_dir) for _ in range(2)]
    entries = []
    for n in range(SIZE):
        clock.moment += timedelta(seconds=1)
        kind = EntryKind.CONSENT_EVENT if n % 10 == 0 else EntryKind.DECISION
        entries.append(Entry(f"e_{n}", kind, clock.moment, caller="web-shop", data_subject=f"ds_{n % 7}"))
    for start in range(0, SIZE, 10):
        with engine.begin() as connection:
            record_in(connection, entries[start])
        recorders[0].record_all(entries[start + 1 : start + 7])
        recorders[1].record_all(entries[start + 7 : start + 10])
    for recorder in recorders:
        recorder.close()
    while sealer.seal_once(437).more:
        pass


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """The untouched log, built once on each database."""
    base = tmp_path_factory.mktemp("log")
    url = f"sqlite:///{base / 'gateway.db'}"
    if request.param == "postgresql":
        admin = sa.make_url(request.getfixturevalue("postgresql_server")).set(drivername="postgresql+psycopg")
        _admin(admin, "CREATE DATABASE audit_log_untouched")
        url = admin.set(database="audit_log_untouched").render_as_string(hide_password=False)
    engine = open_engine(url, threads=2)
    build_schema(engine, "gateway")
    fill(engine, base / "state")
    export(engine, base / "export", SIGNER, NOON)
    with engine.connect() as connection:
        rows = [
            dict(row) for row in connection.execute(sa.select(AUDIT_LOG).order_by(AUDIT_LOG.c.leaf_index)).mappings()
        ]
        stored = connection.execute(sa.select(AUDIT_CHECKPOINTS).order_by(AUDIT_CHECKPOINTS.c.size)).mappings()
        notes = [dict(row) for row in stored]
    engine.dispose()
    yield Log(url, base / "export", rows, notes)
    if request.param == "postgresql":
        _admin(admin, "DROP DATABASE audit_log_untouched WITH (FORCE)")


@pytest.fixture
def engine(log: Log, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """An engine over a copy of the log whose triggers an administrator has dropped."""
    url = sa.make_url(log.url)
    if url.get_backend_name() == "sqlite":
        shutil.copy(str(url.database), tmp_path / "copy.db")
        copied = open_engine(f"sqlite:///{tmp_path / 'copy.db'}", threads=1)
    else:
        admin = sa.make_url(request.getfixturevalue("postgresql_server")).set(drivername="postgresql+psycopg")
        _admin(admin, "DROP DATABASE IF EXISTS audit_log_copy WITH (FORCE)")
        _admin(admin, "CREATE DATABASE audit_log_copy TEMPLATE audit_log_untouched")
        copied = open_engine(url.set(database="audit_log_copy").render_as_string(hide_password=False), threads=1)
    with copied.begin() as connection:
        for statement in drop_append_only_ddl(copied.dialect.name):
            connection.exec_driver_sql(statement)
    yield copied
    copied.dispose()


def _admin(url: sa.URL, statement: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def other_leaf(row: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The row with members of its entry changed, and every copy of it made to fit."""
    document = json.loads(row["entry"])
    document["entry"] |= members
    leaf = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return row | columns_of(leaf, document["entry"]["id"])


def forged(row: dict[str, Any]) -> dict[str, Any]:
    """An entry that was never recorded, in the form of one written in a transaction."""
    document = json.loads(row["entry"])["entry"] | {"id": "e_forged"}
    leaf = json.dumps({"entry": document, "format": 1}, sort_keys=True, separators=(",", ":")).encode()
    return row | columns_of(leaf, "e_forged")


def edit_bytes(rows: Rows) -> Rows:
    """Change an entry and nothing else."""
    rows[CHAINED]["entry"] = rows[CHAINED]["entry"].replace(b"web-shop", b"web-shoq")
    return rows


def edit_with_hash(rows: Rows) -> Rows:
    """Change an entry of a writer, its hash and its columns."""
    rows[CHAINED] = other_leaf(rows[CHAINED], caller="somebody-else")
    return rows


def edit_unchained_with_hash(rows: Rows) -> Rows:
    """Change an entry that no writer's chain covers, its hash and its columns."""
    rows[UNCHAINED] = other_leaf(rows[UNCHAINED], caller="somebody-else")
    return rows


def rewrite_chain(rows: Rows) -> Rows:
    """Change an entry and make the whole rest of its writer's chain fit again."""
    writer = json.loads(rows[CHAINED]["entry"])["writer"]
    rows[CHAINED] = other_leaf(rows[CHAINED], caller="somebody-else")
    prev = hashlib.sha256(rows[CHAINED]["entry"]).hexdigest()
    for row in rows[CHAINED + 1 :]:
        document = json.loads(row["entry"])
        if document.get("writer") == writer:
            document["prev"] = prev
            leaf = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
            row.update(columns_of(leaf, row["entry_id"]))
            prev = hashlib.sha256(leaf).hexdigest()
    return rows


def delete(rows: Rows) -> Rows:
    """Remove an entry of a writer; the rest closes ranks."""
    return rows[:CHAINED] + rows[CHAINED + 1 :]


def delete_unchained(rows: Rows) -> Rows:
    """Remove an entry that no chain covers; the rest closes ranks."""
    return rows[:UNCHAINED] + rows[UNCHAINED + 1 :]


def insert(rows: Rows) -> Rows:
    """Put in an entry that was never recorded; the rest moves up."""
    return [*rows[:CHAINED], forged(rows[CHAINED]), *rows[CHAINED:]]


def reorder(rows: Rows) -> Rows:
    """Swap two neighbours of one writer."""
    rows[CHAINED], rows[CHAINED + 1] = rows[CHAINED + 1], rows[CHAINED]
    return rows


def duplicate(rows: Rows) -> Rows:
    """Repeat an entry of a writer right behind itself."""
    return [*rows[: CHAINED + 1], dict(rows[CHAINED]), *rows[CHAINED + 1 :]]


def duplicate_unchained(rows: Rows) -> Rows:
    """Repeat an entry that no chain covers, far behind itself."""
    return [*rows[: UNCHAINED + 1], dict(rows[10]), *rows[UNCHAINED + 1 :]]


def cut(rows: Rows) -> Rows:
    """Remove the last entries."""
    return rows[: SIZE - 5]


def slip_in_garbage(rows: Rows) -> Rows:
    """Replace an entry by something else."""
    rows[UNCHAINED] |= columns_of(b"garbage", rows[UNCHAINED]["entry_id"])
    return rows


EXACT: dict[Callable[[Rows], Rows], int] = {
    edit_bytes: CHAINED,
    edit_with_hash: CHAINED,
    delete: CHAINED,
    reorder: CHAINED,
    duplicate: CHAINED + 1,
    duplicate_unchained: UNCHAINED + 1,
    slip_in_garbage: UNCHAINED,
}
"""Tamperings whose place the evidence gives away exactly."""

STRETCH: dict[Callable[[Rows], Rows], int] = {
    edit_unchained_with_hash: UNCHAINED,
    rewrite_chain: CHAINED,
    delete_unchained: UNCHAINED,
    insert: CHAINED,
    cut: SIZE - 5,
}
"""Tamperings that the checkpoints place between two of them."""


def names(table: dict[Callable[[Rows], Rows], int]) -> Any:
    """One test for each tampering of the table."""
    return pytest.mark.parametrize(("tamper", "at"), table.items(), ids=[one.__name__ for one in table])


def rewrite(engine: sa.Engine, rows: Rows) -> None:
    """Store these rows as the whole log, numbered anew."""
    with engine.begin() as connection:
        connection.execute(sa.delete(AUDIT_LOG))
        connection.execute(sa.insert(AUDIT_LOG), [row | {"leaf_index": i} for i, row in enumerate(rows)])


def assert_stretch(report: Report, at: int, sizes: list[int]) -> None:
    """The report names a stretch that holds the place and is no longer than from one checkpoint to the next."""
    stretches = [one for one in report.findings if one.last is not None and one.code in ("tree", "truncated")]
    assert [one for one in stretches if one.index is not None and one.last is not None and one.index <= at <= one.last]
    good = max(size for size in [0, *sizes] if size <= at)
    assert {one.index for one in stretches} == {good}


def test_the_untouched_log_verifies(log: Log) -> None:
    """No false alarm, in the database or in its export; the report says what was seen."""
    engine = open_engine(log.url, threads=1)
    live = verify_database(engine, KEY, earlier=[row["note"] for row in log.notes])
    engine.dispose()
    for report in (live, verify_folder(log.folder, KEY, earlier=[row["note"] for row in log.notes])):
        assert report.findings == []
        assert (report.ok, report.whole, report.first_bad) == (True, True, None)
        assert (report.entries, report.size, report.checkpoints) == (SIZE, SIZE, len(log.notes))
        assert sum(report.writers.values()) == SIZE * 9 // 10
        assert report.as_text().endswith("\nverified")
        assert json.loads(json.dumps(report.as_json()))["ok"] is True


@names(EXACT)
def test_tampering_in_the_database_is_placed_exactly(
    log: Log, engine: sa.Engine, tamper: Callable[[Rows], Rows], at: int
) -> None:
    """The first bad entry is named by its index where hash or chain give it away."""
    rewrite(engine, tamper(copy.deepcopy(log.rows)))
    report = verify_database(engine, KEY)
    assert not report.ok
    assert report.first_bad == at


@names(STRETCH)
def test_tampering_in_the_database_is_placed_between_checkpoints(
    log: Log, engine: sa.Engine, tamper: Callable[[Rows], Rows], at: int
) -> None:
    """Where an administrator made everything fit again, the signed checkpoints still say between which it lies."""
    rewrite(engine, tamper(copy.deepcopy(log.rows)))
    report = verify_database(engine, KEY)
    assert not report.ok
    assert_stretch(report, at, log.sizes)


@pytest.mark.parametrize(
    ("statement", "code", "first_bad"),
    [
        ("DELETE FROM audit_log WHERE leaf_index = 700", "gap", 700),
        ("UPDATE audit_log SET data_subject = 'ds_9' WHERE leaf_index = 700", "column", 700),
        ("UPDATE audit_log SET caller = NULL WHERE leaf_index = 700", "column", 700),
        ("UPDATE audit_log SET recorded_at = 0 WHERE leaf_index = 700", "column", 700),
        ("UPDATE audit_log SET entry_id = 'e_x' WHERE leaf_index = 700", "column", 700),
        ("DELETE FROM audit_nodes WHERE position = 2", "node", 512),
        ("DELETE FROM audit_checkpoints WHERE size = 2400", "unsealed", 2185),
        ("DELETE FROM audit_checkpoints", "no_checkpoint", None),
    ],
)
def test_a_damaged_table_is_found(engine: sa.Engine, statement: str, code: str, first_bad: int | None) -> None:
    """A gap, a column that hides an entry from searches, a missing node or checkpoint: each is found and placed."""
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    report = verify_database(engine, KEY)
    assert code in {one.code for one in report.findings}
    assert report.first_bad == first_bad


def test_swapped_and_foreign_checkpoints_are_found(log: Log, engine: sa.Engine) -> None:
    """A checkpoint of another size, of another key, or cut short, does not count and is named."""
    table = AUDIT_CHECKPOINTS
    changes = {log.sizes[1]: log.notes[2]["note"], log.sizes[3]: FOREIGN.sign(log.sizes[3], b"x" * 32)}
    root_line = log.notes[0]["note"].split("\n")[2]
    damaged = {log.sizes[4]: "cut", log.sizes[0]: log.notes[0]["note"].replace(root_line, "A" * 43 + "=")}
    with engine.begin() as connection:
        for size, note in (changes | damaged).items():
            connection.execute(sa.update(table).where(table.c.size == size).values(note=note))
    report = verify_database(engine, KEY)
    assert [one.code for one in report.findings] == ["checkpoint"] * 4
    assert report.checkpoints == len(log.sizes) - 4


def test_the_whole_log_sealed_anew_with_another_key_is_found(log: Log, engine: sa.Engine) -> None:
    """Whoever cannot use the signing key cannot make a log that verifies, even a consistent one."""
    with engine.begin() as connection:
        for row in log.notes:
            root = KEY.checkpoint(row["note"])[1]
            changed = sa.update(AUDIT_CHECKPOINTS).where(AUDIT_CHECKPOINTS.c.size == row["size"])
            connection.execute(changed.values(note=FOREIGN.sign(row["size"], root)))
    report = verify_database(engine, KEY)
    assert {one.code for one in report.findings} >= {"checkpoint", "no_checkpoint"}


def test_a_roll_back_is_found_with_a_checkpoint_kept_from_before(log: Log, engine: sa.Engine) -> None:
    """An older state is consistent in itself; an earlier checkpoint shows that entries are gone, and from where."""
    size = log.sizes[-2]
    with engine.begin() as connection:
        connection.execute(sa.delete(AUDIT_LOG).where(AUDIT_LOG.c.leaf_index >= size))
        connection.execute(sa.delete(AUDIT_CHECKPOINTS).where(AUDIT_CHECKPOINTS.c.size > size))
        connection.execute(sa.delete(AUDIT_NODES).where(AUDIT_NODES.c.position == 8))
    assert verify_database(engine, KEY).ok
    report = verify_database(engine, KEY, earlier=[log.notes[-1]["note"]])
    assert [(one.code, one.index) for one in report.findings] == [("rolled_back", size)]


def test_a_fork_is_found_with_a_checkpoint_kept_from_before(log: Log, engine: sa.Engine) -> None:
    """Even the holder of the signing key cannot change what an earlier checkpoint covers."""
    kept = SIGNER.sign(1_000, b"r" * 32)
    report = verify_database(engine, KEY, earlier=[kept])
    assert [(one.code, one.last) for one in report.findings] == [("tree", 999)]
    assert "forked" in {
        one.code for one in verify_database(engine, KEY, earlier=[kept, SIGNER.sign(1_000, b"s" * 32)]).findings
    }


def tampered_export(log: Log, folder: Path, rows: Rows, *, with_hashes: bool) -> Path:
    """A copy of the export with these entries, its manifest made to fit."""
    shutil.copytree(log.folder, folder)
    (folder / "entries.ndjson").write_bytes(b"".join(row["entry"] + b"\n" for row in rows))
    if with_hashes:
        hashes = "".join(leaf_hash(row["entry"]).hex() + "\n" for row in rows)
        (folder / "leaf-hashes.txt").write_text(hashes)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("entries.ndjson", "leaf-hashes.txt"):
        manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    resign(folder)
    return folder


def resign(folder: Path) -> None:
    """Sign the manifest anew, as only the holder of the log's key can: what is then found, the log itself tells."""
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    (folder / "manifest.sig").write_text(SIGNER.sign_file(f"{MANIFEST_TITLE}\n{digest}\n"))


@names(EXACT)
def test_tampering_with_an_export_is_placed_exactly(
    log: Log, tmp_path: Path, tamper: Callable[[Rows], Rows], at: int
) -> None:
    """The same holds for an exported folder whose manifest was made to fit."""
    rows = tamper(copy.deepcopy(log.rows))
    folder = tampered_export(log, tmp_path / "out", rows, with_hashes=tamper is not edit_bytes)
    assert verify_folder(folder, KEY).first_bad == at


@names(STRETCH)
def test_tampering_with_an_export_is_placed_between_checkpoints(
    log: Log, tmp_path: Path, tamper: Callable[[Rows], Rows], at: int
) -> None:
    """Where everything in the folder was made to fit, the checkpoints still say between which it lies."""
    folder = tampered_export(log, tmp_path / "out", tamper(copy.deepcopy(log.rows)), with_hashes=True)
    assert_stretch(verify_folder(folder, KEY), at, log.sizes)


@pytest.mark.parametrize("tamper", [edit_unchained_with_hash, rewrite_chain], ids=["unchained", "chain"])
def test_signed_leaf_hashes_place_any_edit_exactly(log: Log, tmp_path: Path, tamper: Callable[[Rows], Rows]) -> None:
    """While the exported hashes are those that were signed, every edit is placed exactly."""
    rows = tamper(copy.deepcopy(log.rows))
    report = verify_folder(tampered_export(log, tmp_path / "out", rows, with_hashes=False), KEY)
    assert report.first_bad == (UNCHAINED if tamper is edit_unchained_with_hash else CHAINED)
    assert "tree" not in {one.code for one in report.findings}


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        ("vkey.txt", "log", "LOG", "file"),
        ("README.txt", "Evidence", "evidence", "file"),
        ("entries.ndjson", "web-shop", "web-shoq", "altered"),
        ("checkpoint.txt", "2400", "2401", "file"),
        ("entries.csv", "web-shop", "web-shoq", "file"),
        ("manifest.sig", "\u2014", "-", "file"),
        ("checkpoints.ndjson", "437", "438", "checkpoint"),
        ("manifest.json", '"first_index": 0', '"first_index": 1', "file"),
        ("manifest.json", '"files"', '"filed"', None),
        ("leaf-hashes.txt", "a", "g", None),
        ("leaf-hashes.txt", "a", "9999 a", None),
    ],
)
def test_every_file_of_an_export_is_covered(
    log: Log, tmp_path: Path, name: str, old: str, new: str, code: str | None
) -> None:
    """A change in any file is found; a folder that makes no sense is refused as a whole."""
    folder = tmp_path / "out"
    shutil.copytree(log.folder, folder)
    (folder / name).write_text((folder / name).read_text().replace(old, new, 1))
    if code is None:
        with pytest.raises(Unusable):
            verify_folder(folder, KEY)
        return
    assert code in {one.code for one in verify_folder(folder, KEY).findings}


@pytest.mark.parametrize(
    "name", ["manifest.json", "manifest.sig", "entries.ndjson", "checkpoint.txt", "checkpoints.ndjson", "verify.py"]
)
def test_a_missing_file_is_named(log: Log, tmp_path: Path, name: str) -> None:
    """An export that lacks a file is refused with the file's name."""
    shutil.copytree(log.folder, tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    with pytest.raises(Unusable, match=name):
        verify_folder(tmp_path / "out", KEY)


@pytest.mark.parametrize(("since", "until"), [(0, 10), (500, 501), (437, 874), (900, 2_399), (2_390, 5_000)])
def test_a_window_verifies_and_proves_its_place(log: Log, tmp_path: Path, since: int, until: int) -> None:
    """An export of a window holds every entry of it and no gap, and verifies against the newest checkpoint."""
    engine = open_engine(log.url, threads=1)
    begin, end = NOON + timedelta(seconds=since + 1), NOON + timedelta(seconds=until + 1)
    done = export(engine, tmp_path / "out", SIGNER, NOON, EntryFilter(begin, end))
    engine.dispose()
    last = min(until, SIZE) - 1
    assert (done.first_index, done.last_index, done.matching) == (since, last, last - since + 1)
    report = verify_folder(tmp_path / "out", KEY)
    assert report.findings == []
    assert (report.first, report.entries, report.size, report.whole) == (since, last - since + 1, SIZE, False)
    lines = (tmp_path / "out" / "entries.ndjson").read_bytes().splitlines()
    assert lines == [row["entry"] for row in log.rows[since : last + 1]]
    (tmp_path / "out" / "entries.ndjson").write_bytes(b"".join(line + b"\n" for line in lines[:-1]))
    assert not verify_folder(tmp_path / "out", KEY).ok


def test_an_earlier_checkpoint_outside_the_window_is_not_passed_over(log: Log, tmp_path: Path) -> None:
    """A window cannot vouch for a checkpoint of a size before it, and says so instead of keeping silent."""
    engine = open_engine(log.url, threads=1)
    export(engine, tmp_path / "out", SIGNER, NOON, EntryFilter(NOON + timedelta(seconds=1_000)))
    engine.dispose()
    report = verify_folder(tmp_path / "out", KEY, earlier=[log.notes[0]["note"]])
    assert [one.code for one in report.findings] == ["not_comparable"]
    assert verify_folder(tmp_path / "out", KEY, earlier=[log.notes[-2]["note"]]).ok


def test_the_verifiers_command_line(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In-process as well: the report on standard output, the cause of a refusal on standard error."""
    vkey, folder = str(SIGNER.vkey), str(log.folder)
    assert verify_module.main([folder, "--vkey", vkey, "--earlier", str(log.folder / "checkpoint.txt")]) == 0
    assert capsys.readouterr().out.endswith("verified\n")
    assert verify_module.main([folder, "--vkey", vkey, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["whole"] is True
    assert verify_module.main([folder, "--vkey", str(FOREIGN.vkey)]) == 1
    assert "BAD no_checkpoint" in capsys.readouterr().out
    for bad in (vkey[:-3], "a+b", f"{vkey[:-4]}AAAA", str(tmp_path)):
        assert verify_module.main([folder, "--vkey", bad]) == 2
    assert verify_module.main([folder, "--vkey", vkey, "--earlier", "nonsense"]) == 2
    assert verify_module.main([str(tmp_path), "--vkey", vkey]) == 2
    assert "cannot verify: the folder lacks `manifest.json`" in capsys.readouterr().err
    (tmp_path / "binary").write_bytes(b"\xff")
    assert verify_module.main([folder, "--vkey", str(tmp_path / "binary")]) == 2


def test_chains_that_begin_wrong_are_found() -> None:
    """A first entry that names one before it, and a writer whose first numbers are missing, are found."""
    chain = WriterChain("wrt_1")
    leaves = chain.extend([b'{"id":"e_1"}', b'{"id":"e_2"}'])
    note = SIGNER.sign(1, leaf_hash(leaves[1]))
    check = LogCheck(KEY, [(1, note)])
    check.add(leaves[1])
    assert [(one.code, one.index) for one in check.finish().findings] == [("chain", 0)]
    window = LogCheck(KEY, [(2, SIGNER.sign(2, node_hash(leaf_hash(leaves[0]), leaf_hash(leaves[1]))))])
    window.skip(0, leaf_hash(leaves[0]))
    window.add(leaves[1])
    assert window.finish().findings == []
    chain.position = Position(0, "f" * 64)
    (forged_first,) = chain.extend([b'{"id":"e_1"}'])
    check = LogCheck(KEY, [(1, SIGNER.sign(1, leaf_hash(forged_first)))])
    check.add(forged_first)
    assert [(one.code, one.index) for one in check.finish().findings] == [("chain", 0)]


def test_an_empty_log_verifies_only_with_its_checkpoint() -> None:
    """No entries under a signed checkpoint of size 0 verify; without any checkpoint nothing does."""
    assert LogCheck(KEY, [(0, SIGNER.sign(0, EMPTY_ROOT))]).finish().ok
    assert not LogCheck(KEY, []).finish().ok


def test_entries_that_vanish_during_verification_are_missed(engine: sa.Engine) -> None:
    """When the counted tail is removed while it is being read, reading ends instead of going round for ever."""
    with engine.connect() as connection:
        assert len(list(_entries(connection, 0, SIZE + 10))) == SIZE


def test_the_verifier_runs_alone(log: Log, tmp_path: Path) -> None:
    """The one file in the export verifies it with no package of ours to import, and exits 0, 1 or 2."""
    script = tmp_path / "alone" / "verify.py"
    script.parent.mkdir()
    shutil.copy(log.folder / "verify.py", script)
    folder = tampered_export(log, tmp_path / "bad", edit_with_hash(copy.deepcopy(log.rows)), with_hashes=True)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=script.parent)

    good = run(str(log.folder), "--vkey", str(log.folder / "vkey.txt"), "--earlier", str(log.folder / "checkpoint.txt"))
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "verified")
    bad = run(str(folder), "--vkey", str(SIGNER.vkey), "--json")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["first_bad"] == CHAINED
    assert run(str(tmp_path), "--vkey", str(SIGNER.vkey)).returncode == 2
    assert run(str(folder), "--vkey", "nonsense").returncode == 2
    assert run(str(folder), "--vkey", str(SIGNER.vkey), "--earlier", "nonsense").returncode == 2
    sources = Path(verify_module.__file__).read_text()
    assert "import consent_gateway" not in sources
    assert "from consent_gateway" not in sources
