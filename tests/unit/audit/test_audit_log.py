"""Reading the log: an entry is found wherever it is, lists are filtered and paged, proofs verify offline."""

import base64
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from consent_gateway.audit import log, merkle
from consent_gateway.audit.checkpoint import read_checkpoint
from consent_gateway.audit.entry import EntryKind
from consent_gateway.audit.export import export
from consent_gateway.audit.log import AuditLog, EntryFilter
from consent_gateway.audit.recorder import Recorder, record_in
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import Signer
from consent_gateway.audit.tables import AUDIT_LOG
from consent_gateway.cli.audit import audit
from consent_gateway.database import open_engine, reading_connection, to_micros
from consent_gateway.errors import Conflict, DatabaseUnavailable, InputRefused, NotFound, SettingsRefused
from tests.conftest import NOON


def test_an_entry_is_found_before_and_after_sealing(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, state_dir: Path
) -> None:
    """Right after it was recorded, either way, and after sealing, an entry is found by its id; no other is."""
    reader, chained, own = AuditLog(gateway_engine, state_dir), make_entry(), make_entry()
    (state_dir / "audit" / "wrt_begun.db").touch()
    recorder.record(chained)
    with gateway_engine.begin() as connection:
        record_in(connection, own)
    for index in (None, 0):
        found, other = reader.find(chained.entry_id), reader.find(own.entry_id)
        assert found is not None
        assert other is not None
        assert (found.leaf_index, other.leaf_index) == (index, None if index is None else 1)
        assert found.entry == json.loads(chained.canonical())
        sealer.seal_once()
    assert reader.find("dec_unknown") is None


def test_entries_are_filtered_and_paged(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, state_dir: Path
) -> None:
    """Filters by time, kind, caller and person meet; pages go from new to old without gap or repeat."""
    made = [
        make_entry(
            caller=("till", "web-shop")[n % 2],
            data_subject=f"ds_{n % 3}",
            kind=(EntryKind.DECISION, EntryKind.TOKEN)[n % 5 == 0],
        )
        for n in range(30)
    ]
    recorder.record_all(made)
    sealer.seal_once()
    reader = AuditLog(gateway_engine, state_dir)
    newest = list(reversed(made))

    def ids(**which: Any) -> list[str]:
        return [found.entry["id"] for found in reader.entries(EntryFilter(**which))]

    assert ids() == [one.entry_id for one in newest]
    assert ids(caller="till") == [one.entry_id for one in newest if one.caller == "till"]
    assert ids(data_subject="ds_1", kind="token") == [
        one.entry_id for one in newest if one.data_subject == "ds_1" and one.kind == "token"
    ]
    assert ids(since=made[5].at, until=made[9].at) == [one.entry_id for one in reversed(made[5:9])]
    paged: list[str] = []
    before = None
    while page := reader.entries(EntryFilter(), before=before, limit=7):
        paged += [found.entry["id"] for found in page]
        before = page[-1].leaf_index
    assert paged == [one.entry_id for one in newest]


LISTINGS = {
    "everything": (EntryFilter(), "ix_audit_log_newest"),
    "a period": (EntryFilter(since=NOON, until=NOON + timedelta(hours=1)), "ix_audit_log_newest"),
    "until": (EntryFilter(until=NOON), "ix_audit_log_newest"),
    "a word of the entry": (EntryFilter(purpose="payment"), "ix_audit_log_newest"),
    "a rare kind": (EntryFilter(kind="key"), "ix_audit_log_kind_newest"),
    "a kind that is not there": (EntryFilter(kind="restore"), "ix_audit_log_kind_newest"),
    "a rare kind in a period": (EntryFilter(since=NOON, kind="key"), "ix_audit_log_kind_newest"),
    "a rare caller": (EntryFilter(caller="back-office"), "ix_audit_log_caller_newest"),
    "a person": (EntryFilter(data_subject="ds_1"), "ix_audit_log_data_subject_newest"),
    "a person in a period": (EntryFilter(until=NOON, data_subject="ds_1"), "ix_audit_log_data_subject_newest"),
}


def test_every_listing_reads_one_index_and_nothing_else(gateway_engine: sa.Engine) -> None:
    """First page and next: the plan of either database goes along the filter's index, and neither scans nor sorts."""
    rows = [
        {
            "leaf_index": n, "entry_id": f"ent_{n}", "kind": "key" if n == 17 else "decision",
            "recorded_at": to_micros(NOON) + (n - 2000) * 1_000_000, "caller": "back-office" if n == 40 else "till",
            "data_subject": f"ds_{n % 500}", "entry": b"{}" * 200, "leaf_hash": b"h" * 32,
        }
        for n in range(4000)
    ]  # fmt: skip
    with gateway_engine.begin() as connection:
        connection.execute(sa.insert(AUDIT_LOG), rows)
    is_sqlite = gateway_engine.dialect.name == "sqlite"
    with reading_connection(gateway_engine) as connection:
        connection.exec_driver_sql("ANALYZE")
        for name, (which, index) in LISTINGS.items():
            for after in (None, (to_micros(NOON), 2000)):
                statement = log.page_statement(which, after, 50)
                text = str(statement.compile(gateway_engine, compile_kwargs={"literal_binds": True}))
                asked = f"EXPLAIN QUERY PLAN {text}" if is_sqlite else f"EXPLAIN {text}"
                plan = " ".join(str(row) for row in connection.exec_driver_sql(asked.replace("%", "%%")))
                assert re.search(rf"\b{index}\b", plan), (name, plan)
                assert not [word for word in ("Seq Scan", "TEMP B-TREE") if word in plan], (name, plan)
                few = which.data_subject is not None  # PostgreSQL may sort the few entries of one person
                assert few or "Sort" not in plan, (name, plan)


def test_a_page_goes_by_time_also_where_entries_were_sealed_late(gateway_engine: sa.Engine) -> None:
    """An entry sealed long after it was made stands where its time is; pages of any size lose and repeat none."""
    times = [5, 1, 9, 9, 2, 7, 3, 9, 0, 4]
    rows = [
        {
            "leaf_index": n, "entry_id": f"ent_{n}", "kind": "decision", "recorded_at": at, "entry": b"{}",
            "leaf_hash": b"h",
        }
        for n, at in enumerate(times)
    ]  # fmt: skip
    with gateway_engine.begin() as connection:
        connection.execute(sa.insert(AUDIT_LOG), rows)
    expected = sorted(range(len(times)), key=lambda n: (times[n], n), reverse=True)
    with reading_connection(gateway_engine) as connection:
        for limit in (1, 3, 4, 20):
            listed: list[int | None] = []
            before: int | None = None
            while True:
                part = log.page(connection, EntryFilter(), before=before, limit=limit)
                listed += [one.leaf_index for one in part.found]
                before = part.before
                if before is None:
                    break
            assert listed == expected
        beyond = log.page(connection, EntryFilter(), before=999, limit=2)
    assert [one.leaf_index for one in beyond.found] == expected[:2]


def test_all_entries_are_read_in_pages(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading every entry goes from old to new over any number of pages."""
    made = [make_entry() for _ in range(11)]
    recorder.record_all(made)
    sealer.seal_once()
    monkeypatch.setattr(log, "PAGE", 4)
    with gateway_engine.connect() as connection:
        read = [found.entry["id"] for found in log.every_entry(connection, EntryFilter())]
    assert read == [one.entry_id for one in made]


def test_an_inclusion_proof_verifies_offline(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, signer: Signer, make_entry: Any, state_dir: Path
) -> None:
    """The text proof of any entry leads from its leaf to the root of the signed checkpoint inside it."""
    made = [make_entry() for _ in range(300)]
    recorder.record_all(made)
    sealer.seal_once()
    reader = AuditLog(gateway_engine, state_dir)
    for index in (0, 1, 255, 256, 299):
        found = reader.find(made[index].entry_id)
        assert found is not None
        head, _, note = reader.inclusion(made[index].entry_id).text.partition("\n\n")
        first, second, *path = head.split("\n")
        assert (first, second) == ("c2sp.org/tlog-proof@v1", f"index {index}")
        checkpoint = read_checkpoint(note, signer.vkey)
        proof = [base64.b64decode(sibling) for sibling in path]
        leaf = merkle.leaf_hash(found.leaf)
        assert merkle.inclusion_holds(index, checkpoint.size, leaf, proof, checkpoint.root)


def test_a_consistency_proof_leads_from_any_earlier_size(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, signer: Signer, make_entry: Any
) -> None:
    """From every earlier size the proof leads to the present checkpoint; a size past it is refused."""
    recorder.record_all([make_entry() for _ in range(270)])
    sealer.seal_once()
    with gateway_engine.connect() as connection:
        for old in (0, 1, 100, 256, 270):
            proof = log.consistency(connection, old)
            checkpoint = read_checkpoint(proof.note, signer.vkey)
            assert (proof.size, proof.root, proof.old_root) == (270, checkpoint.root, log.root_of(connection, old))
            assert merkle.consistency_holds(old, 270, proof.path, proof.old_root, proof.root)
        between = log.consistency(connection, 100, 200)
        assert merkle.consistency_holds(100, 200, between.path, log.root_of(connection, 100), between.root)
        for old, size in ((271, None), (-1, None), (3, 2), (1, 271)):
            with pytest.raises(NotFound):
                log.consistency(connection, old, size)


def test_what_is_not_there_is_told(gateway_engine: sa.Engine, signer: Signer, state_dir: Path, tmp_path: Path) -> None:
    """Without a checkpoint, an entry or a database the reader says so by name."""
    reader = AuditLog(gateway_engine, state_dir)
    with pytest.raises(NotFound):
        reader.checkpoint()
    with pytest.raises(NotFound):
        reader.inclusion("dec_1")
    bare = open_engine(f"sqlite:///{tmp_path / 'bare.db'}", threads=1)
    with pytest.raises(DatabaseUnavailable):
        AuditLog(bare, state_dir).find("dec_1")
    bare.dispose()


def test_exports_refuse_what_they_cannot_do(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, signer: Signer, make_entry: Any, tmp_path: Path
) -> None:
    """A reversed or empty window, a log without checkpoint and a folder in use are refused."""
    made = make_entry()
    with pytest.raises(NotFound):
        export(gateway_engine, tmp_path / "a", signer, made.at)
    recorder.record(made)
    sealer.seal_once()
    with pytest.raises(NotFound):
        export(gateway_engine, tmp_path / "a", signer, made.at, EntryFilter(until=made.at))
    with pytest.raises(InputRefused):
        export(gateway_engine, tmp_path / "a", signer, made.at, EntryFilter(made.at, made.at))
    with pytest.raises(Conflict):
        export(gateway_engine, tmp_path, signer, made.at)
    assert export(gateway_engine, tmp_path / "a", signer, made.at).entries == 1


def test_the_commands(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, make_entry: Any, state_dir: Path, tmp_path: Path
) -> None:
    """verify, export and checkpoint work on the database and on the folder, with and without --json."""
    recorder.record_all([make_entry() for _ in range(5)])
    sealer.seal_once()
    url, out = gateway_engine.url.render_as_string(hide_password=False), tmp_path / "out"
    where = ["--database", url, "--state", str(state_dir)]

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(audit, list(arguments))
        return result.exit_code, result.output

    assert run("verify", *where)[0] == 0
    code, text = run("export", str(out), *where, "--since", "2026-11-22", "--json")
    assert (code, json.loads(text)["entries"]) == (0, 5)
    note = json.loads(run("checkpoint", "--database", url, "--json")[1])["note"]
    assert run("checkpoint", "--database", url)[1] == note == (out / "checkpoint.txt").read_text()
    vkey = ["--vkey", str(out / "vkey.txt")]
    code, text = run("verify", str(out), *vkey, "--earlier", str(out / "checkpoint.txt"), "--json")
    assert (code, json.loads(text)["ok"], json.loads(text)["whole"]) == (0, True, True)
    (out / "README.txt").write_text("changed")
    code, text = run("verify", str(out), *vkey)
    assert code == 1
    assert "BAD file" in text
    assert "exported entries 0 to 4 of 5" in run("export", str(tmp_path / "again"), *where)[1]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["verify"], 1),
        (["verify", "--vkey", "nonsense"], 1),
        (["verify", "--vkey", "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"], 1),
        (
            [
                "verify",
                ".",
                "--database",
                "sqlite:///x",
                "--vkey",
                "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            ],
            2,
        ),
        (["verify", ".", "--vkey", "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"], 1),
        (["export", "x"], 1),
        (["checkpoint"], 1),
    ],
)
def test_commands_say_what_they_need(
    arguments: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing or unusable options and settings end in a usage error or a named refusal, never in a KeyError."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(audit, arguments)
    assert result.exit_code == code
    assert code == 2 or isinstance(result.exception, InputRefused | SettingsRefused)


def test_times_on_the_command_line(tmp_path: Path) -> None:
    """A time that is none is refused by name."""
    result = CliRunner().invoke(
        audit, ["export", str(tmp_path / "x"), "--database", f"sqlite:///{tmp_path / 'g.db'}", "--since", "noon"],
    )  # fmt: skip
    assert isinstance(result.exception, InputRefused)
    assert "`noon` is not a time" in result.exception.message
