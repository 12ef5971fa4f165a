"""The settings of the audit log and its evidence, read and checked; a part of `settings` in a file of its own."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from consent_gateway.customer_settings import LOOPBACK, PREFIX, Variable
from consent_gateway.errors import SettingsRefused

LOG_VARIABLES: tuple[Variable, ...] = (
    Variable("LOG_KEY_FILE", "`audit/log.key` in STATE_DIR", "file of the key that signs checkpoints, mode 0600"),
    Variable("LOG_ORIGIN", "consent-gateway.local/log", "name of the audit log in its checkpoints"),
    Variable("LOG_ANCHOR_DIR", "none", "directory outside the gateway's reach that keeps a checkpoint an hour"),
    Variable("LOG_WITNESSES", "none", "witnesses of the log (C2SP tlog-witness): `URL VKEY`, separated by commas"),
    Variable("LOG_SYSLOG", "none", "SIEM that is told of every entry by syslog over TLS: `HOST:PORT`"),
    Variable(
        "LOG_SYSLOG_CA", "the system's", "file of the certificates that the SIEM's certificate is checked against"
    ),
    Variable("LOG_SYSLOG_CERTIFICATE", "none", "file of the certificate and key that the gateway shows the SIEM"),
    Variable("LOG_EVENTS_DIR", "none", "directory in which every entry is appended as an OCSF event, a line each"),
    Variable("EXPORT_DIR", "`exports` in STATE_DIR", "directory of the packages of audit exports, kept for 7 days"),
)
_VKEY = re.compile(r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+=*")


class Given(Protocol):
    """What reads a variable by its name without the prefix."""

    def optional(self, name: str) -> str | None:
        """A value that may be left out."""
        ...

    def path(self, name: str) -> Path | None:
        """A path that may be left out."""
        ...


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """A witness: the prefix of its URL, and its vkey."""

    url: str
    vkey: str


@dataclass(frozen=True, slots=True)
class SyslogAddress:
    """A receiver of syslog over TLS. Paths are absolute."""

    host: str
    port: int
    authorities: Path | None
    certificate: Path | None


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where the log's evidence goes beside the database. Paths are absolute."""

    anchor_dir: Path | None
    witnesses: tuple[WitnessAddress, ...]
    export_dir: Path
    syslog: SyslogAddress | None
    events_dir: Path | None


def read_log_settings(given: Given, state_dir: Path) -> LogSettings:
    """The settings of the log's evidence, or `SettingsRefused`."""
    witnesses = given.optional("LOG_WITNESSES")
    return LogSettings(
        anchor_dir=given.path("LOG_ANCHOR_DIR"),
        witnesses=() if witnesses is None else tuple(_witness(one) for one in witnesses.split(",")),
        export_dir=given.path("EXPORT_DIR") or state_dir / "exports",
        syslog=_syslog(given),
        events_dir=given.path("LOG_EVENTS_DIR"),
    )


def _syslog(given: Given) -> SyslogAddress | None:
    text = given.optional("LOG_SYSLOG")
    if text is None:
        return None
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise SettingsRefused(f"{PREFIX}LOG_SYSLOG must be `HOST:PORT`, such as siem.example.com:6514")
    files = given.path("LOG_SYSLOG_CA"), given.path("LOG_SYSLOG_CERTIFICATE")
    return SyslogAddress(host.strip("[]"), int(port), *files)


def _witness(text: str) -> WitnessAddress:
    url, _, vkey = text.strip().partition(" ")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingsRefused(f"{PREFIX}LOG_WITNESSES must be `URL VKEY`, separated by commas")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsRefused(f"{PREFIX}LOG_WITNESSES names a witness by http that is not on loopback: use https")
    if _VKEY.fullmatch(vkey.strip()) is None:
        raise SettingsRefused(f"{PREFIX}LOG_WITNESSES must give the vkey of each witness behind its URL")
    return WitnessAddress(url.rstrip("/"), vkey.strip())
