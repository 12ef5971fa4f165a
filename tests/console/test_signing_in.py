"""Officers come in: a passkey in a real browser, the provider with two factors; sessions renewed and ended."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from joserfc import jwt
from playwright.sync_api import Page

from consent_gateway.console.accounts import has_factors
from consent_gateway.console.room import OfficerSignIn
from consent_gateway.console.sessions import IDLE, LONGEST, Way
from consent_gateway.console.tables import CONSOLE_SESSIONS
from consent_gateway.customer_settings import CustomerProvider
from consent_gateway.errors import Conflict, NotFound, SignInRefused
from consent_gateway.officers.registry import Role
from consent_gateway.web.app import create_app
from consent_gateway.web.console.guard import COOKIE
from consent_gateway.web.security import CONTENT_SECURITY_POLICY, SCRIPTED_POLICY
from tests.console.conftest import Open
from tests.console.world import World
from tests.web.conftest import NOON
from tests.web.standins import ISSUER, StandIns, stand_ins
from tests.web.test_customer_provider import KEY, LOGIN, StubProvider

MFA = "urn:example:mfa"


def with_authenticator(page: Page) -> None:
    """Give the browser a virtual authenticator that verifies its holder."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def enrolled(world: World, page: Page, name: str, *roles: Role) -> str:
    """A new officer who has made a passkey in this browser by the code; their id."""
    officer, code = world.services.desk.officers.add(name, roles)
    with_authenticator(page)
    page.goto("/console/enrol")
    page.get_by_label("Code from the operator").fill(code)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Make the passkey").click()
    page.wait_for_url("**/console/sign-in?enrolled=yes")
    return officer.officer_id


def test_a_code_becomes_a_passkey_and_a_passkey_a_session(world: World, opened: Open) -> None:
    """In real Chromium: register, sign in, see who one is, sign out; each sign-in has a token of its own."""
    page = opened(None)
    enrolled(world, page, "petra", Role.OFFICER)
    tokens = []
    for _ in range(2):
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.wait_for_url("**/console")
        assert "petra · officer" in page.inner_text("header")
        (kept,) = (one for one in page.context.cookies() if one["name"] == COOKIE)
        assert (kept["httpOnly"], kept["secure"], kept["sameSite"]) == (True, True, "Lax")
        tokens.append(kept["value"])
        if len(tokens) == 1:
            page.goto("/console/sign-in")
    sessions = world.services.console.sessions
    assert sessions.resolve(tokens[0]) is None  # the second sign-in ended the first
    assert sessions.resolve(tokens[1]) is not None
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/console/sign-in")
    assert sessions.resolve(tokens[1]) is None
    page.goto("/console/requests")
    assert page.url.endswith("/console/sign-in")


def test_only_pages_with_a_passkey_may_run_our_script(world: World, opened: Open) -> None:
    """The policy of every other page has no script at all; those two have ours alone."""
    page = opened("every")
    for path in ("/console", "/console/requests", "/console/enrol"):
        answer = page.goto(path)
        assert answer is not None
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    answer = page.goto("/console/sign-in")
    assert answer is not None
    assert answer.headers["content-security-policy"] == SCRIPTED_POLICY
    assert "unsafe" not in SCRIPTED_POLICY
    assert SCRIPTED_POLICY.replace("script-src 'self'; ", "") == CONTENT_SECURITY_POLICY


def test_a_wrong_code_and_an_empty_answer_register_and_open_nothing(world: World, opened: Open) -> None:
    """Errors are told at the top of the page, in words that help no guesser."""
    page = opened(None, scripts=False)
    page.goto("/console/enrol")
    page.get_by_label("Code from the operator").fill("gw_oc_wrong")
    page.get_by_role("button", name="Go on").click()
    assert page.title().startswith("Error: ")
    page.goto("/console/sign-in")
    page.get_by_role("button", name="Sign in with a passkey").click()  # without its script the form sends nothing
    assert page.title().startswith("Error: ")
    assert not [one for one in page.context.cookies() if one["name"] == COOKIE]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StandIns]:
    """Services with a provider for officers, and the officer `olga`."""
    services = stand_ins(f"sqlite:///{tmp_path / 'gateway.db'}", NOON)
    provider = CustomerProvider(LOGIN, "gateway", "secret", "sub", "external_id")
    sign_in = OfficerSignIn(provider, frozenset({MFA}), StubProvider())  # type: ignore[arg-type]
    services.console = replace(services.console, provider=sign_in)
    services.desk.officers.add("olga", [Role.OFFICER])
    services.console.accounts.link("olga", LOGIN, "sub-olga")
    yield services
    services.close()


def come_back(site: StandIns, http: FlaskClient, **different: Any) -> Any:
    """Go to the provider and come back with an ID token, some of its claims different."""
    sent = http.get("/console/sign-in/provider", base_url=ISSUER)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(sent.headers["Location"]).query).items()}
    assert (asked["prompt"], asked["acr_values"]) == ("login", MFA)
    now = int(site.clock.now().timestamp())
    claims = {"iss": LOGIN, "sub": "sub-olga", "aud": "gateway", "nonce": asked["nonce"], "iat": now, "exp": now + 300}
    stub: Any = site.console.provider.fetcher if site.console.provider else None
    kept = {name: value for name, value in {**claims, **different}.items() if value is not None}
    stub.token = jwt.encode({"alg": "ES256", "kid": "k1"}, kept, KEY, algorithms=["ES256"])
    answer = urlencode({"code": "c", "state": asked["state"], "iss": LOGIN})
    return http.get(f"/console/sign-in/callback?{answer}", base_url=ISSUER)


@pytest.mark.parametrize("told", [{"acr": MFA}, {"amr": ["pwd", "mfa"]}], ids=["acr", "amr"])
def test_a_sign_in_with_two_factors_opens_a_session(site: StandIns, told: dict[str, Any]) -> None:
    """What the provider says of its factors is enough in either form, and the session is the linked officer's."""
    http = create_app(site).test_client()
    answer = come_back(site, http, **told)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console")
    assert "olga" in http.get("/console", base_url=ISSUER).text


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"acr": "urn:example:password"},
        {"amr": ["pwd"]},
        {"amr": "mfa"},
        {"acr": MFA, "sub": "sub-nobody"},
        {"acr": MFA, "nonce": "another"},
        {"acr": MFA, "aud": "another"},
        {"acr": MFA, "iss": "https://evil.example"},
    ],
    ids=["nothing", "other acr", "one factor", "amr no list", "unknown account", "nonce", "audience", "issuer"],
)
def test_any_other_answer_of_the_provider_opens_nothing(site: StandIns, told: dict[str, Any]) -> None:
    """One factor, another's account or a token made for something else: no session."""
    http = create_app(site).test_client()
    answer = come_back(site, http, **told)
    assert answer.status_code == 400
    assert http.get_cookie(COOKIE, domain="gateway.example") is None
    assert http.get("/console", base_url=ISSUER).status_code == 303


def test_a_revoked_officer_does_not_come_in_by_their_account(site: StandIns) -> None:
    """The account still exists at the provider; here it is nobody's."""
    site.desk.officers.revoke("olga")
    answer = come_back(site, create_app(site).test_client(), acr=MFA)
    assert answer.status_code == 400


def test_an_account_belongs_to_one_officer(site: StandIns) -> None:
    """A second link of the same account is refused, and one of an unknown officer."""
    site.desk.officers.add("olaf", [Role.OFFICER])
    with pytest.raises(Conflict):
        site.console.accounts.link("olaf", LOGIN, "sub-olga")
    with pytest.raises(NotFound):
        site.console.accounts.link("nobody", LOGIN, "sub-2")
    assert not has_factors({"amr": None, "acr": None}, frozenset())


def test_sessions_end_by_rest_by_the_day_and_by_purge(site: StandIns) -> None:
    """Idle too long or too old is over at that very moment; looking keeps alive, but never past the day's end."""
    sessions, clock = site.console.sessions, site.clock
    officer_id = next(one.officer_id for one in site.desk.officers.all())
    token = sessions.begin(officer_id, Way.PASSKEY, None)
    clock.moment += IDLE - timedelta(seconds=1)
    assert sessions.resolve(token) is not None
    clock.moment += IDLE - timedelta(seconds=1)
    assert sessions.resolve(token) is not None
    clock.moment += IDLE
    assert sessions.resolve(token) is None
    token = sessions.begin(officer_id, Way.PASSKEY, None)
    end = clock.moment + LONGEST
    while clock.moment + timedelta(minutes=20) < end:
        clock.moment += timedelta(minutes=20)
        assert sessions.resolve(token) is not None
    clock.moment = end
    assert sessions.resolve(token) is None
    assert sessions.purge() >= 1
    with site.engine.connect() as connection:
        assert connection.execute(sa.select(CONSOLE_SESSIONS)).all() == []


def test_the_database_yields_no_session(site: StandIns) -> None:
    """Of a token only a keyed digest is kept; a revoked officer cannot begin one."""
    officer_id = next(one.officer_id for one in site.desk.officers.all())
    token = site.console.sessions.begin(officer_id, Way.PASSKEY, None)
    with site.engine.connect() as connection:
        rows = json.dumps([list(row) for row in connection.execute(sa.select(CONSOLE_SESSIONS))])
    assert token not in rows
    site.desk.officers.revoke("olga")
    assert site.console.sessions.resolve(token) is None
    with pytest.raises(SignInRefused):
        site.console.sessions.begin(officer_id, Way.PASSKEY, None)
