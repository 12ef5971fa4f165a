"""Reports over a lived-in installation: the pack verifies, and no customer's value is in it or in a stream."""

from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.verify import LogKey, verify_folder
from consent_gateway.line import ReadQuery
from consent_gateway.reports.model import Asked
from consent_gateway.reports.pack import write_pack
from consent_gateway.vocabulary import EventKind
from consent_gateway.wiring.evidence import open_rounds
from tests.line.conftest import Line, named
from tests.line.test_erasing import MARKETING, SUPPORT, choose
from tests.line.test_log_evidence import seal

_COLUMNS = ("email", "phone", "street", "external_ref", "birth_date")


def values(line: Line) -> set[bytes]:
    """What the store holds of every customer that tells them from others."""
    url = sa.make_url(line.deployment.retailer)
    engine = sa.create_engine(url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        rows = connection.execute(sa.text(f"SELECT {', '.join(_COLUMNS)} FROM customers")).all()
    engine.dispose()
    return {str(value).encode() for row in rows for value in row if value and len(str(value)) > 5}


def test_a_pack_and_the_streams_hold_no_value_of_a_customer(line: Line, tmp_path: Path) -> None:
    """After reads, choices and a withdrawal: the pack verifies, reports count them, and no value is in any file."""
    services, settings = line.services, line.deployment.settings
    caller = line.caller(SUPPORT, MARKETING)
    for at in range(4):
        services.gateway.read(caller, ReadQuery(named(at), SUPPORT, ("email", "city", "last_name")))
    choose(line, caller, named(2), EventKind.WITHDRAW)
    seal(line)
    signer, now = open_signer(settings.log_key_file), services.clock.now()
    write_pack(services.engine, tmp_path / "pack", signer, services.policies, now, Asked())
    assert verify_folder(tmp_path / "pack", LogKey(signer.published)).ok
    settings = replace(settings, log=replace(settings.log, events_dir=tmp_path / "events"))
    rounds = {name: work for name, work, _seconds in open_rounds(settings, services, signer)}
    assert rounds["stream file"]() == line.scalar("SELECT max(size) FROM audit_checkpoints")
    report = services.reports.make("breach", Asked(caller=caller.client_id), "ofc_1")
    assert int(str(report.figures["people"])) >= 1
    assert services.reports.make("withdrawals", Asked(), "ofc_1").figures["choices"]
    assert "consent_gateway_log_entries" in services.metrics.text()
    everything = b"\n".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    found = [value for value in values(line) if value in everything]
    assert not found
    assert len(values(line)) > 100
