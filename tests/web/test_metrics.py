"""`/metrics`: authenticated, true to the tables, without an id, and what dashboard and alerts are written against."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from flask.testing import FlaskClient

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.tables import AUDIT_STREAMS
from consent_gateway.audit.verification import Verification
from consent_gateway.callers.registry import Scope
from consent_gateway.propagation.changes import Audience
from consent_gateway.rights.tables import RIGHTS_REQUESTS
from consent_gateway.vocabulary import COMPANY, Caller
from tests.conftest import ROOT
from tests.web.standins import ADA, StandIns

NAME = re.compile(r"\bconsent_gateway_[a-z_]+")
LINE = re.compile(r'(consent_gateway_[a-z_]+)(?:\{((?:[a-z_]+="[^"]*",?)*)\})? (-?[0-9.e+-]+)')


@pytest.fixture
def lived(services: StandIns, tmp_path: Path) -> StandIns:
    """Services with a sealed and verified log, a stream, requests and a webhook that is behind."""
    signer = open_signer(tmp_path / "audit" / "log.key", "log.example")
    recorder, now = services.evidence.recorder, services.clock.now()
    for n in range(5):
        recorder.record(Entry(f"dec_{n:026}", EntryKind.DECISION, now, caller="web-shop", data_subject=ADA))
    Sealer(services.engine, tmp_path, signer, services.clock).seal_once()
    verification = Verification(services.engine, signer.published, services.clock, lambda: ())
    for _part_and_whole in (1, 2, 3):
        verification.round()
    recorder.record(Entry("dec_waits", EntryKind.DECISION, now))
    listener = Caller("web-shop", "web_shop", frozenset({"customer_support"}), frozenset({COMPANY}), frozenset())
    audience = Audience(frozenset({"customer_support"}), COMPANY)
    services.outward.destinations.add_webhook(listener, "https://hooks.example.com/changes", audience)
    rows = [_request(n, day) for n, day in enumerate(("2020-01-01", None, "2999-01-01", *_soon(now)))]
    with services.engine.begin() as connection:
        connection.execute(sa.insert(AUDIT_STREAMS).values(name="syslog", position=2, sent_at=0))
        connection.execute(sa.insert(RIGHTS_REQUESTS), rows)
    return services


def _soon(now: Any) -> list[str]:
    return [(now.date() + timedelta(days=days)).isoformat() for days in (0, 3, 4)]


def _request(n: int, day: str | None) -> dict[str, Any]:
    flags = dict.fromkeys(("proved", "begun", "extended", "approved", "running"), False)
    return flags | {
        "request_id": f"rr_{n}", "right": "access", "regime": "EU_GDPR", "jurisdiction": "DE", "received_at": 1,
        "via": "page", "channel": "web", "recorded_by": "web-shop", "person_key": "k", "purposes": "[]",
        "warnings": "[]", "state": "received", "version": 1, "pauses": "[]", "attempts": 0, "codes": 0, "next_by": day,
    }  # fmt: skip


def scraped(http: FlaskClient, services: StandIns) -> dict[tuple[str, str], float]:
    """Name and labels to value, read as Prometheus reads them."""
    answer = http.get("/metrics", headers={"Authorization": f"Bearer {services.token('web-shop', 'metrics:read')}"})
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    found: dict[tuple[str, str], float] = {}
    typed: set[str] = set()
    for line in answer.text.splitlines():
        if line.startswith("# "):
            typed |= {line.split()[2]} if line.startswith("# TYPE") else set()
            continue
        read = LINE.fullmatch(line)
        assert read, line
        assert read[1] in typed
        found[read[1], read[2] or ""] = float(read[3])
    return found


def test_the_numbers_are_those_of_the_tables(lived: StandIns, http: FlaskClient) -> None:
    """Sealed, waiting, verified, streams behind and requests by when they are due."""
    told = scraped(http, lived)
    prefix = "consent_gateway_"
    sealed = told[f"{prefix}log_entries", ""]
    assert sealed >= 5
    assert told[f"{prefix}log_waiting_entries", ""] >= 1
    assert told[f"{prefix}log_verification_ok", ""] == 1
    assert told[f"{prefix}stream_behind_entries", 'stream="syslog"'] == sealed - 2
    due = {labels: value for (name, labels), value in told.items() if name == f"{prefix}rights_requests"}
    assert due == {'due="overdue"': 1, 'due="soon"': 2, 'due="later"': 2, 'due="none"': 1}


def test_no_metric_holds_an_id(lived: StandIns, http: FlaskClient) -> None:
    """Neither person, client, destination nor entry is in what is scraped."""
    answer = http.get("/metrics", headers={"Authorization": f"Bearer {lived.token('web-shop', 'metrics:read')}"})
    assert not re.search(r"ds_|dec_|whk_|snk_|ofc_|web-shop", answer.text)


def test_scraping_needs_its_scope(services: StandIns, http: FlaskClient) -> None:
    """Without a token, or with every scope but this one, nothing is told."""
    assert http.get("/metrics").status_code == 401
    token = services.token("web-shop", *(set(Scope) - {Scope.METRICS_READ}))
    assert http.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 403


def test_a_scrape_fails_where_the_database_is_away(services: StandIns, http: FlaskClient) -> None:
    """An error is an error: no old numbers and no zeros."""
    token = services.token("web-shop", "metrics:read")
    with services.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE audit_streams"))
    assert http.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 503


def test_dashboard_and_alerts_use_metrics_that_there_are(lived: StandIns) -> None:
    """Every metric that the shipped dashboard and rules name is told, with the labels they go by; and each is used."""
    gauges = {gauge.name: gauge for gauge in lived.metrics.gauges()}
    dashboard = json.loads((ROOT / "deploy/grafana/consent-gateway.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"][0]["rules"]
    alarmed = [rule["expr"] for rule in rules]
    named = {name for expression in (*shown, *alarmed) for name in NAME.findall(expression)}
    assert len(shown) >= 10
    assert named <= gauges.keys()
    assert all(rule["annotations"]["what_to_do"] and rule["labels"]["severity"] for rule in rules)
    labels = {name: {label for values in one.values for label, _ in values} for name, one in gauges.items()}
    for expression in (*shown, *alarmed):
        for by, name in re.findall(r"by \(([^)]+)\) \((consent_gateway_[a-z_]+)\)", expression):
            assert set(by.split(", ")) <= labels[name]
        for name, label in re.findall(r"(consent_gateway_[a-z_]+)\{([a-z]+)=", expression):
            assert label in labels[name]
    assert {"consent_gateway_log_verified_entries"} >= gauges.keys() - named
