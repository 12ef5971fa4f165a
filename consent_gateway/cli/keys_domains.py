"""`keys rotate domain`, `keys retire domain`, `keys retoken`: the keys of a purpose and recipient; shows no key."""

import csv
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import click

from consent_gateway.domain_keys import DomainChange, DomainKeys
from consent_gateway.errors import InputRefused


class Services(Protocol):
    """What these commands need of the composition root."""

    @property
    def domain_keys(self) -> DomainKeys:
        """The operator's work on the keys of domains."""
        ...

    def close(self) -> None:
        """Commit what is queued and let go of every connection."""
        ...


_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command("domain")
@click.argument("purpose")
@click.argument("recipient", required=False)
@_JSON
@click.pass_obj
def rotate_domain(opened: Callable[[], Services], purpose: str, recipient: str | None, *, as_json: bool) -> None:
    """Give PURPOSE and RECIPIENT (left out: the company) new keys for new tokens; old ones still reverse."""
    services = opened()
    try:
        change = services.domain_keys.rotate(purpose, recipient)
    finally:
        services.close()
    _tell("rotated", change, as_json=as_json)


@click.command("domain")
@click.argument("purpose")
@click.argument("recipient")
@click.argument("version", type=click.IntRange(1, 2**31 - 1))
@click.option("--yes", is_flag=True, help="Do not ask: it cannot be undone.")
@_JSON
@click.pass_obj
def retire_domain(
    opened: Callable[[], Services], purpose: str, recipient: str, version: int, *, yes: bool, as_json: bool
) -> None:
    """Destroy the keys of VERSION: nobody can reverse or link the tokens made with them again."""
    if not yes:
        asked = f"Tokens of `{purpose}` for `{recipient}` under version {version} will never be reversed again. Go on?"
        click.confirm(asked, abort=True, err=True)
    services = opened()
    try:
        change = services.domain_keys.retire(purpose, recipient, version)
    finally:
        services.close()
    _tell("retired", change, as_json=as_json)


@click.command("retoken")
@click.argument("purpose")
@click.argument("recipient")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def retoken(opened: Callable[[], Services], purpose: str, recipient: str, file: Path) -> None:
    """Print `old,new` for each token of FILE, one a line. Exit code 1 where some could not be mapped, each told."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise InputRefused(f"`{file}` cannot be read as text: name a file with one token a line") from None
    numbers = [number for number, line in enumerate(lines, 1) if line]
    texts = [line for line in lines if line]
    services = opened()
    try:
        with click.progressbar(length=len(texts), label="tokens", file=sys.stderr) as bar:
            mapped = services.domain_keys.retoken(texts, purpose, recipient, lambda _done, _all: bar.update(1))
    finally:
        services.close()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows((old, new) for old, new in zip(texts, mapped.tokens, strict=True) if new is not None)
    for place, cause in mapped.faults.items():
        click.echo(f"line {numbers[place]}: {cause}", err=True)
    click.echo(f"{len(texts) - len(mapped.faults)} of {len(texts)} tokens mapped", err=True)
    if mapped.faults:
        sys.exit(1)


def _tell(done: str, change: DomainChange, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"done": done, **dataclasses.asdict(change)}))
        return
    click.echo(
        f"{done} version {change.version} of `{change.purpose}` for `{change.recipient}`, key ids"
        f" {', '.join(change.key_ids)}; other processes follow within 60 seconds; audit entry {change.entry_id}"
    )
