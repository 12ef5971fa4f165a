"""Builds what officers' pages work with, over one process's parts; decides nothing."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from consent_gateway.callers.fetching import Fetcher
from consent_gateway.console.accounts import Accounts
from consent_gateway.console.counting import Counting
from consent_gateway.console.entries import Looks
from consent_gateway.console.overview import Overviews
from consent_gateway.console.revisions import Revisions
from consent_gateway.console.room import Console, OfficerSignIn
from consent_gateway.console.sessions import ConsoleSessions
from consent_gateway.customers.handshakes import Handshakes
from consent_gateway.settings import VARIABLES, Settings
from consent_gateway.wiring.parts import Parts

SECRET = "set; never shown"  # noqa: S105 - what is said instead of one


def open_console(parts: Parts, settings: Settings) -> Console:
    """The console of one process."""
    engine, clock, keyring = parts.engine, parts.clock, parts.keyring
    officers = settings.officers
    provider = None
    if officers.provider is not None:
        provider = OfficerSignIn(officers.provider, officers.accepted, Fetcher(parts.tls))
    return Console(
        engine=engine,
        sessions=ConsoleSessions(engine, clock, keyring.service_key("console-sessions")),
        accounts=Accounts(engine, clock),
        handshakes=Handshakes(engine, clock, keyring.service_key("console-handshakes")),
        counting=Counting(engine),
        overviews=Overviews(engine, clock),
        revisions=Revisions(engine, parts.policies, settings.policies, clock),
        looks=Looks(parts.recorder, clock),
        settings=shown(settings),
        keys=keyring.inventory,
        provider=provider,
    )


def shown(settings: Settings) -> Mapping[str, str | None]:
    """Each setting's name and its value as a page may show it: never a secret's, None for what is not set."""
    told: dict[str, str | None] = {}
    for variable in VARIABLES:
        value = _value(settings, variable.name.lower())
        if value in (None, (), frozenset()):
            told[variable.name] = None
        else:
            told[variable.name] = SECRET if variable.secret else _told(value)
    return MappingProxyType(told)


def _value(settings: Settings, name: str) -> Any:
    customers, officers, telemetry = settings.customers, settings.officers, settings.telemetry
    named: Mapping[str, Any] = {
        "customer_idle_seconds": customers.idle,
        "customer_session_seconds": customers.longest,
        "unsubscribe_days": customers.unsubscribe,
        "customer_identifier": customers.provider and customers.provider.identifier_kind,
        "smtp_tls": customers.smtp and ("tls" if customers.smtp.implicit_tls else "starttls"),
        "officer_acr": officers.accepted,
        "client_cert_header": settings.certificate_proxies,
        "trusted_proxies": settings.certificate_proxies,
        "log_witnesses": tuple(one.url for one in settings.log.witnesses),
        "otlp_endpoint": telemetry and telemetry.endpoint,
        "otlp_header": telemetry and telemetry.headers,
        "otlp_ca_file": telemetry and telemetry.authorities,
        "otlp_trace_percent": telemetry and telemetry.trace_percent,
    }
    if name in named:
        return named[name]
    parts: tuple[tuple[str, Any], ...] = (
        ("", settings),
        ("", settings.log),
        ("log_", settings.log),
        ("", customers),
        ("customer_", customers.provider),
        ("smtp_", customers.smtp),
        ("officer_", officers.provider),
        ("key_", settings.key_source),
    )
    fitting = ((part, name.removeprefix(prefix)) for prefix, part in parts if name.startswith(prefix))
    return next((getattr(part, word) for part, word in fitting if hasattr(part, word)), None)


def _told(value: Any) -> str:
    if isinstance(value, tuple | frozenset):
        return ", ".join(sorted(map(str, value)))
    return str(value)
