"""The demo's provider for officers gives a token for a right code alone: once, in time, to the gateway."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from consent_gateway.demo.staff import CLIENT, StaffProvider
from tests.conftest import StillClock

BACK = "http://localhost:1/console/sign-in/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def provider(clock: StillClock) -> Iterator[StaffProvider]:
    """The provider, listening."""
    made = StaffProvider(clock, BACK)
    yield made
    made.close()


def code_of(provider: StaffProvider) -> str:
    """A fresh code of the auditor's."""
    target = provider.chosen({"account": "aziz.auditor", "nonce": "n", "code_challenge": CHALLENGE, "state": "s"})
    assert target is not None
    return parse_qs(urlsplit(target).query)["code"][0]


def basic(provider: StaffProvider) -> str:
    """How the gateway shows its secret."""
    secret = provider.variables["CONSENT_GATEWAY_OFFICER_CLIENT_SECRET"]
    return "Basic " + base64.b64encode(f"{CLIENT}:{secret}".encode()).decode()


def test_a_code_is_good_once_and_in_time(provider: StaffProvider, clock: StillClock) -> None:
    """Used a second time or after a minute it gives nothing."""
    code = code_of(provider)
    form = {"code": code, "code_verifier": VERIFIER}
    assert provider.token(basic(provider), form) is not None
    assert provider.token(basic(provider), form) is None
    late = {"code": code_of(provider), "code_verifier": VERIFIER}
    clock.moment += timedelta(minutes=2)
    assert provider.token(basic(provider), late) is None


def test_another_client_verifier_or_account_gets_nothing(provider: StaffProvider) -> None:
    """Neither a wrong secret nor a wrong verifier opens a code; who does not work here gets none."""
    assert provider.token("Basic x", {"code": code_of(provider), "code_verifier": VERIFIER}) is None
    assert provider.token(basic(provider), {"code": code_of(provider), "code_verifier": "w" * 43}) is None
    assert provider.chosen({"account": "mallory"}) is None
    assert provider.page({"client_id": CLIENT, "redirect_uri": "https://evil.example/"}) is None
    assert "aziz.auditor" in (provider.page({"client_id": CLIENT, "redirect_uri": BACK}) or "")
