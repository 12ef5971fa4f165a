"""Builds what tells others of changes: names, envelopes, the feed, destinations and their sinks; decides nothing."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.connectors.event_file import FileSink
from consent_gateway.connectors.event_nats import NatsSink
from consent_gateway.errors import InputRefused, SettingsRefused
from consent_gateway.policy import Policies
from consent_gateway.ports import Clock, EventSink
from consent_gateway.propagation.addresses import read_hosts
from consent_gateway.propagation.courier import Courier
from consent_gateway.propagation.delivering import Deliverer
from consent_gateway.propagation.destinations import WEBHOOK, Destination, Destinations
from consent_gateway.propagation.envelope import Envelopes
from consent_gateway.propagation.feed import Feed
from consent_gateway.propagation.names import DomainNames
from consent_gateway.propagation.outbox import Outbox
from consent_gateway.propagation.posting import Poster
from consent_gateway.propagation.sinks import WebhookSink
from consent_gateway.settings import Settings
from consent_gateway.tracing import NO_TRACER, Tracer
from consent_gateway.wiring.parts import Parts

FILE, NATS = "file", "nats"


@dataclass(frozen=True, slots=True)
class Outward:
    """What tells others of changes."""

    outbox: Outbox
    envelopes: Envelopes
    feed: Feed
    destinations: Destinations
    poster: Poster


def open_outward(parts: Parts, settings: Settings) -> Outward:
    """All of it, over the parts. Raises `SettingsRefused` for hosts that are none."""
    names = DomainNames(parts.keyring)
    envelopes = Envelopes(parts.engine, names, names.message_id, settings.issuer)
    hosts = read_hosts(settings.webhook_hosts, settings.webhook_private_hosts)
    poster = Poster(parts.tls, hosts, seconds=settings.webhook_timeout_ms / 1000)
    return Outward(
        outbox=Outbox(names, outside_domains(parts.policies), parts.clock),
        envelopes=envelopes,
        feed=Feed(
            parts.engine,
            envelopes,
            parts.clock,
            parts.keyring.service_key("change-cursors"),
            most_waiting=max(1, settings.threads // 4),
            pause=threading.Event().wait,  # an event nobody sets: it only waits
        ),
        destinations=Destinations(parts.engine, parts.clock, parts.keyring.service_key("webhook-secrets"), poster),
        poster=poster,
    )


def outside_domains(policies: Policies) -> tuple[tuple[str, str], ...]:
    """Every purpose and outside recipient of the policy."""
    recipients = policies.recipients.values()
    return tuple((purpose, each.key) for each in recipients for purpose in each.purposes)


def open_deliverer(
    engine: sa.Engine, clock: Clock, outward: Outward, settings: Settings, tracer: Tracer = NO_TRACER
) -> Deliverer:
    """What the background worker delivers with."""
    courier = Courier(
        engine=engine,
        destinations=outward.destinations,
        message=outward.envelopes.message,
        clock=clock,
        draw=random.SystemRandom().random,
        tracer=tracer,
    )
    folder = settings.state_dir / "run"
    return Deliverer(engine, folder, outward.destinations, courier, open_sinks(outward, clock))


def open_sinks(outward: Outward, clock: Clock) -> Callable[[Destination], EventSink]:
    """Opens the sink of a destination."""

    def open_sink(destination: Destination) -> EventSink:
        if destination.kind == WEBHOOK:
            return WebhookSink(destination, outward.destinations, outward.poster, clock)
        if destination.kind == FILE:
            return FileSink(Path(destination.target))
        if destination.kind == NATS:
            return NatsSink(destination.target)
        raise SettingsRefused(f"there is no sink of the kind `{destination.kind}`: end the destination")

    return open_sink


def check_sink(kind: str, target: str) -> None:
    """Raise `InputRefused` or `SettingsRefused` for what is no target of this kind; connects nowhere."""
    if kind == NATS:
        NatsSink(target).close()
    elif not Path(target).is_absolute():
        raise InputRefused("a file sink is a directory: name it by its absolute path")
