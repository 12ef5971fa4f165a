"""Changes over HTTP: pages, streams with resume, and webhooks of the client's own."""

import json

import pytest
from flask.testing import FlaskClient

from consent_gateway.consent import ledger
from consent_gateway.vocabulary import EventKind, Evidence, NewConsentEvent
from consent_gateway.web import change_schemas
from tests.web.standins import ADA, Post, StandIns

HOOK = "https://hooks.example.com/consent"


@pytest.fixture
def events(services: StandIns) -> list[str]:
    """Two choices of Ada about a purpose of the shop and one about another; the ids of the two."""
    now = services.clock.now()
    with services.engine.begin() as connection:
        evidence = Evidence("web_shop", "web_form", "web-shop", "privacy", "3", "de")
        committed = ledger.record_many(
            connection,
            [
                NewConsentEvent(ADA, purpose, kind, now, evidence)
                for purpose, kind in (
                    ("customer_support", EventKind.GRANT),
                    ("email_marketing", EventKind.GRANT),
                    ("customer_support", EventKind.WITHDRAW),
                )
            ],
            now=now,
        )
        services.outward.outbox.announce_in(connection, committed)
    return [committed[0].event_id, committed[2].event_id]


def test_the_feed_is_read_page_by_page(call: Post, events: list[str]) -> None:
    """Each page has the documented form; the cursor leads on, and `latest` past everything."""
    first = call("GET", "/v1/changes?limit=1").get_json()
    assert not change_schemas.FeedAnswerSchema().validate(first)
    assert ([each["id"] for each in first["changes"]], first["more"]) == (events[:1], True)
    second = call("GET", f"/v1/changes?limit=9&after={first['cursor']}").get_json()
    assert ([each["id"] for each in second["changes"]], second["more"]) == (events[1:], False)
    assert call("GET", "/v1/changes?after=latest").get_json()["changes"] == []
    for bad in ("after=AAAAAAAAAAAA", "limit=0", "limit=501", "wait=21", "after=../x", "who=1"):
        assert call("GET", f"/v1/changes?{bad}").status_code == 400
    assert call("GET", "/v1/changes?purposes=email_marketing").status_code == 403
    assert call("GET", "/v1/changes?recipient=ad_partner").status_code == 403
    assert call("GET", "/v1/changes?recipient=courier").status_code == 400


def test_a_stream_resumes_by_its_last_event_id(call: Post, events: list[str]) -> None:
    """The header goes before the parameter; events have the documented form, and a foreign id is refused."""
    answer = call("GET", "/v1/changes/stream")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    parts = [part for part in answer.get_data(as_text=True).split("\n\n") if part.startswith("event: change")]
    documents = [json.loads(part.split("data: ")[1]) for part in parts]
    assert [each["id"] for each in documents] == events
    assert not any(change_schemas.ChangeEventSchema().validate(each) for each in documents)
    last = parts[0].split("id: ")[1].split("\n")[0]
    resumed = call("GET", "/v1/changes/stream?after=latest", headers={"Last-Event-ID": last}).get_data(as_text=True)
    assert events[1] in resumed
    assert events[0] not in resumed
    assert call("GET", "/v1/changes/stream", headers={"Last-Event-ID": "A" * 32}).status_code == 400


def test_a_webhook_lives_and_ends(call: Post, http: FlaskClient, services: StandIns) -> None:
    """Registered, seen, rotated, moved back and deleted by its client; another client sees and touches nothing."""
    made = call("POST", "/v1/webhooks", json={"url": HOOK, "purposes": ["customer_support"]})
    assert made.status_code == 201
    document = made.get_json()
    assert not change_schemas.NewWebhookAnswerSchema().validate(document)
    assert document["secret"].startswith("whsec_")
    webhook_id = document["webhook"]["webhook_id"]
    listed = call("GET", "/v1/webhooks")
    assert [each["webhook_id"] for each in listed.get_json()["webhooks"]] == [webhook_id]
    assert "whsec_" not in listed.get_data(as_text=True)
    rotated = call("POST", f"/v1/webhooks/{webhook_id}/rotate").get_json()
    assert rotated["secret"] != document["secret"]
    cursor = call("GET", "/v1/changes").get_json()["cursor"]
    assert call("POST", f"/v1/webhooks/{webhook_id}/replay", json={"after": cursor}).status_code == 204
    services.client("other")
    foreign = {"Authorization": f"Bearer {services.token('other')}"}
    assert http.get("/v1/webhooks", headers=foreign).get_json() == {"webhooks": []}
    assert http.delete(f"/v1/webhooks/{webhook_id}", headers=foreign).status_code == 404
    assert call("DELETE", f"/v1/webhooks/{webhook_id}").status_code == 204
    assert call("DELETE", f"/v1/webhooks/{webhook_id}").status_code == 404
    assert call("GET", "/v1/webhooks").get_json() == {"webhooks": []}


@pytest.mark.parametrize(
    "url", ["http://hooks.example.com/", "https://169.254.169.254/", "https://a@hooks.example.com/", "https://x.test/"]
)
def test_an_address_that_may_not_be_is_refused_with_the_place_and_without_the_value(call: Post, url: str) -> None:
    """The problem points at `/url` and quotes nothing of it."""
    answer = call("POST", "/v1/webhooks", json={"url": url})
    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (400, "/url")
    assert url not in answer.get_data(as_text=True)
