"""Composition root: settings -> adapters -> services; the only place that builds things, and it decides nothing.

`databases` opens and upgrades, `providers` chooses who holds the root keys, `parts` is what everything else is built
of, `outward` tells others of changes, `services` is a web process, `worker` the one in the background, `operators`
what commands need beside them.
"""

from consent_gateway.wiring.databases import open_databases, upgrade_databases
from consent_gateway.wiring.operators import open_doctor, open_upkeep
from consent_gateway.wiring.outward import FILE, NATS, check_sink
from consent_gateway.wiring.parts import SystemClock, every_class
from consent_gateway.wiring.providers import adopt_key_copy, open_key_provider
from consent_gateway.wiring.services import Services, open_services
from consent_gateway.wiring.telemetry import open_telemetry, refuse_without_telemetry
from consent_gateway.wiring.worker import Background, open_background, open_sealer

__all__ = [
    "FILE",
    "NATS",
    "Background",
    "Services",
    "SystemClock",
    "adopt_key_copy",
    "check_sink",
    "every_class",
    "open_background",
    "open_databases",
    "open_doctor",
    "open_key_provider",
    "open_sealer",
    "open_services",
    "open_telemetry",
    "open_upkeep",
    "refuse_without_telemetry",
    "upgrade_databases",
]
