"""`report` and `audit pack` on the command line: they print, write and account for what they made."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from consent_gateway.audit.verify import LogKey, verify_folder
from consent_gateway.cli.audit import audit
from consent_gateway.cli.report import report
from consent_gateway.errors import InputRefused
from tests.conftest import ROOT
from tests.unit.reports.conftest import Company

POLICIES = ("--policies", str(ROOT / "policies"))


@pytest.fixture
def url(company: Company) -> str:
    """The company's database."""
    return company.engine.url.render_as_string(hide_password=False)


def test_a_report_is_printed_and_written_and_accounted_for(company: Company, url: str, tmp_path: Path) -> None:
    """JSON, CSV, page and folder hold the same report; each making is an entry by nobody's name but `report`."""
    run = CliRunner()
    asked = ["breach", "--database", url, *POLICIES, "--caller", "crm", "--aware", "2026-11-22"]
    told = json.loads(run.invoke(report, [*asked, "--json"], catch_exceptions=False).stdout)
    assert told["asked"] == {"caller": "crm", "aware_at": "2026-11-22T00:00:00.000000Z"}
    table = run.invoke(report, [*asked, "--csv", "people"], catch_exceptions=False).stdout
    assert f"rows,{told['figures']['people']}" in table
    assert run.invoke(report, [*asked, "--html"], catch_exceptions=False).stdout.startswith("<!doctype html>")
    assert "People concerned" in run.invoke(report, asked, catch_exceptions=False).stdout
    run.invoke(report, [*asked, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert json.loads((tmp_path / "out" / "breach.json").read_text())["figures"] == told["figures"]
    with pytest.raises(InputRefused, match="it has people"):
        run.invoke(report, [*asked, "--csv", "nothing"], catch_exceptions=False)
    company.seal()
    acts = [entry for _index, entry in company.entries() if entry.get("action") == "report"]
    assert len(acts) == 6
    assert {act["detail"]["caller"] for act in acts} == {"crm"}


@pytest.mark.only_on("sqlite")
def test_a_pack_is_written_by_one_command(company: Company, url: str, tmp_path: Path) -> None:
    """The command writes a folder that verifies, and the act stands in the log."""
    folder = tmp_path / "pack"
    asked = ["pack", str(folder), "--database", url, "--state", str(tmp_path / "state" / "audit"), *POLICIES]
    key = ["--key", str(tmp_path / "state" / "audit" / "log.key"), "--since", "2026-09-20", "--until", "2026-09-25"]
    answer = CliRunner().invoke(audit, [*asked, *key, "--json"], catch_exceptions=False)
    assert json.loads(answer.stdout)["entries"] == verify_folder(folder, LogKey(company.signer.published)).entries > 50
    company.seal()
    assert company.entries()[-1][1]["detail"] == {
        "report": "pack",
        "since": "2026-09-20T00:00:00.000000Z",
        "until": "2026-09-25T00:00:00.000000Z",
    }
