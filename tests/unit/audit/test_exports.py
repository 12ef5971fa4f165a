"""Exports of any question: the entries that fit, each proved at its index, as lines and a table, counted, signed."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from consent_gateway.audit import export as export_module
from consent_gateway.audit.append_only import drop_append_only_ddl
from consent_gateway.audit.csv_view import csv_row, plain
from consent_gateway.audit.entry import EntryKind
from consent_gateway.audit.export import Exported, export
from consent_gateway.audit.log import EntryFilter
from consent_gateway.audit.recorder import Recorder, record_in
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import Signer
from consent_gateway.audit.tables import AUDIT_LOG, AUDIT_QUEUE
from consent_gateway.audit.verify import LogKey, Report, Unusable, verify_folder
from consent_gateway.cli.audit import audit
from consent_gateway.errors import LogDamaged, NotFound

SIZE = 330
Ask = Callable[..., tuple[Exported, Report]]


@pytest.fixture
def made(recorder: Recorder, sealer: Sealer, make_entry: Any, gateway_engine: sa.Engine) -> list[Any]:
    """Entries of several people, channels, purposes and outcomes, sealed in three parts."""
    entries = [
        make_entry(
            data_subject=f"ds_{n % 7}",
            channel=("web", "till", "mail")[n % 3],
            purpose=("order_fulfilment", "email_marketing")[n % 5 == 0],
            caller=("web-shop", "till-7")[n % 4 == 0],
            outcome=("open", "denied")[n % 11 == 0],
        )
        for n in range(SIZE)
    ]
    recorder.record_all(entries[:200])
    sealer.seal_once()
    recorder.record_all(entries[200:])
    sealer.seal_once()
    with gateway_engine.begin() as connection:
        record_in(connection, make_entry(kind=EntryKind.SYSTEM, data_subject=None))
    sealer.seal_once()
    return entries


@pytest.fixture
def ask(gateway_engine: sa.Engine, signer: Signer, made: list[Any], tmp_path: Path) -> Ask:
    """Exports what fits and verifies the folder."""

    def asked(**which: Any) -> tuple[Exported, Report]:
        folder = tmp_path / f"export-{len(list(tmp_path.glob('export-*')))}"
        done = export(gateway_engine, folder, signer, made[-1].at, EntryFilter(**which))
        return done, verify_folder(folder, LogKey(signer.published))

    return asked


def lines(folder: Path) -> list[dict[str, Any]]:
    """The entries of an export."""
    return [json.loads(line)["entry"] for line in (folder / "entries.ndjson").read_bytes().splitlines()]


@pytest.mark.parametrize(
    "which",
    [
        {"data_subject": "ds_3"},
        {"purpose": "email_marketing"},
        {"channel": "till"},
        {"caller": "till-7"},
        {"outcome": "denied"},
        {"kind": "decision", "data_subject": "ds_0", "channel": "mail", "outcome": "open"},
    ],
    ids="+".join,
)
def test_an_export_holds_exactly_what_fits_each_proved_at_its_index(
    ask: Ask, made: list[Any], which: dict[str, str]
) -> None:
    """The same question asked of the recorded entries one by one gives the same, and the proof covers the whole log."""
    done, report = ask(**which)
    expected = [one for one in made if all(str(getattr(one, name)) == value for name, value in which.items())]
    assert [one["id"] for one in lines(done.folder)] == [one.entry_id for one in expected]
    assert report.findings == []
    assert (report.entries, report.size, report.whole) == (len(expected), SIZE + 1, False)
    assert (done.first_index, done.last_index) == (made.index(expected[0]), made.index(expected[-1]))
    table = list(csv.DictReader(io.StringIO((done.folder / "entries.csv").read_bytes().decode())))
    assert [(row["id"], row["at_utc"]) for row in table] == [(one["id"], one["at"]) for one in lines(done.folder)]
    assert [made.index(one) for one in expected] == [int(row["index"]) for row in table]
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert (manifest["time_zone"], manifest["unbroken"]) == ("UTC", False)
    assert {name: value for name, value in manifest["query"].items() if value} == which
    counts = manifest["reconciled"]
    assert (counts["counted"], counts["written"], counts["csv_rows"]) == (counts["read"], len(expected), len(expected))


def test_a_period_is_an_unbroken_run(ask: Ask, made: list[Any]) -> None:
    """A period alone leaves nothing out between its first and last entry, and says so."""
    done, report = ask(since=made[100].at, until=made[250].at)
    assert (report.findings, report.first, report.entries, report.checkpoints) == ([], 100, 150, 2)
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert (manifest["unbroken"], manifest["matching"], manifest["query"]["since"]) == (
        True,
        150,
        lines(done.folder)[0]["at"],
    )
    both, narrow = ask(since=made[100].at, until=made[250].at, data_subject="ds_1")
    assert (narrow.findings, narrow.entries) == ([], sum(one.data_subject == "ds_1" for one in made[100:250]))
    assert both.matching == narrow.entries


def test_an_export_of_some_entries_hides_no_change(ask: Ask, signer: Signer, tmp_path: Path) -> None:
    """An entry changed, left out, doubled or moved is found, although files were made to fit."""
    done, _report = ask(data_subject="ds_3")
    entries = (done.folder / "entries.ndjson").read_bytes().splitlines(keepends=True)
    proof = (done.folder / "leaf-hashes.txt").read_text().splitlines(keepends=True)
    of_entries = [at for at, line in enumerate(proof) if " " not in line]

    def verdict(changed: list[bytes], hashes: list[str]) -> bool:
        folder = tmp_path / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(done.folder, folder)
        (folder / "entries.ndjson").write_bytes(b"".join(changed))
        (folder / "leaf-hashes.txt").write_text("".join(hashes))
        try:
            report = verify_folder(folder, LogKey(signer.published))
        except Unusable:
            return False
        return not [one for one in report.findings if one.code not in ("file", "chain")]

    assert verdict(entries, proof)
    without = [line for at, line in enumerate(proof) if at != of_entries[5]]
    assert not verdict(
        [entries[0].replace(b"web-shop", b"web-shoq").replace(b"till-7", b"till-8"), *entries[1:]], proof
    )
    assert not verdict([*entries[:5], *entries[6:]], proof)
    assert not verdict([*entries[:5], *entries[6:]], without)
    assert not verdict([*entries[:6], *entries[5:]], proof)
    assert not verdict([entries[1], entries[0], *entries[2:]], proof)
    assert not verdict(entries[:-1], proof)
    assert not verdict(entries, proof[:-1])


def test_a_manifest_that_was_not_signed_is_found(ask: Ask, signer: Signer) -> None:
    """Another question, other counts, a note of another key or of another text do not pass for the signed manifest."""
    done, _report = ask(data_subject="ds_3")
    key, manifest, note = LogKey(signer.published), done.folder / "manifest.json", done.folder / "manifest.sig"
    good, signed = manifest.read_text(), note.read_text()
    for text, signature in (
        (good.replace("ds_3", "ds_4"), signed),
        (good.replace('"csv_rows": ', '"csv_rows": 1'), signed),
        (good, Signer("log.example/audit", bytes(32)).sign_file(signed.partition("\n\n")[0] + "\n")),
        (good, signer.sign_file("consent-gateway export manifest\n00\n")),
        (good, (done.folder / "checkpoint.txt").read_text()),
        (good, "nothing"),
    ):
        manifest.write_text(text)
        note.write_text(signature)
        assert [one.code for one in verify_folder(done.folder, key).findings] == ["file"]
    manifest.write_text(good)
    note.write_text(signed)
    assert verify_folder(done.folder, key).ok


def test_no_cell_is_a_formula() -> None:
    """A cell that a spreadsheet would run is text behind an apostrophe; what is no entry gives an empty row."""
    for cell in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "|calc", "%x"):
        assert plain(cell) == f"'{cell}"
    for cell in ("", "e_1", "1=1", "2026-11-22T12:00:00.000000Z"):
        assert plain(cell) == cell
    row = next(
        csv.reader([csv_row(3, {"id": "=cmd()", "detail": {"why": "a,b"}, "facts": ["-x"], "fields": {"e": ["x"]}})])
    )
    assert row[2] == "'=cmd()"
    assert row[-3:] == ["e: x", "'-x", "why=a,b"]
    assert csv_row(4, {"fields": 5, "detail": "x", "facts": 7}) == "4" + "," * 16 + ",7,\r\n"


def test_rows_that_vanish_while_they_are_read_are_told(
    gateway_engine: sa.Engine, signer: Signer, made: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was counted must be read, or there is no export; progress goes up to the total."""
    monkeypatch.setattr(export_module, "PAGE", 50)
    seen: list[tuple[int, int]] = []
    export(gateway_engine, tmp_path / "a", signer, made[0].at, progress=lambda *told: seen.append(told))
    assert seen == [(min(n, SIZE + 1), SIZE + 1) for n in range(50, SIZE + 51, 50)]

    def steal(read: int, _total: int) -> None:
        if read == 50:
            with gateway_engine.begin() as connection:
                for statement in drop_append_only_ddl(gateway_engine.dialect.name):
                    connection.exec_driver_sql(statement)
                connection.execute(sa.delete(AUDIT_LOG).where(AUDIT_LOG.c.leaf_index == 200))

    with pytest.raises(LogDamaged, match="verify the log"):
        export(gateway_engine, tmp_path / "b", signer, made[0].at, progress=steal)
    with pytest.raises(NotFound):
        export(gateway_engine, tmp_path / "c", signer, made[0].at, EntryFilter(purpose="nothing"))


def test_the_command_asks_for_anything(
    gateway_engine: sa.Engine, signer: Signer, made: list[Any], state_dir: Path, tmp_path: Path
) -> None:
    """Each part of the question has its option; the act is an entry that names it."""
    url, out = gateway_engine.url.render_as_string(hide_password=False), tmp_path / "out"
    options = ["--person", "ds_0", "--channel", "mail", "--outcome", "open", "--purpose", "order_fulfilment"]
    where = ["--database", url, "--state", str(state_dir)]
    result = CliRunner().invoke(audit, ["export", str(out), *where, *options, "--json"])
    expected = [one for one in made if (one.data_subject, one.channel, one.outcome) == ("ds_0", "mail", "open")]
    assert json.loads(result.stdout)["entries"] == sum(one.purpose == "order_fulfilment" for one in expected)
    assert verify_folder(out, LogKey(signer.published)).ok
    with gateway_engine.connect() as connection:
        waiting = connection.execute(sa.select(AUDIT_QUEUE.c.entry)).scalars().all()
    acts = [json.loads(bytes(one))["entry"] for one in waiting]
    wanted = {"data_subject": "ds_0", "channel": "mail", "outcome": "open", "purpose": "order_fulfilment"}
    assert [(one["action"], one["detail"]) for one in acts] == [("export", wanted)]
    assert replace(EntryFilter(), purpose="x").is_window is False


@pytest.mark.only_on("sqlite", reason="SQLite tells how many steps of its machine a statement took")
def test_a_later_page_costs_no_more_than_an_earlier_one(
    gateway_engine: sa.Engine, signer: Signer, made: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page is found where the one before it ended, however far into the log: an export grows with its entries."""
    steps, seen = 0, [0]

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    def count(connection: Any, *_more: object) -> None:
        connection.set_progress_handler(step, 10)

    monkeypatch.setattr(export_module, "PAGE", 10)
    sa.event.listen(gateway_engine, "checkout", count)
    export(gateway_engine, tmp_path / "export", signer, made[-1].at, progress=lambda _read, _all: seen.append(steps))
    pages = [later - earlier for earlier, later in pairwise(seen)][1:-1]
    assert len(pages) > 20
    assert max(pages) <= 2 * min(pages)
