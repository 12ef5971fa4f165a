"""What the API counts against a client's allowance, and how it refuses what is past it."""

from datetime import timedelta
from typing import Any

import pytest

from consent_gateway.callers.limits import Limits
from tests.web.standins import ADA, ADA_EMAIL, Post, StandIns

ADA_NAMED = {"identifier": {"kind": "email", "value": ADA_EMAIL}}
PART = {"kind": "phone", "mode": "last4", "value": "4711"}
ORDER = {"purpose": "order_fulfilment"}


@pytest.fixture(autouse=True)
def few(services: StandIns) -> None:
    """Forty look-ups a minute, of which twenty may miss."""
    services.limits = Limits(services.engine, services.clock, lookups_per_minute=40, misses_per_minute=20)


@pytest.mark.parametrize(
    ("method", "path", "body", "cost"),
    [
        ("POST", "/v1/customers/lookup", {**ADA_NAMED, **ORDER}, 1),
        ("POST", "/v1/customers/search", {"identifier": PART, **ORDER}, 20),
        ("POST", "/v1/decisions", {**ADA_NAMED, **ORDER}, 1),
        ("POST", "/v1/decisions", {"data_subject": ADA, **ORDER}, 0),
        ("POST", "/v1/decisions/batch", {"persons": [ADA_NAMED] * 3 + [{"data_subject": ADA}], **ORDER}, 3),
        ("POST", "/v1/consents/lookup", ADA_NAMED, 1),
        ("POST", "/v1/consents/lookup", {"data_subject": ADA}, 0),
        ("GET", f"/v1/customers/{ADA}?purpose=order_fulfilment", None, 0),
        ("POST", "/v1/consents", {**ADA_NAMED, "purpose": "email_marketing", "kind": "withdraw"}, 0),
    ],
)
def test_each_call_costs_what_the_guide_says(
    call: Post, services: StandIns, method: str, path: str, body: Any, cost: int
) -> None:
    """After one such call exactly the rest of the minute's look-ups is left; a choice and an id cost nothing."""
    assert call(method, path, json=body).status_code < 300
    persons = {"persons": [ADA_NAMED] * (40 - cost), **ORDER}
    assert call("POST", "/v1/decisions/batch", json=persons).status_code == 200
    answer = call("POST", "/v1/customers/lookup", json={**ADA_NAMED, **ORDER})
    assert (answer.status_code, answer.get_json()["code"]) == (429, "too_many_requests")
    assert answer.headers["Retry-After"] == "60"
    services.clock.pass_by(minutes=1)
    assert call("POST", "/v1/customers/lookup", json={**ADA_NAMED, **ORDER}).status_code == 200


def test_misses_end_look_ups_before_anybody_is_looked_up(call: Post, services: StandIns) -> None:
    """After twenty unknown addresses the next call is refused, whoever it asks for, and reaches no gateway."""
    stranger = {"identifier": {"kind": "email", "value": "nobody@example.com"}}
    assert {call("POST", "/v1/consents/lookup", json=stranger).status_code for _ in range(20)} == {404}
    asked = len(services.gateway.queries)
    for body in (ADA_NAMED, stranger):
        assert call("POST", "/v1/customers/lookup", json={**body, **ORDER}).status_code == 429
    assert len(services.gateway.queries) == asked
    services.clock.moment += timedelta(minutes=1)
    assert call("POST", "/v1/consents/lookup", json=stranger).status_code == 404


def test_an_empty_search_counts_as_twenty_misses(call: Post) -> None:
    """One search without a result uses up what twenty look-ups would."""
    nobody = {"identifier": {**PART, "value": "0000"}, **ORDER}
    assert call("POST", "/v1/customers/search", json=nobody).get_json()["candidates"] == []
    assert call("POST", "/v1/customers/lookup", json={**ADA_NAMED, **ORDER}).status_code == 429


def test_where_the_count_cannot_be_kept_nobody_is_looked_up(call: Post, services: StandIns) -> None:
    """Without the table of allowances a look-up answers 503 and reaches no gateway."""
    with services.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE lookup_allowances")
    assert call("POST", "/v1/customers/lookup", json={**ADA_NAMED, **ORDER}).status_code == 503
    assert services.gateway.queries == []
