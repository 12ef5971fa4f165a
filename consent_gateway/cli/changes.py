"""`changes`: how far each destination is, sending again, and sinks; prints what they are."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click

from consent_gateway.errors import NotFound
from consent_gateway.propagation.destinations import Destination, Destinations
from consent_gateway.propagation.outbox import number
from consent_gateway.wiring import FILE, NATS, Services, check_sink

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_OPENED = Callable[[], Services]


@click.group()
def changes() -> None:
    """See where changed choices go, send them again, and add sinks of your own."""


@changes.command("status")
@_JSON
@click.pass_obj
def status(opened: _OPENED, *, as_json: bool) -> None:
    """Show every destination and how far it is behind."""
    with _services(opened) as services:
        destinations = services.outward.destinations
        rows = [_described(destinations, each) for each in destinations.all()]
        last = number(services.engine)
    if as_json:
        click.echo(json.dumps({"last": last, "destinations": rows}))
        return
    click.echo(f"changes so far: {last}")
    for row in rows:
        since = f" since {row['untold_since']}" if row["untold_since"] else ""
        failing = f", {row['failures']} failures in a row" if row["failures"] else ""
        click.echo(
            f"{row['destination_id']} {row['kind']:8} {row['client_id'] or 'operator'}: {row['untold']} untold{since},"
            f" {row['waiting']} waiting, {row['dead']} dead{failing}"
        )


@changes.command("dead")
@click.argument("destination_id", required=False)
@_JSON
@click.pass_obj
def dead(opened: _OPENED, destination_id: str | None, *, as_json: bool) -> None:
    """List the dead letters, of DESTINATION_ID or of all destinations."""
    with _services(opened) as services:
        found = services.outward.destinations.dead(destination_id)
    rows = [
        {
            "destination_id": each.destination_id,
            "number": each.number,
            "attempts": each.attempts,
            "first_attempt_at": _text(each.first_attempt_at),
            "cause": each.cause,
        }
        for each in found
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(f"{row['destination_id']} change {row['number']}: {row['attempts']} attempts, {row['cause']}")
    click.echo(f"{len(rows)} dead letters")


@changes.command("revive")
@click.argument("destination_id")
@_JSON
@click.pass_obj
def revive(opened: _OPENED, destination_id: str, *, as_json: bool) -> None:
    """Send the dead letters of DESTINATION_ID again. They come after later changes of the same people."""
    with _services(opened) as services:
        count = services.outward.destinations.revive(_living(services, destination_id))
    click.echo(json.dumps({"revived": count}) if as_json else f"{count} dead letters will be sent again")


@changes.command("replay")
@click.argument("destination_id")
@click.option("--after", type=click.IntRange(min=0), required=True, help="The change after which to begin; 0 for all.")
@_JSON
@click.pass_obj
def replay(opened: _OPENED, destination_id: str, after: int, *, as_json: bool) -> None:
    """Send DESTINATION_ID every change past a number again, in order."""
    with _services(opened) as services:
        services.outward.destinations.replay(_living(services, destination_id), after)
    click.echo(json.dumps({"after": after}) if as_json else f"every change after {after} will be sent again")


@changes.command("add-sink")
@click.argument("kind", type=click.Choice([FILE, NATS]))
@click.argument("target")
@click.option("--all", "from_first", is_flag=True, help="Begin with the first change there is, not with the next.")
@_JSON
@click.pass_obj
def add_sink(opened: _OPENED, kind: str, target: str, *, from_first: bool, as_json: bool) -> None:
    """Send every change of the company to TARGET: an absolute directory, or `nats://HOST:PORT/SUBJECT`."""
    check_sink(kind, target)
    with _services(opened) as services:
        after = 0 if from_first else number(services.engine)
        made = services.outward.destinations.add_sink(kind, target, services.policies.purposes, after)
    click.echo(json.dumps({"destination_id": made.destination_id}) if as_json else f"added {made.destination_id}")


@changes.command("end")
@click.argument("destination_id")
@_JSON
@click.pass_obj
def end(opened: _OPENED, destination_id: str, *, as_json: bool) -> None:
    """Deliver to DESTINATION_ID no more, be it a sink or a client's webhook."""
    with _services(opened) as services:
        services.outward.destinations.end(_living(services, destination_id), "operator")
    click.echo(json.dumps({"ended": destination_id}) if as_json else f"ended {destination_id}")


@contextmanager
def _services(opened: _OPENED) -> Iterator[Services]:
    services = opened()
    try:
        yield services
    finally:
        services.close()


def _living(services: Services, destination_id: str) -> Destination:
    found = services.outward.destinations.living(destination_id)
    if found is None:
        raise NotFound("there is no such destination: see `changes status`")
    return found


def _described(destinations: Destinations, destination: Destination) -> dict[str, Any]:
    lag = destinations.lag(destination)
    return {
        "destination_id": destination.destination_id,
        "kind": destination.kind,
        "client_id": destination.client_id,
        "purposes": sorted(destination.audience.purposes),
        "recipient": destination.audience.recipient,
        "position": destination.position,
        "failures": destination.failures,
        "next_attempt_at": _text(destination.next_attempt_at) if destination.failures else None,
        "delivered_at": _text(destination.delivered_at),
        "untold": lag.untold,
        "untold_since": _text(lag.since),
        "waiting": lag.waiting,
        "dead": lag.dead,
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
