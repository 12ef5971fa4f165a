"""The token endpoint: each way in, and each known way around it."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from werkzeug.test import TestResponse

from consent_gateway.callers.registry import Scope
from consent_gateway.web.client_assertion import ASSERTION_TYPE
from tests.web.standins import ISSUER, StandIns

URL = "/oauth/token"
FORM = {"grant_type": "client_credentials"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    """The header of client_secret_basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


class Signer:
    """A client with a key, and how it signs."""

    def __init__(self, services: StandIns, client_id: str = "till", algorithm: str = "Ed25519") -> None:
        self.services, self.client_id, self.algorithm = services, client_id, algorithm
        self.key = {
            "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
            "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
            "ES256": lambda: ECKey.generate_key("P-256"),
            "PS256": lambda: RSAKey.generate_key(2048),
            "RS256": lambda: RSAKey.generate_key(2048),
        }[algorithm]()
        public = {**self.key.as_dict(private=False), "kid": "k1", "alg": algorithm}
        services.client(client_id, jwks={"keys": [public]})

    def claims(self, **different: Any) -> dict[str, Any]:
        """Claims as they should be, but for what differs; None leaves a claim out."""
        now = int(self.services.clock.now().timestamp())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": ISSUER,
            "iat": now,
            "exp": now + 60,
            "jti": f"j-{len(self.services.registry.all())}-{id(different)}",
            **different,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, header: dict[str, Any] | None = None, key: Any = None, **different: Any) -> str:
        """A signed assertion. A header member of None is left out."""
        full = {"alg": "Ed25519" if self.algorithm == "EdDSA" else self.algorithm, "kid": "k1", **(header or {})}
        full = {name: value for name, value in full.items() if value is not None}
        signing = key or self.key
        return jwt.encode(full, self.claims(**different), signing, algorithms=[full["alg"]])


@pytest.fixture
def signer(services: StandIns) -> Signer:
    """The client `till`, which signs with Ed25519."""
    return Signer(services)


def present(http: FlaskClient, assertion: str, **form: str) -> TestResponse:
    """A token request with an assertion."""
    sent = {**FORM, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion, **form}
    return http.post(URL, data=sent)


def refused(answer: TestResponse, status: int, error: str) -> None:
    """The answer is an OAuth error, and only that: no token, no trace, not to be stored."""
    assert (answer.status_code, answer.get_json()["error"]) == (status, error), answer.get_json()
    assert set(answer.get_json()) <= {"error", "error_description"}
    assert answer.headers["Cache-Control"] == "no-store"
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_secret_buys_a_token(http: FlaskClient, services: StandIns) -> None:
    """client_secret_basic works; the answer is RFC 6749's and must not be stored; the token is good."""
    secret = services.client("till")
    assert secret is not None
    answer = http.post(URL, data=FORM, headers=basic("till", secret))
    assert answer.status_code == 200
    body = answer.get_json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    assert set(body["scope"].split()) == set(Scope)
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    grant = services.tokens.resolve(body["access_token"])
    assert grant is not None
    assert grant.caller.client_id == "till"
    assert "refresh_token" not in body


def test_scopes_narrow_and_never_widen(http: FlaskClient, services: StandIns) -> None:
    """A token carries the scopes asked for; one the client does not have is `invalid_scope`."""
    secret = services.client("till", scopes=frozenset({"customers:read", "decisions"}))
    assert secret is not None
    headers = basic("till", secret)
    assert http.post(URL, data={**FORM, "scope": "decisions"}, headers=headers).get_json()["scope"] == "decisions"
    for scope in ("audit:read", "decisions audit:read", "everything"):
        refused(http.post(URL, data={**FORM, "scope": scope}, headers=headers), 400, "invalid_scope")


@pytest.mark.parametrize(
    "header",
    [
        None,
        basic("till", "wrong")["Authorization"],
        basic("nobody", "wrong")["Authorization"],
        basic("till", "")["Authorization"],
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + "a" * 5000,
        "Bearer x",
    ],
)
def test_a_client_that_does_not_prove_itself_gets_nothing(
    http: FlaskClient, services: StandIns, header: str | None
) -> None:
    """No, wrong or broken credentials are all `invalid_client`, whoever is named."""
    services.client("till")
    refused(http.post(URL, data=FORM, headers={"Authorization": header} if header else {}), 401, "invalid_client")


def test_a_secret_outside_the_header_is_refused(http: FlaskClient, services: StandIns) -> None:
    """Neither the form nor the query may carry a secret: both end up in logs."""
    secret = services.client("till")
    form = {**FORM, "client_id": "till", "client_secret": secret}
    answer = http.post(URL, data=form)
    refused(answer, 401, "invalid_client")
    assert "header" in answer.get_json()["error_description"]
    refused(http.post(f"{URL}?client_id=till&client_secret={secret}", data=FORM), 401, "invalid_client")
    refused(http.post(f"{URL}?grant_type=client_credentials", data={}), 400, "invalid_request")


@pytest.mark.parametrize("grant", ["password", "authorization_code", "refresh_token", "implicit", "", "urn:x"])
def test_no_other_grant_exists(http: FlaskClient, services: StandIns, grant: str) -> None:
    """Every grant but client_credentials is unsupported, and the answer does not repeat what was sent."""
    secret = services.client("till")
    assert secret is not None
    answer = http.post(URL, data={"grant_type": grant, "username": "x", "password": "y"}, headers=basic("till", secret))
    refused(answer, 400, "unsupported_grant_type")
    assert not grant or grant not in answer.get_data(as_text=True)


def test_a_malformed_request_is_refused(http: FlaskClient, services: StandIns) -> None:
    """A missing grant, a parameter sent twice, JSON instead of a form, two proofs at once."""
    secret = services.client("till")
    assert secret is not None
    headers = basic("till", secret)
    refused(http.post(URL, data={"scope": "decisions"}, headers=headers), 400, "invalid_request")
    twice = "grant_type=client_credentials&scope=decisions&scope=customers:read"
    form = {"content_type": "application/x-www-form-urlencoded"}
    refused(http.post(URL, data=twice, headers=headers, **form), 400, "invalid_request")  # type: ignore[arg-type]
    refused(http.post(URL, json=FORM, headers=headers), 400, "invalid_request")
    both = {**FORM, "client_assertion_type": ASSERTION_TYPE, "client_assertion": "x"}
    refused(http.post(URL, data=both, headers=headers), 400, "invalid_request")
    assert http.post(URL, data={**FORM, "pad": "x" * 40_000}, headers=headers).status_code == 413


def test_a_revoked_client_gets_nothing(http: FlaskClient, services: StandIns, signer: Signer) -> None:
    """After its revocation neither a client's secret nor its key buys a token."""
    secret = services.client("kiosk")
    assert secret is not None
    for client_id in ("kiosk", "till"):
        services.registry.revoke(client_id)
    refused(http.post(URL, data=FORM, headers=basic("kiosk", secret)), 401, "invalid_client")
    refused(present(http, signer.sign()), 401, "invalid_client")


@pytest.mark.parametrize("algorithm", ["Ed25519", "EdDSA", "ES256", "PS256", "RS256"])
def test_a_signed_assertion_buys_a_token(http: FlaskClient, services: StandIns, algorithm: str) -> None:
    """private_key_jwt works with a key of each supported algorithm."""
    signer = Signer(services, "pos", algorithm)
    answer = present(http, signer.sign(), scope="decisions")
    assert answer.status_code == 200, answer.get_json()
    grant = services.tokens.resolve(answer.get_json()["access_token"])
    assert grant is not None
    assert (grant.caller.client_id, grant.caller.scopes) == ("pos", {"decisions"})


def test_the_old_name_of_ed25519_is_accepted(http: FlaskClient, signer: Signer) -> None:
    """`EdDSA` in the header is read as Ed25519 (RFC 9864), since most clients still send it."""
    claims = json.dumps(signer.claims()).encode()
    header = base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":"k1"}').rstrip(b"=")
    signed = header + b"." + base64.urlsafe_b64encode(claims).rstrip(b"=")
    signature = base64.urlsafe_b64encode(signer.key.private_key.sign(signed)).rstrip(b"=")
    assert present(http, (signed + b"." + signature).decode()).status_code == 200


def test_an_assertion_works_once(http: FlaskClient, signer: Signer) -> None:
    """The same assertion again, or another with the same jti, is refused."""
    assertion = signer.sign(jti="once")
    assert present(http, assertion).status_code == 200
    refused(present(http, assertion), 401, "invalid_client")
    refused(present(http, signer.sign(jti="once", exp=signer.claims()["exp"] + 1)), 401, "invalid_client")


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "no exp": {"exp": None},
    "no iat": {"iat": None},
    "no iss": {"iss": None},
    "no sub": {"sub": None},
    "no aud": {"aud": None},
    "no jti": {"jti": None},
    "empty jti": {"jti": ""},
    "long jti": {"jti": "j" * 257},
    "jti not text": {"jti": 7},
    "audience is the token endpoint": {"aud": f"{ISSUER}/oauth/token"},
    "audience of another": {"aud": "https://other.example"},
    "audience among others": {"aud": [ISSUER, "https://other.example"]},
    "audience with a slash": {"aud": f"{ISSUER}/"},
    "audience empty": {"aud": []},
    "issuer is another": {"iss": "web-shop"},
    "sub not text": {"sub": 7},
    "sub a list": {"sub": ["till"]},
    "unknown client": {"iss": "nobody", "sub": "nobody"},
    "another client": {"iss": "web-shop", "sub": "web-shop"},
    "exp text": {"exp": "tomorrow"},
    "exp true": {"exp": True},
    "exp in a year": {"exp": 2_000_000_000},
    "exp beyond numbers": {"exp": 10**400},
    "exp long past": {"exp": 1_000_000_000},
    "iat in the future": {"iat": 2_000_000_000},
    "iat long past": {"iat": 1_000_000_000},
    "nbf in the future": {"nbf": 2_000_000_000},
}


@pytest.mark.parametrize("case", BAD_CLAIMS)
def test_an_assertion_with_a_bad_claim_is_refused(http: FlaskClient, signer: Signer, case: str) -> None:
    """Each claim is needed and must be right; the one audience is the issuer."""
    refused(present(http, signer.sign(**BAD_CLAIMS[case])), 401, "invalid_client")


def test_an_assertion_expires(http: FlaskClient, signer: Signer, services: StandIns) -> None:
    """Past its exp and half a minute of leeway an assertion is refused, within it is not."""
    early, late = signer.sign(jti="early"), signer.sign(jti="late")
    services.clock.moment += timedelta(seconds=89)
    assert present(http, early).status_code == 200
    services.clock.moment += timedelta(seconds=1)
    refused(present(http, late), 401, "invalid_client")


def unsigned(signer: Signer) -> str:
    """`alg: none`."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "kid": "k1"}, signer.claims())]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def confused(signer: Signer) -> str:
    """HS256 with the public key as the secret."""
    public = json.dumps(signer.key.as_dict(private=False)).encode()
    return signer.sign({"alg": "HS256"}, key=OctKey.import_key(public))


def embedded(signer: Signer) -> str:
    """Signed by a key that the header brings along."""
    own = OKPKey.generate_key("Ed25519")
    return signer.sign({"jwk": own.as_dict(private=False)}, key=own)


def critical(signer: Signer) -> str:
    """With an extension that must be understood and is not."""
    header = {"alg": "Ed25519", "kid": "k1", "crit": ["b64"], "b64": False}
    text = json.dumps(header).encode(), json.dumps(signer.claims()).encode()
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in text)
    return (signed + b"." + base64.urlsafe_b64encode(signer.key.private_key.sign(signed)).rstrip(b"=")).decode()


BAD_ASSERTIONS: dict[str, Callable[[Signer], str]] = {
    "alg none": unsigned,
    "HMAC with the public key": confused,
    "key in the header": embedded,
    "unknown crit": critical,
    "another key": lambda s: s.sign(key=OKPKey.generate_key("Ed25519")),
    "another algorithm": lambda s: s.sign({"alg": "ES256"}, key=ECKey.generate_key("P-256")),
    "no kid": lambda s: s.sign({"kid": None}),
    "unknown kid": lambda s: s.sign({"kid": "k2"}),
    "an access token": lambda s: s.sign({"typ": "at+jwt"}),
    "no JWS": lambda _: "not.a.jws",
    "one part": lambda _: "x",
    "encrypted form": lambda _: "a.b.c.d.e",
    "bomb": lambda _: "a" * 20_000,
    "claims no object": lambda s: jws.serialize_compact({"alg": "Ed25519", "kid": "k1"}, b"[]", s.key, ["Ed25519"]),
    "claims nested deeply": lambda s: jws.serialize_compact(
        {"alg": "Ed25519", "kid": "k1"}, b"[" * 5000, s.key, ["Ed25519"]
    ),
    "signature cut": lambda s: s.sign()[:-4],
    "not ASCII": lambda s: s.sign() + "ä",
}


@pytest.mark.parametrize("case", BAD_ASSERTIONS)
def test_a_forged_or_broken_assertion_is_refused(http: FlaskClient, signer: Signer, case: str) -> None:
    """The key's own algorithm and the key registered under `kid` decide, and nothing the assertion says."""
    refused(present(http, BAD_ASSERTIONS[case](signer)), 401, "invalid_client")


def test_algorithms_are_bound_to_the_key_not_to_its_family(http: FlaskClient, services: StandIns) -> None:
    """An RSA key registered for PS256 does not verify RS256, nor the other way round."""
    for registered, swapped in (("PS256", "RS256"), ("RS256", "PS256")):
        signer = Signer(services, f"rsa-{registered.lower()}", registered)
        refused(present(http, signer.sign({"alg": swapped})), 401, "invalid_client")
        assert present(http, signer.sign()).status_code == 200


def test_ways_in_do_not_mix(http: FlaskClient, services: StandIns, signer: Signer) -> None:
    """A client with a key has no secret, a client with a secret cannot sign, and client_id must be the signer's."""
    refused(http.post(URL, data=FORM, headers=basic("till", "x")), 401, "invalid_client")
    services.client("kiosk")
    refused(present(http, signer.sign(iss="kiosk", sub="kiosk")), 401, "invalid_client")
    refused(present(http, signer.sign(), client_id="web-shop"), 401, "invalid_client")
    assert present(http, signer.sign(jti="with-id"), client_id="till").status_code == 200
    refused(present(http, signer.sign(jti="t"), client_assertion_type="urn:other"), 401, "invalid_client")


def test_metadata_says_what_is_served(http: FlaskClient) -> None:
    """The metadata names the issuer, one grant, two ways to prove oneself, and no symmetric algorithm."""
    told = http.get("/.well-known/oauth-authorization-server").get_json()
    assert told["issuer"] == ISSUER
    assert told["token_endpoint"] == ISSUER + URL
    assert told["grant_types_supported"] == ["client_credentials"]
    assert told["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "private_key_jwt"]
    assert not [name for name in told["token_endpoint_auth_signing_alg_values_supported"] if name[:2] in ("HS", "no")]


@pytest.mark.parametrize("header", [None, "Bearer x", "Basic not-base64", "Basic"])
def test_a_request_without_proof_is_told_how_to_prove_itself(http: FlaskClient, header: str | None) -> None:
    """Without credentials, or with something that is none, the answer names the ways and nothing of the library."""
    answer = http.post(URL, data=FORM, headers={} if header is None else {"Authorization": header})
    refused(answer, 401, "invalid_client")
    assert answer.get_json()["error_description"] == "prove yourself with client_secret_basic or private_key_jwt"
