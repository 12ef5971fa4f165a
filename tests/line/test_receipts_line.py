"""A choice through the API leaves a receipt that verifies offline, and evidence that an officer's tool can read."""

import json

from flask.testing import FlaskClient

from consent_gateway.callers.registry import NewClient
from consent_gateway.consent.choices import NewChoice
from consent_gateway.consent.receipt_verify import verify_receipt
from consent_gateway.vocabulary import EventKind
from consent_gateway.web.app import create_app
from tests.line.conftest import Line, named


def auditor(line: Line) -> dict[str, str]:
    """The header of a client that reads consents and the audit."""
    scopes = frozenset({"consents:read", "audit:read"})
    registry = line.services.registry
    if registry.get("auditor") is None:
        registry.add(NewClient("auditor", "till", frozenset({"email_marketing"}), frozenset(), scopes))
    client = registry.get("auditor")
    assert client is not None
    return {"Authorization": f"Bearer {line.services.tokens.issue(client).token}"}


def test_a_choice_is_proved_by_receipt_and_evidence(line: Line) -> None:
    """The receipt verifies with the published keys, the evidence holds the shipped text; each reading is logged."""
    services = line.services
    shown = services.notices.current("email_marketing", "ar")
    choice = NewChoice(
        person=named(5),
        kind=EventKind.GRANT,
        purpose="email_marketing",
        occurred_at=services.clock.now(),
        how="web_form",
        notice=shown.notice_id,
        notice_version=shown.version,
        language=shown.language,
    )
    event_id = services.choices.record(line.caller("email_marketing"), choice).event_ids[0]
    header = auditor(line)
    before = line.scalar("SELECT count(*) FROM audit_queue")
    with create_app(services).test_client() as web:
        assert isinstance(web, FlaskClient)
        file = web.get(f"/v1/receipts/{event_id}", headers=header).get_data()
        receipt = verify_receipt(file, web.get("/.well-known/jwks.json").get_json())
        evidence = web.get(f"/v1/consents/{event_id}/evidence", headers=header).get_json()
        absent = web.get("/v1/receipts/cev_01jd80000000000000000000ad", headers=header)
    assert receipt == json.loads(file)["receipt"]
    assert receipt["dpv:hasNotice"]["cg:sha256"] == shown.sha256
    assert (evidence["shown"]["title"], evidence["shown"]["text"]) == (shown.title, shown.text)
    assert evidence["event"]["evidence"]["notice_sha256"] == shown.sha256
    assert absent.status_code == 404
    assert line.scalar("SELECT count(*) FROM audit_queue") == int(str(before)) + 2
