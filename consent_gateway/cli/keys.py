"""`keys`: what keys there are and whether they open; shows no key, wrapped or not."""

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import click

from consent_gateway.cli.keys_index import rotate_index
from consent_gateway.protection.inventory import KeyInventory
from consent_gateway.protection.keys import KeyRing


class Services(Protocol):
    """What these commands need of the composition root."""

    @property
    def keyring(self) -> KeyRing:
        """The keys of the tenant."""
        ...


@click.group()
def keys() -> None:
    """The keys of people, domains and services."""


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="Print the inventory as one JSON object.")
@click.pass_obj
def status(services: Callable[[], Services], *, as_json: bool) -> None:
    """Show the inventory of keys and algorithms, after trying that the present ones open."""
    keyring = services().keyring
    keyring.check()
    inventory = keyring.inventory()
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(inventory), default=_told_time))
        return
    click.echo(_told(inventory))


@keys.group()
def rotate() -> None:
    """Replace a key by a new one."""


rotate.add_command(rotate_index)


def _told_time(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value).__name__}")


def _told(inventory: KeyInventory) -> str:
    provider = inventory.provider
    lines = [
        f"tenant {inventory.tenant}",
        (
            f"provider: {'hardware' if provider.hardware_backed else 'software'},"
            f" destroys within {provider.destruction_delay_days} days,"
            f" context {'bound' if provider.context_binding else 'not bound'}"
        ),
    ]
    for epoch in inventory.epochs:
        closed = "open" if epoch.closed_at is None else f"closed {epoch.closed_at.isoformat()}"
        lines.append(
            f"epoch {epoch.epoch} ({closed}): keys of {epoch.people} people in {epoch.shards} shards,"
            f" {epoch.destroyed} destroyed"
        )
    for entry in inventory.named:
        retired = "" if entry.retired_at is None else f", retired {entry.retired_at.isoformat()}"
        lines.append(f"{entry.kind} {entry.name}: version {entry.version}, id {entry.key_id}{retired}")
    lines += [f"{name}: {use} ({standard})" for name, use, standard in inventory.algorithms]
    return "\n".join(lines)
