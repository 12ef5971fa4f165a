"""Customers sign in at the retailer's OpenID provider: every part of its answer that could be wrong is tried wrong."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from consent_gateway.customers.handshakes import LIFE
from consent_gateway.errors import IssuerUnavailable
from consent_gateway.web.app import create_app
from consent_gateway.web.customer.browser import SESSION_COOKIE
from tests.web.conftest import NOON
from tests.web.customers import ADA, ADA_ACCOUNT, VARIABLES
from tests.web.standins import ISSUER, StandIns, stand_ins
from tests.web.test_customer_sign_in import Browser

LOGIN = "https://login.example"
SETTINGS = {
    **VARIABLES,
    "CONSENT_GATEWAY_CUSTOMER_ISSUER": LOGIN,
    "CONSENT_GATEWAY_CUSTOMER_CLIENT_ID": "gateway",
    "CONSENT_GATEWAY_CUSTOMER_CLIENT_SECRET": "p:ss word",
}
KEY = ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256", "use": "sig"})
OTHER = ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256"})


@dataclass
class StubProvider:
    """The provider behind the fetcher: what it says can be bent, and what it was asked is kept."""

    described: dict[str, Any] = field(
        default_factory=lambda: {
            "issuer": LOGIN,
            "authorization_endpoint": f"{LOGIN}/authorize",
            "token_endpoint": f"{LOGIN}/token",
            "jwks_uri": f"{LOGIN}/keys",
            "authorization_response_iss_parameter_supported": True,
        }
    )
    token: str = ""
    asked: list[tuple[dict[str, list[str]], dict[str, str]]] = field(default_factory=list)

    def json(self, url: str, _private: frozenset[str], *, form: bytes | None = None, headers: Any = None) -> Any:
        """As `Fetcher.json`."""
        if url == f"{LOGIN}/.well-known/openid-configuration":
            return self.described
        if url == f"{LOGIN}/keys":
            return {"keys": [KEY.as_dict(private=False)]}
        assert url == f"{LOGIN}/token"
        assert form is not None
        self.asked.append((parse_qs(form.decode()), headers))
        return {"id_token": self.token, "access_token": "unused", "token_type": "Bearer"}


@dataclass
class Login:
    """One sign-in under way: the browser, the provider, and what we sent it."""

    site: StandIns
    browser: Browser
    provider: StubProvider
    sent: dict[str, str]

    def claims(self, **different: Any) -> dict[str, Any]:
        """The claims of a right ID token, with some different; None leaves one out."""
        now = int(self.site.clock.now().timestamp())
        right = {"iss": LOGIN, "sub": ADA_ACCOUNT, "aud": "gateway", "nonce": self.sent["nonce"]}
        claims = {**right, "iat": now, "exp": now + 300, **different}
        return {name: value for name, value in claims.items() if value is not None}

    def back(self, token: str | None = None, **different: str | None) -> Any:
        """Come back from the provider with a code, and parameters changed or left out."""
        self.provider.token = signed(self.claims()) if token is None else token
        given = {"code": "c0de", "state": self.sent["state"], "iss": LOGIN, **different}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return self.browser.get(f"/sign-in/callback?{query}", **{"Sec-Fetch-Site": "cross-site"})


def signed(claims: dict[str, Any], key: Any = KEY, **header: Any) -> str:
    return jwt.encode({"alg": "ES256", "kid": "k1", **header}, claims, key, algorithms=["ES256", "HS256"])


@pytest.fixture
def login(gateway_database: str) -> Iterator[Login]:
    """A browser that has gone to the provider."""
    services = stand_ins(gateway_database, NOON, variables=SETTINGS)
    provider: Any = StubProvider()
    services.customers = replace(services.customers, fetcher=provider)
    browser = Browser(create_app(services))
    browser.get("/sign-in")
    gone = browser.get("/sign-in/provider")
    assert gone.status_code == 303
    address = urlsplit(gone.headers["Location"])
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{LOGIN}/authorize"
    yield Login(services, browser, provider, {name: each[0] for name, each in parse_qs(address.query).items()})
    services.close()


def test_a_right_answer_signs_the_account_in(login: Login) -> None:
    """Code, PKCE (S256), state, nonce and the exact redirect address go out; the account's person is signed in."""
    assert login.sent["response_type"] == "code"
    assert login.sent["code_challenge_method"] == "S256"
    assert login.sent["redirect_uri"] == f"{ISSUER}/sign-in/callback"
    answer = login.back()
    assert (answer.status_code, answer.headers["Location"]) == (303, "/preferences")
    ((form, headers),) = login.provider.asked
    verifier = form["code_verifier"][0]
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert digest == login.sent["code_challenge"]
    assert len(verifier) == 43
    assert (form["code"], form["redirect_uri"]) == (["c0de"], [login.sent["redirect_uri"]])
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"gateway:p%3Ass%20word"
    session = login.site.customers.sessions.resolve(login.browser.cookie(SESSION_COOKIE) or "")
    assert session is not None
    assert (session.data_subject, session.assurance) == (ADA, "account")


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://login.example/"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "shop"},
    "one audience of two without azp": {"aud": ["gateway", "shop"]},
    "another azp": {"azp": "shop"},
    "another nonce": {"nonce": "0" * 64},
    "no nonce": {"nonce": None},
    "a nonce that is no text": {"nonce": ["x"]},
    "no sub": {"sub": None},
    "a sub that is no text": {"sub": 7},
    "no expiry": {"exp": None},
    "expired": {"iat": 1, "exp": 2},
    "from the future": {"iat": 4_000_000_000, "exp": 4_000_000_100},
    "nobody we know": {"sub": "account-of-nobody"},
}


@pytest.mark.parametrize("different", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_an_id_token_that_does_not_stand_is_refused(login: Login, different: dict[str, Any]) -> None:
    """Each claim of OpenID Connect Core 3.1.3.7 that is wrong or missing refuses the sign-in."""
    assert login.back(signed(login.claims(**different))).status_code == 400
    assert not login.browser.signed_in()


FORGERIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "another key": lambda claims: signed(claims, OTHER),
    "an unknown kid": lambda claims: signed(claims, kid="k2"),
    "no kid": lambda claims: signed(claims, kid=""),
    "a symmetric algorithm": lambda claims: signed(claims, OctKey.import_key("p:ss word" * 8), alg="HS256"),
    "no signature": lambda claims: signed(claims).rpartition(".")[0] + ".",
    "a key of its own": lambda claims: signed(claims, OTHER, jwk=OTHER.as_dict(private=False)),
    "no token": lambda _claims: "x",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_id_token_is_refused(login: Login, forge: Callable[[dict[str, Any]], str]) -> None:
    """Only the provider's own key under the key's own algorithm signs."""
    assert login.back(forge(login.claims())).status_code == 400
    assert not login.browser.signed_in()


WRONG_ANSWERS: dict[str, dict[str, str | None]] = {
    "another provider": {"iss": "https://evil.example"},
    "no provider": {"iss": None},
    "no code": {"code": None},
    "no state": {"state": None},
    "another state": {"state": "s" * 43},
    "an error": {"code": None, "error": "access_denied", "error_description": "<script>"},
}


@pytest.mark.parametrize("different", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_an_answer_that_does_not_fit_is_refused(login: Login, different: dict[str, str | None]) -> None:
    """Another issuer (RFC 9207), a state of nobody or no code: 400, no code is redeemed, no word of it is shown."""
    answer = login.back(**different)
    assert answer.status_code == 400
    assert "<script>" not in answer.text
    assert login.provider.asked == []
    assert not login.browser.signed_in()


def test_an_answer_works_once_and_in_its_own_browser(login: Login) -> None:
    """Another browser's answer (login CSRF), a second use, and one after ten minutes are refused."""
    stranger = replace(login, browser=Browser(login.browser.client.application))
    stranger.browser.get("/sign-in")
    assert stranger.back().status_code == 400
    assert login.back().status_code == 303
    assert login.back().status_code == 400
    late = parse_qs(urlsplit(login.browser.get("/sign-in/provider").headers["Location"]).query)
    login.site.clock.pass_by(seconds=LIFE.total_seconds())
    assert login.back(state=late["state"][0]).status_code == 400
    assert len(login.provider.asked) == 1


def test_a_parameter_given_twice_is_refused(login: Login) -> None:
    """Two states or two codes are read by nobody."""
    twice = login.browser.get(f"/sign-in/callback?state={login.sent['state']}&code=a&code=b&iss={LOGIN}")
    assert twice.status_code == 400
    assert login.provider.asked == []


def test_a_provider_without_the_issuer_parameter_still_signs_in(login: Login) -> None:
    """One that does not promise `iss` may leave it out, but what it sends must be right."""
    login.provider.described.pop("authorization_response_iss_parameter_supported")
    login.site.clock.pass_by(minutes=6)  # past the time for which its description is kept
    assert login.back(iss=None).status_code == 303


@pytest.mark.parametrize(
    "different",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "http://login.example/token"}, {"jwks_uri": None}],
    ids=str,
)
def test_a_description_that_does_not_stand_stops_the_sign_in(login: Login, different: dict[str, Any]) -> None:
    """Another issuer's description, an address in the clear or none: nobody is sent there."""
    login.provider.described |= different
    login.site.clock.pass_by(minutes=6)
    assert login.browser.get("/sign-in/provider").status_code == 503


def test_a_provider_that_is_away_is_told_as_that(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the code cannot be redeemed the answer is 503, and nobody is signed in."""

    def away(*_given: Any, **_more: Any) -> Any:
        raise IssuerUnavailable("away")

    monkeypatch.setattr(login.provider, "json", away)
    login.site.clock.pass_by(seconds=timedelta(minutes=1).total_seconds())
    assert login.back().status_code == 503
    assert not login.browser.signed_in()
