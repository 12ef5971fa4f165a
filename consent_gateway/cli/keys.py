"""`keys`: what keys there are, and the operator's work on them; shows no key, wrapped or not."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self

import click

from consent_gateway.cli.keys_domains import retire_domain, retoken, rotate_domain
from consent_gateway.cli.keys_index import rotate_index
from consent_gateway.ports import RootKept
from consent_gateway.protection.backups import Backup
from consent_gateway.protection.inventory import EpochCount, KeyInventory
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.upkeep import KeyEvidence
from consent_gateway.settings import read_settings
from consent_gateway.wiring import adopt_key_copy, open_upkeep

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and no progress.")
_remove = click.option(
    "--remove-dead-backups",
    "remove_dead",
    is_flag=True,
    help="Delete the listed back-ups in that directory that this makes useless.",
)
_every_shard = click.option(
    "--every-shard",
    "every_shard",
    is_flag=True,
    help="Draw a fresh key for every shard, as after a leak, and not only for those that lost somebody.",
)
_folder = click.option(
    "--backup-dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the new back-up goes; by default KEY_BACKUP_DIR.",
)

_KEPT = {
    RootKept.ONCE: "root on one disk only: set KEY_FILE_COPY",
    RootKept.SAME_DISK: "root kept twice on the same disk: put KEY_FILE_COPY on another",
    RootKept.TWICE: "root kept twice",
    RootKept.BY_SERVER: "root kept by the server: see its back-up",
}


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
@click.option("--count", is_flag=True, help="Count the people of each epoch too, which reads the whole key table.")
@_json
@click.pass_obj
def status(services: Callable[[], Services], *, count: bool, as_json: bool) -> None:
    """Show the keys, the last back-up and unfinished work, after trying that the present keys open."""
    keyring = services().keyring
    keyring.check()
    inventory = keyring.inventory(count=count)
    click.echo(json.dumps(dataclasses.asdict(inventory), default=_told_value) if as_json else _told(inventory))


@keys.command("close-epoch")
@_folder
@_remove
@_every_shard
@_json
def close_epoch(folder: Path | None, *, remove_dead: bool, every_shard: bool, as_json: bool) -> None:
    """Make all older back-ups of the key table useless for those erased. Cut off anywhere, run it again."""
    with open_upkeep(read_settings()) as upkeep, _Bars(silent=as_json) as bars:
        evidence = upkeep.close_epoch(_or_default(folder), bars, remove_dead=remove_dead, every_shard=every_shard)
    _tell(evidence, as_json=as_json)


@keys.group()
def rotate() -> None:
    """Replace a key by a new version of it."""


@rotate.command()
@_folder
@_remove
@_json
def root(folder: Path | None, *, remove_dead: bool, as_json: bool) -> None:
    """Replace the root key and destroy the old one; no data and no person's key is touched. Cut off, run it again."""
    with open_upkeep(read_settings()) as upkeep, _Bars(silent=as_json) as bars:
        evidence = upkeep.rotate_root(_or_default(folder), bars, remove_dead=remove_dead)
    _tell(evidence, as_json=as_json)


@keys.command("adopt-copy")
def adopt_copy() -> None:
    """Have KEY_FILE_COPY belong to this installation, once it replaces the one the copy was written for."""
    settings = read_settings()
    adopt_key_copy(settings)
    click.echo(f"`{settings.key_file_copy}` is the copy of `{settings.key_file}` from now on")


@keys.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR", required=False)
@_json
def backup(folder: Path | None, *, as_json: bool) -> None:
    """Write a back-up of the key table into DIR, by default KEY_BACKUP_DIR, and read it back from disk."""
    with open_upkeep(read_settings()) as upkeep, _Bars(silent=as_json) as bars:
        made = upkeep.back_up(_or_default(folder), bars)
    _tell_backup("verified", made, as_json=as_json)


@keys.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--verify-only", is_flag=True, help="Read the back-up and change nothing.")
@_json
def restore(file: Path, *, verify_only: bool, as_json: bool) -> None:
    """Fill an empty key database from a back-up, after reading it whole and trying its keys."""
    with open_upkeep(read_settings()) as upkeep, _Bars(silent=as_json) as bars:
        made = upkeep.verify(file, bars) if verify_only else upkeep.restore(file, bars)
    _tell_backup("verified" if verify_only else "restored", made, as_json=as_json)


class _Bars:
    """Progress bars on standard error, a new one for each step."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._open = ExitStack()
        self._what: str | None = None
        self._done = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._open.close()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._silent:
            return
        if what != self._what:
            self._open.close()
            bar = click.progressbar(length=total, label=f"{what:10}", file=sys.stderr)
            self._bar = self._open.enter_context(bar)
            self._what, self._done = what, 0
        self._bar.update(done - self._done)
        self._done = done


def _or_default(folder: Path | None) -> Path:
    return read_settings().key_backup_dir if folder is None else folder.absolute()


def _tell(evidence: KeyEvidence, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(evidence), default=_told_value))
        return
    done = f"epoch {evidence.closed} is closed, epoch {evidence.epoch} is open" if evidence.closed else "root rotated"
    click.echo(f"{done}: keys of {evidence.people} people are in `{evidence.backup}`, read back from disk")
    if evidence.closed:
        click.echo(f"{evidence.erased} erased people can no longer be read from any older back-up of the key table")
    click.echo(f"{_told_versions(evidence.versions_after)}; audit entry {evidence.entry_id}")
    for file in evidence.removed:
        click.echo(f"deleted dead back-up `{file}`")
    click.echo(f"{len(evidence.removed)} dead back-ups deleted")
    if evidence.destruction_delay_days:
        click.echo(f"the provider destroys old root versions within {evidence.destruction_delay_days} days")


@keys.group()
def retire() -> None:
    """Destroy an old version of a key."""


rotate.add_command(rotate_domain)
rotate.add_command(rotate_index)
retire.add_command(retire_domain)
keys.add_command(retoken)


def _tell_backup(what: str, made: Backup, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"done": what, **dataclasses.asdict(made)}, default=_told_value))
        return
    click.echo(f"{what}: `{made.file}`, keys of {made.people} people under epoch {made.epoch}, as of {made.made_at}")
    if what == "restored":
        click.echo("erasures after that time are undone by it: carry them out again before you open for reading")


def _told_value(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _told(inventory: KeyInventory) -> str:
    provider = inventory.provider
    lines = [
        f"tenant {inventory.tenant}",
        (
            f"provider {provider.kind}: {'hardware' if provider.hardware_backed else 'software'},"
            f" destroys {_told_delay(provider.destruction_delay_days)},"
            f" context {'bound' if provider.context_binding else 'not bound'},"
            f" {_KEPT[provider.root_kept]}"
        ),
        _told_versions(inventory.root_versions),
        *_told_work(inventory),
        *map(_told_epoch, inventory.epochs),
    ]
    for entry in inventory.named:
        retired = "" if entry.retired_at is None else f", retired {entry.retired_at.isoformat()}"
        lines.append(f"{entry.kind} {entry.name}: version {entry.version}, id {entry.key_id}{retired}")
    lines += [f"{name}: {use} ({standard})" for name, use, standard in inventory.algorithms]
    return "\n".join(lines)


def _told_work(inventory: KeyInventory) -> Iterator[str]:
    job, last = inventory.under_way, inventory.last_backup
    if job is not None:
        yield f"unfinished since {job.started_at.isoformat()}: `keys {job.work}`, {job.step} is done; run it again"
    if last is None:
        yield "no back-up of the key table was ever verified: run `keys backup`"
    else:
        yield f"last verified back-up {last.verified_at.isoformat()}: {last.people} people, `{last.file}`"
    if inventory.erased_since_closing:
        yield (
            f"{inventory.erased_since_closing} people erased since the last closing: these can still be read from older"
            " back-ups of the key table; `keys close-epoch` ends that"
        )
    else:
        yield "nobody erased since the last closing"


def _told_epoch(epoch: EpochCount) -> str:
    state = "open"
    if epoch.closed_at is not None:
        state = f"closed {epoch.closed_at.isoformat()}"
    elif epoch.superseded_at is not None:
        state = "being closed"
    told = f"epoch {epoch.epoch} ({state}): {epoch.shards} shard keys"
    return told if epoch.people is None else f"{told}, keys of {epoch.people} people, {epoch.destroyed} destroyed"


def _told_versions(versions: tuple[int, ...]) -> str:
    if len(versions) == 1:
        return f"root version {versions[0]} is the only one that unwraps"
    return f"root versions that unwrap: {', '.join(map(str, versions))}"


def _told_delay(days: int) -> str:
    return "at once" if days == 0 else f"after {days} days (the erasure horizon)"
