"""Claims about requests over HTTP: who may bring, see and work on them, and what is shown to whom."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from consent_gateway.officers.registry import Role
from tests.web.standins import ADA, ADA_EMAIL, Post, StandIns
from tests.web.test_web_routes import signed_in

ASK = {"identifier": {"kind": "email", "value": ADA_EMAIL}, "right": "access", "jurisdiction": "DE"}
OFFICERS_ONLY = {"data_subject", "warnings", "text", "owed", "outcome", "agent_permission", "channel"}


@pytest.fixture
def work(http: FlaskClient, services: StandIns) -> Post:
    """Sends one request with the token of a signed-in officer."""
    headers = {"Authorization": f"Bearer {signed_in(http, services, Role.OFFICER)}"}

    def send(method: str, path: str, **options: Any) -> Any:
        return http.open(path, method=method, headers=headers, **options)

    return send


def test_a_request_goes_its_way_over_http(call: Post, work: Post) -> None:
    """A channel brings it, an officer proves, holds, extends and ends it; the channel sees how far it is, no more."""
    asked = call("POST", "/v1/rights-requests", json={**ASK, "text": "everything please"})
    assert asked.status_code == 201
    shown = asked.get_json()
    assert (shown["state"], shown["regime"]) == ("identity_pending", "EU_GDPR")
    assert shown["due"] == {
        "respond_by": "2026-12-22", "extension_notice_by": "2026-12-22", "extended_respond_by": "2027-02-22",
    }  # fmt: skip
    assert shown["proof"] == {
        "ways": ["code", "points", "seen", "session"], "points": 3, "declaration": True, "until": "2027-01-06",
    }  # fmt: skip
    assert not OFFICERS_ONLY & set(shown)
    path = f"/v1/rights-requests/{shown['id']}"
    assert call("POST", f"{path}/verify", json={"method": "code"}).get_json()["sent"] is True
    refused = call("POST", f"{path}/verify", json={"method": "code", "code": "00000000"})
    assert (refused.status_code, refused.get_json()["code"]) == (403, "proof_refused")
    seen = work("GET", path).get_json()
    assert set(seen) >= OFFICERS_ONLY
    assert (seen["text"], seen["data_subject"]) == ("everything please", ADA)
    assert call("POST", f"{path}/verify", json={"method": "seen", "reference": "desk-1"}).status_code == 400
    conflict = work("POST", f"{path}/approve")
    assert (conflict.status_code, conflict.get_json()["code"]) == (409, "conflict")
    proved = work("POST", f"{path}/verify", json={"method": "seen", "reference": "desk-1"}).get_json()
    assert (proved["sent"], proved["request"]["state"]) == (False, "in_progress")
    assert work("POST", f"{path}/extend", json={"reason": "complexity"}).get_json()["state"] == "extended"
    assert work("POST", f"{path}/hold", json={"ground": "clarification"}).get_json()["suspended"] is True
    assert call("GET", path).get_json()["state"] == "on_hold"
    assert work("POST", f"{path}/approve").get_json()["approved"] is False
    assert work("POST", f"{path}/approve").get_json()["approved"] is True
    assert work("POST", f"{path}/execute", json={}).status_code == 409  # nothing carries it out here
    denied = work("POST", f"{path}/deny", json={"ground": "abusive"}).get_json()
    assert (denied["state"], denied["text"], denied["owed"]) == ("denied", None, [])
    told = call("GET", path).get_json()
    assert (told["state"], told["ground"], told["extension_reason"]) == ("denied", "abusive", "complexity")
    assert call("POST", f"{path}/cancel").status_code == 409


def test_an_opt_out_over_http_is_done_when_it_is_answered(call: Post, services: StandIns) -> None:
    """It asks for nothing more, and the choices are recorded before the answer; sent twice with a key it is one."""
    body = {**ASK, "right": "opt_out_sale_share", "jurisdiction": "US-CA"}
    first, second = (
        call("POST", "/v1/rights-requests", json=body, headers={"Idempotency-Key": "one"}) for _ in range(2)
    )
    assert first.get_json()["state"] == "fulfilled"
    assert first.get_json()["proof"] is None
    assert first.get_json()["id"] == second.get_json()["id"]
    assert {one.purpose for one in services.choices.recorded} == {"targeted_ads", "data_sale"}
    assert {one.reference for one in services.choices.recorded} == {first.get_json()["id"]}


def test_letters_are_entered_by_officers_alone(call: Post, work: Post, services: StandIns) -> None:
    """A channel can neither enter a letter nor say that something came before today; an officer can."""
    past = (services.clock.now() - timedelta(days=3)).isoformat().replace("+00:00", "Z")
    assert call("POST", "/v1/rights-requests", json={**ASK, "via": "post"}).status_code == 400
    assert call("POST", "/v1/rights-requests", json={**ASK, "received_at": past}).status_code == 400
    letter = work("POST", "/v1/rights-requests", json={**ASK, "via": "post", "received_at": past}).get_json()
    assert (letter["acknowledged_at"], letter["received_at"]) == (None, past)
    path = f"/v1/rights-requests/{letter['id']}"
    assert call("GET", path).status_code == 404
    (line,) = work("GET", "/v1/rights-requests").get_json()["requests"]
    assert (line["id"], line["owed"][0]) == (letter["id"], {"by": "2026-12-19", "what": "respond_by"})
    assert work("POST", f"{path}/acknowledge").get_json()["acknowledged_at"] is not None


def test_another_channels_request_is_not_found(call: Post, services: StandIns, http: FlaskClient) -> None:
    """A client sees and changes what it brought, and nothing else."""
    asked = call("POST", "/v1/rights-requests", json=ASK).get_json()
    services.client("till", channel="till")
    headers = {"Authorization": f"Bearer {services.token('till')}"}
    path = f"/v1/rights-requests/{asked['id']}"
    assert http.get(path, headers=headers).status_code == 404
    assert http.post(f"{path}/cancel", headers=headers).status_code == 404
    proof = {"method": "code", "code": "12345678"}
    assert http.post(f"{path}/verify", json=proof, headers=headers).status_code == 404


def test_officers_see_what_was_written_and_say_that_they_posted_it(call: Post, work: Post) -> None:
    """The letters of a request are for officers: text and state, never an address; what goes by post is said once."""
    asked = call("POST", "/v1/rights-requests", json={**ASK, "language": "es"}).get_json()
    path = f"/v1/rights-requests/{asked['id']}/letters"
    assert call("GET", path).status_code == 401
    (letter,) = work("GET", path).get_json()["letters"]
    assert (letter["kind"], letter["language"], letter["state"]) == ("identity", "es", "to_post")
    assert asked["id"] in letter["subject"]
    assert ADA_EMAIL not in str(letter)
    refused = work("POST", f"/v1/rights-letters/{letter['id']}/resend")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "conflict")
    for _again in range(2):
        assert work("POST", f"/v1/rights-letters/{letter['id']}/posted").get_json()["state"] == "posted"
    assert work("POST", "/v1/rights-letters/rl_1/posted").status_code == 404
    assert work("GET", "/v1/rights-requests/rq_1/letters").status_code == 404
