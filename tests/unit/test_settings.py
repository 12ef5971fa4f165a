"""Settings refuse what is unsafe or unclear, and say the mend."""

from pathlib import Path

import pytest

from consent_gateway.errors import SettingsRefused
from consent_gateway.settings import PREFIX, prepare_directories, read_settings

STORE = {"CONSENT_GATEWAY_STORE_URL": "sqlite:///shop.db"}
SMTP = {"MAIL": "smtp", "MAIL_FROM": "a@example.com", "SMTP_HOST": "mail.example"}
PROVIDER = {
    "CUSTOMER_ISSUER": "https://login.example",
    "CUSTOMER_CLIENT_ID": "gateway",
    "CUSTOMER_CLIENT_SECRET": "secret",
}
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


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"MAIL": "carrier-pigeon"}, "MAIL must be one of none, smtp, outbox"),
        ({"MAIL": "outbox", "HOST": "0.0.0.0", "ISSUER": "https://a.example"}, "use smtp"),  # noqa: S104 - refused
        ({"SMTP_HOST": "mail.example"}, "SMTP_HOST is set, but MAIL is none and does not read it: remove it"),
        ({"MAIL": "outbox", "SMTP_PASSWORD": "x"}, "SMTP_PASSWORD is set, but MAIL is outbox"),
        ({**SMTP, "MAIL_FROM": "Shop <a@example.com>"}, "MAIL_FROM must be one plain mail address"),
        ({**SMTP, "MAIL_FROM": "a@example.com\r\nBcc: b@example.com"}, "MAIL_FROM must be one plain mail address"),
        ({**SMTP, "MAIL_NAME": "a\nb"}, "MAIL_NAME must be up to 64 printable characters"),
        ({**SMTP, "MAIL_NAME": "n" * 65}, "MAIL_NAME must be up to 64 printable characters"),
        ({**SMTP, "SMTP_TLS": "none"}, "mail does not leave unencrypted"),
        ({**SMTP, "SMTP_HOST": "smtp://mail.example:25"}, "without scheme or port"),
        ({**SMTP, "SMTP_PORT": "0"}, "whole number from 1 to 65535"),
        ({**SMTP, "SMTP_LOGIN": "shop"}, "belong together: set both or neither"),
        ({**SMTP, "SMTP_PASSWORD": "x"}, "belong together: set both or neither"),
        ({"MAIL": "smtp", "MAIL_FROM": "a@example.com"}, "SMTP_HOST is not set"),
        ({"MAIL": "smtp", "SMTP_HOST": "mail.example"}, "MAIL_FROM is not set"),
        ({"CUSTOMER_CLIENT_ID": "gateway"}, "CUSTOMER_CLIENT_ID is set, but CUSTOMER_ISSUER is not"),
        ({"CUSTOMER_CLAIM": "sub"}, "CUSTOMER_CLAIM is set, but CUSTOMER_ISSUER is not"),
        ({"CUSTOMER_ISSUER": "https://login.example"}, "CUSTOMER_CLIENT_ID is not set"),
        ({**PROVIDER, "CUSTOMER_ISSUER": "http://login.example"}, "must be an https URL, or http on loopback"),
        ({**PROVIDER, "CUSTOMER_ISSUER": "https://login.example/?a=b"}, "without query"),
        ({**PROVIDER, "CUSTOMER_ISSUER": "https://me@login.example"}, "must be an https URL"),
        ({**PROVIDER, "CUSTOMER_CLAIM": "sub sub"}, "the name of one claim"),
        ({**PROVIDER, "CUSTOMER_IDENTIFIER": "email"}, "addresses change hands"),
        ({"CUSTOMER_IDLE_SECONDS": "59"}, "from 60 to 86400"),
        ({"CUSTOMER_SESSION_SECONDS": "604801"}, "from 300 to 604800"),
        ({"CUSTOMER_IDLE_SECONDS": "3600", "CUSTOMER_SESSION_SECONDS": "300"}, "shorten it"),
        ({"UNSUBSCRIBE_DAYS": "59"}, "from 60 to 3650"),
        ({"VISITOR_PROXIES": "proxy.internal"}, "VISITOR_PROXIES must be addresses or networks"),
        ({"VISITOR_PROXIES": "10.0.0.7/24"}, "VISITOR_PROXIES must be addresses or networks"),
        ({"VISITOR_PROXIES": "10.0.0.7,::/0"}, "names every address there is"),
    ],
)
def test_unsafe_values_for_customers_are_refused_with_their_mend(given: dict[str, str], told: str) -> None:
    """Each unsafe, missing or unread setting of sign-in and mail is refused by name, in one sentence, with a mend."""
    with pytest.raises(SettingsRefused) as refused:
        read_settings({**STORE, **{f"{PREFIX}{name}": value for name, value in given.items()}})
    assert told in refused.value.message
    assert PREFIX in refused.value.message
    assert "\n" not in refused.value.message


def test_safe_values_for_customers_are_read() -> None:
    """What the refusals ask for is taken: each of the bases they spoil stands by itself."""
    for given in (SMTP, PROVIDER, {"MAIL": "outbox"}, {**SMTP, "SMTP_LOGIN": "a", "SMTP_PASSWORD": "b"}):
        read = read_settings({**STORE, **{f"{PREFIX}{name}": value for name, value in given.items()}})
        assert read.customers.mail == given.get("MAIL", "none")


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
