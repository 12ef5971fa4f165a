"""Officers' sign-in at a provider: what the settings take and refuse, and how a page may show them."""

from typing import Any

import pytest

from consent_gateway.errors import SettingsRefused
from consent_gateway.settings import VARIABLES, read_settings
from consent_gateway.wiring.console import SECRET, shown

P = "CONSENT_GATEWAY_"
BASE = {f"{P}STORE_URL": "sqlite:///a-store-with-a-secret.db"}
WHOLE = {
    **BASE,
    f"{P}OFFICER_ISSUER": "https://login.example.com",
    f"{P}OFFICER_CLIENT_ID": "gateway",
    f"{P}OFFICER_CLIENT_SECRET": "much-too-secret",
    f"{P}OFFICER_ACR": "urn:a, urn:b",
}


def test_without_an_issuer_passkeys_are_the_only_way() -> None:
    """Nothing set is nothing accepted."""
    officers = read_settings(BASE).officers
    assert (officers.provider, officers.accepted) == (None, frozenset())


def test_a_whole_setting_is_taken() -> None:
    """The account is named by `sub` and never by another claim; each `acr` counts."""
    officers = read_settings(WHOLE).officers
    assert officers.provider is not None
    assert (officers.provider.issuer, officers.provider.claim) == ("https://login.example.com", "sub")
    assert officers.accepted == {"urn:a", "urn:b"}


@pytest.mark.parametrize(
    "different",
    [
        {"OFFICER_ISSUER": "http://login.example.com"},
        {"OFFICER_ISSUER": "https://someone@login.example.com"},
        {"OFFICER_ISSUER": "https://login.example.com/?a=b"},
        {"OFFICER_CLIENT_SECRET": None},
        {"OFFICER_CLIENT_ID": None},
        {"OFFICER_ISSUER": None},
    ],
    ids=["plain http", "a name in it", "a query", "no secret", "no id", "no issuer"],
)
def test_half_a_setting_is_refused(different: dict[str, Any]) -> None:
    """What would let the wrong one in, or nobody, ends the start with the name of the variable."""
    given = {**WHOLE, **{f"{P}{name}": value for name, value in different.items()}}
    with pytest.raises(SettingsRefused, match="OFFICER_"):
        read_settings({name: value for name, value in given.items() if value is not None})


def test_a_page_shows_every_setting_and_no_secret() -> None:
    """Each variable has its line; of a secret only that it is set, of what is not set nothing."""
    told = shown(read_settings(WHOLE))
    assert set(told) == {one.name for one in VARIABLES}
    assert told["OFFICER_CLIENT_SECRET"] == told["STORE_URL"] == SECRET
    assert told["OFFICER_ISSUER"] == "https://login.example.com"
    assert told["OFFICER_ACR"] == "urn:a, urn:b"
    assert told["PORT"] == "8080"
    assert told["CUSTOMER_ISSUER"] is None
    assert not [value for value in told.values() if value and ("much-too-secret" in value or "a-store" in value)]
