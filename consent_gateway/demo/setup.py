"""Builds the demo's state: the shop, the gateway beside it, its people, clients and old choices; serves nothing."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from consent_gateway.audit.signer import open_signer
from consent_gateway.callers.registry import refuse_unknown
from consent_gateway.demo.choices import legacy_choices
from consent_gateway.demo.clients import CLIENTS
from consent_gateway.demo.retailer import Progress, build_retailer
from consent_gateway.demo.state import DemoState
from consent_gateway.errors import InputRefused
from consent_gateway.settings import Settings
from consent_gateway.vocabulary import COMPANY
from consent_gateway.wiring import Services, open_services, upgrade_databases

_ENROLLING = "enrolling the customers"
_IMPORTING = "importing the old choices"
_SEALING = "sealing allergies and service notes"


def build(state: DemoState, customers: int, settings: Settings, progress: Progress) -> None:
    """Build everything below the state directory anew, and mark it as whole at the very end."""
    state.clear()
    build_retailer(state.retailer, customers, progress=progress)
    count = legacy_choices(state.retailer, state.choices, progress=progress)
    upgrade_databases(settings)
    services = open_services(settings)
    try:
        services.enrolment.run(lambda done, total: progress(_ENROLLING, done, total))
        services.seal_existing.run(lambda done, total: progress(_SEALING, done, total))
        state.write_secrets(register_clients(services))
        import_old_choices(services, state.choices, count, progress)
    finally:
        services.close()
    signer = open_signer(settings.log_key_file, settings.log_origin)
    state.public_key.write_text(f"{signer.vkey}\n", encoding="utf-8")
    state.finish(customers)


def register_clients(services: Services) -> dict[str, str]:
    """Register the demo's channel services; their secrets by client id."""
    policies = services.policies
    recipients = {*policies.recipients, COMPANY}
    secrets: dict[str, str] = {}
    for new in CLIENTS:
        refuse_unknown(new, channels=policies.channels, purposes=policies.purposes, recipients=recipients, issuers=())
        client, secret = services.registry.add(new)
        if secret is not None:  # a client with a key of its own has none
            secrets[client.client_id] = secret
    return secrets


def import_old_choices(services: Services, export: Path, count: int, progress: Progress) -> None:
    """Import the shop's old consent export. Raises `InputRefused` if a line of it is refused: all are ours."""
    report = services.choices.import_choices(
        _lines(export), lambda done: progress(_IMPORTING, done, count), recorded_by="old-preference-table"
    )
    if report.refused:
        number, message = report.refusals[0]
        raise InputRefused(f"{report.refused} old choices were refused, first line {number}: {message}")


def _lines(export: Path) -> Iterator[Mapping[str, object]]:
    with export.open(encoding="utf-8") as file:
        for text in file:
            line: dict[str, object] = json.loads(text)
            yield line
