"""Bodies: what is refused before any service hears of it, and that a refusal repeats nothing."""

import contextlib
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Request
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError, fields
from werkzeug.exceptions import RequestEntityTooLarge

from consent_gateway.errors import InputRefused
from consent_gateway.web import bodies
from consent_gateway.web.fields import FieldNames, Text
from consent_gateway.web.schemas import BATCH_PERSONS, BatchSchema, IdentifierSchema, LookupSchema, is_identifier
from tests.web.standins import ADA, ADA_EMAIL, Post, StandIns

LOOKUP = "/v1/customers/lookup"
CANARY = "canary-4711@example.com"
GOOD: dict[str, Any] = {"identifier": {"kind": "email", "value": ADA_EMAIL}, "purpose": "order_fulfilment"}

NOT_JSON = {
    "empty": b"",
    "cut": b'{"purpose": "x"',
    "text": b"hello",
    "trailing": b"{} {}",
    "comment": b"{} // x",
    "single quotes": b"{'purpose': 'x'}",
    "NaN": b'{"purpose": NaN}',
    "infinity": b'{"purpose": -Infinity}',
    "overflow": b'{"purpose": 1e999}',
    "big integer": b'{"purpose": 100000000000000000000000}',
    "endless digits": b'{"purpose": ' + b"1" * 5000 + b"}",
    "lone surrogate": b'{"purpose": "\\ud800"}',
    "lone surrogate in a name": b'{"\\udfff": "x"}',
    "not UTF-8": b'{"purpose": "\xff"}',
    "UTF-16": '{"purpose": "x"}'.encode("utf-16"),
    "BOM": b'\xef\xbb\xbf{"purpose": "x"}',
    "control character": b'{"purpose": "a\nb"}',
    "NUL": b'{"purpose": "a\\u0000b"}',
    "NUL in a name": b'{"a\\u0000b": 1}',
    "member twice": b'{"purpose": "order_fulfilment", "purpose": "email_marketing"}',
    "member twice inside": b'{"identifier": {"kind": "email", "kind": "phone"}}',
    "deep": b'{"purpose": ' + b"[" * 17 + b"]" * 17 + b"}",
    "very deep": b'{"purpose": ' + b"[" * 100_000,
    "list": b"[]",
    "string": b'"x"',
    "null": b"null",
}


@pytest.mark.parametrize("case", NOT_JSON)
def test_a_body_that_is_not_strict_json_is_refused(call: Post, services: StandIns, case: str) -> None:
    """Whatever two readers could read in two ways is a 400, and the gateway hears nothing of it."""
    answer = call("POST", LOOKUP, data=NOT_JSON[case], content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()["code"] == "invalid_request"
    assert [fault["pointer"] for fault in answer.get_json()["errors"]] == [""]  # the body itself, not what it lacks
    assert services.gateway.queries == []


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "application/jsonx"],
)
def test_another_content_type_is_refused(call: Post, content_type: str | None) -> None:
    """Only application/json in UTF-8 is read: a cross-site form cannot send it."""
    answer = call("POST", LOOKUP, data=json.dumps(GOOD), content_type=content_type)
    assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type")


def test_another_content_type_is_told_the_one_wanted(call: Post) -> None:
    """A 415 names the media type that this call takes."""
    answer = call("POST", LOOKUP, data=json.dumps(GOOD), content_type="text/plain")
    assert "`application/json`" in answer.get_json()["detail"]


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
def test_an_empty_body_is_said_to_be_missing(call: Post, content_type: str | None) -> None:
    """Nothing sent is a 400 that says so, whatever it was declared as."""
    answer = call("POST", LOOKUP, content_type=content_type)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_request")
    assert "missing" in answer.get_json()["detail"]


def test_the_content_type_may_name_utf8(call: Post) -> None:
    """`application/json; charset=UTF-8` is application/json."""
    for content_type in ("application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'):
        assert call("POST", LOOKUP, data=json.dumps(GOOD), content_type=content_type).status_code == 200


def test_a_body_over_the_limit_is_refused(call: Post) -> None:
    """256 KiB for a call, 4 MiB for a batch; more is 413."""
    assert call("POST", LOOKUP, json={"pad": "x" * bodies.BODY_BYTES}).status_code == 413
    batch = {"purpose": "order_fulfilment", "persons": [{"data_subject": ADA}], "pad": "x" * bodies.BODY_BYTES}
    assert call("POST", "/v1/decisions/batch", json=batch).status_code == 400  # not too large: `pad` is unknown
    batch["pad"] = "x" * bodies.BATCH_BYTES
    assert call("POST", "/v1/decisions/batch", json=batch).status_code == 413


BAD_LOOKUPS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown member": ({**GOOD, CANARY: 1}, f"/{CANARY}"),
    "unknown member inside": (
        {**GOOD, "identifier": {"kind": "email", "value": "x", "extra": CANARY}},
        "/identifier/extra",
    ),
    "no purpose": ({"identifier": GOOD["identifier"]}, "/purpose"),
    "no identifier": ({"purpose": "order_fulfilment"}, "/identifier"),
    "purpose is a number": ({**GOOD, "purpose": 7}, "/purpose"),
    "purpose is a list": ({**GOOD, "purpose": [CANARY]}, "/purpose"),
    "purpose is null": ({**GOOD, "purpose": None}, "/purpose"),
    "purpose is empty": ({**GOOD, "purpose": ""}, "/purpose"),
    "purpose is no key": ({**GOOD, "purpose": CANARY}, "/purpose"),
    "purpose is long": ({**GOOD, "purpose": "p" * 65}, "/purpose"),
    "purpose ends in a line feed": ({**GOOD, "purpose": "order_fulfilment\n"}, "/purpose"),
    "identifier is text": ({**GOOD, "identifier": CANARY}, "/identifier"),
    "value is long": ({**GOOD, "identifier": {"kind": "email", "value": "x" * 321}}, "/identifier/value"),
    "value has a line feed": ({**GOOD, "identifier": {"kind": "email", "value": f"{CANARY}\n"}}, "/identifier/value"),
    "kind is no kind": ({**GOOD, "identifier": {"kind": "E-Mail!", "value": CANARY}}, "/identifier/kind"),
    "fields is text": ({**GOOD, "fields": CANARY}, "/fields"),
    "fields is empty": ({**GOOD, "fields": []}, "/fields"),
    "fields are many": ({**GOOD, "fields": ["f"] * 201}, "/fields"),
    "a field is a number": ({**GOOD, "fields": ["email", 7]}, "/fields/1"),
    "page is too big": ({**GOOD, "page": {"limit": 201}}, "/page/limit"),
    "page is negative": ({**GOOD, "page": {"offset": -1}}, "/page/offset"),
    "page is text": ({**GOOD, "page": {"limit": "50"}}, "/page/limit"),
    "recipient is long": ({**GOOD, "recipient": "r" * 65}, "/recipient"),
}


@pytest.mark.parametrize("case", BAD_LOOKUPS)
def test_a_body_of_the_wrong_form_is_refused_with_a_pointer(call: Post, services: StandIns, case: str) -> None:
    """Each fault is pointed at, the values sent are not repeated, and the gateway hears nothing of it."""
    body, pointer = BAD_LOOKUPS[case]
    answer = call("POST", LOOKUP, json=body)
    assert answer.status_code == 400
    assert pointer in [fault["pointer"] for fault in answer.get_json()["errors"]]
    assert CANARY not in answer.get_data(as_text=True).replace(f'"/{CANARY}"', "")
    assert services.gateway.queries == []


@pytest.mark.parametrize(
    ("wrong", "pointer", "message"),
    [
        ({"extra": 1}, "/extra", "not a member of this request"),
        ({"identifier": {"kind": "email", "value": "x", "extra": 1}}, "/identifier/extra", "not a member of this"),
        ({"purpose": CANARY}, "/purpose", "lower case words joined by underscore"),
        ({"recipient": "a b"}, "/recipient", "letters, digits"),
        ({"identifier": {"kind": "E-Mail!", "value": "x"}}, "/identifier/kind", "lower case letters and underscores"),
    ],
)
def test_a_fault_says_what_is_wanted(call: Post, wrong: dict[str, Any], pointer: str, message: str) -> None:
    """An unknown member is called one, and a wrong form is met with the form wanted."""
    (fault,) = call("POST", LOOKUP, json={**GOOD, **wrong}).get_json()["errors"]
    assert fault["pointer"] == pointer
    assert message in fault["message"]


@pytest.mark.parametrize(
    "person", [{}, {"data_subject": ADA, "identifier": GOOD["identifier"]}, {"data_subject": "Ada"}]
)
@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/consents", "/v1/consents/lookup"])
def test_a_person_is_named_exactly_once(call: Post, person: dict[str, Any], path: str) -> None:
    """By id or by identifier, and not by both, neither, or something that is no id."""
    rest: dict[str, Any] = {} if path.endswith("lookup") else {"purpose": "order_fulfilment"}
    if path == "/v1/consents":
        rest |= {"kind": "withdraw", "evidence": {"how": "api"}}
    assert call("POST", path, json={**person, **rest}).status_code == 400


@pytest.mark.parametrize("value", [[], {}, ["x"], {"a": 1}, "x" * 10_001])
def test_a_record_field_is_a_bounded_scalar(call: Post, value: object) -> None:
    """A write takes strings, numbers, truth values and null, and no structures."""
    body = {"purpose": "customer_support", "record": {"first_name": value}, "source": "form"}
    answer = call("PATCH", f"/v1/customers/{ADA}", json=body)
    assert answer.status_code == 400
    assert answer.get_json()["errors"][0]["pointer"].startswith("/record/first_name")


BAD_CONSENTS: dict[str, dict[str, Any]] = {
    "no zone": {"occurred_at": "2026-11-22T12:00:00"},
    "a date": {"occurred_at": "2026-11-22"},
    "a number": {"occurred_at": 1},
    "month 13": {"occurred_at": "2026-13-22T12:00:00Z"},
    "before 1970": {"occurred_at": "1969-12-31T23:59:59Z"},
    "far future": {"valid_until": "9999-12-31T23:59:59-23:00"},
    "Arabic digits": {"occurred_at": "٢٠٢٦-11-22T12:00:00Z"},
    "unknown kind": {"kind": "approve"},
    "no evidence": {"kind": "grant", "evidence": None},
    "evidence is a list": {"evidence": []},
    "unknown how": {"evidence": {"how": "telepathy"}},
    "language": {"evidence": {"how": "api", "language": "not a language"}},
    "reference": {"evidence": {"how": "api", "reference": "r" * 129}},
    "no purpose for a kind that needs one": {"purpose": None},
    "personal data in the purpose": {"purpose": CANARY},
}


@pytest.mark.parametrize("case", BAD_CONSENTS)
def test_a_choice_of_the_wrong_form_is_refused(call: Post, services: StandIns, case: str) -> None:
    """Times need a zone, kinds and ways are closed lists, a choice needs a purpose or says `*`."""
    good = {"data_subject": ADA, "purpose": "email_marketing", "kind": "withdraw", "evidence": {"how": "api"}}
    body = {name: value for name, value in {**good, **BAD_CONSENTS[case]}.items() if value is not None}
    answer = call("POST", "/v1/consents", json=body)
    assert answer.status_code == 400, answer.get_json()
    assert CANARY not in answer.get_data(as_text=True)
    assert services.choices.recorded == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?purpose=",
        "?purpose=order_fulfilment&purpose=email_marketing",
        "?purpose=order_fulfilment&extra=1",
        "?purpose=order_fulfilment&limit=many",
        "?purpose=order_fulfilment&limit=0",
        "?purpose=order_fulfilment&offset=-1",
        "?purpose=order_fulfilment&fields=",
        "?purpose=order_fulfilment&fields=a,,b",
        "?purpose=order_fulfilment&fields=" + "a," * 200 + "a",
        "?purpose=order_fulfilment&email=" + CANARY,
    ],
)
def test_a_query_of_the_wrong_form_is_refused(call: Post, services: StandIns, query: str) -> None:
    """Parameters are checked like bodies: known, once, within bounds."""
    answer = call("GET", f"/v1/customers/{ADA}{query}")
    assert answer.status_code == 400
    assert CANARY not in answer.get_data(as_text=True)
    assert services.gateway.queries == []


@pytest.mark.parametrize(
    "data_subject", ["ada", "a" * 200, "ds_%00", "ds_01JD80000000000000000000AD", "ada@example.com"]
)
def test_an_id_that_cannot_be_one_is_not_found(call: Post, services: StandIns, data_subject: str) -> None:
    """What is not of the form of an id is 404 and reaches no database."""
    assert call("GET", f"/v1/customers/{data_subject}?purpose=order_fulfilment").status_code == 404
    assert services.gateway.queries == []


def test_batches_are_checked_as_their_schema_says(call: Post) -> None:
    """The short check of a batch's persons takes and refuses what the schema would."""
    identifier = GOOD["identifier"]
    for persons, good in (
        ([{"identifier": identifier}, {"data_subject": ADA}], True),
        ([{"identifier": {"kind": "email", "value": "\u00a0x"}}], True),  # not printable, and the schema takes it
        ([], False),
        ([{}], False),
        ([{"identifier": identifier, "data_subject": ADA}], False),
        ([{"identifier": {**identifier, "more": 1}}], False),
        ([{"identifier": {"kind": "email", "value": "a\tb"}}], False),
        ([{"identifier": {"kind": "email", "value": 1}}], False),
        ([{"data_subject": None}], False),
        ([{"data_subject": ADA}, "x"], False),
        ([{"data_subject": ADA}] * (BATCH_PERSONS + 1), False),
    ):
        status = call(
            "POST", "/v1/decisions/batch", json={"purpose": "order_fulfilment", "persons": persons}
        ).status_code
        assert status == (200 if good else 400), persons[:2]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_what_is_strict_json_is_read_as_it_is(value: Any) -> None:
    """Any value JSON can write without doubt comes back equal, unless it holds NUL."""
    written = json.dumps(value)
    if "\\u0000" in written:
        return
    assert bodies.parse_json(written.encode()) == value


@given(JSON_VALUES, JSON_VALUES)
def test_no_json_body_makes_the_schemas_fail(body: Any, inner: Any) -> None:
    """Whatever well-formed JSON comes, a schema takes it or refuses it as input, and nothing else happens."""
    for schema in (LookupSchema(), BatchSchema()):
        for given_body in (
            body,
            {"identifier": body, "purpose": inner},
            {"persons": body, "purpose": "x", "fields": inner},
        ):
            if isinstance(given_body, dict):
                with contextlib.suppress(InputRefused):
                    bodies.checked(schema, given_body)


@given(st.text(max_size=5) | st.text("az_-é\n", max_size=40) | st.integers(), st.text(max_size=330) | st.none())
def test_the_short_check_of_an_identifier_takes_only_what_the_schema_takes(kind: Any, value: Any) -> None:
    """Whatever the check by hand lets pass, the schema would let pass unchanged."""
    identifier = {"kind": kind, "value": value}
    if is_identifier(identifier):
        assert IdentifierSchema().load(identifier) == identifier


@given(st.lists(st.text(max_size=130) | st.integers(), max_size=4))
def test_the_short_check_of_names_agrees_with_the_long_one(names: list[Any]) -> None:
    """A list of names is taken or refused as each name on its own would be."""
    one_by_one = fields.List(Text(longest=128))
    short = FieldNames()
    with contextlib.suppress(ValidationError):
        if names:
            assert short.deserialize(names) == one_by_one.deserialize(names)
    refused = [any(_refuses(field, names)) for field in (short, one_by_one)] if names else [True, True]
    assert refused[0] == refused[1]


def _refuses(field: Any, names: list[Any]) -> Iterator[bool]:
    try:
        field.deserialize(names)
    except ValidationError:
        yield True


def test_a_hostile_host_header_is_a_client_error(http: FlaskClient) -> None:
    """A Host header that is no host is answered as a malformed request, not as a failure of ours."""
    assert http.get("/healthz", headers={"Host": "a b<c>"}).status_code in (200, 400)


def test_reading_needs_no_declared_length(app: Flask) -> None:
    """A body of unknown length is read up to the limit and not beyond."""
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(b"{}" + b" " * 100),
        "wsgi.input_terminated": True,
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }
    with app.app_context():
        assert bodies.read_json(Request(dict(environ)), 1000) == {}
        environ["wsgi.input"] = io.BytesIO(b"{}" + b" " * 100)
        with pytest.raises(RequestEntityTooLarge):
            bodies.read_json(Request(dict(environ)), 50)
