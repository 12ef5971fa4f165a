"""Tokens bound to a key or a certificate: given, good only with what they are bound to, ended, asked about."""

import base64
import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from flask.testing import FlaskClient
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from werkzeug.test import TestResponse

from consent_gateway.callers.registry import Bound
from consent_gateway.proxy_settings import CertificateProxies
from consent_gateway.web.app import create_app
from tests.peers.oidc_peer import proof
from tests.web.standins import ADA_EMAIL, ISSUER, StandIns, stand_ins

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW = int(NOON.timestamp())
PATH = "/v1/customers/lookup"
URL = ISSUER + PATH
TOKEN_URL = f"{ISSUER}/oauth/token"
BODY = {"identifier": {"kind": "email", "value": ADA_EMAIL}, "purpose": "order_fulfilment"}
PROXY, STRANGER = {"REMOTE_ADDR": "10.0.0.7"}, {"REMOTE_ADDR": "10.0.1.7"}
HEADER = "Client-Cert"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[StandIns]:
    """Services behind a named TLS proxy, with one client for each way of binding."""
    services = stand_ins(f"sqlite:///{tmp_path / 'gateway.db'}", NOON)
    services.certificate_proxies = CertificateProxies(HEADER, (ipaddress.ip_network("10.0.0.0/24"),))
    services.client("web-shop")
    yield services
    services.close()


@pytest.fixture
def http(services: StandIns) -> FlaskClient:
    """A client of the application."""
    return create_app(services).test_client()


@pytest.fixture(scope="module")
def key() -> ECKey:
    """The key of the client's proofs."""
    return ECKey.generate_key("P-256")


def made(key: Any, url: str = URL, **different: Any) -> str:
    """A proof made at noon for a POST."""
    return proof(key, "POST", url, **{"iat": NOW, **different})


def ask(http: FlaskClient, client_id: str, secret: str | None, **headers: str) -> TestResponse:
    """A token request by secret."""
    pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    environ = headers.pop("environ", None)
    return http.post(
        "/oauth/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {pair}", **headers},
        environ_overrides=environ or PROXY,  # type: ignore[arg-type]
    )


def read(http: FlaskClient, authorization: str, *, environ: Any = PROXY, **headers: str) -> TestResponse:
    """A look-up with that authorization header."""
    return http.post(PATH, json=BODY, headers={"Authorization": authorization, **headers}, environ_overrides=environ)


def bound_token(http: FlaskClient, services: StandIns, key: ECKey) -> str:
    """A token of a client that must be bound, bound to the key."""
    secret = services.client("till", bound=Bound.DPOP)
    answer = ask(http, "till", secret, DPoP=made(key, TOKEN_URL))
    assert answer.status_code == 200, answer.get_json()
    assert answer.get_json()["token_type"] == "DPoP"
    return str(answer.get_json()["access_token"])


def challenged(answer: TestResponse, error: str, scheme: str = "DPoP") -> None:
    """401 with that challenge, which names the algorithms where it is one of DPoP."""
    assert answer.status_code == 401, answer.get_json()
    told = answer.headers["WWW-Authenticate"]
    assert told.startswith(f"{scheme} realm="), told
    assert f'error="{error}"' in told
    assert ('algs="' in told) is (scheme == "DPoP")


def test_a_bound_token_works_with_a_fresh_proof_each_time(http: FlaskClient, services: StandIns, key: ECKey) -> None:
    """Each call with its own proof passes, in any case of the scheme."""
    token = bound_token(http, services, key)
    for scheme in ("DPoP", "dpop", "DPOP"):
        assert read(http, f"{scheme} {token}", DPoP=made(key, token=token)).status_code == 200


def test_a_proof_works_once_in_all_processes(http: FlaskClient, services: StandIns, key: ECKey, tmp_path: Path) -> None:
    """The replay store is the database's: another process refuses what the first one took, until nothing could pass."""
    token = bound_token(http, services, key)
    once = made(key, token=token)
    assert read(http, f"DPoP {token}", DPoP=once).status_code == 200
    other = stand_ins(f"sqlite:///{tmp_path / 'gateway.db'}", NOON)
    challenged(read(create_app(other).test_client(), f"DPoP {token}", DPoP=once), "invalid_dpop_proof")
    assert services.replay.purge() == 0
    services.clock.pass_by(seconds=61)
    assert services.replay.purge() == 2  # this one, and the one that bought the token
    challenged(read(http, f"DPoP {token}", DPoP=once), "invalid_dpop_proof")  # too old by itself
    other.close()


def test_what_is_bound_and_what_is_free_do_not_mix(http: FlaskClient, services: StandIns, key: ECKey) -> None:
    """A bound token as Bearer, a free one as DPoP or beside a proof, and a proof by another key are refused."""
    token, free = bound_token(http, services, key), services.token()
    challenged(read(http, f"Bearer {token}"), "invalid_token")
    challenged(read(http, f"Bearer {token}", DPoP=made(key, token=token)), "invalid_token")
    challenged(read(http, f"DPoP {free}", DPoP=made(key, token=free)), "invalid_token")
    challenged(read(http, f"Bearer {free}", DPoP=made(key, token=free)), "invalid_token")
    other = ECKey.generate_key("P-256")
    challenged(read(http, f"DPoP {token}", DPoP=made(other, token=token)), "invalid_token")
    challenged(read(http, f"DPoP {token}"), "invalid_dpop_proof")
    assert read(http, f"Bearer {free}").status_code == 200


def test_two_authorization_headers_are_refused(http: FlaskClient, services: StandIns) -> None:
    """Which of two tokens counts is never guessed, though both be good."""
    token = services.token()
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    answer = http.post(PATH, json=BODY, headers=headers)
    challenged(answer, "invalid_token", "Bearer")


BAD_PROOFS: dict[str, dict[str, Any]] = {
    "no typ": {"header": {"typ": None}},
    "typ of a JWT": {"header": {"typ": "JWT"}},
    "no jwk": {"header": {"jwk": None}},
    "jwk empty": {"header": {"jwk": {}}},
    "an address of keys": {"header": {"jku": "https://evil.example"}},
    "a key chain": {"header": {"x5c": ["a"]}},
    "another method": {"htm": "GET"},
    "method in lower case": {"htm": "post"},
    "no method": {"htm": None},
    "another path": {"htu": f"{ISSUER}/v1/decisions"},
    "another host": {"htu": f"https://evil.example{PATH}"},
    "another scheme": {"htu": f"http://gateway.example{PATH}"},
    "another port": {"htu": f"https://gateway.example:8443{PATH}"},
    "with a query": {"htu": f"{URL}?a=b"},
    "with a name": {"htu": f"https://me@gateway.example{PATH}"},
    "a port that is none": {"htu": f"https://gateway.example:x{PATH}"},
    "path alone": {"htu": PATH},
    "with a line break": {"htu": f"{URL[:-3]}\n{URL[-3:]}"},
    "with a tab": {"htu": f"{URL}\t"},
    "no htu": {"htu": None},
    "no iat": {"iat": None},
    "iat text": {"iat": "now"},
    "iat true": {"iat": True},
    "iat beyond numbers": {"iat": 10**400},
    "too old": {"iat": NOW - 61},
    "too far ahead": {"iat": NOW + 11},
    "no jti": {"jti": None},
    "empty jti": {"jti": ""},
    "long jti": {"jti": "j" * 257},
    "jti a number": {"jti": 7},
    "jti with controls": {"jti": "a\u0000"},
    "no ath": {"ath": None},
    "ath of another token": {"ath": base64.urlsafe_b64encode(hashlib.sha256(b"x").digest()).decode().rstrip("=")},
    "ath a list": {"ath": ["x"]},
    "pad": {"pad": "x" * 5000},
}


@pytest.mark.parametrize("case", BAD_PROOFS)
def test_a_bad_proof_is_refused(http: FlaskClient, services: StandIns, key: ECKey, case: str) -> None:
    """Each check of RFC 9449, 4.3 refuses by itself, at the API."""
    token = bound_token(http, services, key)
    challenged(read(http, f"DPoP {token}", DPoP=made(key, token=token, **BAD_PROOFS[case])), "invalid_dpop_proof")


def unsigned(_: ECKey, token: str) -> str:
    """A proof with `alg: none`."""
    return made(OctKey.generate_key(), token=token, header={"alg": "HS256"}).rpartition(".")[0] + "."


FORGED: dict[str, Callable[[ECKey, str], str]] = {
    "a symmetric key": lambda _, token: made(OctKey.generate_key(), token=token, header={"alg": "HS256"}),
    "a private key": lambda key, token: made(key, token=token, header={"jwk": key.as_dict(private=True)}),
    "signed by another": lambda key, token: made(
        ECKey.generate_key("P-256"), token=token, header={"jwk": key.as_dict(private=False)}
    ),
    "no signature": unsigned,
    "another curve": lambda _, token: made(ECKey.generate_key("P-384"), token=token, header={"alg": "ES384"}),
    "two proofs": lambda key, token: f"{made(key, token=token)},{made(key, token=token)}",
    "the access token": lambda _, token: token,
    "empty": lambda _key, _token: "",
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_proof_is_refused(http: FlaskClient, services: StandIns, key: ECKey, case: str) -> None:
    """Only a public key of a known kind, and only its own signature, proves anything."""
    token = bound_token(http, services, key)
    challenged(read(http, f"DPoP {token}", DPoP=FORGED[case](key, token)), "invalid_dpop_proof")


def test_a_jti_with_a_line_break_is_told_as_such(http: FlaskClient, services: StandIns, key: ECKey) -> None:
    """A `jti` that is refused for its characters is not called used."""
    token = bound_token(http, services, key)
    answer = read(http, f"DPoP {token}", DPoP=made(key, token=token, jti="a\n"))
    challenged(answer, "invalid_dpop_proof")
    assert "its `jti` must hold printable characters only" in answer.get_json()["detail"]


def test_a_refused_proof_is_not_used_up(http: FlaskClient, services: StandIns, key: ECKey) -> None:
    """A proof sent to the wrong address first still works at the right one."""
    token = bound_token(http, services, key)
    once = made(key, token=token)
    headers = {"Authorization": f"DPoP {token}", "DPoP": once}
    assert http.post("/v1/decisions", json=BODY, headers=headers).status_code == 401
    assert read(http, f"DPoP {token}", DPoP=once).status_code == 200


@pytest.mark.parametrize(
    ("algorithm", "make"),
    [
        ("Ed25519", lambda: OKPKey.generate_key("Ed25519")),
        ("PS256", lambda: RSAKey.generate_key(2048)),
        ("RS256", lambda: RSAKey.generate_key(4096)),
    ],
)
def test_each_algorithm_told_works(
    http: FlaskClient, services: StandIns, algorithm: str, make: Callable[[], Any]
) -> None:
    """Proofs of every announced kind pass; a big RSA key still fits its header."""
    mine = make()
    secret = services.client("kiosk")
    bought = ask(http, "kiosk", secret, DPoP=made(mine, TOKEN_URL, header={"alg": algorithm}))
    assert bought.status_code == 200, bought.get_json()
    token = bought.get_json()["access_token"]
    answer = read(http, f"DPoP {token}", DPoP=made(mine, token=token, header={"alg": algorithm}))
    assert answer.status_code == 200, answer.get_json()
    told = http.get("/.well-known/oauth-authorization-server").get_json()
    assert algorithm in told["dpop_signing_alg_values_supported"]


def test_the_address_is_compared_as_addresses_are(http: FlaskClient, services: StandIns, key: ECKey) -> None:
    """Case of scheme and host and the usual port do not matter (RFC 9449, 4.3), the issuer's URL does."""
    token = bound_token(http, services, key)
    for address in (f"HTTPS://Gateway.Example{PATH}", f"https://gateway.example:443{PATH}"):
        assert read(http, f"DPoP {token}", DPoP=made(key, address, token=token)).status_code == 200
    assert read(http, f"DPoP {token}", DPoP=made(key, f"http://localhost{PATH}", token=token)).status_code == 401


def test_a_client_that_must_be_bound_gets_no_free_token(http: FlaskClient, services: StandIns, key: ECKey) -> None:
    """Without a proof, or with a bad or used one, the token endpoint refuses in the form of RFC 9449."""
    secret = services.client("till", bound=Bound.DPOP)
    once = made(key, TOKEN_URL)
    assert ask(http, "till", secret, DPoP=once).status_code == 200
    for headers in ({}, {"DPoP": once}, {"DPoP": made(key)}, {"DPoP": "x"}):
        answer = ask(http, "till", secret, **headers)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_dpop_proof")
    assert ask(http, "till", "wrong", DPoP=made(key, TOKEN_URL)).status_code == 401


# Certificates


def certificate() -> x509.Certificate:
    """A fresh self-signed certificate."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "till")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(NOON)
        .not_valid_after(NOON + timedelta(days=1))
        .sign(private, hashes.SHA256())
    )


def rfc9440(shown: x509.Certificate) -> str:
    """The header as RFC 9440 has it."""
    return ":" + base64.b64encode(shown.public_bytes(Encoding.DER)).decode() + ":"


def nginx(shown: x509.Certificate) -> str:
    """The header as nginx's `$ssl_client_escaped_cert` has it."""
    return quote(shown.public_bytes(Encoding.PEM).decode(), safe="")


def test_a_token_bound_to_a_certificate_needs_it(http: FlaskClient, services: StandIns) -> None:
    """In both forms of the header the right certificate passes, and another, none or a broken one does not."""
    secret, mine, other = services.client("till", bound=Bound.CERTIFICATE), certificate(), certificate()
    bought = ask(http, "till", secret, **{HEADER: rfc9440(mine)})
    token = f"Bearer {bought.get_json()['access_token']}"
    assert bought.get_json()["token_type"] == "Bearer"
    for written in (rfc9440(mine), nginx(mine)):
        assert read(http, token, **{HEADER: written}).status_code == 200
    for headers in ({}, {HEADER: ""}, {HEADER: rfc9440(other)}, {HEADER: nginx(other)}):
        challenged(read(http, token, **headers), "invalid_token", "Bearer")
    chain, both = nginx(mine) + nginx(other), f"{rfc9440(mine)}, {rfc9440(other)}"
    for broken in (
        "x",
        ":!:",
        "::",
        ":AAAA:",
        "-----BEGIN CERTIFICATE-----",
        chain,
        both,
        both.replace(" ", ""),
        nginx(mine) + ",",
        rfc9440(mine) + "a" * 20_000,
    ):
        answer = read(http, token, **{HEADER: broken})
        assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_request")


def test_the_certificate_header_is_believed_from_the_proxy_alone(http: FlaskClient, services: StandIns) -> None:
    """From any other address the header refuses the call, whatever token comes with it."""
    secret, mine = services.client("till", bound=Bound.CERTIFICATE), certificate()
    token = ask(http, "till", secret, **{HEADER: rfc9440(mine)}).get_json()["access_token"]
    for environ in (STRANGER, {"REMOTE_ADDR": ""}, {"REMOTE_ADDR": "::1"}, {"REMOTE_ADDR": "::ffff:10.0.1.7"}):
        for sent in (token, services.token()):
            answer = read(http, f"Bearer {sent}", environ=environ, **{HEADER: rfc9440(mine)})
            assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_request")
        assert read(http, f"Bearer {token}", environ=environ).status_code == 401
    mapped = {"REMOTE_ADDR": "::ffff:10.0.0.7"}
    assert read(http, f"Bearer {token}", environ=mapped, **{HEADER: rfc9440(mine)}).status_code == 200


def test_a_strangers_certificate_header_refuses_every_route(services: StandIns) -> None:
    """Whatever the route, its authentication and the method, the header from a stranger ends the call, empty too."""
    app = create_app(services)
    http = app.test_client()
    told = {"headers": {HEADER: ""}, "environ_overrides": STRANGER}
    rules = list(app.url_map.iter_rules())
    assert {"/oauth/token", "/oauth/introspect", "/oauth/revoke"} <= {rule.rule for rule in rules}
    for rule in rules:
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in rule.methods or ():
            answer = http.open(path, method=method, **told)  # type: ignore[arg-type]
            assert answer.status_code == 400, rule
            assert method == "HEAD" or answer.get_json()["code"] == "invalid_request"


def test_without_named_proxies_no_certificate_counts(services: StandIns) -> None:
    """Where no proxy is named the header is never read: no bound token is given, and none passes."""
    services.certificate_proxies = None
    http = create_app(services).test_client()
    secret, mine = services.client("till", bound=Bound.CERTIFICATE), certificate()
    assert ask(http, "till", secret, **{HEADER: rfc9440(mine)}).status_code == 400
    client = services.registry.get("till")
    assert client is not None
    thumbprint = base64.urlsafe_b64encode(mine.fingerprint(hashes.SHA256())).decode().rstrip("=")
    issued = services.tokens.issue(client, certificate_thumbprint=thumbprint)
    challenged(read(http, f"Bearer {issued.token}", **{HEADER: rfc9440(mine)}), "invalid_token", "Bearer")
    told = http.get("/.well-known/oauth-authorization-server").get_json()
    assert told["tls_client_certificate_bound_access_tokens"] is False


# The end of a token, and questions about it


def post(http: FlaskClient, path: str, client_id: str, secret: str | None, **form: str) -> TestResponse:
    """A form to one of the token endpoints."""
    pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return http.post(path, data=form, headers={"Authorization": f"Basic {pair}"})


def test_a_client_learns_what_its_own_token_is_good_for(http: FlaskClient, services: StandIns, key: ECKey) -> None:
    """Introspection tells scope, times and binding to the owner; anyone else learns that it is not active."""
    secret, other = services.client("kiosk", scopes=frozenset({"decisions"})), services.client("till-9")
    bought = ask(http, "kiosk", secret, DPoP=made(key, TOKEN_URL)).get_json()["access_token"]
    told = post(http, "/oauth/introspect", "kiosk", secret, token=bought).get_json()
    assert told == {
        "active": True,
        "iss": ISSUER,
        "client_id": "kiosk",
        "sub": "kiosk",
        "scope": "decisions",
        "token_type": "DPoP",
        "iat": NOW,
        "exp": NOW + 600,
        "cnf": {"jkt": key.thumbprint()},
    }
    for client_id, proof_of, token in (
        ("till-9", other, bought),
        ("kiosk", secret, "gw_at_" + "a" * 43),
        ("kiosk", secret, "x"),
    ):
        assert post(http, "/oauth/introspect", client_id, proof_of, token=token).get_json() == {"active": False}
    services.clock.pass_by(minutes=10)
    assert post(http, "/oauth/introspect", "kiosk", secret, token=bought).get_json() == {"active": False}


def test_a_client_ends_its_own_tokens_only(http: FlaskClient, services: StandIns) -> None:
    """Revocation ends the owner's token at once; another's is refused and stays; an unknown one is as good as ended."""
    secret, other = services.client("kiosk"), services.client("till-9")
    token = services.token("kiosk")
    foreign = post(http, "/oauth/revoke", "till-9", other, token=token)
    assert (foreign.status_code, foreign.get_json()["error"]) == (400, "invalid_grant")
    assert services.tokens.resolve(token) is not None
    for _ in range(2):
        assert post(http, "/oauth/revoke", "kiosk", secret, token=token).status_code == 200
    assert services.tokens.resolve(token) is None
    assert post(http, "/oauth/revoke", "kiosk", secret, token="unknown").status_code == 200
    assert post(http, "/oauth/introspect", "kiosk", secret, token=token).get_json() == {"active": False}


@pytest.mark.parametrize("path", ["/oauth/revoke", "/oauth/introspect"])
def test_only_a_proved_client_may_ask(http: FlaskClient, services: StandIns, path: str) -> None:
    """Without proof, with a wrong secret, without a token or as JSON nothing is told and nothing ended."""
    secret, token = services.client("kiosk"), services.token("web-shop")
    assert http.post(path, data={"token": token}).status_code == 401
    assert post(http, path, "kiosk", "wrong", token=token).status_code == 401
    assert post(http, path, "kiosk", secret).status_code == 400
    assert http.post(path, json={"token": token}).status_code == 400
    assert services.tokens.resolve(token) is not None


def test_a_client_of_an_outside_issuer_gets_no_token_here(http: FlaskClient, services: StandIns) -> None:
    """It has no secret and no key, so no way of proving itself at the token endpoint works."""
    assert services.client("outside", issuer="https://login.example", external_id="x") is None
    for secret in ("", "x", "None"):
        assert ask(http, "outside", secret).status_code == 401


def test_metadata_names_every_endpoint_and_way(http: FlaskClient) -> None:
    """The metadata names revocation, introspection, proofs and bound certificates (RFC 8414, 9449, 8705)."""
    told = http.get("/.well-known/oauth-authorization-server").get_json()
    for endpoint in ("token", "revocation", "introspection"):
        assert told[f"{endpoint}_endpoint"].startswith(f"{ISSUER}/oauth/")
        assert told[f"{endpoint}_endpoint_auth_methods_supported"] == ["client_secret_basic", "private_key_jwt"]
    assert told["tls_client_certificate_bound_access_tokens"] is True
    assert not [name for name in told["dpop_signing_alg_values_supported"] if name[:2] in ("HS", "no")]
