"""Settings refuse what is unsafe or unclear, and say the mend."""

from pathlib import Path

import pytest

from consent_gateway.errors import SettingsRefused
from consent_gateway.settings import PREFIX, prepare_directories, read_settings

STORE = {"CONSENT_GATEWAY_STORE_URL": "sqlite:///shop.db"}
PROXY = {"CONSENT_GATEWAY_CLIENT_CERT_HEADER": "Client-Cert", "CONSENT_GATEWAY_TRUSTED_PROXIES": "10.0.0.7"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "STORE_URL is not set"),
        ({**STORE, "CONSENT_GATEWAY_PORT": "80x"}, "whole number from 1 to 65535"),
        ({**STORE, "CONSENT_GATEWAY_PORT": "0"}, "whole number from 1 to 65535"),
        ({**STORE, "CONSENT_GATEWAY_TOKEN_CACHE_SECONDS": "61"}, "from 0 to 60"),
        ({**STORE, "CONSENT_GATEWAY_HOST": "0.0.0.0"}, "put a TLS proxy in front"),  # noqa: S104 - what is refused
        ({**STORE, "CONSENT_GATEWAY_ISSUER": "ftp://x"}, "http or https URL"),
        ({**STORE, "CONSENT_GATEWAY_TENANT": "a b"}, "letters, digits and hyphens"),
        ({**STORE, "CONSENT_GATEWAY_DATABASE_URL": "mysql://x/y"}, "sqlite:/// or postgresql://"),
        ({**STORE, "CONSENT_GATEWAY_TRUSTED_PROXIES": "10.0.0.7"}, "set both or neither"),
        ({**STORE, "CONSENT_GATEWAY_CLIENT_CERT_HEADER": "Client-Cert"}, "set both or neither"),
        ({**STORE, **PROXY, "CONSENT_GATEWAY_TRUSTED_PROXIES": "proxy.internal"}, "addresses or networks"),
        ({**STORE, **PROXY, "CONSENT_GATEWAY_TRUSTED_PROXIES": "10.0.0.7/24"}, "addresses or networks"),
        ({**STORE, **PROXY, "CONSENT_GATEWAY_TRUSTED_PROXIES": "10.0.0.7,0.0.0.0/0"}, "every address there is"),
        ({**STORE, **PROXY, "CONSENT_GATEWAY_TRUSTED_PROXIES": "::/0"}, "every address there is"),
        ({**STORE, **PROXY, "CONSENT_GATEWAY_CLIENT_CERT_HEADER": "Authorization"}, "a header of its own"),
        ({**STORE, **PROXY, "CONSENT_GATEWAY_CLIENT_CERT_HEADER": "Client_Cert"}, "a header of its own"),
        *(
            ({**STORE, "CONSENT_GATEWAY_EMBED_ORIGINS": origin}, "must be origins such as")
            for origin in ("*", "http://shop.example", "https://shop.example/", "https://a.example https://b.example")
        ),
        (
            {**STORE, "CONSENT_GATEWAY_EMBED_ORIGINS": "https://shop.example, 'unsafe-inline'"},
            "must be origins such as",
        ),
        ({**STORE, "CONSENT_GATEWAY_ISSUERS_FILE": " "}, "ISSUERS_FILE is not set"),
        ({**STORE, "CONSENT_GATEWAY_TOKENS_SECONDS": "60"}, "is not a setting"),
        ({**STORE, "CONSENT_GATEWAY_TENANT": "a", "CONSENT_GATEWAY_TENANT_FILE": "x"}, "keep one"),
        ({"CONSENT_GATEWAY_STORE_URL_FILE": "not/there"}, "name a readable file"),
        (
            {
                **STORE,
                "CONSENT_GATEWAY_DATABASE_URL": "sqlite:///a.db",
                "CONSENT_GATEWAY_KEY_DATABASE_URL": "sqlite:///a.db",
            },
            "same as DATABASE_URL",
        ),
        ({**STORE, "CONSENT_GATEWAY_DATABASE_URL": "sqlite:///shop.db"}, "one of the gateway's own databases"),
    ],
)
def test_unsafe_values_are_refused_with_their_mend(given: dict[str, str], told: str) -> None:
    """Each unsafe, missing or misspelt variable is refused by a message that names it and what to do."""
    with pytest.raises(SettingsRefused) as refused:
        read_settings(given)
    assert told in refused.value.message
    assert PREFIX in refused.value.message


def test_proxies_and_their_header_are_read() -> None:
    """Addresses and networks of both kinds are taken; unset, there is no proxy and no issuers file."""
    given = {**STORE, **PROXY, "CONSENT_GATEWAY_TRUSTED_PROXIES": "10.0.0.7, 10.1.0.0/28,fd00::7"}
    proxies = read_settings(given).certificate_proxies
    assert proxies is not None
    assert (proxies.header, [str(each) for each in proxies.networks]) == (
        "Client-Cert",
        ["10.0.0.7/32", "10.1.0.0/28", "fd00::7/128"],
    )
    assert (read_settings(STORE).certificate_proxies, read_settings(STORE).issuers_file) == (None, None)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """`…_FILE` names a file that holds the value, and repr shows no URL."""
    secret = tmp_path / "url"
    secret.write_text("postgresql://shop:secret@db/shop\n", encoding="utf-8")
    settings = read_settings({"CONSENT_GATEWAY_STORE_URL_FILE": str(secret)})
    assert settings.store_url == "postgresql://shop:secret@db/shop"
    assert "secret" not in repr(settings)


def test_state_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A state directory is made with mode 0700; one that others may read is refused with the mending command."""
    settings = read_settings({**STORE, "CONSENT_GATEWAY_STATE_DIR": str(tmp_path / "state")})
    prepare_directories(settings)
    assert settings.state_dir.stat().st_mode & 0o777 == 0o700
    settings.state_dir.chmod(0o755)
    with pytest.raises(SettingsRefused, match="chmod 700"):
        prepare_directories(settings)
