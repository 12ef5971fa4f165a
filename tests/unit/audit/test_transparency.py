"""The log as others check it: tiles, proofs and checkpoints in another's hands, witnesses, anchors, changed keys."""

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash

from consent_gateway.audit import rotation, verify
from consent_gateway.audit.anchors import Anchoring, FolderAnchor
from consent_gateway.audit.append_only import drop_append_only_ddl
from consent_gateway.audit.checkpoint import COSIGNATURE, NoteInvalid, read_checkpoint, read_vkey
from consent_gateway.audit.cosignature import cosigned_at
from consent_gateway.audit.log import AuditLog, EntryFilter, checkpoint_note, size_of
from consent_gateway.audit.recorder import Recorder
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import Signer, open_signer
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_LOG, AUDIT_NODES
from consent_gateway.audit.tiles import Tile, read_tile, tile_bytes, tiles_of, write_tiles
from consent_gateway.audit.verify import LogKey, Unusable, verify_folder
from consent_gateway.audit.witnesses import Cosigning, Witness
from consent_gateway.cli.audit import audit
from consent_gateway.errors import Conflict, DatabaseUnavailable, LogDamaged, NotFound, SettingsRefused
from tests.peers.witness import SmallWitness, serving

SIZES = (3, 256, 257, 700)
SECONDS = 1_795_348_800


@dataclass
class Grown:
    """A sealed log of 700 entries with a checkpoint at each of `SIZES`, and a copy of its tiles."""

    engine: sa.Engine
    state_dir: Path
    signer: Signer
    leaves: list[bytes]
    tiles: Path


@pytest.fixture
def grown(
    gateway_engine: sa.Engine,
    recorder: Recorder,
    sealer: Sealer,
    signer: Signer,
    make_entry: Any,
    state_dir: Path,
    tmp_path: Path,
) -> Grown:
    """The log, on both databases."""
    made = 0
    for size in SIZES:
        recorder.record_all([make_entry() for _ in range(size - made)])
        made = size
        assert sealer.seal_once().size == size
    with gateway_engine.connect() as connection:
        entries = connection.execute(sa.select(AUDIT_LOG.c.entry).order_by(AUDIT_LOG.c.leaf_index)).scalars()
        leaves = [bytes(entry) for entry in entries]
        note = checkpoint_note(connection)
        write_tiles(connection, tmp_path / "tiles", note, size_of(note))
    return Grown(gateway_engine, state_dir, signer, leaves, tmp_path / "tiles")


def test_another_implementation_reads_and_proves_our_log(grown: Grown) -> None:
    """From tiles alone another implementation verifies the checkpoint, makes the same root, and every proof holds."""
    reader = TilesReader(LocalBackend(grown.tiles))
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(str(grown.signer.vkey)))
    assert (checkpoint.origin, checkpoint.size) == ("log.example/audit", 700)
    assert reader.calculate_root_hash() == checkpoint.root_hash
    log = AuditLog(grown.engine, grown.state_dir)
    for index in (0, 2, 255, 256, 511, 699):
        assert reader.get_entry(index) == grown.leaves[index]
        entry_id = json.loads(grown.leaves[index])["entry"]["id"]
        ours, theirs = log.inclusion(entry_id), reader.get_inclusion_proof(index, 700)
        assert (ours.index, ours.size, ours.path) == (index, 700, theirs.node_hashes)
        theirs.check(leaf_hash(grown.leaves[index]), checkpoint.root_hash)
    for old in (1, *SIZES):
        for size in (size for size in SIZES if size >= old):
            consistency = log.consistency(old, size)
            theirs_between = reader.get_consistency_proof(old, size)
            assert consistency.path == theirs_between.node_hashes
            theirs_between.check(consistency.old_root, consistency.root)


def test_our_verifier_reads_the_tiles_too(grown: Grown) -> None:
    """A copy of the tiles verifies, also after the log grew past it, and a changed tile, entry or head is found."""
    key = LogKey(grown.signer.published)
    report = verify_folder(grown.tiles, key)
    assert report.findings == []
    assert (report.size, report.whole, sum(report.writers.values())) == (700, True, 700)
    bundle = grown.tiles / "tile" / "entries" / "002.p" / "188"
    good = bundle.read_bytes()
    bundle.write_bytes(good.replace(b"web-shop", b"web-shoq", 1))
    assert {(one.code, one.index) for one in verify_folder(grown.tiles, key).findings} == {
        ("altered", 512),
        ("chain", 512),
    }
    bundle.write_bytes(good[:-40])
    assert verify_folder(grown.tiles, key).first_bad == 699
    bundle.unlink()
    with pytest.raises(Unusable, match="188"):
        verify_folder(grown.tiles, key)
    bundle.write_bytes(good)
    hashes = grown.tiles / "tile" / "0" / "000"
    hashes.write_bytes(bytes(32) + hashes.read_bytes()[32:])
    assert verify_folder(grown.tiles, key).first_bad == 0


def test_tiles_have_the_names_and_sizes_of_the_specification(grown: Grown) -> None:
    """Names are those of tlog-tiles and nothing else is one; the tiles of a tree are the specification's example."""
    assert Tile(None, 1_234_067).path == "tile/entries/x001/x234/067"
    assert Tile(0, 273, 112).path == "tile/0/273.p/112"
    of_level = {level: [tile for tile in tiles_of(70_000) if tile.level == level] for level in (None, 0, 1, 2, 3)}
    assert [len(of_level[level]) for level in (None, 0, 1, 2, 3)] == [274, 274, 2, 1, 0]
    assert [of_level[level][-1].width for level in (0, 1, 2)] == [112, 17, 1]
    assert [(tile.level, tile.width) for tile in tiles_of(256)] == [(None, 256), (0, 256), (1, 1)]
    for tile in tiles_of(70_000):
        _tile, level, name = tile.path.split("/", 2)
        assert read_tile(level, name) == tile
    bad = ["", "1", "01", "0001", "x000/001", "001/002", "x001", "000.p/0", "000.p/256", "000.p/01", "000.p/", "../000"]
    for level, name in [*(("0", name) for name in bad), ("8", "000"), ("00", "000"), ("-1", "000"), ("", "000")]:
        with pytest.raises(NotFound):
            read_tile(level, name)
    with grown.engine.connect() as connection:
        assert len(tile_bytes(connection, Tile(0, 2, 188), 700)) == 188 * 32
        assert len(tile_bytes(connection, Tile(0, 2, 1), 700)) == 32  # of an earlier checkpoint
        for beyond in (Tile(0, 2), Tile(0, 2, 189), Tile(None, 3, 1), Tile(1, 0, 3), Tile(2, 0, 1)):
            with pytest.raises(NotFound):
                tile_bytes(connection, beyond, 700)


def test_the_verifier_needs_nothing_but_cryptography(grown: Grown, tmp_path: Path) -> None:
    """Lifted out into an empty folder, with the standard library and `cryptography` alone, it verifies the tiles."""
    packages = tmp_path / "packages"
    packages.mkdir()
    site = Path(str(sys.modules["cryptography"].__file__)).parent.parent
    for name in ("cryptography", "cffi", *(path.name for path in site.glob("_cffi_backend*"))):
        (packages / name).symlink_to(site / name)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "verify.py").write_bytes(Path(verify.__file__).read_bytes())
    start = f"import sys, runpy; sys.path.append({str(packages)!r}); runpy.run_path('verify.py', run_name='__main__')"
    run = [sys.executable, "-I", "-S", "-c", start, str(grown.tiles), "--vkey", grown.signer.published]
    done = subprocess.run(run, cwd=alone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "verified"), done.stderr
    missing = [*run[:4], start.replace("sys.path.append", "str"), *run[5:]]
    assert "cryptography" in subprocess.run(missing, cwd=alone, capture_output=True, text=True, check=False).stderr


def test_the_command_writes_tiles_and_goes_on_where_it_was(grown: Grown, tmp_path: Path) -> None:
    """`audit tiles` writes the same copy, and running it again rewrites no tile."""
    url = grown.engine.url.render_as_string(hide_password=False)
    folder = tmp_path / "copy"
    arguments = ["tiles", str(folder), "--database", url]
    assert CliRunner().invoke(audit, arguments).output == f"tiles of 700 entries in {folder}\n"
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    copied = {path.relative_to(folder): path.read_bytes() for path in written}
    assert copied == {p.relative_to(grown.tiles): p.read_bytes() for p in grown.tiles.rglob("*") if p.is_file()}
    assert CliRunner().invoke(audit, [*arguments, "--json"]).exit_code == 0
    again = {path: path.stat().st_mtime_ns for path in written}
    assert [path.name for path in written if again[path] != written[path]] == ["checkpoint"]


def test_a_witness_cosigns_and_its_word_is_kept(
    grown: Grown, recorder: Recorder, sealer: Sealer, make_entry: Any
) -> None:
    """A witness of another make cosigns each newest checkpoint once; its line is served, and verifiers ask for it."""
    witness = SmallWitness("witness.example/w1", str(grown.signer.vkey), SECONDS)
    vkey = witness.vkey.serialize()
    key = read_vkey(vkey, COSIGNATURE)
    with serving(witness) as url:
        cosigning = Cosigning(grown.engine, (Witness(url, key),))
        assert [cosigning.round(), cosigning.round()] == [1, 0]
        recorder.record(make_entry())
        sealer.seal_once()
        witness.seen = (257, AuditLog(grown.engine, grown.state_dir).consistency(257).old_root)  # it forgot: 409 tells
        assert cosigning.round() == 1
    assert witness.seen[0] == 701
    note = AuditLog(grown.engine, grown.state_dir).checkpoint()
    assert cosigned_at(note, key) == SECONDS
    assert read_checkpoint(note, grown.signer.vkey).size == 701
    with grown.engine.connect() as connection:
        write_tiles(connection, grown.tiles, note, 701)
    assert verify_folder(grown.tiles, LogKey(grown.signer.published, [vkey])).witnesses == ["witness.example/w1"]
    other = Vkey("witness.example/w2", None, 4, bytes(32)).serialize()
    assert [one.code for one in verify_folder(grown.tiles, LogKey(grown.signer.published, [vkey, other])).findings] == [
        "witness"
    ]


def test_a_witness_that_is_away_lies_or_knows_better(grown: Grown, caplog: pytest.LogCaptureFixture) -> None:
    """Away or forging, it is logged and asked again; one that has seen a larger or another log is an alarm."""
    witness = SmallWitness("witness.example/w1", str(grown.signer.vkey), SECONDS)
    key = read_vkey(witness.vkey.serialize(), COSIGNATURE)
    with caplog.at_level(logging.WARNING):
        assert Cosigning(grown.engine, (Witness("http://127.0.0.1:9/w", key),)).round() == 0
        with serving(witness) as url:
            assert Cosigning(grown.engine, (Witness(f"{url}/elsewhere", key),)).round() == 0
            witness.forged = True
            assert Cosigning(grown.engine, (Witness(url, key),)).round() == 0
            for seen in ((9_999, bytes(32)), (257, bytes(32)), (700, bytes(32))):
                witness.seen = seen
                with pytest.raises(LogDamaged, match=r"w1` has seen"):
                    Cosigning(grown.engine, (Witness(url, key),)).round()
    assert caplog.text.count("did not cosign") == 3
    assert cosigned_at(AuditLog(grown.engine, grown.state_dir).checkpoint(), key) is None


def test_checkpoints_are_anchored_outside_once_an_hour(grown: Grown, clock: Any, tmp_path: Path) -> None:
    """A folder gets the newest checkpoint, never the same twice; a log that is behind it, or a full disk, is told."""
    folder = tmp_path / "outside"
    folder.mkdir()
    anchor = FolderAnchor(folder)
    anchoring = Anchoring(grown.engine, (anchor,), clock)
    assert anchor.newest() is None
    assert [anchoring.round(), anchoring.round()] == [1, 0]
    assert [path.name for path in folder.iterdir()] == ["checkpoint-000000000700.txt"]
    clock.moment += timedelta(hours=1)
    assert anchoring.round() == 1
    assert anchor.newest() == AuditLog(grown.engine, grown.state_dir).checkpoint()
    anchor.keep(9_999, grown.signer.sign(9_999, bytes(32)))
    with pytest.raises(LogDamaged, match="9999 entries were anchored"):
        Anchoring(grown.engine, (anchor,), clock).round()
    (folder / "checkpoint-999999999999.txt").write_bytes(b"\xff")
    for unusable in (FolderAnchor(tmp_path / "nowhere"), anchor):
        with pytest.raises(DatabaseUnavailable):
            Anchoring(grown.engine, (unusable,), clock).round()
    assert Anchoring(grown.engine, (), clock).round() == 0


def test_keys_overlap_and_the_retired_one_vouches_for_nothing_new(
    grown: Grown, recorder: Recorder, make_entry: Any, clock: Any
) -> None:
    """While two keys sign, either list verifies; after that only the new one counts, and the log names each act."""
    path = grown.state_dir / "audit" / "log.key"
    first = grown.signer
    with pytest.raises(Conflict, match="one key only"):
        rotation.retire_key(path, 1, print)
    both = rotation.begin(grown.engine, path, clock.now())
    assert both.vkeys[0] == first.vkey
    with pytest.raises(Conflict, match="two keys"):
        rotation.begin(grown.engine, path, clock.now())
    with pytest.raises(Conflict, match="restart the worker"):
        rotation.finish(grown.engine, path, clock.now())
    sealer = Sealer(grown.engine, grown.state_dir, open_signer(path), clock)
    sealer.seal_once()
    log = AuditLog(grown.engine, grown.state_dir)
    for vkey in both.vkeys:
        assert read_checkpoint(log.checkpoint(), vkey).size == 701
    last = rotation.finish(grown.engine, path, clock.now())
    assert last.vkeys == (both.vkeys[1],)
    assert last.published == f"{first.vkey} until 701\n{both.vkeys[1]}\n"
    assert stat_mode(path) == 0o600
    Sealer(grown.engine, grown.state_dir, open_signer(path), clock).seal_once()
    with pytest.raises(NoteInvalid):
        read_checkpoint(log.checkpoint(), first.vkey)
    with grown.engine.connect() as connection:
        actions = [one.entry.get("action") for one in log.entries(EntryFilter(kind="key"))]
        note = log.checkpoint()
        write_tiles(connection, grown.tiles, note, size_of(note))
    assert actions == ["log_key_retired", "log_key_added"]
    assert verify_folder(grown.tiles, LogKey(last.published)).ok
    forged = first.sign(702, read_checkpoint(note, last.vkey).root)
    (grown.tiles / "checkpoint").write_text(forged)
    report = verify_folder(grown.tiles, LogKey(last.published))
    first = report.findings[0]
    assert (first.code, first.index, first.last) == ("checkpoint", 0, 701)
    assert "only a retired key" in first.message
    told = CliRunner().invoke(audit, ["keys", "--state", str(grown.state_dir)])
    assert told.output == last.published
    path.write_text(path.read_text().replace(" until 701", " until then"))
    with pytest.raises(SettingsRefused, match="damaged"):
        open_signer(path)


def test_the_commands_change_keys(grown: Grown) -> None:
    """`add-key` and `retire-key` do the same from the command line, and say what comes next."""
    url = grown.engine.url.render_as_string(hide_password=False)
    where = ["--database", url, "--state", str(grown.state_dir)]
    added = CliRunner().invoke(audit, ["add-key", *where])
    assert "restart the worker" in added.output
    assert len(added.output.splitlines()) == 3
    assert isinstance(CliRunner().invoke(audit, ["retire-key", *where]).exception, Conflict)


def test_the_sealer_refuses_what_only_a_retired_key_signed(
    grown: Grown, clock: Any, recorder: Recorder, make_entry: Any
) -> None:
    """Whoever kept a retired key cannot make the sealer go on from a log of his."""
    path = grown.state_dir / "audit" / "log.key"
    rotation.begin(grown.engine, path, clock.now())
    Sealer(grown.engine, grown.state_dir, open_signer(path), clock).seal_once()
    rotation.finish(grown.engine, path, clock.now())
    with grown.engine.begin() as connection:
        for statement in drop_append_only_ddl(grown.engine.dialect.name):
            connection.exec_driver_sql(statement)
        note = connection.execute(sa.select(AUDIT_CHECKPOINTS.c.note).where(AUDIT_CHECKPOINTS.c.size == 701))
        root = read_checkpoint(note.scalar_one(), grown.signer.vkey).root
        forged = sa.update(AUDIT_CHECKPOINTS).where(AUDIT_CHECKPOINTS.c.size == 701)
        connection.execute(forged.values(note=grown.signer.sign(701, root)))
    with pytest.raises(LogDamaged, match="not this log's"):
        Sealer(grown.engine, grown.state_dir, open_signer(path), clock).seal_once()


def test_a_damaged_tree_makes_no_tile(grown: Grown) -> None:
    """A missing hash or entry is told, never served as a shorter tile."""
    with grown.engine.begin() as connection:
        for statement in drop_append_only_ddl(grown.engine.dialect.name):
            connection.exec_driver_sql(statement)
        connection.execute(sa.delete(AUDIT_LOG).where(AUDIT_LOG.c.leaf_index == 5))
        connection.execute(sa.delete(AUDIT_NODES).where(AUDIT_NODES.c.position == 1))
    with grown.engine.connect() as connection:
        for tile in (Tile(None, 0), Tile(0, 0), Tile(1, 0, 2)):
            with pytest.raises(LogDamaged):
                tile_bytes(connection, tile, 700)


def stat_mode(path: Path) -> int:
    """The permission bits of a file."""
    return path.stat().st_mode & 0o777
