"""The settings of customers' sign-in and mail, read and checked; a part of `settings` in a file of its own."""

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from consent_gateway.errors import SettingsRefused

PREFIX = "CONSENT_GATEWAY_"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
IDENTIFIER_KINDS = ("external_id", "loyalty_number")
MAIL_WAYS = ("none", "smtp", "outbox")
_PROVIDER = ("CUSTOMER_ISSUER", "CUSTOMER_CLIENT_ID", "CUSTOMER_CLIENT_SECRET")
_SMTP = ("SMTP_HOST", "SMTP_PORT", "SMTP_TLS", "SMTP_LOGIN", "SMTP_PASSWORD", "SMTP_CA_FILE", "MAIL_FROM", "MAIL_NAME")
_CLAIM = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,189}")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]{0,252}))(:[1-9][0-9]{0,4})?")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9a-fA-F:]{2,45}")

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: its name without the prefix, its default in words, and what it sets."""

    name: str
    default: str
    meaning: str
    secret: bool = False


CUSTOMER_VARIABLES: tuple[Variable, ...] = (
    Variable("CUSTOMER_ISSUER", "none", "issuer URL of the OpenID provider at which customers have their account"),
    Variable("CUSTOMER_CLIENT_ID", "none: required with CUSTOMER_ISSUER", "what the provider calls the gateway"),
    Variable(
        "CUSTOMER_CLIENT_SECRET", "none: required with CUSTOMER_ISSUER", "the gateway's secret there", secret=True
    ),
    Variable("CUSTOMER_CLAIM", "sub", "claim of its ID token that tells which customer it is"),
    Variable(
        "CUSTOMER_IDENTIFIER",
        "external_id",
        f"kind of identifier that the claim's value is looked up as: {' or '.join(IDENTIFIER_KINDS)}",
    ),
    Variable("CUSTOMER_IDLE_SECONDS", "1800", "a customer's session ends after so long without a call, 60 to 86400"),
    Variable("CUSTOMER_SESSION_SECONDS", "28800", "and at the latest so long after the sign-in, 300 to 604800"),
    Variable("UNSUBSCRIBE_DAYS", "730", "life of an unsubscribe link in days, 60 to 3650"),
    Variable(
        "VISITOR_PROXIES",
        "none",
        "addresses or networks, separated by commas, of the proxies whose `X-Forwarded-For` tells where a visitor is",
    ),
    Variable(
        "EMBED_ORIGINS",
        "none",
        "origins, separated by commas, of the channels' pages that may show a consent form in a frame",
    ),
    Variable("MAIL", "none", "how mail to customers leaves: none, smtp, or outbox (a demo's, on loopback alone)"),
    Variable("MAIL_FROM", "none: required for smtp", "address that mail comes from"),
    Variable("MAIL_NAME", "the host of ISSUER", "name that mail comes from, up to 64 characters"),
    Variable("SMTP_HOST", "none: required for smtp", "host of the mail server"),
    Variable("SMTP_PORT", "587, or 465 with SMTP_TLS=tls", "its port"),
    Variable("SMTP_TLS", "starttls", "starttls or tls; mail never leaves without either"),
    Variable("SMTP_LOGIN", "none: no login", "name to log in with"),
    Variable("SMTP_PASSWORD", "none: required with SMTP_LOGIN", "its password", secret=True),
    Variable("SMTP_CA_FILE", "the system's authorities", "file of the authorities to trust for SMTP_HOST, PEM"),
)


@dataclass(frozen=True, slots=True)
class CustomerProvider:
    """The OpenID provider of the retailer's customers, and as what it knows us."""

    issuer: str
    client_id: str
    client_secret: str
    claim: str
    identifier_kind: str

    def __repr__(self) -> str:
        return f"CustomerProvider(issuer={self.issuer!r}, client_id={self.client_id!r}, …)"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The mail server. `implicit_tls` is TLS from the first byte; otherwise STARTTLS is demanded."""

    host: str
    port: int
    implicit_tls: bool
    login: str | None
    password: str | None
    ca_file: Path | None

    def __repr__(self) -> str:
        return f"SmtpServer(host={self.host!r}, port={self.port}, …)"


@dataclass(frozen=True, slots=True)
class CustomerSettings:
    """Sign-in and mail of customers. `smtp` is set where `mail` is `smtp`; `provider` may be None."""

    provider: CustomerProvider | None
    idle: timedelta
    longest: timedelta
    unsubscribe: timedelta
    visitor_proxies: Networks
    embed_origins: tuple[str, ...]
    mail: str
    mail_from: str
    mail_name: str
    smtp: SmtpServer | None


class Given(Protocol):
    """The environment as `settings` reads it."""

    def text(self, name: str, default: str | None) -> str:
        """A value, from the variable or the file it names."""
        ...

    def optional(self, name: str) -> str | None:
        """A value that may be left out."""
        ...

    def path(self, name: str) -> Path | None:
        """A path that may be left out."""
        ...

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        ...

    def has(self, name: str) -> bool:
        """Whether the variable is set."""
        ...


def read_customer_settings(given: Given, host: str, issuer: str) -> CustomerSettings:
    """The settings, or `SettingsRefused` with the variable's name and the mend."""
    mail = given.text("MAIL", "none")
    if mail not in MAIL_WAYS:
        raise SettingsRefused(f"{PREFIX}MAIL must be one of {', '.join(MAIL_WAYS)}")
    if mail == "outbox" and host not in LOOPBACK:
        raise SettingsRefused(
            f"{PREFIX}MAIL is outbox, which shows every mail to whoever asks, and HOST is not loopback: use smtp"
        )
    if mail != "smtp":
        _refuse_unread(given, _SMTP if mail == "none" else _SMTP[:-1], f"MAIL is {mail}")
    idle = given.number("CUSTOMER_IDLE_SECONDS", 1800, 60, 86_400)
    longest = given.number("CUSTOMER_SESSION_SECONDS", 28_800, 300, 604_800)
    if idle > longest:
        raise SettingsRefused(f"{PREFIX}CUSTOMER_IDLE_SECONDS is longer than CUSTOMER_SESSION_SECONDS: shorten it")
    return CustomerSettings(
        provider=_provider(given),
        idle=timedelta(seconds=idle),
        longest=timedelta(seconds=longest),
        unsubscribe=timedelta(days=given.number("UNSUBSCRIBE_DAYS", 730, 60, 3650)),
        visitor_proxies=_networks(given.optional("VISITOR_PROXIES")),
        embed_origins=_origins(given.optional("EMBED_ORIGINS")),
        mail=mail,
        mail_from=_sender(given) if mail == "smtp" else "outbox@gateway.invalid",
        mail_name=_sender_name(given, issuer),
        smtp=_smtp(given) if mail == "smtp" else None,
    )


def _refuse_unread(given: Given, names: tuple[str, ...], because: str) -> None:
    for name in names:
        if given.has(name):
            raise SettingsRefused(f"{PREFIX}{name} is set, but {because} and does not read it: remove it")


def _provider(given: Given) -> CustomerProvider | None:
    if not given.has("CUSTOMER_ISSUER"):
        names = (*_PROVIDER[1:], "CUSTOMER_CLAIM", "CUSTOMER_IDENTIFIER")
        _refuse_unread(given, names, "CUSTOMER_ISSUER is not")
        return None
    issuer, client_id, secret = (given.text(name, None) for name in _PROVIDER)
    parts = urlsplit(issuer)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not is_safe or not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        raise SettingsRefused(f"{PREFIX}CUSTOMER_ISSUER must be an https URL, or http on loopback, without query")
    claim = given.text("CUSTOMER_CLAIM", "sub")
    if _CLAIM.fullmatch(claim) is None:
        raise SettingsRefused(f"{PREFIX}CUSTOMER_CLAIM must be the name of one claim, such as `sub`")
    kind = given.text("CUSTOMER_IDENTIFIER", "external_id")
    if kind not in IDENTIFIER_KINDS:
        raise SettingsRefused(
            f"{PREFIX}CUSTOMER_IDENTIFIER must be one of {', '.join(IDENTIFIER_KINDS)}: addresses change hands"
        )
    return CustomerProvider(issuer, client_id, secret, claim, kind)


def _networks(proxies: str | None) -> Networks:
    if proxies is None:
        return ()
    try:
        networks = tuple(ipaddress.ip_network(each.strip()) for each in proxies.split(","))
    except ValueError as error:
        raise SettingsRefused(
            f"{PREFIX}VISITOR_PROXIES must be addresses or networks, such as `10.0.0.7, 10.1.0.0/28`"
        ) from error
    if any(network.prefixlen == 0 for network in networks):
        raise SettingsRefused(f"{PREFIX}VISITOR_PROXIES names every address there is: name the proxies alone")
    return networks


def _origins(named: str | None) -> tuple[str, ...]:
    """The origins as browsers write them: a scheme, a host, and a port where it is not the usual one."""
    origins = () if named is None else tuple(each.strip() for each in named.split(","))
    for origin in origins:
        parts = _ORIGIN.fullmatch(origin)
        if parts is None or (parts["scheme"] == "http" and parts["host"] not in LOOPBACK):
            raise SettingsRefused(
                f"{PREFIX}EMBED_ORIGINS must be origins such as `https://shop.example.com`: https (http on loopback"
                " alone), a host in lower case, no path and no `*`"
            )
    return origins


def _sender(given: Given) -> str:
    address = given.text("MAIL_FROM", None)
    if _ADDRESS.fullmatch(address) is None:
        raise SettingsRefused(f"{PREFIX}MAIL_FROM must be one plain mail address, such as privacy@example.com")
    return address


def _sender_name(given: Given, issuer: str) -> str:
    name = given.text("MAIL_NAME", urlsplit(issuer).hostname or "consent gateway")
    if not name.isprintable() or len(name) > 64:
        raise SettingsRefused(f"{PREFIX}MAIL_NAME must be up to 64 printable characters on one line")
    return name


def _smtp(given: Given) -> SmtpServer:
    tls = given.text("SMTP_TLS", "starttls")
    if tls not in ("starttls", "tls"):
        raise SettingsRefused(f"{PREFIX}SMTP_TLS must be starttls or tls: mail does not leave unencrypted")
    host = given.text("SMTP_HOST", None)
    if _HOST.fullmatch(host) is None:
        raise SettingsRefused(f"{PREFIX}SMTP_HOST must be a host name or an address, without scheme or port")
    login, password = given.optional("SMTP_LOGIN"), given.optional("SMTP_PASSWORD")
    if (login is None) is not (password is None):
        raise SettingsRefused(f"{PREFIX}SMTP_LOGIN and {PREFIX}SMTP_PASSWORD belong together: set both or neither")
    port = given.number("SMTP_PORT", 465 if tls == "tls" else 587, 1, 65535)
    return SmtpServer(host, port, tls == "tls", login, password, given.path("SMTP_CA_FILE"))
