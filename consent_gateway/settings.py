"""One frozen dataclass from the environment and secret files; refuses unsafe values, opens nothing.

Every variable starts with `CONSENT_GATEWAY_`. Where a value is secret, the same name with `_FILE` at its end
may name a file that holds it, so that it need not stand in the environment.
"""

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from consent_gateway.errors import SettingsRefused

PREFIX = "CONSENT_GATEWAY_"
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_NO_CERTIFICATE_IN = {"authorization", "dpop", "host", "cookie", "content-type", "content-length"}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: its name without the prefix, its default in words, and what it sets."""

    name: str
    default: str
    meaning: str
    secret: bool = False


VARIABLES: tuple[Variable, ...] = (
    Variable("STATE_DIR", "var/gateway", "directory of everything the gateway keeps on disk; made with mode 0700"),
    Variable("POLICIES", "policies", "directory of the policy documents"),
    Variable("STORE_URL", "none: required", "SQLAlchemy URL of the customer store", secret=True),
    Variable(
        "DATABASE_URL",
        "SQLite file `gateway.db` in STATE_DIR",
        "SQLAlchemy URL of the gateway's own database, SQLite or PostgreSQL",
        secret=True,
    ),
    Variable(
        "KEY_DATABASE_URL",
        "SQLite file `keys/keys.db` in STATE_DIR",
        "SQLAlchemy URL of the key table, never the same database as DATABASE_URL",
        secret=True,
    ),
    Variable("KEY_FILE", "`keys/root.key` in STATE_DIR", "file of the root keys, mode 0600"),
    Variable("LOG_KEY_FILE", "`audit/log.key` in STATE_DIR", "file of the key that signs checkpoints, mode 0600"),
    Variable("LOG_ORIGIN", "consent-gateway.local/log", "name of the audit log in its checkpoints"),
    Variable("TENANT", "default", "name of the company; part of every key derivation, so never change it"),
    Variable(
        "ISSUER", "http://HOST:PORT", "base URL under which clients reach the gateway, and the audience they sign for"
    ),
    Variable("HOST", "127.0.0.1", "address to listen on; others than loopback need an https ISSUER"),
    Variable("PORT", "8080", "port to listen on"),
    Variable("WORKERS", "one per core", "web worker processes, each pinned to a core"),
    Variable("THREADS", "32", "threads per web worker"),
    Variable("TOKEN_SECONDS", "600", "life of an access token, 60 to 3600"),
    Variable("TOKEN_CACHE_SECONDS", "30", "longest time a revoked token may still pass, 0 to 60"),
    Variable(
        "ISSUERS_FILE", "none", "file of the outside issuers whose tokens are taken (docs/how-to/outside-issuer.md)"
    ),
    Variable(
        "TRUSTED_PROXIES",
        "none",
        "addresses or networks, separated by commas, of the TLS proxies that tell which certificate a client showed;"
        " set together with CLIENT_CERT_HEADER",
    ),
    Variable(
        "CLIENT_CERT_HEADER",
        "none",
        "header in which they tell it: `Client-Cert` as RFC 9440 has it, or any name with the URL-encoded PEM of nginx",
    ),
    Variable("PHONE_REGION", "DE", "country of phone numbers written without a country code"),
    Variable("STORE_TIMEOUT_MS", "2000", "longest wait for the customer store, 50 to 30000"),
)


@dataclass(frozen=True, slots=True)
class CertificateProxies:
    """The TLS proxies that may tell which certificate a client showed, and the header they do it in."""

    header: str
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """The gateway's settings, checked. Paths are absolute; seconds and milliseconds as named."""

    state_dir: Path
    policies: Path
    store_url: str
    database_url: str
    key_database_url: str
    key_file: Path
    log_key_file: Path
    log_origin: str
    tenant: str
    issuer: str
    host: str
    port: int
    workers: int
    threads: int
    token_seconds: int
    token_cache_seconds: int
    issuers_file: Path | None
    certificate_proxies: CertificateProxies | None
    phone_region: str
    store_timeout_ms: int

    def __repr__(self) -> str:
        return f"Settings(state_dir={str(self.state_dir)!r}, issuer={self.issuer!r}, …)"

    @property
    def is_sqlite(self) -> bool:
        """True where the gateway database is a SQLite file."""
        return self.database_url.startswith("sqlite")


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment, or `SettingsRefused` with the variable's name and the mend."""
    given = _Given(os.environ if environment is None else environment)
    state_dir = Path(given.text("STATE_DIR", "var/gateway")).absolute()
    host = given.text("HOST", "127.0.0.1")
    port = given.number("PORT", 8080, 1, 65535)
    settings = Settings(
        state_dir=state_dir,
        policies=Path(given.text("POLICIES", "policies")).absolute(),
        store_url=given.text("STORE_URL", None),
        database_url=given.text("DATABASE_URL", f"sqlite:///{state_dir / 'gateway.db'}"),
        key_database_url=given.text("KEY_DATABASE_URL", f"sqlite:///{state_dir / 'keys' / 'keys.db'}"),
        key_file=Path(given.text("KEY_FILE", str(state_dir / "keys" / "root.key"))).absolute(),
        log_key_file=Path(given.text("LOG_KEY_FILE", str(state_dir / "audit" / "log.key"))).absolute(),
        log_origin=given.text("LOG_ORIGIN", "consent-gateway.local/log"),
        tenant=given.text("TENANT", "default"),
        issuer=given.text("ISSUER", f"http://{host}:{port}").rstrip("/"),
        host=host,
        port=port,
        workers=given.number("WORKERS", len(os.sched_getaffinity(0)), 1, 256),
        threads=given.number("THREADS", 32, 1, 256),
        token_seconds=given.number("TOKEN_SECONDS", 600, 60, 3600),
        token_cache_seconds=given.number("TOKEN_CACHE_SECONDS", 30, 0, 60),
        issuers_file=_absolute(given.optional("ISSUERS_FILE")),
        certificate_proxies=_proxies(given.optional("CLIENT_CERT_HEADER"), given.optional("TRUSTED_PROXIES")),
        phone_region=given.text("PHONE_REGION", "DE"),
        store_timeout_ms=given.number("STORE_TIMEOUT_MS", 2000, 50, 30000),
    )
    _refuse_unsafe(settings)
    given.refuse_unknown()
    return settings


def prepare_directories(settings: Settings) -> None:
    """Make the state directories with mode 0700, or refuse ones that others can read."""
    for directory in (settings.state_dir, settings.state_dir / "audit", settings.key_file.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(directory.stat().st_mode)
        if mode & 0o077:
            raise SettingsRefused(f"`{directory}` has mode {mode:04o}: run `chmod 700` on it, others must not read it")


class _Given:
    """Reads variables by name and remembers which names exist."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str | None) -> str:
        full = PREFIX + name
        path = self._environment.get(full + "_FILE")
        if path is not None:
            if full in self._environment:
                raise SettingsRefused(f"both {full} and {full}_FILE are set: keep one")
            try:
                return Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingsRefused(f"{full}_FILE cannot be read ({error.strerror}): name a readable file") from error
        value = self._environment.get(full, default)
        if value is None or not value.strip():
            raise SettingsRefused(
                f"{full} is not set: set it in the environment, or {full}_FILE to a file that holds it"
            )
        return value.strip()

    def optional(self, name: str) -> str | None:
        full = PREFIX + name
        return self.text(name, None) if full in self._environment or f"{full}_FILE" in self._environment else None

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name, str(default))
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
            raise SettingsRefused(f"{PREFIX}{name} must be a whole number from {least} to {most}")
        return int(value)

    def refuse_unknown(self) -> None:
        """A misspelt variable would silently leave a default in force."""
        known = {PREFIX + variable.name for variable in VARIABLES}
        for name in sorted(self._environment):
            if name.startswith(PREFIX) and name not in known and name.removesuffix("_FILE") not in known:
                raise SettingsRefused(f"{name} is not a setting: see docs/reference/settings.md, or remove it")


def _absolute(path: str | None) -> Path | None:
    return None if path is None else Path(path).absolute()


def _proxies(header: str | None, proxies: str | None) -> CertificateProxies | None:
    if (header is None) is not (proxies is None):
        raise SettingsRefused(
            f"{PREFIX}CLIENT_CERT_HEADER and {PREFIX}TRUSTED_PROXIES belong together: set both or neither"
        )
    if header is None or proxies is None:
        return None
    if _HEADER.fullmatch(header) is None or header.lower() in _NO_CERTIFICATE_IN:
        raise SettingsRefused(f"{PREFIX}CLIENT_CERT_HEADER must name a header of its own, such as `Client-Cert`")
    try:
        networks = tuple(ipaddress.ip_network(each.strip()) for each in proxies.split(","))
    except ValueError as error:
        raise SettingsRefused(
            f"{PREFIX}TRUSTED_PROXIES must be addresses or networks, such as `10.0.0.7, 10.1.0.0/28`"
        ) from error
    if any(network.prefixlen == 0 for network in networks):
        raise SettingsRefused(f"{PREFIX}TRUSTED_PROXIES names every address there is: name the proxies alone")
    return CertificateProxies(header, networks)


def _refuse_unsafe(settings: Settings) -> None:
    issuer = urlsplit(settings.issuer)
    if issuer.scheme not in ("http", "https") or not issuer.hostname or issuer.query or issuer.fragment:
        raise SettingsRefused(f"{PREFIX}ISSUER must be an http or https URL without query or fragment")
    if settings.host not in _LOOPBACK and issuer.scheme != "https":
        raise SettingsRefused(
            f"{PREFIX}HOST is not a loopback address, but the ISSUER is not https: tokens and personal data would"
            " travel in the clear; put a TLS proxy in front and set an https ISSUER, or listen on 127.0.0.1"
        )
    if settings.database_url == settings.key_database_url:
        raise SettingsRefused(
            f"{PREFIX}KEY_DATABASE_URL is the same as DATABASE_URL: a backup of one must not hold the keys of the other"
        )
    if settings.store_url in (settings.database_url, settings.key_database_url):
        raise SettingsRefused(f"{PREFIX}STORE_URL is one of the gateway's own databases: name the retailer's")
    _refuse_unreadable_store(settings.store_url)
    for name, url in (("DATABASE_URL", settings.database_url), ("KEY_DATABASE_URL", settings.key_database_url)):
        if not url.startswith(("sqlite:///", "postgresql")):
            raise SettingsRefused(f"{PREFIX}{name} must be a sqlite:/// or postgresql:// URL")
    if not settings.tenant.replace("-", "").isalnum() or len(settings.tenant) > 64:
        raise SettingsRefused(f"{PREFIX}TENANT must be up to 64 letters, digits and hyphens")


def _refuse_unreadable_store(url: str) -> None:
    try:
        sa.make_url(url).get_dialect().import_dbapi()
    except sa.exc.ArgumentError as error:
        raise SettingsRefused(
            f"{PREFIX}STORE_URL is not a SQLAlchemy URL, such as postgresql://user@host/shop"
        ) from error
    except (sa.exc.NoSuchModuleError, ImportError) as error:
        if not url.startswith("postgresql"):  # which psycopg serves, whatever the URL names
            raise SettingsRefused(f"{PREFIX}STORE_URL needs a database driver that is not installed") from error
