"""Each call: what reaches the service behind it, and that its answer has the documented form."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from marshmallow import Schema
from werkzeug.test import TestResponse

from consent_gateway.errors import StoreUnavailable
from consent_gateway.line import BatchQuery, DecideQuery, ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.ports import Page
from consent_gateway.vocabulary import ANY_PURPOSE, OPENING, Action, EventKind, Identifier
from consent_gateway.web import answer_schemas, signal_schemas
from consent_gateway.writes import CreateQuery, WriteQuery
from tests.web.standins import ADA, ADA_EMAIL, FAMILY_EMAIL, RECORD, REFUSED_FIELD, REVISION, VERSION, Post, StandIns

EMAIL = {"kind": "email", "value": ADA_EMAIL}
LOOKUP = "/v1/customers/lookup"
ASKED: dict[str, Any] = {"identifier": EMAIL, "purpose": "order_fulfilment"}
WRITE: dict[str, Any] = {"purpose": "customer_support", "record": {"first_name": "Ada"}, "source": "the customer"}
GRANT: dict[str, Any] = {
    "data_subject": ADA,
    "purpose": "email_marketing",
    "kind": "grant",
    "occurred_at": "2026-11-22T12:30:00.5+01:00",
    "valid_until": "2027-11-22T00:00:00Z",
    "evidence": {
        "how": "web_form",
        "notice": "privacy",
        "notice_version": "4",
        "language": "de-AT",
        "conditions": ["c"],
    },
}


def documented(answer: TestResponse, schema: type[Schema], status: int = 200) -> dict[str, Any]:
    """The body, which has exactly the form of the schema."""
    assert answer.status_code == status, answer.get_json()
    assert answer.content_type == "application/json"
    body: dict[str, Any] = answer.get_json()
    assert schema().validate(body) == {}
    return body


def test_a_look_up_reaches_the_gateway_as_asked(call: Post, services: StandIns) -> None:
    """Identifier, purpose, fields, recipient and page arrive as sent; what is left out is None or the default."""
    documented(call("POST", LOOKUP, json=ASKED), answer_schemas.RecordAnswerSchema)
    full = {**ASKED, "fields": ["email", "country"], "recipient": "courier", "page": {"limit": 2, "offset": 4}}
    documented(call("POST", LOOKUP, json=full), answer_schemas.RecordAnswerSchema)
    person = PersonRef(identifier=Identifier("email", ADA_EMAIL))
    assert services.gateway.queries == [
        ReadQuery(person, "order_fulfilment"),
        ReadQuery(person, "order_fulfilment", ("email", "country"), "courier", Page(2, 4)),
    ]


def test_the_look_up_answer_is_what_the_gateway_said(call: Post) -> None:
    """The answer written without a schema has every part of the gateway's answer, and the documented form."""
    body = documented(
        call("POST", LOOKUP, json={**ASKED, "fields": ["email", "country", "orders", REFUSED_FIELD]}),
        answer_schemas.RecordAnswerSchema,
    )
    assert body["data_subject"] == ADA
    assert body["record"] == {name: RECORD[name] for name in ("email", "country", "orders")}
    assert list(body["fields"]) == ["email", "country", "orders", REFUSED_FIELD]
    assert body["fields"][REFUSED_FIELD] == {
        "effect": "withhold",
        "reason": "no_consent",
        "rule": "eea.consent",
        "obligations": [],
    }
    assert body["fields"]["country"]["obligations"] == ["pseudonym.recipient"]
    assert (body["policy_revision"], body["version"]) == (REVISION, VERSION)
    assert body["decision_id"].startswith("dec_")


def test_an_unknown_person_has_an_answer_of_the_same_form(call: Post) -> None:
    """Nobody behind the identifier: the same form, without id, record or version."""
    asked = {**ASKED, "identifier": {"kind": "email", "value": "nobody@example.com"}}
    body = documented(call("POST", LOOKUP, json=asked), answer_schemas.RecordAnswerSchema)
    assert (body["data_subject"], body["record"], body["version"]) == (None, {}, None)


def test_a_read_by_id_is_the_same_read(call: Post, services: StandIns) -> None:
    """By id, with the parameters in the query; the version is also the entity tag."""
    path = f"/v1/customers/{ADA}?purpose=order_fulfilment&fields=email,country&recipient=courier&limit=3&offset=6"
    answer = call("GET", path)
    documented(answer, answer_schemas.RecordAnswerSchema)
    assert answer.headers["ETag"] == f'"{VERSION}"'
    expected = ReadQuery(PersonRef(data_subject=ADA), "order_fulfilment", ("email", "country"), "courier", Page(3, 6))
    assert services.gateway.queries == [expected]
    assert call("GET", "/v1/customers/ds_01jd8000000000000000000zzz?purpose=order_fulfilment").status_code == 404


@pytest.mark.parametrize(
    ("header", "gpc"),
    [
        (None, False),
        ("1", True),
        (" 1 ", True),
        ("0, 1", True),
        ("1, 0", True),
        ("0", False),
        ("", False),
        ("true", False),
        ("11", False),
        ("1;q=1", False),
        ("?1", False),
    ],
)
def test_global_privacy_control_is_the_exact_value_one(
    call: Post, services: StandIns, header: str | None, gpc: bool
) -> None:
    """`Sec-GPC: 1` on reads and decisions sets the signal; among several values one exact 1 is enough."""
    headers = {} if header is None else {"Sec-GPC": header}
    call("POST", LOOKUP, json=ASKED, headers=headers)
    call("GET", f"/v1/customers/{ADA}?purpose=order_fulfilment", headers=headers)
    call("POST", "/v1/decisions", json=ASKED, headers=headers)
    assert [query.gpc for query in services.gateway.queries] == [gpc] * 3


def test_a_decision_reaches_the_gateway_as_asked(call: Post, services: StandIns) -> None:
    """Person by either name, action and fields arrive; the answer carries verdicts and no record."""
    documented(call("POST", "/v1/decisions", json=ASKED), answer_schemas.DecisionAnswerSchema)
    by_id = {"data_subject": ADA, "purpose": "order_fulfilment", "fields": ["email"], "action": "write"}
    body = documented(call("POST", "/v1/decisions", json=by_id), answer_schemas.DecisionAnswerSchema)
    assert "record" not in body
    assert services.gateway.queries == [
        DecideQuery(PersonRef(identifier=Identifier("email", ADA_EMAIL)), "order_fulfilment"),
        DecideQuery(PersonRef(data_subject=ADA), "order_fulfilment", ("email",), Action.WRITE),
    ]


def test_a_batch_answers_in_the_order_asked(call: Post, services: StandIns) -> None:
    """One result per person, with its index; allowed only where every field is open."""
    persons = [{"identifier": {"kind": "email", "value": "nobody@example.com"}}, {"data_subject": ADA}]
    asked = {"purpose": "order_fulfilment", "persons": persons, "fields": ["email"]}
    body = documented(call("POST", "/v1/decisions/batch", json=asked), answer_schemas.BatchAnswerSchema)
    assert [(result["index"], result["data_subject"], result["allowed"]) for result in body["results"]] == [
        (0, None, True),
        (1, ADA, True),
    ]
    asked["fields"] = ["email", REFUSED_FIELD]
    body = documented(call("POST", "/v1/decisions/batch", json=asked), answer_schemas.BatchAnswerSchema)
    assert [result["allowed"] for result in body["results"]] == [False, False]
    query = services.gateway.queries[-1]
    assert isinstance(query, BatchQuery)
    assert query.persons[1] == PersonRef(data_subject=ADA)


def test_an_explanation_is_passed_on(call: Post, services: StandIns) -> None:
    """The explanation comes from the explaining service; an unknown decision is 404."""
    body = documented(call("GET", "/v1/decisions/dec_01jd80000000000000000000zz"), answer_schemas.ExplainAnswerSchema)
    assert body["fields"]["email"]["rule"] == "eea.contract"
    assert call("GET", f"/v1/decisions/{services.explain.unknown}").status_code == 404


def test_a_change_reaches_the_writes_as_asked(call: Post, services: StandIns) -> None:
    """Fields, source and the version of `If-Match` arrive; the answer names what was written."""
    body = documented(call("PATCH", f"/v1/customers/{ADA}", json=WRITE), answer_schemas.WriteAnswerSchema)
    assert body["written"] == ["first_name"]
    matching = call("PATCH", f"/v1/customers/{ADA}", json=WRITE, headers={"If-Match": f'"{VERSION}"'})
    documented(matching, answer_schemas.WriteAnswerSchema)
    query = WriteQuery(PersonRef(data_subject=ADA), "customer_support", {"first_name": "Ada"}, "the customer")
    assert services.writes.queries[0] == query
    assert services.writes.queries[1].expected_version == VERSION


def test_a_stale_change_is_a_conflict_and_a_strange_one_malformed(call: Post, services: StandIns) -> None:
    """Another version is 409; an If-Match that is not one quoted version is 400 and writes nothing."""
    path = f"/v1/customers/{ADA}"
    assert call("PATCH", path, json=WRITE, headers={"If-Match": '"v0"'}).status_code == 409
    before = len(services.writes.queries)
    for header in ("v1", "*", '"v1", "v2"', 'W/"v1"', '""', '"' + "v" * 200 + '"'):
        assert call("PATCH", path, json=WRITE, headers={"If-Match": header}).status_code == 400
    assert len(services.writes.queries) == before


def test_refused_fields_are_named_with_their_reasons(call: Post) -> None:
    """A write of a field without a basis is 403 and says which field and why, not what was sent."""
    answer = call("PATCH", f"/v1/customers/{ADA}", json={**WRITE, "record": {REFUSED_FIELD: "peanuts-canary"}})
    assert answer.status_code == 403
    body = answer.get_json()
    assert body["code"] == "fields_refused"
    assert body["refused"] == {REFUSED_FIELD: "category_not_declared_for_purpose"}
    assert "peanuts-canary" not in answer.get_data(as_text=True)


def test_a_creation_reaches_the_writes_as_asked(call: Post, services: StandIns) -> None:
    """Values and source arrive; the answer is 201 with the new id."""
    record = {"email": ADA_EMAIL, "age": 36, "score": 1.5, "member": True, "note": None}
    answer = call("POST", "/v1/customers", json={**WRITE, "record": record})
    assert documented(answer, answer_schemas.WriteAnswerSchema, 201)["data_subject"] == ADA
    assert services.writes.queries == [CreateQuery("customer_support", record, "the customer")]


def test_a_choice_reaches_the_ledger_as_reported(call: Post, services: StandIns) -> None:
    """Person, purpose, kind, times in UTC and evidence arrive; the answer is 201 with the state after it."""
    body = documented(call("POST", "/v1/consents", json=GRANT), answer_schemas.RecordedSchema, 201)
    assert body["state"]["purposes"]["email_marketing"]["status"] == "granted"
    (choice,) = services.choices.recorded
    assert choice.person == PersonRef(data_subject=ADA)
    assert (choice.purpose, choice.kind) == ("email_marketing", EventKind.GRANT)
    assert choice.occurred_at == datetime(2026, 11, 22, 11, 30, 0, 500_000, tzinfo=UTC)
    assert choice.valid_until == datetime(2027, 11, 22, tzinfo=UTC)
    assert (choice.how, choice.notice, choice.notice_version, choice.language) == ("web_form", "privacy", "4", "de-AT")
    assert choice.conditions == {"c"}


def test_a_choice_may_leave_out_its_time_and_stand_for_all(call: Post, services: StandIns) -> None:
    """Without a time it happened now; a person-wide kind takes no purpose; `*` stands for every purpose."""
    evidence = {"how": "spoken", "reference": "call-1"}
    for rest in ({"kind": "restrict"}, {"kind": "withdraw", "purpose": "*"}):
        assert call("POST", "/v1/consents", json={"identifier": EMAIL, "evidence": evidence, **rest}).status_code == 201
    assert [choice.purpose for choice in services.choices.recorded] == [ANY_PURPOSE] * 2
    assert services.choices.recorded[0].occurred_at == services.clock.now()


@pytest.mark.parametrize("evidence", [{}, {"evidence": {}}, {"evidence": {"how": "api"}}])
def test_what_restricts_needs_no_evidence(call: Post, services: StandIns, evidence: dict[str, Any]) -> None:
    """Evidence left out, or its `how`, stands for a choice reported by the API."""
    body = {"identifier": EMAIL, "kind": "withdraw", "purpose": "email_marketing", **evidence}
    assert call("POST", "/v1/consents", json=body).status_code == 201
    (choice,) = services.choices.recorded
    assert (choice.how, choice.reference, choice.conditions) == ("api", None, frozenset())


@pytest.mark.parametrize("kind", sorted(OPENING))
def test_what_opens_needs_evidence(call: Post, services: StandIns, kind: str) -> None:
    """Without evidence an opening kind is malformed, and the answer points at what is missing."""
    body = {"identifier": EMAIL, "kind": kind, "purpose": "email_marketing"}
    answer = call("POST", "/v1/consents", json=body)
    assert answer.status_code == 400
    assert [fault["pointer"] for fault in answer.get_json()["errors"]] == ["/evidence"]
    assert services.choices.recorded == []


def test_a_grant_without_evidence_is_refused(call: Post) -> None:
    """The ledger's refusal to raise a consent is 422."""
    answer = call("POST", "/v1/consents", json={**GRANT, "evidence": {"how": "api"}})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "consent_not_raised")


def test_state_and_history_have_their_documented_form(call: Post) -> None:
    """State by identifier and by id, history by id; of a shared identifier no id is told."""
    for person in ({"identifier": EMAIL}, {"data_subject": ADA}):
        body = documented(call("POST", "/v1/consents/lookup", json=person), answer_schemas.StateSchema)
        assert body["data_subject"] == ADA
    shared = call("POST", "/v1/consents/lookup", json={"identifier": {"kind": "email", "value": FAMILY_EMAIL}})
    body = documented(shared, answer_schemas.StateSchema)
    assert (body["data_subject"], body["shared"]) == (None, True)
    history = documented(call("GET", f"/v1/customers/{ADA}/consents"), answer_schemas.HistorySchema)
    assert [event["purpose"] for event in history["events"]] == ["email_marketing", None]
    assert history["events"][0]["occurred_at"] == "2026-11-22T12:00:00Z"
    nobody = {"identifier": {"kind": "email", "value": "nobody@example.com"}}
    assert call("POST", "/v1/consents/lookup", json=nobody).status_code == 404


def test_a_repeated_write_is_carried_out_once(call: Post, services: StandIns) -> None:
    """Under one key the second call gets the first one's answer, marked as such, and nothing is written again."""
    headers = {"Idempotency-Key": "order 4711"}
    first = call("POST", "/v1/consents", json=GRANT, headers=headers)
    second = call("POST", "/v1/consents", json=dict(reversed(GRANT.items())), headers=headers)
    assert (second.status_code, second.get_data()) == (201, first.get_data())
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(services.choices.recorded) == 1


def test_a_key_stands_for_one_request_of_one_client(call: Post, services: StandIns, http: FlaskClient) -> None:
    """Another body or path under the key is 422; another client's equal key is another key."""
    headers = {"Idempotency-Key": "k"}
    assert call("PATCH", f"/v1/customers/{ADA}", json=WRITE, headers=headers).status_code == 200
    changed = call("PATCH", f"/v1/customers/{ADA}", json={**WRITE, "source": "form"}, headers=headers)
    assert (changed.status_code, changed.get_json()["code"]) == (422, "idempotency_mismatch")
    assert call("POST", "/v1/customers", json=WRITE, headers=headers).status_code == 422
    services.client("till")
    other = {"Authorization": f"Bearer {services.token('till')}", **headers}
    assert http.patch(f"/v1/customers/{ADA}", json={**WRITE, "source": "form"}, headers=other).status_code == 200


def test_a_failed_write_frees_its_key(call: Post, services: StandIns) -> None:
    """After a refusal or a failure the same key may carry the call again."""
    headers, path = {"Idempotency-Key": "k"}, f"/v1/customers/{ADA}"
    assert call("PATCH", path, json={**WRITE, "record": {REFUSED_FIELD: "x"}}, headers=headers).status_code == 403
    services.gateway.failing = StoreUnavailable("the customer store did not answer")
    assert call("PATCH", path, json=WRITE, headers=headers).status_code == 503
    services.gateway.failing = RuntimeError("a fault of ours")
    assert call("PATCH", path, json=WRITE, headers=headers).status_code == 500
    services.gateway.failing = None
    assert call("PATCH", path, json=WRITE, headers=headers).status_code == 200


def test_a_call_that_still_runs_under_the_key_is_a_conflict(call: Post, services: StandIns) -> None:
    """While the first call has no answer yet, a second one under its key is 409 and carried out by nobody."""
    identity = orjson.dumps(
        [
            "PATCH",
            f"/v1/customers/{ADA}",
            None,  # no If-Match
            {"changes": WRITE["record"], "purpose": "customer_support", "source": "the customer"},
        ],
        option=orjson.OPT_SORT_KEYS,
    )
    assert services.idempotency.begin("web-shop", "k", identity) is None
    answer = call("PATCH", f"/v1/customers/{ADA}", json=WRITE, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "conflict")
    assert services.writes.queries == []


@pytest.mark.parametrize("key", ["", "k" * 256, "ключ"])
def test_a_malformed_key_is_refused(call: Post, services: StandIns, key: str) -> None:
    """A key is 1 to 255 printable ASCII characters."""
    answer = call(
        "PATCH", f"/v1/customers/{ADA}", json=WRITE, headers={"Idempotency-Key": key.encode().decode("latin-1")}
    )
    assert answer.status_code == 400
    assert services.writes.queries == []


def test_a_signal_reaches_the_hearing_as_sent(call: Post, services: StandIns) -> None:
    """Device, profile and person are named together; what was understood is answered; the status is as documented."""
    both = {"device_id": "cookie-17", "profile_id": "profile-4"}
    sent = {"person": {"data_subject": ADA}, **both, "gpc": "1", "usp": "1YYN"}
    body = documented(call("POST", "/v1/signals", json=sent), signal_schemas.HeardSchema, 201)
    assert (body["read"]["gpc"], body["read"]["usp_opted_out"], len(body["event_ids"])) == (True, True, 1)
    ((persons, told),) = services.hearing.heard
    device, profile = (PersonRef(identifier=Identifier("device_id", each)) for each in both.values())
    assert (persons, told.gpc) == ((device, profile, PersonRef(data_subject=ADA)), True)
    status = documented(
        call("POST", "/v1/signals/lookup", json={"identifier": EMAIL}), signal_schemas.SignalStatusSchema
    )
    assert (status["honoured"], status["turned_off"]) == (True, ["data_sale", "targeted_ads"])
    assert status["programme"] == {"member": True, "ask": True}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"gpc": "1"}, ""),
        ({"device_id": "cookie-17"}, ""),
        ({"device_id": "cookie-17", "gpc": "yes"}, "/gpc"),
        ({"device_id": "cookie-17", "gpp": "DBABM~nonsense!"}, "/gpp"),
        ({"device_id": "cookie-17", "tcf": "BAAA"}, "/tcf"),
        ({"device_id": "cookie-17", "usp": "9YYY"}, "/usp"),
        ({"device_id": "cookie-17", "gpc": "1", "region": "CA"}, "/region"),
    ],
)
def test_a_signal_that_is_not_understood_is_refused_by_name(
    call: Post, services: StandIns, body: dict[str, Any], pointer: str
) -> None:
    """Nobody named, nothing sent, or a value that is not understood: 400, the member's name, and nothing heard."""
    answer = call("POST", "/v1/signals", json=body)
    assert answer.status_code == 400, answer.get_json()
    assert pointer in {error["pointer"] for error in answer.get_json()["errors"]} or pointer == ""
    assert services.hearing.heard == []


def test_a_client_that_only_passes_signals_on_needs_no_other_scope(services: StandIns, http: FlaskClient) -> None:
    """`signals:write` is enough to send one; without it a client that may record choices may not."""
    services.client("tag", scopes=frozenset({"signals:write"}))
    services.client("shop-floor", scopes=frozenset({"consents:write"}))
    for client, status in (("tag", 201), ("shop-floor", 403)):
        headers = {"Authorization": f"Bearer {services.token(client)}"}
        answer = http.post("/v1/signals", json={"device_id": "cookie-17", "gpc": "1"}, headers=headers)
        assert answer.status_code == status


def test_writes_and_choices_with_the_header_are_heard_too(call: Post, services: StandIns) -> None:
    """A record made or changed and a choice recorded with `Sec-GPC: 1` bind the person; without it nothing is heard."""
    for headers in ({}, {"Sec-GPC": "1"}):
        call("POST", "/v1/customers", json=WRITE, headers=headers)
        call("PATCH", f"/v1/customers/{ADA}", json=WRITE, headers=headers)
        call("POST", "/v1/consents", json=GRANT, headers=headers)
    assert [persons for persons, _ in services.hearing.heard] == [(PersonRef(data_subject=ADA),)] * 3


def test_the_site_says_that_it_honours_the_signal(http: FlaskClient) -> None:
    """`gpc.json` is public and has the two members of the specification."""
    body = documented(http.get("/.well-known/gpc.json"), signal_schemas.GpcSupportSchema)
    assert body == {"gpc": True, "lastUpdate": "2026-11-25"}
