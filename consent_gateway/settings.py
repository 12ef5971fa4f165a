"""One frozen dataclass from the environment and secret files; refuses unsafe values, opens nothing.

Every variable starts with `CONSENT_GATEWAY_`. Where a value is secret, the same name with `_FILE` at its end
may name a file that holds it, so that it need not stand in the environment.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import sqlalchemy as sa

from consent_gateway.customer_settings import (
    CUSTOMER_VARIABLES,
    LOOPBACK,
    PREFIX,
    CustomerSettings,
    Variable,
    read_customer_settings,
)
from consent_gateway.errors import SettingsRefused
from consent_gateway.log_settings import LOG_VARIABLES, LogSettings, read_log_settings
from consent_gateway.officer_settings import OFFICER_VARIABLES, OfficerSettings, read_officer_settings
from consent_gateway.proxy_settings import CertificateProxies, read_proxies
from consent_gateway.telemetry_settings import TELEMETRY_VARIABLES, TelemetrySettings, read_telemetry_settings

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
    Variable("KEY_PROVIDER", "file", "who holds the root keys: file, openbao, vault or aws"),
    Variable("KEY_FILE", "`keys/root.key` in STATE_DIR", "file of the root keys, mode 0600"),
    Variable(
        "KEY_FILE_COPY",
        "none: keys cannot be rotated nor an epoch closed",
        "second file of the root keys, on another medium; written before KEY_FILE at every change",
    ),
    Variable("KEY_BACKUP_DIR", "`keys/backups` in STATE_DIR", "directory of the back-ups of the key table"),
    Variable("KEY_SERVER", "none: required for openbao and vault", "base URL of the server, https but on loopback"),
    Variable("KEY_MOUNT", "transit", "path of its Transit engine"),
    Variable("KEY_NAME", "consent-gateway", "name of the Transit key, or of the KMS aliases `alias/<name>/<version>`"),
    Variable("KEY_TOKEN_FILE", "none: required for openbao and vault", "file of its token, read anew at each use"),
    Variable("KEY_CA_FILE", "the system's authorities", "file of the authorities to trust for KEY_SERVER, PEM"),
    Variable("KEY_REGION", "none: required for aws", "region of the KMS keys"),
    Variable("KEY_DELETION_DAYS", "7", "days that KMS waits before it deletes a retired root version, 7 to 30"),
    Variable("KEY_TIMEOUT_MS", "2000", "longest wait for the key server or KMS, 100 to 30000"),
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
        "DRP_DIRECTORY", "none: no such routes", "file of the Data Rights Protocol's agents (docs/how-to/agents.md)"
    ),
    Variable(
        "CLIENT_CERT_HEADER",
        "none",
        "header in which they tell it: `Client-Cert` as RFC 9440 has it, or any name with the URL-encoded PEM of nginx",
    ),
    Variable("PHONE_REGION", "DE", "country of phone numbers written without a country code"),
    Variable("LOOKUPS_PER_MINUTE", "60000", "people a client may look up by identifier a minute, 20 to 100000000"),
    Variable("MISSES_PER_MINUTE", "600", "of these, the answers that tell nothing, 20 to 100000000"),
    Variable(
        "WEBHOOK_HOSTS", "none", "hosts that webhooks may go to, separated by commas; `*.example.com` for all below"
    ),
    Variable("WEBHOOK_PRIVATE_HOSTS", "none", "those of them that may lie in a private net, each in full"),
    Variable("WEBHOOK_TIMEOUT_MS", "10000", "longest wait for a webhook's whole answer, 500 to 30000"),
    Variable("STORE_TIMEOUT_MS", "2000", "longest wait for the customer store, 50 to 30000"),
    Variable("SCAN_SECONDS", "600", "longest look through one table of the store after an erasure, 10 to 86400"),
    Variable("EXPORT_FOLDERS", "none", "folders, separated by `:`, in which exports may lie, looked through too"),
    Variable("RETENTION", "off", "what the worker does once a day with what has passed its time: off, dry_run or on"),
    *LOG_VARIABLES,
    *CUSTOMER_VARIABLES,
    *OFFICER_VARIABLES,
    *TELEMETRY_VARIABLES,
)


RETENTION_MODES = ("off", "dry_run", "on")


@dataclass(frozen=True, slots=True)
class KeySource:
    """Who holds the root keys, and how to reach it; what the provider does not use is None or its default."""

    provider: str  # file | openbao | vault | aws
    server: str | None = None
    mount: str = "transit"
    name: str = "consent-gateway"
    token_file: Path | None = None
    ca_file: Path | None = None
    region: str | None = None
    deletion_days: int = 7
    timeout_ms: int = 2000


@dataclass(frozen=True, slots=True)
class Settings:
    """The gateway's settings, checked. Paths are absolute; seconds and milliseconds as named."""

    state_dir: Path
    policies: Path
    store_url: str
    database_url: str
    key_database_url: str
    key_source: KeySource
    key_file: Path
    key_file_copy: Path | None
    key_backup_dir: Path
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
    drp_directory: Path | None
    certificate_proxies: CertificateProxies | None
    phone_region: str
    store_timeout_ms: int
    scan_seconds: int
    export_folders: tuple[Path, ...]
    retention: str
    lookups_per_minute: int
    misses_per_minute: int
    customers: CustomerSettings
    officers: OfficerSettings
    log: LogSettings
    telemetry: TelemetrySettings | None
    webhook_hosts: str | None
    webhook_private_hosts: str | None
    webhook_timeout_ms: int

    def __repr__(self) -> str:
        return f"Settings(state_dir={str(self.state_dir)!r}, issuer={self.issuer!r}, …)"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment, or `SettingsRefused` with the variable's name and the mend."""
    given = _Given(os.environ if environment is None else environment)
    state_dir = Path(given.text("STATE_DIR", "var/gateway")).absolute()
    host = given.text("HOST", "127.0.0.1")
    port = given.number("PORT", 8080, 1, 65535)
    issuer = given.text("ISSUER", f"http://{host}:{port}").rstrip("/")
    settings = Settings(
        state_dir=state_dir,
        policies=Path(given.text("POLICIES", "policies")).absolute(),
        store_url=given.text("STORE_URL", None),
        database_url=given.text("DATABASE_URL", f"sqlite:///{state_dir / 'gateway.db'}"),
        key_database_url=given.text("KEY_DATABASE_URL", f"sqlite:///{state_dir / 'keys' / 'keys.db'}"),
        key_source=_key_source(given),
        key_file=Path(given.text("KEY_FILE", str(state_dir / "keys" / "root.key"))).absolute(),
        key_file_copy=given.path("KEY_FILE_COPY"),
        key_backup_dir=Path(given.text("KEY_BACKUP_DIR", str(state_dir / "keys" / "backups"))).absolute(),
        log_key_file=Path(given.text("LOG_KEY_FILE", str(state_dir / "audit" / "log.key"))).absolute(),
        log_origin=given.text("LOG_ORIGIN", "consent-gateway.local/log"),
        tenant=given.text("TENANT", "default"),
        issuer=issuer,
        host=host,
        port=port,
        workers=given.number("WORKERS", len(os.sched_getaffinity(0)), 1, 256),
        threads=given.number("THREADS", 32, 1, 256),
        token_seconds=given.number("TOKEN_SECONDS", 600, 60, 3600),
        token_cache_seconds=given.number("TOKEN_CACHE_SECONDS", 30, 0, 60),
        issuers_file=given.path("ISSUERS_FILE"),
        drp_directory=given.path("DRP_DIRECTORY"),
        certificate_proxies=read_proxies(given.optional("CLIENT_CERT_HEADER"), given.optional("TRUSTED_PROXIES")),
        phone_region=given.text("PHONE_REGION", "DE"),
        store_timeout_ms=given.number("STORE_TIMEOUT_MS", 2000, 50, 30000),
        scan_seconds=given.number("SCAN_SECONDS", 600, 10, 86_400),
        export_folders=tuple(map(Path, filter(None, (given.optional("EXPORT_FOLDERS") or "").split(":")))),
        retention=_retention(given.text("RETENTION", "off")),
        lookups_per_minute=given.number("LOOKUPS_PER_MINUTE", 60_000, 20, 100_000_000),
        misses_per_minute=given.number("MISSES_PER_MINUTE", 600, 20, 100_000_000),
        customers=read_customer_settings(given, host, issuer),
        officers=read_officer_settings(given),
        log=read_log_settings(given, state_dir),
        telemetry=read_telemetry_settings(given),
        webhook_hosts=given.optional("WEBHOOK_HOSTS"),
        webhook_private_hosts=given.optional("WEBHOOK_PRIVATE_HOSTS"),
        webhook_timeout_ms=given.number("WEBHOOK_TIMEOUT_MS", 10_000, 500, 30_000),
    )
    _refuse_unsafe(settings)
    given.refuse_unknown()
    return settings


def secret_files(environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The files that hold secret settings, as `…_FILE` variables name them."""
    given = os.environ if environment is None else environment
    names = (f"{PREFIX}{variable.name}_FILE" for variable in VARIABLES if variable.secret)
    return tuple(Path(given[name]).absolute() for name in names if name in given)


def prepare_directories(settings: Settings) -> None:
    """Make the state directories with mode 0700, or refuse ones that others can read."""
    for directory in (
        settings.state_dir,
        settings.state_dir / "audit",
        settings.key_file.parent,
        settings.key_backup_dir,
    ):
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

    def path(self, name: str) -> Path | None:
        """A path that may be left out."""
        given = self.optional(name)
        return None if given is None else Path(given).absolute()

    def optional(self, name: str) -> str | None:
        """A value that may be left out."""
        return self.text(name, None) if self.has(name) else None

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name, str(default))
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
            raise SettingsRefused(f"{PREFIX}{name} must be a whole number from {least} to {most}")
        return int(value)

    def has(self, name: str) -> bool:
        """True where the variable is set, as itself or as a file."""
        return PREFIX + name in self._environment or PREFIX + name + "_FILE" in self._environment

    def refuse_unknown(self) -> None:
        """A misspelt variable would silently leave a default in force."""
        known = {PREFIX + variable.name for variable in VARIABLES}
        for name in sorted(self._environment):
            if name.startswith(PREFIX) and name not in known and name.removesuffix("_FILE") not in known:
                raise SettingsRefused(f"{name} is not a setting: see docs/reference/settings.md, or remove it")


_KEY_VARIABLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "file": frozenset({"KEY_FILE"}),
        "openbao": frozenset(
            {"KEY_SERVER", "KEY_MOUNT", "KEY_NAME", "KEY_TOKEN_FILE", "KEY_CA_FILE", "KEY_TIMEOUT_MS"}
        ),
        "vault": frozenset({"KEY_SERVER", "KEY_MOUNT", "KEY_NAME", "KEY_TOKEN_FILE", "KEY_CA_FILE", "KEY_TIMEOUT_MS"}),
        "aws": frozenset({"KEY_REGION", "KEY_NAME", "KEY_DELETION_DAYS", "KEY_TIMEOUT_MS"}),
    }
)
"""What each provider reads; a variable of another is refused, for it tells of a provider that was meant and not set."""


def _key_source(given: _Given) -> KeySource:
    provider = given.text("KEY_PROVIDER", "file")
    if provider not in _KEY_VARIABLES:
        raise SettingsRefused(f"{PREFIX}KEY_PROVIDER must be one of {', '.join(_KEY_VARIABLES)}")
    for name in sorted(frozenset().union(*_KEY_VARIABLES.values()) - _KEY_VARIABLES[provider]):
        if given.has(name):
            raise SettingsRefused(
                f"{PREFIX}{name} is set, but KEY_PROVIDER is {provider} and does not read it: remove it, or set"
                f" KEY_PROVIDER to {' or '.join(one for one, names in _KEY_VARIABLES.items() if name in names)}"
            )
    if provider == "file":
        return KeySource(provider)
    name, timeout = given.text("KEY_NAME", "consent-gateway"), given.number("KEY_TIMEOUT_MS", 2000, 100, 30000)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise SettingsRefused(f"{PREFIX}KEY_NAME must be up to 64 letters, digits, hyphens and underscores")
    if provider == "aws":
        region = given.text("KEY_REGION", None)
        if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}", region):
            raise SettingsRefused(f"{PREFIX}KEY_REGION must be a region of AWS, such as eu-central-1")
        days = given.number("KEY_DELETION_DAYS", 7, 7, 30)
        return KeySource(provider, name=name, region=region, deletion_days=days, timeout_ms=timeout)
    mount = given.text("KEY_MOUNT", "transit").strip("/")
    if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", mount):
        raise SettingsRefused(f"{PREFIX}KEY_MOUNT must be a path of letters, digits, hyphens, underscores and slashes")
    return KeySource(
        provider,
        server=_key_server(given.text("KEY_SERVER", None)),
        mount=mount,
        name=name,
        token_file=Path(given.text("KEY_TOKEN_FILE", None)).absolute(),
        ca_file=Path(given.text("KEY_CA_FILE", None)).absolute() if given.has("KEY_CA_FILE") else None,
        timeout_ms=timeout,
    )


def _key_server(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingsRefused(f"{PREFIX}KEY_SERVER must be an http or https URL without query or fragment")
    if parts.username is not None or parts.password is not None:
        raise SettingsRefused(f"{PREFIX}KEY_SERVER must not hold a password: put the token into KEY_TOKEN_FILE")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsRefused(
            f"{PREFIX}KEY_SERVER is http and not on loopback: keys and token would travel in the clear; use https"
        )
    return url.rstrip("/")


def _retention(word: str) -> str:
    if word not in RETENTION_MODES:
        raise SettingsRefused(f"{PREFIX}RETENTION must be one of {', '.join(RETENTION_MODES)}")
    return word


def _refuse_unsafe(settings: Settings) -> None:
    issuer = urlsplit(settings.issuer)
    if issuer.scheme not in ("http", "https") or not issuer.hostname or issuer.query or issuer.fragment:
        raise SettingsRefused(f"{PREFIX}ISSUER must be an http or https URL without query or fragment")
    if settings.host not in LOOPBACK and issuer.scheme != "https":
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
    if settings.key_file_copy == settings.key_file:
        raise SettingsRefused(f"{PREFIX}KEY_FILE_COPY is KEY_FILE itself: name a file on another medium")
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
