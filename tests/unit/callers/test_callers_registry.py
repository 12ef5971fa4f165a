"""The registry: what may be registered, what proves a client, what ends it."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.keysets import checked_keys
from consent_gateway.callers.registry import AuthMethod, Bound, NewClient, Registry, Scope, refuse_unknown
from consent_gateway.callers.tables import CLIENTS
from consent_gateway.errors import Conflict, DatabaseUnavailable, InputRefused, NotFound

KEY = b"k" * 32


def new_client(client_id: str = "web-shop", **different: Any) -> NewClient:
    """A registration that stands."""
    values: dict[str, Any] = {
        "channel": "web_shop",
        "purposes": frozenset({"order_fulfilment"}),
        "recipients": frozenset({"company"}),
        "scopes": frozenset({Scope.CUSTOMERS_READ.value}),
        **different,
    }
    return NewClient(client_id, **values)


def jwk(kind: str = "Ed25519", **different: Any) -> dict[str, Any]:
    """A public key fit for registration."""
    made = {
        "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
        "ES256": lambda: ECKey.generate_key("P-256"),
        "RS256": lambda: RSAKey.generate_key(2048),
        "PS256": lambda: RSAKey.generate_key(2048),
    }[kind]()
    return {**made.as_dict(private=False), "kid": "k1", "alg": kind, **different}


@pytest.fixture
def registry(gateway_engine: sa.Engine, clock: Any) -> Registry:
    """An empty registry."""
    return Registry(gateway_engine, clock, KEY)


def test_a_client_comes_back_as_registered(registry: Registry) -> None:
    """What was registered is what is found, and what `all` lists."""
    client, secret = registry.add(new_client())
    assert secret is not None
    assert registry.get("web-shop") == client == registry.all()[0]
    assert client.auth_method is AuthMethod.CLIENT_SECRET_BASIC
    assert client.keys == ()


def test_only_the_secret_given_out_authenticates(registry: Registry) -> None:
    """The generated secret proves the client; another client's, a changed or an empty one does not."""
    _, secret = registry.add(new_client())
    _, other = registry.add(new_client("till"))
    assert secret is not None
    assert other is not None
    assert registry.authenticate("web-shop", secret) is not None
    for wrong in (other, secret[:-1], secret + "x", "", secret.upper()):
        assert registry.authenticate("web-shop", wrong) is None
    assert registry.authenticate("nobody", secret) is None


def test_the_secret_is_not_in_the_database(registry: Registry, gateway_engine: sa.Engine) -> None:
    """The stored row holds a keyed digest of the secret and neither the secret nor its plain hash."""
    import hashlib

    _, secret = registry.add(new_client())
    assert secret is not None
    with gateway_engine.connect() as connection:
        row = str(connection.execute(sa.select(CLIENTS)).one())
    assert secret not in row
    assert hashlib.sha256(secret.encode()).hexdigest() not in row
    assert len(secret) >= 43  # 256 bits in base 64


def test_a_row_moved_to_another_client_does_not_authenticate(registry: Registry, gateway_engine: sa.Engine) -> None:
    """A digest copied to another client's row proves nothing: the client id is part of it."""
    _, secret = registry.add(new_client())
    registry.add(new_client("till"))
    assert secret is not None
    with gateway_engine.begin() as connection:
        digest = connection.execute(sa.select(CLIENTS.c.secret_hash).where(CLIENTS.c.client_id == "web-shop")).scalar()
        connection.execute(sa.update(CLIENTS).where(CLIENTS.c.client_id == "till").values(secret_hash=digest))
    assert registry.authenticate("till", secret) is None


def test_a_revoked_client_is_gone_but_its_id_stays_taken(registry: Registry, clock: Any) -> None:
    """A revoked client is neither found nor authenticated, is listed with the time, and cannot be added again."""
    _, secret = registry.add(new_client())
    assert secret is not None
    revoked_at = registry.revoke("web-shop")
    assert revoked_at == clock.now()
    assert registry.get("web-shop") is None
    assert registry.authenticate("web-shop", secret) is None
    assert registry.all()[0].revoked_at == revoked_at
    with pytest.raises(Conflict):
        registry.add(new_client())


def test_revoking_again_keeps_the_first_time(registry: Registry, clock: Any) -> None:
    """The moment a client ended does not move, and revoking an unknown one is an error."""
    registry.add(new_client())
    first = registry.revoke("web-shop")
    clock.moment = clock.moment.replace(hour=18)
    assert registry.revoke("web-shop") == first
    with pytest.raises(NotFound):
        registry.revoke("nobody")


def test_a_client_with_keys_has_no_secret(registry: Registry) -> None:
    """A client registered with a key set gets no secret, and no secret authenticates it."""
    client, secret = registry.add(new_client(jwks={"keys": [jwk()]}))
    assert secret is None
    assert client.auth_method is AuthMethod.PRIVATE_KEY_JWT
    assert registry.authenticate("web-shop", "") is None
    found = registry.get("web-shop")
    assert found is not None
    assert found.key("k1") == client.keys[0]
    assert found.key("k2") is None


@pytest.mark.parametrize("kind", ["Ed25519", "ES256", "RS256", "PS256"])
def test_a_public_key_of_each_kind_is_taken(kind: str) -> None:
    """Keys for each supported algorithm are taken, reduced to their public members."""
    (key,) = checked_keys({"keys": [{**jwk(kind), "x5c": ["…"], "key_ops": ["verify"]}]})
    assert key["alg"] == kind
    assert not {"d", "k", "x5c", "key_ops"} & key.keys()


REFUSED: dict[str, Callable[[], object]] = {
    "no object": list,
    "no keys": lambda: {"keys": []},
    "too many keys": lambda: {"keys": [jwk(kid=f"k{n}") for n in range(11)]},
    "private key": lambda: {
        "keys": [{**OKPKey.generate_key("Ed25519").as_dict(private=True), "kid": "k", "alg": "EdDSA"}]
    },
    "symmetric key": lambda: {"keys": [{**OctKey.generate_key(256).as_dict(private=True), "kid": "k", "alg": "HS256"}]},
    "symmetric algorithm on a public key": lambda: {"keys": [jwk(alg="HS256")]},
    "algorithm none": lambda: {"keys": [jwk(alg="none")]},
    "no algorithm": lambda: {"keys": [jwk(alg=None)]},
    "algorithm of another kind": lambda: {"keys": [jwk("ES256", alg="RS256")]},
    "other curve": lambda: {
        "keys": [{**ECKey.generate_key("P-384").as_dict(private=False), "kid": "k", "alg": "ES256"}]
    },
    "key agreement curve": lambda: {
        "keys": [{**OKPKey.generate_key("X25519").as_dict(private=False), "kid": "k", "alg": "EdDSA"}]
    },
    "no kid": lambda: {"keys": [jwk(kid=None)]},
    "kid twice": lambda: {"keys": [jwk(), jwk()]},
    "encryption key": lambda: {"keys": [jwk(use="enc")]},
    "short RSA key": lambda: {"keys": [{"kty": "RSA", "n": "AQAB" * 40, "e": "AQAB", "kid": "k", "alg": "RS256"}]},
    "broken point": lambda: {"keys": [jwk("ES256", x="AAAA")]},
    "member missing": lambda: {"keys": [jwk(x=None)]},
    "key is no object": lambda: {"keys": ["…"]},
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unfit_key_set_is_refused(case: str) -> None:
    """A key set that could weaken a later check is refused at registration."""
    with pytest.raises(InputRefused):
        checked_keys(REFUSED[case]())


@pytest.mark.parametrize(
    "different",
    [
        {"client_id": "X"},
        {"client_id": "-till"},
        {"client_id": "a" * 65},
        {"scopes": frozenset()},
        {"scopes": frozenset({"everything"})},
        {"purposes": frozenset({"*"})},
        {"channel": ""},
        {"recipients": frozenset({"a b"})},
    ],
)
def test_a_registration_that_does_not_stand_is_refused(registry: Registry, different: dict[str, Any]) -> None:
    """Ids, keys of the policy and scopes are checked before anything is stored; there is no wildcard."""
    with pytest.raises(InputRefused):
        registry.add(new_client(**different))
    assert registry.all() == ()


def test_a_client_of_an_outside_issuer_has_no_credential_here(registry: Registry) -> None:
    """It is listed with its issuer, its id there and its binding; no secret is made and none would work."""
    outside = {"issuer": "https://login.example", "external_id": "shop-backend", "bound": Bound.DPOP}
    client, secret = registry.add(new_client(client_id="outside", **outside))
    assert secret is None
    (listed,) = registry.all()
    assert listed == client
    assert (listed.issuer, listed.external_id, listed.bound) == tuple(outside.values())
    assert registry.authenticate("outside", "") is None


def test_one_outside_client_stands_for_one_client_here(registry: Registry) -> None:
    """A second registration of an issuer's client is a conflict while the first lives, and possible after its end."""
    outside = {"issuer": "https://login.example", "external_id": "shop-backend"}
    registry.add(new_client(client_id="first", **outside))
    with pytest.raises(Conflict, match="revoke that one first"):
        registry.add(new_client(client_id="second", **outside))
    registry.add(new_client(client_id="third", **{**outside, "issuer": "https://other.example"}))
    registry.revoke("first")
    registry.add(new_client(client_id="second", **outside))
    with pytest.raises(Conflict, match="choose another"):
        registry.add(new_client(client_id="first"))


@pytest.mark.parametrize(
    "different",
    [
        {"issuer": "https://login.example"},
        {"external_id": "x"},
        {"issuer": "", "external_id": ""},
        {"issuer": "https://login.example", "external_id": "x" * 257},
        {"issuer": "https://login.example", "external_id": "a\u0000"},
        {"issuer": "https://login.example", "external_id": "x", "jwks": {"keys": []}},
    ],
)
def test_half_an_outside_client_is_refused(registry: Registry, different: dict[str, Any]) -> None:
    """Issuer and id there are given together, are of a sane length, and exclude keys of the client's own."""
    with pytest.raises(InputRefused):
        registry.add(new_client(**different))
    assert registry.all() == ()


def test_names_unknown_to_the_policy_are_refused() -> None:
    """A channel, purpose or recipient the policy does not have, or an unlisted issuer, is named in the refusal."""
    known = {
        "channels": {"web_shop"},
        "purposes": {"order_fulfilment"},
        "recipients": {"company"},
        "issuers": {"https://login.example"},
    }
    refuse_unknown(new_client(), **known)
    refuse_unknown(new_client(issuer="https://login.example", external_id="x"), **known)
    for different in (
        {"channel": "tv"},
        {"purposes": frozenset({"fun"})},
        {"recipients": frozenset({"moon"})},
        {"issuer": "https://login.example/", "external_id": "x"},
    ):
        with pytest.raises(InputRefused, match="unknown"):
            refuse_unknown(new_client(**different), **known)


def test_a_database_that_is_away_is_said_to_be(clock: Any) -> None:
    """A failing database raises `DatabaseUnavailable`, on reads and writes."""
    registry = Registry(sa.create_engine("sqlite://"), clock, KEY)  # no tables
    with pytest.raises(DatabaseUnavailable):
        registry.get("web-shop")
    with pytest.raises(DatabaseUnavailable):
        registry.add(new_client())


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_digests_of_different_lists_differ(one: list[bytes], other: list[bytes]) -> None:
    """However parts are cut, two different lists never have the same digest, nor does one list under two labels."""
    assert (keyed_digest(KEY, "a", *one) == keyed_digest(KEY, "a", *other)) == (one == other)
    assert keyed_digest(KEY, "a", *one) != keyed_digest(KEY, "b", *one)


@pytest.mark.parametrize("external_id", ["", "shöp", "shop\n", "x" * 257])
def test_an_external_id_that_no_token_can_carry_is_refused(registry: Registry, external_id: str) -> None:
    """What the door would never take is not registered: 1 to 256 printable ASCII characters."""
    with pytest.raises(InputRefused, match="external id must have 1 to 256 printable ASCII"):
        registry.add(new_client(issuer="https://login.example", external_id=external_id))
