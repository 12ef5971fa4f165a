"""Where traces and metrics are sent by OTLP, read and checked; a part of `settings` in a file of its own."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from consent_gateway.customer_settings import LOOPBACK, PREFIX, Variable
from consent_gateway.errors import SettingsRefused

TELEMETRY_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "OTLP_ENDPOINT",
        "none: no traces are made",
        "base URL that traces and metrics are sent to by OTLP over HTTP, https but on loopback (extra `otel`)",
    ),
    Variable("OTLP_HEADER", "none", "header that it asks for, such as a key: `NAME: VALUE`", secret=True),
    Variable("OTLP_CA_FILE", "the usual authorities", "file of the authorities to trust for OTLP_ENDPOINT, PEM"),
    Variable("OTLP_TRACE_PERCENT", "100", "how many requests are traced whose caller does not decide it, 0 to 100"),
)
_HEADER = re.compile(r"([A-Za-z0-9-]{1,64}):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")


class Given(Protocol):
    """What reads a variable by its name without the prefix."""

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
        """True where the variable is set."""
        ...


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Where telemetry goes. `endpoint` has no slash at its end."""

    endpoint: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    authorities: Path | None
    trace_percent: int


def read_telemetry_settings(given: Given) -> TelemetrySettings | None:
    """Where telemetry goes, None for nowhere, or `SettingsRefused`."""
    endpoint = given.optional("OTLP_ENDPOINT")
    if endpoint is None:
        for variable in TELEMETRY_VARIABLES[1:]:
            if given.has(variable.name):
                raise SettingsRefused(f"{PREFIX}{variable.name} is set without {PREFIX}OTLP_ENDPOINT: set both or none")
        return None
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise SettingsRefused(f"{PREFIX}OTLP_ENDPOINT must be an http or https URL, without a name, query or fragment")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsRefused(f"{PREFIX}OTLP_ENDPOINT is http and not on loopback: use https, or a collector beside us")
    return TelemetrySettings(
        endpoint=endpoint.rstrip("/"),
        headers=_headers(given.optional("OTLP_HEADER")),
        authorities=given.path("OTLP_CA_FILE"),
        trace_percent=given.number("OTLP_TRACE_PERCENT", 100, 0, 100),
    )


def _headers(text: str | None) -> tuple[tuple[str, str], ...]:
    if text is None:
        return ()
    read = _HEADER.fullmatch(text)
    if read is None:
        raise SettingsRefused(f"{PREFIX}OTLP_HEADER must be one header, `NAME: VALUE`")
    return ((read[1], read[2]),)
