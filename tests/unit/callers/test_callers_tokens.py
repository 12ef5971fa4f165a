"""Tokens: who a token stands for, and when it stops standing for them."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.callers.registry import Client, NewClient, Registry
from consent_gateway.callers.tables import ACCESS_TOKENS
from consent_gateway.callers.tokens import Tokens
from consent_gateway.database import HeldConnections
from consent_gateway.errors import CallerNotPermitted

KEY = b"k" * 32


@pytest.fixture
def registry(gateway_engine: sa.Engine, clock: Any) -> Registry:
    """A registry with one client, `web-shop`, which may read and decide."""
    registry = Registry(gateway_engine, clock, KEY)
    scopes = frozenset({"customers:read", "decisions"})
    registry.add(NewClient("web-shop", "web_shop", frozenset({"order_fulfilment"}), frozenset({"company"}), scopes))
    return registry


@pytest.fixture
def client(registry: Registry) -> Client:
    """That client."""
    client = registry.get("web-shop")
    assert client is not None
    return client


@pytest.fixture
def held(gateway_engine: sa.Engine) -> Iterator[HeldConnections]:
    """Connections for the hot read."""
    held = HeldConnections(gateway_engine)
    yield held
    held.close()


def make(engine: sa.Engine, held: HeldConnections, clock: Any, **different: Any) -> Tokens:
    """Tokens over the engine."""
    return Tokens(engine, held, clock, KEY, **different)


@pytest.fixture
def tokens(gateway_engine: sa.Engine, held: HeldConnections, clock: Any) -> Tokens:
    """Tokens that remember nothing."""
    return make(gateway_engine, held, clock, cache_seconds=0)


def later(clock: Any, seconds: float) -> None:
    """Let time pass."""
    from datetime import timedelta

    clock.moment += timedelta(seconds=seconds)


def test_a_token_resolves_to_its_client_as_registered(tokens: Tokens, client: Client) -> None:
    """The caller has the client's channel, purposes and recipients, and the token's scopes."""
    issued = tokens.issue(client, ["decisions"])
    grant = tokens.resolve(issued.token)
    assert grant is not None
    caller = grant.caller
    assert (caller.client_id, caller.channel) == ("web-shop", "web_shop")
    assert caller.purposes == client.purposes
    assert caller.recipients == client.recipients
    assert caller.scopes == {"decisions"}
    assert issued.expires_in == 600


def test_scopes_left_out_mean_all_and_too_many_are_refused(tokens: Tokens, client: Client) -> None:
    """A token never carries a scope that its client is not registered for."""
    assert tokens.issue(client).scopes == client.scopes
    for asked in (["audit:read"], ["decisions", "customers:write"], []):
        with pytest.raises(CallerNotPermitted):
            tokens.issue(client, asked)


def test_a_token_ends_at_its_time_cached_or_not(
    gateway_engine: sa.Engine, held: HeldConnections, clock: Any, client: Client
) -> None:
    """At the instant of expiry a token resolves to nothing, even where it was remembered a moment before."""
    for seconds in (0, 60):
        tokens = make(gateway_engine, held, clock, cache_seconds=seconds)
        issued = tokens.issue(client)
        later(clock, 599.999)
        assert tokens.resolve(issued.token) is not None
        later(clock, 0.001)
        assert tokens.resolve(issued.token) is None


@pytest.mark.parametrize(("cache", "outlives"), [(0, False), (30, True), (60, True), (3600, True)])
def test_a_revoked_token_dies_within_the_cache_time(
    gateway_engine: sa.Engine,
    held: HeldConnections,
    clock: Any,
    client: Client,
    tokens: Tokens,
    cache: int,
    outlives: bool,
) -> None:
    """A token revoked elsewhere passes no longer than the cache time, which is never more than a minute."""
    remembering = make(gateway_engine, held, clock, cache_seconds=cache)
    issued = remembering.issue(client)
    assert remembering.resolve(issued.token) is not None
    assert tokens.revoke(issued.token)  # another process
    assert (remembering.resolve(issued.token) is not None) is outlives
    later(clock, min(cache, 60))
    assert remembering.resolve(issued.token) is None


def test_revoking_here_is_felt_here_at_once(
    gateway_engine: sa.Engine, held: HeldConnections, clock: Any, client: Client
) -> None:
    """The process that revokes a token or forgets all refuses it on the very next call."""
    tokens = make(gateway_engine, held, clock)
    first, second = tokens.issue(client), tokens.issue(client)
    assert tokens.resolve(first.token)
    assert tokens.revoke(first.token)
    assert tokens.resolve(first.token) is None
    assert not tokens.revoke(first.token)
    assert tokens.resolve(second.token)
    tokens.revoke(second.token)
    tokens.forget_all()
    assert tokens.resolve(second.token) is None


def test_a_revoked_client_has_no_tokens(tokens: Tokens, registry: Registry, client: Client) -> None:
    """Ending a client ends every token it holds."""
    issued = tokens.issue(client)
    registry.revoke("web-shop")
    assert tokens.resolve(issued.token) is None


@pytest.mark.parametrize(
    "token", ["", "gw_at_", "gw_at_" + "a" * 43, "gw_at_" + "a" * 42 + "\n", "Bearer x", "a" * 49, "gw_at_" + "ä" * 43]
)
def test_a_made_up_token_resolves_to_nothing(tokens: Tokens, client: Client, token: str) -> None:
    """What was never issued is nobody, whatever its form."""
    tokens.issue(client)
    assert tokens.resolve(token) is None


def test_the_database_holds_neither_token_nor_its_plain_hash(
    tokens: Tokens, client: Client, gateway_engine: sa.Engine
) -> None:
    """A copy of the table yields no token, and without the key no row for a chosen token can be made."""
    issued = tokens.issue(client)
    with gateway_engine.connect() as connection:
        row = str(connection.execute(sa.select(ACCESS_TOKENS)).one())
    assert issued.token not in row
    assert hashlib.sha256(issued.token.encode()).hexdigest() not in row
    assert issued.token not in repr(issued)


def test_the_cache_stays_within_its_bound(
    gateway_engine: sa.Engine, held: HeldConnections, clock: Any, client: Client
) -> None:
    """However many tokens are used, no more than the bound are remembered, and the oldest goes first."""
    tokens = make(gateway_engine, held, clock, cache_entries=3)
    issued = [tokens.issue(client).token for _ in range(5)]
    for token in issued:
        assert tokens.resolve(token)
    remembered = tokens._cache._held
    assert len(remembered) == 3
    assert hashlib.sha256(issued[0].encode()).digest() not in remembered
    assert hashlib.sha256(issued[4].encode()).digest() in remembered


def test_a_remembered_token_reads_no_database(
    gateway_engine: sa.Engine, held: HeldConnections, clock: Any, client: Client
) -> None:
    """A second resolution within the cache time returns the same caller without touching the table."""
    tokens = make(gateway_engine, held, clock)
    issued = tokens.issue(client)
    first = tokens.resolve(issued.token)
    with gateway_engine.begin() as connection:
        connection.execute(sa.delete(ACCESS_TOKENS))
    assert tokens.resolve(issued.token) is first


def test_purging_deletes_expired_tokens_only(tokens: Tokens, client: Client, clock: Any) -> None:
    """A purge removes what has expired and says how many; what still lives stays."""
    tokens.issue(client)
    later(clock, 300)
    young = tokens.issue(client)
    later(clock, 300)
    assert tokens.purge() == 1
    assert tokens.resolve(young.token) is not None
