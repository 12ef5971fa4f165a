"""The log over the whole gateway: after an erasure every proof still holds and nothing leads to the person."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.export import export
from consent_gateway.audit.log import EntryFilter, checkpoint_note, every_entry, size_of
from consent_gateway.audit.merkle import consistency_holds, inclusion_holds, leaf_hash
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.tiles import write_tiles
from consent_gateway.audit.verify import LogKey, verify_folder
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.settings import read_settings
from consent_gateway.vocabulary import EventKind
from consent_gateway.wiring import open_sealer
from consent_gateway.wiring.evidence import open_rounds
from tests.line.conftest import Line
from tests.line.test_erasing import MARKETING, SUPPORT, choose, id_of, identifiers

WORD = re.compile(r"[A-Za-z0-9_.:;,/+=# -]*")
TABLES = ("audit_log", "audit_queue", "audit_nodes", "audit_checkpoints", "audit_cosignatures", "audit_exports")


def seal(line: Line) -> None:
    """Seal what waits."""
    sealer = open_sealer(line.deployment.settings, line.services)
    while sealer.seal_once().more:
        pass


def values_of(entry: Any) -> Iterator[str]:
    """Every string of an entry, member names included."""
    if isinstance(entry, dict):
        for name, value in entry.items():
            yield name
            yield from values_of(value)
    elif isinstance(entry, list):
        for value in entry:
            yield from values_of(value)
    else:
        yield str(entry)


def everything(line: Line, *folders: Path) -> bytes:
    """All that the log's tables hold and all files of these folders."""
    parts = []
    with line.services.engine.connect() as connection:
        for table in TABLES:
            parts += [repr(tuple(row)).encode() for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]
    parts += [path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(parts)


def test_after_an_erasure_every_proof_holds_and_the_person_is_not_found(line: Line, tmp_path: Path) -> None:
    """Proofs, tiles and exports from before verify afterwards; no identifier leads to the entries or is in them."""
    services, signer = line.services, open_signer(line.deployment.settings.log_key_file)
    who, known = id_of(line, 11), identifiers(line, 11)
    name = str(line.store("SELECT last_name FROM customers WHERE customer_id = 11"))
    caller = line.caller(SUPPORT, MARKETING)
    for identifier in known:
        services.gateway.read(caller, ReadQuery(PersonRef(identifier=identifier), SUPPORT, ("city",)))
    choose(line, caller, PersonRef(identifier=known[0]), EventKind.GRANT)
    seal(line)
    log = services.evidence.log
    about = [found.entry["id"] for found in log.entries(EntryFilter(data_subject=who))]
    before = {entry_id: log.inclusion(entry_id) for entry_id in about}
    assert len(before) >= len(known)
    export(services.engine, tmp_path / "export", signer, services.clock.now())
    with services.engine.connect() as connection:
        note = checkpoint_note(connection)
        write_tiles(connection, tmp_path / "tiles", note, size_of(note))
    old_size = size_of(note)

    services.shredding.shred(who, reference="dsr-1", by="operator")
    seal(line)
    for entry_id, proof in before.items():
        found = log.find(entry_id)
        assert found is not None
        assert leaf_hash(found.leaf) == proof.leaf_hash
        now = log.inclusion(entry_id)
        for one in (proof, now):
            root = log.consistency(one.size, one.size).root
            assert inclusion_holds(one.index, one.size, one.leaf_hash, one.path, root)
    grown = log.consistency(old_size)
    assert consistency_holds(old_size, grown.size, grown.path, grown.old_root, grown.root)
    key = LogKey(signer.published)
    assert verify_folder(tmp_path / "export", key).ok
    assert verify_folder(tmp_path / "tiles", key).ok
    export(services.engine, tmp_path / "after", signer, services.clock.now())
    assert verify_folder(tmp_path / "after", key, [note]).ok

    held = everything(line, tmp_path)
    for value in (*(one.value for one in known), name):
        assert value.encode() not in held
    assert line.scalar("SELECT count(*) FROM identifiers WHERE data_subject = :who", who=who) == 0
    assert line.scalar("SELECT store_key FROM people WHERE data_subject = :who", who=who) is None
    for identifier in known:
        services.gateway.read(caller, ReadQuery(PersonRef(identifier=identifier), SUPPORT, ("city",)))
    seal(line)
    since = log.entries(EntryFilter(kind="decision"), limit=len(known))
    assert len(since) == len(known)
    assert who not in {found.entry.get("data_subject") for found in since}


def test_every_entry_holds_ids_and_words_alone(line: Line) -> None:
    """Whatever the gateway has done so far: no entry holds an at-sign, a line, or a text of somebody's own."""
    seal(line)
    with line.services.engine.connect() as connection:
        entries = [found.entry | {"pack": ""} for found in every_entry(connection, EntryFilter())]  # `eea@2026.11`
    assert {entry["kind"] for entry in entries} >= {"client", "person"}
    assert not {value for entry in entries for value in values_of(entry) if WORD.fullmatch(value) is None}


def test_the_workers_rounds_verify_anchor_and_write_exports(line: Line, tmp_path: Path) -> None:
    """With the settings of an installation: the log is verified whole and anchored, a waiting export written."""
    outside, settings = tmp_path / "outside", line.deployment.settings
    outside.mkdir()
    assert read_settings(line.deployment.variables).log.export_dir == settings.state_dir / "exports"
    settings = replace(settings, log=replace(settings.log, anchor_dir=outside))
    signer = open_signer(settings.log_key_file)
    rounds = {name: work for name, work, _seconds in open_rounds(settings, line.services, signer)}
    seal(line)
    job = line.services.evidence.exports.request("ofc_1", EntryFilter(kind="person"))
    while rounds["verification"]():
        pass
    assert [rounds[name]() for name in ("anchors", "witnesses", "exports", "old exports")] == [1, 0, 1, 0]
    seal(line)
    while rounds["verification"]():
        pass
    assert len(list(outside.iterdir())) == 1
    assert line.services.evidence.exports.get(job.export_id).state == "done"
    failure = line.scalar("SELECT failure FROM audit_verification")
    assert failure is None
    position = line.scalar("SELECT position FROM audit_verification")
    with line.services.engine.connect() as connection:
        assert position == connection.execute(sa.text("SELECT max(size) FROM audit_checkpoints")).scalar()
    assert json.loads(str(line.scalar("SELECT summary FROM audit_exports")))["entries"] >= 1
