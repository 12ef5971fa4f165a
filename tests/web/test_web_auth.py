"""Bearer tokens at the door: what passes, what does not, and what a refusal says."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_gateway.vocabulary import COMPANY
from tests.web.standins import ADA_EMAIL, StandIns

PATH = "/v1/customers/lookup"
BODY = {"identifier": {"kind": "email", "value": ADA_EMAIL}, "purpose": "order_fulfilment"}


def read(http: FlaskClient, token: str | None, **body: object) -> TestResponse:
    """A look-up with that authorization header value."""
    headers = {} if token is None else {"Authorization": token}
    return http.post(PATH, json={**BODY, **body}, headers=headers)


def test_a_valid_token_passes_in_any_case_of_the_scheme(http: FlaskClient, services: StandIns) -> None:
    """The scheme's name is read without regard to case (RFC 9110, 11.1)."""
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert read(http, f"{scheme} {services.token()}").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer gw_at_" + "a" * 43,
        "Bearer " + "a" * 5000,
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ3ZWItc2hvcCJ9.",
        "Basic d2ViLXNob3A6eA==",
        "Digest x",
        "Bearer a b c",
        "Bearer \u00e4\u00f6",
    ],
)
def test_anything_else_is_refused(http: FlaskClient, services: StandIns, header: str) -> None:
    """What is not a token of ours is 401 with the challenge `invalid_token`, and no query reaches the gateway."""
    answer = read(http, header)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert answer.get_json()["code"] == "unauthenticated"
    assert services.gateway.queries == []


def test_expired_and_revoked_tokens_are_refused(http: FlaskClient, services: StandIns) -> None:
    """A token's end, its revocation and its client's revocation are each a 401."""
    expired = services.token()
    services.clock.pass_by(minutes=10)
    assert read(http, f"Bearer {expired}").status_code == 401
    revoked = services.token()
    services.tokens.revoke(revoked)
    assert read(http, f"Bearer {revoked}").status_code == 401
    orphan = services.token()
    services.registry.revoke("web-shop")
    assert read(http, f"Bearer {orphan}").status_code == 401


def test_a_token_anywhere_but_in_the_header_does_not_count(http: FlaskClient, services: StandIns) -> None:
    """A token in the query, the body or a cookie is no token; in the query it is refused even beside a good one."""
    token = services.token()
    assert http.post(f"{PATH}?access_token={token}", json=BODY).status_code == 401
    assert http.post(PATH, json={**BODY, "access_token": token}).status_code == 401
    http.set_cookie("access_token", token)
    assert http.post(PATH, json=BODY).status_code == 401
    doubled = http.post(f"{PATH}?access_token={token}", json=BODY, headers={"Authorization": f"Bearer {token}"})
    assert doubled.status_code == 400
    assert token not in doubled.get_data(as_text=True)


def test_purpose_and_recipient_the_client_may_not_claim_are_refused(http: FlaskClient, services: StandIns) -> None:
    """The gateway gets the caller as registered, so a claim beyond the registration is 403."""
    token = f"Bearer {services.token()}"
    for claim in ({"purpose": "email_marketing"}, {"recipient": "ad_partner"}):
        answer = read(http, token, **claim)
        assert (answer.status_code, answer.get_json()["code"]) == (403, "caller_not_permitted")
    assert read(http, token, recipient="courier").status_code == 200
    services.client("ad-platform", purposes=frozenset({"email_marketing"}), recipients=frozenset({"ad_partner"}))
    other = f"Bearer {services.token('ad-platform')}"
    assert read(http, other).status_code == 403
    assert read(http, other, purpose="email_marketing", recipient=COMPANY).status_code == 403
    assert read(http, other, purpose="email_marketing", recipient="ad_partner").status_code == 200


def test_refusals_do_not_tell_which_kind_of_bad_a_token_is(http: FlaskClient, services: StandIns) -> None:
    """Unknown, expired and revoked tokens get the same answer but for the request's id."""
    expired = services.token()
    services.clock.pass_by(minutes=10)
    revoked = services.token()
    services.tokens.revoke(revoked)
    answers = [read(http, f"Bearer {token}").get_json() for token in (expired, revoked, "gw_at_" + "a" * 43)]
    for answer in answers:
        answer.pop("request_id")
    assert answers[0] == answers[1] == answers[2]
