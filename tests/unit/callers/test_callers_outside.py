"""What an issuer answers about an opaque token: believed only whole, and asked for by few at a time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import sqlalchemy as sa

from consent_gateway.callers.issuers import Introspection, Issuer
from consent_gateway.callers.outside import OutsideTokens
from consent_gateway.callers.registry import NewClient, Registry
from consent_gateway.database import HeldConnections
from consent_gateway.errors import IssuerUnavailable

URL = "https://login.example"
ISSUER = Issuer(
    issuer=URL,
    audience="gateway",
    algorithms=("ES256",),
    jwks_uri=f"{URL}/k",
    discovery=None,
    client_claim="client_id",
    acr=(),
    longest_life=timedelta(hours=1),
    hosts=frozenset({"login.example"}),
    private_hosts=frozenset(),
    introspection=Introspection(f"{URL}/introspect", "the gateway", "a:b c"),
)


class Asked:
    """Answers introspection as told, and remembers what was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.questions: list[tuple[str, bytes, dict[str, str]]] = []
        self.gate: threading.Event | None = None
        self.waiting = threading.Semaphore(0)

    def json(self, url: str, _private: object, *, form: bytes, headers: dict[str, str]) -> Any:
        """As `Fetcher.json`."""
        self.questions.append((url, form, headers))
        self.waiting.release()
        if self.gate is not None:
            self.gate.wait(10)
        return self.answer


@pytest.fixture
def held(gateway_engine: sa.Engine, clock: Any) -> Iterator[HeldConnections]:
    """Connections, with the outside client registered."""
    new = NewClient(
        "shop",
        "web_shop",
        frozenset({"order_fulfilment"}),
        frozenset({"company"}),
        frozenset({"customers:read"}),
        issuer=URL,
        external_id="shop-backend",
    )
    Registry(gateway_engine, clock, b"k" * 32).add(new)
    held = HeldConnections(gateway_engine)
    yield held
    held.close()


def good(clock: Any, **different: Any) -> dict[str, Any]:
    """An answer as it should be, but for what differs; None leaves a member out."""
    now = int(clock.now().timestamp())
    told = {
        "active": True,
        "iss": URL,
        "aud": "gateway",
        "client_id": "shop-backend",
        "scope": "customers:read",
        "iat": now,
        "exp": now + 300,
        **different,
    }
    return {name: value for name, value in told.items() if value is not None}


def tokens(engine: sa.Engine, held: HeldConnections, clock: Any, asked: Asked) -> OutsideTokens:
    """Tokens of the one issuer."""
    return OutsideTokens((ISSUER,), asked, engine, held, clock, cache_seconds=30)  # type: ignore[arg-type]


def test_a_token_vouched_for_stands_for_its_client(
    gateway_engine: sa.Engine, held: HeldConnections, clock: Any
) -> None:
    """We ask as ourselves, with id and secret form-encoded as RFC 6749 has it, and once within the cache's time."""
    asked = Asked(good(clock, iss=None))
    outside = tokens(gateway_engine, held, clock, asked)
    grant = outside.resolve("opaque")
    assert grant is not None
    assert (grant.caller.client_id, grant.caller.scopes) == ("shop", {"customers:read"})
    assert outside.resolve("opaque") is grant
    ((url, form, headers),) = asked.questions
    assert (url, parse_qs(form.decode())["token"]) == (f"{URL}/introspect", ["opaque"])
    assert headers["Authorization"] == "Basic dGhlJTIwZ2F0ZXdheTphJTNBYiUyMGM="  # the%20gateway:a%3Ab%20c
    outside.forget_all()
    assert outside.resolve("opaque") is not None
    assert len(asked.questions) == 2


@pytest.mark.parametrize(
    "different",
    [
        {"active": False},
        {"active": "true"},
        {"active": 1},
        {"active": None},
        {"iss": "https://other.example"},
        {"iss": 7},
        {"aud": None},
        {"aud": "another"},
        {"exp": None},
        {"iat": None},
        {"exp": 1},
        {"client_id": None},
        {"client_id": "newsletter"},
        {"scope": 7},
        {"client_id": "\ud800"},
        {"client_id": "shop\n"},
        {"cnf": {"x": "y"}},
        {"cnf": {"jkt": "é" * 43}},
        {"cnf": {"x5t#S256": "é" * 43}},
        {"cnf": {"x5t#S256": "a" * 42 + "="}},
    ],
)
def test_half_an_answer_is_none(
    gateway_engine: sa.Engine, held: HeldConnections, clock: Any, different: dict[str, Any]
) -> None:
    """`active` must be true itself, and audience, times, issuer and client as for a JWT."""
    assert tokens(gateway_engine, held, clock, Asked(good(clock, **different))).resolve("opaque") is None


@pytest.mark.parametrize("answer", [None, [], "active", 7])
def test_an_odd_answer_is_none(gateway_engine: sa.Engine, held: HeldConnections, clock: Any, answer: Any) -> None:
    """What is no object vouches for nothing."""
    assert tokens(gateway_engine, held, clock, Asked(answer)).resolve("opaque") is None


def test_a_slow_issuer_does_not_hold_every_thread(gateway_engine: sa.Engine, held: HeldConnections, clock: Any) -> None:
    """While eight calls wait for the issuer the ninth is told to come back, and afterwards it is answered."""
    asked = Asked(good(clock))
    asked.gate = threading.Event()
    outside = tokens(gateway_engine, held, clock, asked)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(outside.resolve, f"opaque-{n}") for n in range(8)]
        try:
            assert all(asked.waiting.acquire(timeout=10) for _ in waiting)
            with pytest.raises(IssuerUnavailable, match="too many"):
                outside.resolve("opaque-9")
        finally:
            asked.gate.set()
        assert all(one.result(10) is not None for one in waiting)
    assert outside.resolve("opaque-9") is not None


def test_without_issuers_nothing_outside_passes(gateway_engine: sa.Engine, held: HeldConnections, clock: Any) -> None:
    """A gateway that lists no issuer asks nobody and takes no token but its own."""
    asked = Asked(good(clock))
    outside = OutsideTokens((), asked, gateway_engine, held, clock, cache_seconds=30)  # type: ignore[arg-type]
    assert outside.resolve("opaque") is None
    assert outside.resolve("a.b.c") is None
    assert asked.questions == []
