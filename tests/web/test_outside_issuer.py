"""Tokens of a real outside provider: which stand for a caller, which do not, and for how long."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc.jwk import ECKey, OctKey
from joserfc.jws import JWSRegistry
from werkzeug.test import TestResponse

from consent_gateway.callers.registry import Bound
from consent_gateway.web.app import create_app
from tests.peers.oidc_peer import Peer, proof, provider
from tests.web.standins import ADA_EMAIL, ISSUER, StandIns, stand_ins

PATH = "/v1/customers/lookup"
BODY = {"identifier": {"kind": "email", "value": ADA_EMAIL}, "purpose": "order_fulfilment"}


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The provider, one for this file."""
    with provider(tmp_path_factory.mktemp("peer")) as running:
        yield running


@pytest.fixture
def services(tmp_path: Path, peer: Peer) -> Iterator[StandIns]:
    """Services that take the provider's tokens, remember them for 30 s, and know two of its clients."""
    services = stand_ins(
        f"sqlite:///{tmp_path / 'gateway.db'}", datetime.now(UTC), cache_seconds=30, issuers=(peer.configured(),)
    )
    scopes = frozenset({"customers:read", "decisions"})
    services.client("shop", issuer=peer.issuer, external_id="shop-backend", scopes=scopes)
    services.client("shop-bound", issuer=peer.issuer, external_id="shop-dpop", bound=Bound.DPOP)
    yield services
    services.close()


@pytest.fixture
def http(services: StandIns) -> FlaskClient:
    """A client of the application over these services."""
    return create_app(services).test_client()


def read(http: FlaskClient, token: str, scheme: str = "Bearer", **headers: str) -> TestResponse:
    """A look-up with the token."""
    return http.post(PATH, json=BODY, headers={"Authorization": f"{scheme} {token}", **headers})


def refused(answer: TestResponse) -> None:
    """The call was refused for its token."""
    assert (answer.status_code, answer.get_json()["code"]) == (401, "unauthenticated"), answer.get_json()
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_of_the_provider_stands_for_its_registered_client(
    http: FlaskClient, services: StandIns, peer: Peer
) -> None:
    """A real at+jwt passes; purposes come from our registry, scopes are those of both the token and the registry."""
    token = peer.issued()
    answer = read(http, token)
    assert answer.status_code == 200, answer.get_json()
    grant = services.outside.resolve(token)
    assert grant is not None
    assert (grant.caller.client_id, grant.caller.scopes) == ("shop", {"customers:read"})
    assert grant.caller.purposes == {"order_fulfilment", "customer_support"}
    assert http.post("/v1/decisions", json=BODY, headers={"Authorization": f"Bearer {token}"}).status_code == 403


def test_the_forge_makes_good_tokens(http: FlaskClient, peer: Peer) -> None:
    """A token made with the provider's own key passes, so that each refusal below has one cause."""
    for header in ({}, {"typ": "application/at+jwt"}, {"typ": "AT+JWT"}, {"x5t": "unknown-members-are-passed-over"}):
        assert read(http, peer.forged(header)).status_code == 200
    assert read(http, peer.forged(aud=["https://other.example", "https://gateway.example"])).status_code == 200


def test_tokens_for_another_audience_and_of_an_unknown_client_are_refused(http: FlaskClient, peer: Peer) -> None:
    """Real tokens of the provider do not pass where they are meant for others or their client is not registered."""
    refused(read(http, peer.issued("urn:elsewhere")))
    refused(read(http, peer.issued(client_id="newsletter")))
    refused(read(http, peer.issued("urn:opaque", "newsletter")))


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://login.example"},
    "issuer with a slash": {"iss": "SLASH"},
    "another audience": {"aud": "https://other.example"},
    "an audience that begins like ours": {"aud": "https://gateway.example.evil"},
    "expired": {"iat": 1_700_000_000, "exp": 1_700_000_300},
    "not yet": {"nbf": 4_000_000_000},
    "made in the future": {"iat": 4_000_000_000, "exp": 4_000_000_300},
    "a life of a day": {"exp": 4_000_000_000},
    "an end before its beginning": {"iat": 1_900_000_000, "exp": 1_800_000_000},
    "exp true": {"exp": True},
    "exp text": {"exp": "tomorrow"},
    "exp beyond numbers": {"exp": 10**400},
    "scope a list": {"scope": ["customers:read"]},
    "client a list": {"client_id": ["shop-backend"]},
    "bound to what is not understood": {"cnf": {"kid": "k"}},
    "bound to nothing": {"cnf": {}},
    "bound to two things of which one is not understood": {"cnf": {"jkt": "a" * 43, "x": "y"}},
    "client not of ASCII": {"client_id": "shöp"},
    "bound to a key of other letters": {"cnf": {"jkt": "é" * 43}},
    "bound to a certificate of other letters": {"cnf": {"x5t#S256": "é" * 43}},
    "bound to a list": {"cnf": {"jkt": ["a" * 43]}},
    **{f"no {name}": {name: None} for name in ("iss", "aud", "sub", "client_id", "iat", "exp", "jti")},
    **{f"empty {name}": {name: ""} for name in ("iss", "aud", "sub", "client_id", "jti")},
}


@pytest.mark.parametrize("case", BAD_CLAIMS)
def test_a_token_with_a_bad_claim_is_refused(http: FlaskClient, peer: Peer, case: str) -> None:
    """Signed by the right key and right in all but one claim, a token does not pass (RFC 9068, 4)."""
    different = dict(BAD_CLAIMS[case])
    if different.get("iss") == "SLASH":
        different["iss"] = peer.issuer + "/"
    refused(read(http, peer.forged(**different)))


def confused(peer: Peer) -> str:
    """HS256 with the public key as the secret."""
    public = json.dumps(peer.keys[0].as_dict(private=False)).encode()
    return peer.forged({"alg": "HS256"}, key=OctKey.import_key(public))  # type: ignore[arg-type]


def embedded(peer: Peer) -> str:
    """Signed by a key that the header brings along under the right kid."""
    own = ECKey.generate_key("P-256")
    return peer.forged({"jwk": own.as_dict(private=False)}, key=own)


BAD_TOKENS: dict[str, Callable[[Peer], str]] = {
    "no typ": lambda peer: peer.forged({"typ": None}),
    "an ID token": lambda peer: peer.forged({"typ": "JWT"}, aud="shop-backend", nonce="n"),
    "typ of an ID token": lambda peer: peer.forged({"typ": "JWT"}),
    "a logout token": lambda peer: peer.forged({"typ": "logout+jwt"}),
    "a foreign key": lambda peer: peer.forged(key=ECKey.generate_key("P-256")),
    "a key in the header": embedded,
    "a key in the header beside the right one": lambda peer: peer.forged({"jwk": peer.keys[0].as_dict(private=False)}),
    "an address of keys": lambda peer: peer.forged({"jku": "https://evil.example/jwks"}),
    "an address of a certificate": lambda peer: peer.forged({"x5u": "https://evil.example/cert"}),
    "no kid": lambda peer: peer.forged({"kid": None}),
    "an unknown kid": lambda peer: peer.forged({"kid": "key-9"}),
    "HMAC with the public key": confused,
    "alg none": lambda peer: peer.forged().rpartition(".")[0].replace("ES256", "none") + ".",
    "signature cut": lambda peer: peer.forged()[:-4],
    "oversize": lambda peer: peer.forged(pad="x" * 5000),
    "five parts": lambda _: "a.b.c.d.e",
    "two parts": lambda _: "a.b",
    "not JSON": lambda _: "eyJh.eyJh.eyJh",
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_a_forged_or_misused_token_is_refused(http: FlaskClient, peer: Peer, case: str) -> None:
    """Neither the algorithm nor the key is chosen by the token, and only an access token is one."""
    refused(read(http, BAD_TOKENS[case](peer)))


def test_an_unknown_critical_extension_is_refused(http: FlaskClient, peer: Peer) -> None:
    """A signed header with `crit` is refused, whatever it names."""
    header = json.dumps({"alg": "ES256", "kid": "key-0", "typ": "at+jwt", "crit": ["b64"], "b64": True}).encode()
    claims = peer.forged().split(".")[1].encode()
    signed = base64.urlsafe_b64encode(header).rstrip(b"=") + b"." + claims
    signature = JWSRegistry.algorithms["ES256"].sign(signed, peer.keys[0])
    refused(read(http, (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()))


def test_a_token_without_scope_may_do_nothing(http: FlaskClient, peer: Peer) -> None:
    """The token narrows: no scope in it leaves none, and one beyond the registration adds none."""
    for scope in (None, "", "consents:administer"):
        assert read(http, peer.forged(scope=scope)).status_code == 403


def test_a_demanded_acr_is_demanded(tmp_path: Path, peer: Peer) -> None:
    """With `acr` configured, a token without it or with another is refused."""
    issuers = (peer.configured(acr=("phishing-resistant",)),)
    services = stand_ins(f"sqlite:///{tmp_path / 'acr.db'}", datetime.now(UTC), issuers=issuers)
    services.client("shop", issuer=peer.issuer, external_id="shop-backend")
    assert services.outside.resolve(peer.forged()) is None
    assert services.outside.resolve(peer.forged(acr="password")) is None
    assert services.outside.resolve(peer.forged(acr="phishing-resistant")) is not None
    services.close()


def test_a_bound_token_of_the_provider_needs_its_key(http: FlaskClient, peer: Peer) -> None:
    """A token the provider bound passes with a fresh proof by its key; not as Bearer, replayed or by another key."""
    mine, other = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    token = peer.issued(client_id="shop-dpop", DPoP=proof(mine, "POST", f"{peer.issuer}/token"))
    url = ISSUER + PATH
    once = proof(mine, "POST", url, token=token)
    assert read(http, token, "DPoP", DPoP=once).status_code == 200
    again = read(http, token, "DPoP", DPoP=once)
    assert again.status_code == 401
    assert 'error="invalid_dpop_proof"' in again.headers["WWW-Authenticate"]
    refused(read(http, token, "DPoP", DPoP=proof(other, "POST", url, token=token)))
    refused(read(http, token))
    refused(read(http, token, DPoP=proof(mine, "POST", url, token=token)))
    assert read(http, token, "DPoP").status_code == 401


def test_a_client_registered_as_bound_cannot_use_a_free_token(http: FlaskClient, peer: Peer) -> None:
    """A token without `cnf` is refused for a client that must be bound, though the issuer made it."""
    refused(read(http, peer.forged(client_id="shop-dpop")))
    refused(read(http, peer.forged(client_id="shop-dpop", cnf={"x5t#S256": "a" * 43})))


def test_an_opaque_token_lives_as_long_as_the_provider_says(http: FlaskClient, services: StandIns, peer: Peer) -> None:
    """An opaque token is asked about; revoked there, it passes no longer than the cache's time."""
    token = peer.issued("urn:opaque")
    assert "." not in token
    assert read(http, token).status_code == 200
    peer.revoke(token)
    services.clock.pass_by(seconds=29)
    assert read(http, token).status_code == 200
    services.clock.pass_by(seconds=1)
    refused(read(http, token))
    refused(read(http, "x" * 43))


def test_a_client_revoked_here_stops_within_the_cache_time(http: FlaskClient, services: StandIns, peer: Peer) -> None:
    """The provider's token still verifies, but nobody is registered for it any more; nor does a cache outlive `exp`."""
    token = peer.issued()
    assert read(http, token).status_code == 200
    services.registry.revoke("shop")
    services.clock.pass_by(seconds=30)
    refused(read(http, token))
    services.client("shop-2", issuer=peer.issuer, external_id="shop-backend")
    short = peer.forged(exp=int(services.clock.now().timestamp()) + 5, iat=int(services.clock.now().timestamp()) - 60)
    services.clock.pass_by(seconds=34)
    assert read(http, short).status_code == 200  # by the leeway of half a minute, which remembering must not lengthen
    services.clock.pass_by(seconds=2)
    refused(read(http, short))


def test_a_new_key_of_the_provider_is_picked_up(tmp_path: Path, services: StandIns, peer: Peer) -> None:
    """A `kid` never seen makes a fetch, but only one in half a minute; then the new key's tokens pass."""
    assert services.outside.resolve(peer.issued()) is not None
    peer.rotate()
    fresh = peer.issued()
    assert services.outside.resolve(fresh) is None  # the last fetch was just now
    services.clock.pass_by(seconds=30)
    assert services.outside.resolve(fresh) is not None
    assert services.outside.resolve(peer.forged()) is not None  # the old key is still published
