"""Reports by HTTP: for officers and auditors alone, in three forms, each an entry of the log."""

import csv
import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.log import EntryFilter
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.officers.registry import Role
from consent_gateway.reports.book import REPORTS
from tests.web.standins import ADA, StandIns
from tests.web.test_audit_api import Ask, signed_in


@pytest.fixture
def sealer(services: StandIns, tmp_path: Any) -> Sealer:
    """Seals the log; three entries are in it."""
    made = Sealer(services.engine, tmp_path, open_signer(tmp_path / "audit" / "log.key", "log.example"), services.clock)
    for n in range(3):
        services.evidence.recorder.record(
            Entry(
                f"dec_{n:026}", EntryKind.DECISION, services.clock.now(), caller="web-shop", purpose="payment",
                action="read", data_subject=ADA, recipient="ad_partner", fields={"email": ("allow", "contract", "r")},
            )
        )  # fmt: skip
    made.seal_once()
    return made


@pytest.fixture
def officer(services: StandIns, http: FlaskClient, sealer: Sealer) -> Ask:
    """Asks as a signed-in officer."""
    return signed_in(services, http, Role.OFFICER)


def test_the_list_names_every_report(officer: Ask) -> None:
    """What there is, and what each takes."""
    told = officer("GET", "/v1/reports").json["reports"]
    assert {one["name"]: tuple(one["takes"]) for one in told} == {name: kind.takes for name, kind in REPORTS.items()}


@pytest.mark.parametrize("name", REPORTS)
def test_each_report_comes_as_json_page_and_tables(officer: Ask, name: str) -> None:
    """The three forms hold the same number of rows; the page has its stylesheet from us under the strict policy."""
    told = officer("POST", f"/v1/reports/{name}", json={"until": "2030-01-01T00:00:00Z"})
    assert told.status_code == 200
    assert told.json["rests_on"]["size"] >= 3
    page = officer("POST", f"/v1/reports/{name}/page", json={})
    assert page.content_type.startswith("text/html")
    assert b'<link rel="stylesheet" href="/static/report.css">' in page.data
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for key, table in told.json["tables"].items():
        answer = officer("POST", f"/v1/reports/{name}/tables/{key}", json={})
        assert answer.content_type.startswith("text/csv")
        lines = list(csv.reader(io.StringIO(answer.text, newline="")))
        assert len(lines) - lines.index([]) - 2 == table["count"]


def test_the_breach_report_counts_what_a_client_obtained(officer: Ask, services: StandIns, sealer: Sealer) -> None:
    """The scope is that of the log, and who made the report is in the log with what was asked."""
    told = officer("POST", "/v1/reports/breach", json={"caller": "web-shop", "aware_at": "2026-11-20T10:00:00Z"}).json
    assert (told["figures"]["people"], told["figures"]["records"]) == (1, 3)
    sealer.seal_once()
    act = services.evidence.log.entries(EntryFilter(kind="export"))[0].entry
    assert act["action"] == "report"
    assert act["caller"].startswith("ofc_")
    assert act["detail"]["report"] == "breach"
    assert act["detail"]["caller"] == "web-shop"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/reports/nothing", {}, 404),
        ("/v1/reports/rights/tables/nothing", {}, 404),
        ("/v1/reports/rights", {"caller": "web-shop"}, 400),
        ("/v1/reports/rights", {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, 400),
        ("/v1/reports/consents", {"sample": 100_000}, 400),
        ("/v1/reports/consents", {"data_subject": ADA}, 404),
    ],
)
def test_what_cannot_be_asked_is_refused(officer: Ask, path: str, body: dict[str, Any], status: int) -> None:
    """An unknown report or table, a member that does not count for it, a period that ends before it begins."""
    assert officer("POST", path, json=body).status_code == status


@pytest.mark.usefixtures("sealer")
def test_others_make_no_report(services: StandIns, http: FlaskClient) -> None:
    """An auditor may; an operator, a policy editor and a client may not."""
    assert signed_in(services, http, Role.AUDITOR, Role.OPERATOR)("GET", "/v1/reports").status_code == 200
    operator = signed_in(services, http, Role.OPERATOR)
    for method, path in (("GET", "/v1/reports"), ("POST", "/v1/reports/rights"), ("POST", "/v1/reports/rights/page")):
        answer = operator(method, path, **({} if method == "GET" else {"json": {}}))
        assert answer.status_code == 403
        assert answer.json["code"] == "officer_not_permitted"
