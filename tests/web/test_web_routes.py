"""Routes: the golden list, the public ones, and that routing, OpenAPI and pages all say the same."""

import html
import itertools
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from consent_gateway.callers.registry import Scope
from consent_gateway.console.permissions import PERMITTED, Doing
from consent_gateway.officers.registry import Role
from consent_gateway.web import openapi
from consent_gateway.web.api import customers
from consent_gateway.web.apidocs import anchor, schema_anchor, told
from consent_gateway.web.app import CONSOLE_PAGES, FOR_AGENTS, OPERATIONS, create_app
from consent_gateway.web.app import PAGES as CUSTOMER_PAGES
from consent_gateway.web.auth import TokenMissing
from consent_gateway.web.operations import AgentAuth, CustomerAuth, EitherAuth, OfficerAuth, Public
from consent_gateway.web.problems import KINDS
from consent_gateway.web.security import CONTENT_SECURITY_POLICY, HEADERS
from tests.conftest import NOON
from tests.officers import Officer, Passkey
from tests.web.standins import Post, StandIns, stand_ins

ROUTES = [
    "DELETE /v1/confirmations/{confirmation_id}",
    "DELETE /v1/officers/sessions",
    "DELETE /v1/unsubscribe-links/{link_id}",
    "DELETE /v1/webhooks/{webhook_id}",
    "GET /.well-known/gpc.json",
    "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server",
    "GET /confirm",
    "GET /demo/outbox",
    "GET /docs",
    "GET /docs/errors",
    "GET /healthz",
    "GET /log/checkpoint",
    "GET /log/tile/entries/{index}",
    "GET /log/tile/{level}/{index}",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "GET /sign-in",
    "GET /sign-in/callback",
    "GET /sign-in/ended",
    "GET /sign-in/link",
    "GET /sign-in/not-me",
    "GET /sign-in/provider",
    "GET /sign-in/sent",
    "GET /static/docs.css",
    "GET /static/icon.svg",
    "GET /static/report.css",
    "GET /take-back",
    "GET /unsubscribe",
    "GET /v1/audit/checkpoint",
    "GET /v1/audit/entries",
    "GET /v1/audit/exports/{export_id}",
    "GET /v1/audit/exports/{export_id}/package",
    "GET /v1/audit/proofs/consistency",
    "GET /v1/audit/proofs/inclusion",
    "GET /v1/changes",
    "GET /v1/changes/stream",
    "GET /v1/confirmations/{confirmation_id}",
    "GET /v1/consents/{event_id}/evidence",
    "GET /v1/customers/{data_subject}",
    "GET /v1/customers/{data_subject}/consents",
    "GET /v1/decisions/{decision_id}",
    "GET /v1/receipts/{event_id}",
    "GET /v1/recipient-notices",
    "GET /v1/reidentifications/{request_id}",
    "GET /v1/reports",
    "GET /v1/rights-requests",
    "GET /v1/rights-requests/{request_id}",
    "GET /v1/rights-requests/{request_id}/correction",
    "GET /v1/rights-requests/{request_id}/letters",
    "GET /v1/rights-requests/{request_id}/package",
    "GET /v1/rights-requests/{request_id}/recipients",
    "GET /v1/webhooks",
    "PATCH /v1/customers/{data_subject}",
    "POST /confirm",
    "POST /not-me",
    "POST /oauth/introspect",
    "POST /oauth/revoke",
    "POST /oauth/token",
    "POST /sign-in/link",
    "POST /sign-in/mail",
    "POST /sign-in/not-me",
    "POST /sign-out",
    "POST /take-back",
    "POST /unsubscribe",
    "POST /unsubscribe/choice",
    "POST /v1/audit/exports",
    "POST /v1/confirmations",
    "POST /v1/confirmations/parent",
    "POST /v1/confirmations/{confirmation_id}/resend",
    "POST /v1/consent-forms",
    "POST /v1/consents",
    "POST /v1/consents/evidence",
    "POST /v1/consents/lookup",
    "POST /v1/consents/questions",
    "POST /v1/customers",
    "POST /v1/customers/lookup",
    "POST /v1/customers/search",
    "POST /v1/decisions",
    "POST /v1/decisions/batch",
    "POST /v1/officers/enrolments",
    "POST /v1/officers/enrolments/options",
    "POST /v1/officers/sessions",
    "POST /v1/officers/sessions/options",
    "POST /v1/recipient-notices/{notice_id}/confirmed",
    "POST /v1/recipient-notices/{notice_id}/resend",
    "POST /v1/recipient-notices/{notice_id}/told",
    "POST /v1/reidentifications",
    "POST /v1/reidentifications/{request_id}/approve",
    "POST /v1/reidentifications/{request_id}/approve/options",
    "POST /v1/reidentifications/{request_id}/deny",
    "POST /v1/reidentifications/{request_id}/reveal",
    "POST /v1/reports/{name}",
    "POST /v1/reports/{name}/page",
    "POST /v1/reports/{name}/tables/{table}",
    "POST /v1/rights-letters/{letter_id}/posted",
    "POST /v1/rights-letters/{letter_id}/resend",
    "POST /v1/rights-requests",
    "POST /v1/rights-requests/{request_id}/acknowledge",
    "POST /v1/rights-requests/{request_id}/approve",
    "POST /v1/rights-requests/{request_id}/cancel",
    "POST /v1/rights-requests/{request_id}/correction",
    "POST /v1/rights-requests/{request_id}/deny",
    "POST /v1/rights-requests/{request_id}/execute",
    "POST /v1/rights-requests/{request_id}/extend",
    "POST /v1/rights-requests/{request_id}/hold",
    "POST /v1/rights-requests/{request_id}/release",
    "POST /v1/rights-requests/{request_id}/verify",
    "POST /v1/signals",
    "POST /v1/signals/lookup",
    "POST /v1/unsubscribe-links",
    "POST /v1/webhooks",
    "POST /v1/webhooks/{webhook_id}/replay",
    "POST /v1/webhooks/{webhook_id}/rotate",
]

PUBLIC = {
    "GET /.well-known/gpc.json",
    "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server",
    "GET /confirm",
    "GET /demo/outbox",
    "GET /docs",
    "GET /docs/errors",
    "GET /healthz",
    "GET /log/checkpoint",
    "GET /log/tile/{level}/{index}",
    "GET /openapi.json",
    "GET /readyz",
    "GET /sign-in",
    "GET /sign-in/callback",
    "GET /sign-in/ended",
    "GET /sign-in/link",
    "GET /sign-in/not-me",
    "GET /sign-in/provider",
    "GET /sign-in/sent",
    "GET /static/docs.css",
    "GET /static/icon.svg",
    "GET /static/report.css",
    "GET /take-back",
    "GET /unsubscribe",
    "GET /v1/audit/checkpoint",
    "GET /v1/audit/proofs/consistency",
    "GET /v1/audit/proofs/inclusion",
    "POST /confirm",
    "POST /oauth/introspect",
    "POST /oauth/revoke",
    "POST /oauth/token",
    "POST /sign-in/link",
    "POST /sign-in/mail",
    "POST /take-back",
    "POST /sign-in/not-me",
    "POST /unsubscribe",
    "POST /unsubscribe/choice",
    "POST /v1/officers/enrolments",
    "POST /v1/officers/enrolments/options",
    "POST /v1/officers/sessions",
    "POST /v1/officers/sessions/options",
}
CUSTOMER = {"POST /not-me", "POST /sign-out"}
_OFFICERS = itertools.count()
PAGES = ("/docs", "/docs/errors")


def test_the_golden_list_of_routes() -> None:
    """No route appears or disappears unnoticed."""
    assert sorted(f"{op.method} {op.path}" for op in OPERATIONS) == ROUTES


def test_flask_routes_exactly_the_declared_operations(app: Flask) -> None:
    """The URL map holds the declared operations, the customers' pages and nothing else."""
    declared = {(one.method, one.path) for one in (*OPERATIONS, *CUSTOMER_PAGES, *CONSOLE_PAGES)}
    routed = {
        (method, re.sub(r"<(?:path:)?([^>]+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert routed == declared


def test_public_routes_are_those_listed_here_and_say_why() -> None:
    """A route without authentication is one of this list and says why; each other names a scope or an officer."""
    public = {f"{op.method} {op.path}": op.auth for op in OPERATIONS if isinstance(op.auth, Public)}
    assert set(public) == PUBLIC
    assert all(auth.why for auth in public.values())
    assert all(isinstance(op.auth, Scope | Public | OfficerAuth | CustomerAuth | EitherAuth) for op in OPERATIONS)


AGENTS = [
    "DELETE /v1/data-rights-request/{request_id}",
    "GET /v1/agent/{agent_id}",
    "GET /v1/data-rights-request/{request_id}",
    "POST /v1/agent/{agent_id}",
    "POST /v1/data-rights-request",
]


def test_the_routes_of_agents_are_there_only_where_a_directory_is_named(
    app: Flask, http: FlaskClient, services: StandIns
) -> None:
    """Off, each is an unknown address, whatever is sent; on, each but the set-up asks for an agent's own token."""
    assert sorted(f"{op.method} {op.path}" for op in FOR_AGENTS) == AGENTS
    assert [op.name for op in FOR_AGENTS if isinstance(op.auth, Public)] == ["set_up_agent"]
    assert all(isinstance(op.auth, Public | AgentAuth) for op in FOR_AGENTS)
    assert not [rule for rule in app.url_map.iter_rules() if re.search("agent|data-rights", rule.rule)]
    services.agents = SimpleNamespace(protocol=SimpleNamespace(agent=lambda _token: None))
    on = create_app(services).test_client()
    headers = {"Content-Type": "text/plain", "Authorization": "Bearer gw_drp_x"}
    others = [{"Authorization": f"Bearer {token}"} for token in (services.token(), signed_in(http, services, *Role))]
    for op in FOR_AGENTS:
        path = re.sub(r"{[^}]+}", "rq_01jd80000000000000000000ad", op.path)
        for given in ({}, headers):
            off = http.open(path, method=op.method, data=b"x", headers=given)
            assert (off.status_code, off.get_json()["code"]) == (404, "not_found")
        if isinstance(op.auth, AgentAuth):
            assert on.open(path, method=op.method, data=b"x").status_code == 401
            refused = on.open(path, method=op.method, data=b"x", headers=headers).status_code
            assert refused == (403 if op.auth.of_path else 401)
            assert {on.open(path, method=op.method, headers=each).status_code for each in others} == {refused}
            assert on.open(f"{path}/", method=op.method, headers=headers).status_code == 404


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    """Services for all these refusals together, which change nothing but the clock and who has signed in."""
    services = stand_ins(f"sqlite:///{tmp_path_factory.mktemp('house') / 'gateway.db'}", NOON)
    services.client()
    yield services
    services.close()


@pytest.fixture(scope="module")
def door(house: StandIns) -> FlaskClient:
    """A client of their application that sends no token."""
    return create_app(house).test_client()


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in PUBLIC | CUSTOMER])
def test_every_other_route_refuses_a_call_without_a_token(door: FlaskClient, house: StandIns, route: str) -> None:
    """Without a token the answer is 401 before anything of the request is looked at."""
    method, path = route.split()
    answer = door.open(re.sub(r"{[^}]+}", "ds_01jd80000000000000000000ad", path), method=method, data=b"not json")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == TokenMissing.challenge
    assert house.gateway.queries == []


@pytest.mark.parametrize("op", [op for op in OPERATIONS if isinstance(op.auth, Scope)], ids=lambda op: op.name)
def test_every_other_route_refuses_a_token_without_its_scope(door: FlaskClient, house: StandIns, op: Any) -> None:
    """A token that carries every scope but the route's is refused with the name of the scope."""
    token = house.token("web-shop", *(set(Scope) - {op.auth}))
    path = re.sub(r"{[^}]+}", "ds_01jd80000000000000000000ad", op.path)
    answer = door.open(path, method=op.method, json={}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert answer.get_json()["code"] == "caller_not_permitted"
    assert f'scope="{op.auth.value}"' in answer.headers["WWW-Authenticate"]
    assert "ask the operator to register the scope, then for a new token" in answer.get_json()["detail"]


ANY_OFFICER = {
    "/v1/officers/sessions",
    "/v1/reidentifications/{request_id}",
    "/v1/reidentifications/{request_id}/approve",
    "/v1/reidentifications/{request_id}/approve/options",
    "/v1/reidentifications/{request_id}/deny",
}
"""Calls that need an officer of whatever role; the request itself says who of them may."""

OFFICERS = [op for op in OPERATIONS if isinstance(op.auth, OfficerAuth)]


@pytest.mark.parametrize("op", OFFICERS, ids=lambda op: op.name)
def test_a_client_token_is_no_officer_token_and_the_reverse(door: FlaskClient, house: StandIns, op: Any) -> None:
    """A route for officers takes no client's token, whatever its scopes, and no client's route an officer's."""
    path = re.sub(r"{[^}]+}", "rid_01jd80000000000000000000ad", op.path)
    client = {"Authorization": f"Bearer {house.token()}"}
    assert door.open(path, method=op.method, json={}, headers=client).status_code == 401
    officer = {"Authorization": f"Bearer {signed_in(door, house, *Role)}"}
    assert door.post("/v1/decisions", json={}, headers=officer).status_code == 401


@pytest.mark.parametrize("op", [op for op in OFFICERS if op.auth.doing], ids=lambda op: op.name)
def test_every_route_of_an_act_refuses_all_other_roles(door: FlaskClient, house: StandIns, op: Any) -> None:
    """An officer with every role but those that the table gives the act is refused by the names of these."""
    token = signed_in(door, house, *(set(Role) - PERMITTED[op.auth.doing]))
    path = re.sub(r"{[^}]+}", "rid_01jd80000000000000000000ad", op.path)
    answer = door.open(path, method=op.method, json={}, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "officer_not_permitted")
    assert all(f"`{role.value}`" in answer.get_json()["detail"] for role in PERMITTED[op.auth.doing])


@pytest.mark.parametrize(
    "role", sorted({role for op in OFFICERS if op.auth.doing for role in PERMITTED[op.auth.doing]})
)
def test_each_role_of_an_act_is_enough_alone(http: FlaskClient, services: StandIns, role: Role) -> None:
    """Whatever else a call then comes to, it is not for want of a role."""
    headers = {"Authorization": f"Bearer {signed_in(http, services, role)}"}
    for op in OFFICERS:
        if op.auth.doing and role in PERMITTED[op.auth.doing]:
            path = re.sub(r"{[^}]+}", "rid_01jd80000000000000000000ad", op.path)
            answer = http.open(path, method=op.method, json={}, headers=headers)
            assert answer.status_code not in (401, 403), op.name


def test_calls_of_officers_name_acts_of_the_one_table() -> None:
    """The table says who may, for pages and calls alike; a call for any officer is listed here."""
    acts: dict[Any, set[str]] = {}
    for op in OPERATIONS:
        if isinstance(op.auth, OfficerAuth | EitherAuth):
            acts.setdefault(op.auth.doing, set()).add(op.path)
    assert acts[None] == ANY_OFFICER
    assert acts[Doing.SEE_REPORTS] == {"/v1/reports"}
    assert acts[Doing.RUN_REPORTS] == {f"/v1/reports/{{name}}{tail}" for tail in ("", "/page", "/tables/{table}")}
    assert acts[Doing.SEE_LOG] == {"/v1/audit/entries", "/log/tile/entries/{index}"}
    assert {path.split("/")[3] for path in acts[Doing.EXPORT_LOG]} == {"exports"}
    assert {path.split("/")[2] for path in acts[Doing.ASK_REIDENTIFICATION]} == {"reidentifications"}
    assert {path.split("/")[2] for path in acts[Doing.WORK_REQUESTS]} == {
        "recipient-notices",
        "rights-letters",
        "rights-requests",
    }
    assert set(acts) <= {None, *PERMITTED}


@pytest.mark.parametrize("op", [op for op in OFFICERS if op.auth.fresh_seconds], ids=lambda op: op.name)
def test_every_route_that_wants_a_fresh_sign_in_refuses_an_old_one(door: FlaskClient, house: StandIns, op: Any) -> None:
    """One second past its bound the sign-in is too old, told as RFC 9470 does."""
    token = signed_in(door, house, *Role)
    house.clock.pass_by(seconds=op.auth.fresh_seconds + 1)
    path = re.sub(r"{[^}]+}", "rid_01jd80000000000000000000ad", op.path)
    answer = door.open(path, method=op.method, json={}, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.get_json()["code"]) == (401, "sign_in_stale")
    assert 'error="insufficient_user_authentication"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("op", [op for op in OPERATIONS if isinstance(op.auth, EitherAuth)], ids=lambda op: op.name)
def test_a_route_for_both_asks_each_for_their_own(door: FlaskClient, house: StandIns, op: Any) -> None:
    """A client without the scope and an officer without the role are each refused, by its name."""
    path = re.sub(r"{[^}]+}", "rq_01jd80000000000000000000ad", op.path)
    client = house.token("web-shop", *(set(Scope) - {op.auth.scope}))
    answer = door.open(path, method=op.method, json={}, headers={"Authorization": f"Bearer {client}"})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "caller_not_permitted")
    assert op.auth.scope.value in answer.get_json()["detail"]
    officer = signed_in(door, house, *(set(Role) - PERMITTED[op.auth.doing]))
    answer = door.open(path, method=op.method, json={}, headers={"Authorization": f"Bearer {officer}"})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "officer_not_permitted")
    assert all(f"`{role.value}`" in answer.get_json()["detail"] for role in PERMITTED[op.auth.doing])


def signed_in(door: FlaskClient, house: StandIns, *roles: Role) -> str:
    """The token of a fresh officer with these roles."""

    def send(method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        answer = door.open(path, method=method, json=body)
        return SimpleNamespace(status=answer.status_code, body=answer.get_json())

    officer = Officer(send, Passkey(house.issuer))
    assert officer.enrol(house.desk.officers.add(f"ada-{next(_OFFICERS)}", roles)[1]).status == 201
    assert officer.sign_in().status == 201
    return officer.token


def test_the_description_is_written_once_and_only_when_asked_for(
    services: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application starts without it, and from the first call on everybody gets the same."""
    written: list[str] = []
    document = openapi.document

    def counted(*given: Any, **options: Any) -> Any:
        written.append(options["issuer"])
        return document(*given, **options)

    monkeypatch.setattr(openapi, "document", counted)
    http = create_app(services).test_client()
    assert written == []
    first = {path: http.get(path).data for path in ("/openapi.json", "/docs", "/docs/errors")}
    assert {path: http.get(path).data for path in first} == first
    assert written == [services.issuer]


def test_the_document_describes_exactly_the_routes(http: FlaskClient) -> None:
    """OpenAPI's paths, methods and security are those declared, and every answer's schema exists."""
    document = http.get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert described == {(op.method, op.path) for op in OPERATIONS}
    for op in OPERATIONS:
        security = document["paths"][op.path][op.method.lower()]["security"]
        if isinstance(op.auth, Scope):
            assert security == [{"oauth2": [op.auth.value]}]
        elif isinstance(op.auth, EitherAuth):
            roles = sorted(PERMITTED[op.auth.doing])
            assert security == [{"oauth2": [op.auth.scope.value]}, *({"officer": [role.value]} for role in roles)]
        elif isinstance(op.auth, OfficerAuth):
            roles = sorted(PERMITTED[op.auth.doing]) if op.auth.doing else []
            assert security == ([{"officer": [role.value]} for role in roles] or [{"officer": []}])
        elif isinstance(op.auth, CustomerAuth):
            assert security == [{"customer": []}]
        else:
            assert {} in security or security == []
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names <= set(document["components"]["schemas"])
    assert not [name for name in document["components"]["schemas"] if re.search(r"\d$", name)]  # none met another


def test_every_path_schema_and_error_has_its_place_on_a_page(http: FlaskClient) -> None:
    """The reference has an anchor for each call and schema, the errors page for each code; no link leads nowhere."""
    document = http.get("/openapi.json").get_json()
    reference, errors = (http.get(page).get_data(as_text=True) for page in PAGES)
    ids = re.findall(r'id="([^"]+)"', reference)
    assert len(ids) == len(set(ids))
    for op in OPERATIONS:
        assert anchor(op.method, op.path) in ids
    for name in document["components"]["schemas"]:
        assert schema_anchor(name) in ids
    for kind in KINDS:
        assert f'id="{kind.code}"' in errors
    assert set(re.findall(r'href="#([^"]+)"', reference)) <= set(ids)


@pytest.mark.parametrize("page", PAGES)
def test_pages_need_no_script_no_inline_style_and_no_other_origin(http: FlaskClient, page: str) -> None:
    """A page holds one h1, a language, a skip link, and nothing the policy would block."""
    text = http.get(page).get_data(as_text=True)
    assert text.count("<h1") == 1
    assert '<html lang="en" dir="ltr">' in text
    assert "<script" not in text
    assert not re.search(r'\s(style|on[a-z]+)="', text)
    assert not re.search(r'(src|href)="(https?:)?//', text)
    assert 'class="skip" href="#main"' in text
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("page", PAGES)
def test_pages_show_code_as_code_and_scroll_what_is_wide(http: FlaskClient, page: str) -> None:
    """No backtick is left in a page; every table and example scrolls in a labelled place that takes the focus."""
    text = http.get(page).get_data(as_text=True)
    assert "`" not in text
    for wide in re.findall(r"<pre[^>]*>", text):
        assert re.search(r'role="region" tabindex="0" aria-label="[^"]+"', wide)
    regions = re.findall(r'<div class="scroll" role="region" tabindex="0" aria-label="[^"]+">\s*<table>', text)
    assert len(regions) == text.count("<table>")


def test_what_is_told_is_escaped_before_it_is_marked_up() -> None:
    """Markup in a text stays text, also between backticks."""
    assert told("a <b> & `<i>`") == "a &lt;b&gt; &amp; <code>&lt;i&gt;</code>"


def test_the_example_of_a_change_is_what_a_careful_caller_sends(http: FlaskClient) -> None:
    """The curl line of PATCH shows both headers of a safe write, and its body over several lines."""
    shown = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", http.get("/docs").get_data(as_text=True), re.DOTALL)
    (change,) = [html.unescape(example) for example in shown if "PATCH" in example]
    assert '-H "If-Match: \\"$VERSION\\""' in change
    assert '-H "Idempotency-Key: $KEY"' in change
    assert "/v1/customers/$DATA_SUBJECT" in change
    body = change.partition("-d '")[2].removesuffix("'")
    assert len(body.splitlines()) > 5
    assert json.loads(body) == customers.change_customer.example


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/docs"),
        ("GET", "/static/docs.css"),
        ("GET", "/nowhere"),
        ("POST", "/healthz"),
        ("POST", "/v1/customers"),
    ],
)
def test_every_answer_carries_the_security_headers(http: FlaskClient, method: str, path: str) -> None:
    """Pages, files and errors alike: one strict policy, no sniffing, no framing, no referrer."""
    answer = http.open(path, method=method)
    for name, value in HEADERS:
        assert answer.headers.getlist(name) == [value]
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "script-src" not in CONTENT_SECURITY_POLICY  # default-src 'none' forbids it
    assert answer.headers["Cache-Control"] == ("public, max-age=3600" if "static" in path else "no-store")


def test_a_wellformed_request_id_is_echoed_and_others_are_replaced(http: FlaskClient) -> None:
    """The caller's request id comes back if it is a plain word; anything else gets a fresh one."""
    assert http.get("/healthz", headers={"X-Request-ID": "trace-0001"}).headers["X-Request-ID"] == "trace-0001"
    for bad in ("short", "ada@example.com", "a" * 65, "x y z x y z", "-leading-dash"):
        assert http.get("/healthz", headers={"X-Request-ID": bad}).headers["X-Request-ID"].startswith("req_")
    problem = http.get("/nowhere", headers={"X-Request-ID": "trace-0002"}).get_json()
    assert problem["request_id"] == "trace-0002"


def test_every_example_of_the_reference_works(call: Post, http: FlaskClient, services: StandIns) -> None:
    """Each request shown on the reference page is answered with success."""
    shown = [op for op in OPERATIONS if op.example is not None]
    assert len(shown) >= 6
    for op in shown:
        path = op.path.replace("{data_subject}", "ds_01jd80000000000000000000ad")
        example = dict(op.example or {})
        if example.get("purpose") == "email_marketing" and ("decisions" in path or "confirmations" in path):
            example["purpose"] = "order_fulfilment"  # the one purpose the test's client may claim
        if "webhooks" in path:
            example.pop("purposes")  # then all that the client may hear
        example.pop("fields", None)
        headers = {}
        if isinstance(op.auth, OfficerAuth) and op.auth.doing:
            headers["Authorization"] = f"Bearer {signed_in(http, services, *PERMITTED[op.auth.doing])}"
        answer = call(op.method, path, json=example, headers=headers)
        assert answer.status_code == op.answers[0].status, (op.name, answer.get_json())


def test_readiness_tells_its_state_by_status(http: FlaskClient, services: StandIns) -> None:
    """A gateway that is not ready answers 503 with what is away, and stays alive."""
    assert http.get("/readyz").status_code == 200
    services.health.is_ready = False
    answer = http.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["ready"] is False
    assert http.get("/healthz").status_code == 200


def test_operations_of_a_module_are_all_served() -> None:
    """What a module declares it also lists: no operation is forgotten."""
    declared = {value.name for value in vars(customers).values() if type(value).__name__ == "Operation"}
    assert declared == {op.name for op in customers.OPERATIONS}
