"""Problems and logs: every cause has its documented answer, and neither holds what it must not."""

import inspect
import json
import logging

import pytest
from flask.testing import FlaskClient

from consent_gateway import errors
from consent_gateway.web.answer_schemas import ProblemSchema
from consent_gateway.web.logs import JsonLines
from consent_gateway.web.problems import KINDS, PROBLEM_TYPE, kind_of
from tests.web.standins import ADA_EMAIL, Post, StandIns

LOOKUP = "/v1/customers/lookup"
BODY = {"identifier": {"kind": "email", "value": ADA_EMAIL}, "purpose": "order_fulfilment"}
SECRET = "canary-4711"
CAUSES = [cause for _, cause in inspect.getmembers(errors, inspect.isclass) if issubclass(cause, errors.GatewayError)]
INTERNAL = {
    errors.Undelivered,
    errors.SettingsRefused,
    errors.PolicyInvalid,
    errors.CatalogueMismatch,
    errors.LogDamaged,
    errors.GatewayError,
}


def made(cause: type[errors.GatewayError], message: str = "what happened: how to mend it") -> errors.GatewayError:
    """One of that cause."""
    if cause is errors.FieldsRefused:
        return errors.FieldsRefused(message, {"allergies": "no_consent"})
    if cause is errors.TooManyRequests:
        return errors.TooManyRequests(message, 17)
    return cause(message)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_every_cause_is_a_documented_problem(call: Post, services: StandIns, cause: type[errors.GatewayError]) -> None:
    """Each class of the error tree answers with its own code and status, in the form of RFC 9457."""
    services.gateway.failing = made(cause)
    answer = call("POST", LOOKUP, json=BODY)
    body = answer.get_json()
    kind = kind_of(cause)
    assert answer.content_type == PROBLEM_TYPE
    assert ProblemSchema().validate(body) == {}
    assert (answer.status_code, body["status"], body["code"]) == (kind.status, kind.status, kind.code)
    assert body["type"] == f"/docs/errors#{kind.code}"
    assert body["request_id"] == answer.headers["X-Request-ID"]
    if cause in INTERNAL:
        assert (kind.code, kind.status) == ("internal", 500)
    else:
        assert kind.code == cause.code
    assert ("Retry-After" in answer.headers) == (kind.status in (429, 503))
    assert cause is not errors.TooManyRequests or answer.headers["Retry-After"] == "17"
    assert ("WWW-Authenticate" in answer.headers) == (kind.status == 401)


def test_no_failure_of_a_part_is_ever_the_callers_fault() -> None:
    """What is away is 503, what is ours is 500, and only what the caller can mend is 4xx."""
    for cause in CAUSES:
        status = kind_of(cause).status
        if any(one.__name__.endswith("Unavailable") for one in cause.__mro__):
            assert status == 503
        elif cause in {*INTERNAL, errors.ProtectionRefused}:
            assert status == 500
        else:
            assert 400 <= status < 500


def test_codes_are_unique_and_told_in_full() -> None:
    """No code stands twice, and each has a title, a cause and a remedy."""
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert all(kind.title and kind.cause and kind.remedy for kind in KINDS)


def test_our_own_failures_tell_nothing(call: Post, services: StandIns, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is a plain 500: neither its message nor its type or place is in the answer."""
    for failure in (RuntimeError(SECRET), errors.LogDamaged(SECRET), errors.SettingsRefused(SECRET), KeyError(SECRET)):
        services.gateway.failing = failure
        with caplog.at_level(logging.ERROR):
            answer = call("POST", LOOKUP, json=BODY)
        assert answer.status_code == 500
        text = answer.get_data(as_text=True)
        assert SECRET not in text
        assert "Traceback" not in text
        assert type(failure).__name__ not in text
        assert caplog.records[-1].exc_info is not None  # and it is not lost


def test_faults_of_the_caller_are_pointed_at(call: Post, services: StandIns) -> None:
    """`errors` carries the pointers and messages of a refusal; an overlong name is cut."""
    faults = (errors.FieldFault("/fields/0", "not a field"), errors.FieldFault("/" + "n" * 500, "not a field"))
    services.gateway.failing = errors.UnknownField("a field is not in the catalogue", faults)
    body = call("POST", LOOKUP, json=BODY).get_json()
    assert body["errors"][0] == {"pointer": "/fields/0", "message": "not a field"}
    assert len(body["errors"][1]["pointer"]) < 130


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/customers/lookup/more/and/more", 404, "not_found"),
        ("GET", "/docs/", 404, "not_found"),
        ("GET", "//docs", 404, "not_found"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("OPTIONS", "/healthz", 405, "method_not_allowed"),
        ("TRACE", "/v1/customers", 405, "method_not_allowed"),
        ("PUT", "/v1/customers", 405, "method_not_allowed"),
    ],
)
def test_errors_of_http_are_problems_too(http: FlaskClient, method: str, path: str, status: int, code: str) -> None:
    """Unknown addresses and methods answer with a problem; a 405 names what is allowed."""
    answer = http.open(path, method=method)
    assert (answer.status_code, answer.content_type) == (status, PROBLEM_TYPE)
    assert answer.get_json()["code"] == code
    assert "nowhere" not in answer.get_data(as_text=True)
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1"])
def test_an_unknown_address_is_not_called_an_unknown_id(http: FlaskClient, call: Post, path: str) -> None:
    """An address nobody serves has a title of its own; an unknown id keeps the kind's."""
    answer = http.get(path)
    assert (answer.status_code, answer.get_json()["title"]) == (404, "No such address")
    unknown = call("GET", "/v1/customers/nobody?purpose=order_fulfilment")
    assert (unknown.status_code, unknown.get_json()["title"]) == (404, "Nothing is known under this id")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Everything logged, as the JSON lines that would be written."""
    return [JsonLines().format(record) for record in caplog.records]


def test_a_request_is_logged_without_what_it_was_about(
    call: Post, http: FlaskClient, services: StandIns, caplog: pytest.LogCaptureFixture
) -> None:
    """One line per request with route, status, client and decision; no address as sent, no body, no token, no value."""
    with caplog.at_level(logging.DEBUG):
        call("POST", LOOKUP, json=BODY)
        http.get(f"/v1/customers/{ADA_EMAIL}?email={ADA_EMAIL}", headers={"Authorization": "Bearer gw_at_secret"})
        http.get(f"/{ADA_EMAIL}")
        http.open("/healthz", method=f"X{SECRET}"[:9].upper())
        secret = services.client("till")
        http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=("till", str(secret)))
    written = lines(caplog)
    requests = [json.loads(line) for line in written if '"message":"request"' in line]
    assert [(line["route"], line["status"]) for line in requests[:3]] == [
        (LOOKUP, 200),
        ("/v1/customers/<data_subject>", 401),
        (None, 404),
    ]
    assert requests[0]["client_id"] == "web-shop"
    assert requests[0]["decision_id"].startswith("dec_")
    assert requests[0]["milliseconds"] >= 0
    assert requests[1]["problem"] == "unauthenticated"
    everything = "\n".join(written)
    for banned in (ADA_EMAIL, "gw_at_", "gw_cs_", SECRET, "Ada"):
        assert banned not in everything


def test_an_exception_is_logged_by_type_and_place_only(
    call: Post, services: StandIns, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception's message may quote a person, so the line holds its type and where it passed, causes included."""
    failure = RuntimeError(f"no row for {ADA_EMAIL}")
    failure.__cause__ = ValueError(ADA_EMAIL)
    services.gateway.failing = failure
    with caplog.at_level(logging.INFO):
        call("POST", LOOKUP, json=BODY)
    line = next(json.loads(text) for text in lines(caplog) if "call failed" in text)
    assert line["error"] == "RuntimeError from ValueError"
    assert any("standins.py" in place for place in line["at"])
    assert ADA_EMAIL not in json.dumps(line)
