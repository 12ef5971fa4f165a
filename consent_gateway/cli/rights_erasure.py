"""`rights erase …`, `rights verify-certificate`, `rights retention`: erasures in the store; prints no one's values.

What a person is known by beside the store's key is asked for or read from standard input, never taken as an argument.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import click

from consent_gateway.cli.terminal import hidden_line
from consent_gateway.consent.receipt_verify import ReceiptInvalid
from consent_gateway.people.normalise import KINDS
from consent_gateway.rights.certificate import Certificates, verify_certificate
from consent_gateway.rights.erasure import Erasing
from consent_gateway.rights.erasure_records import Erasure
from consent_gateway.rights.plan_model import fields_of, leftover_of
from consent_gateway.rights.retention import RetentionRun
from consent_gateway.rights.room import RightsRoom
from consent_gateway.vocabulary import Identifier

_OPERATOR = "operator"


class Desk(Protocol):
    """What these commands need of the desk."""

    @property
    def erasing(self) -> Erasing:
        """Erasures."""
        ...

    @property
    def certificates(self) -> Certificates:
        """Their certificates."""
        ...

    @property
    def retention(self) -> RetentionRun:
        """Schedules."""
        ...


class Services(Protocol):
    """What these commands need of the composition root."""

    @property
    def erasure_desk(self) -> Desk:
        """Erasures, certificates, retention."""
        ...

    @property
    def rights(self) -> RightsRoom:
        """Requests, and what the worker does once a day."""
        ...


Opened = Callable[[], Services]


@click.group()
def erase() -> None:
    """Erase a person in the store and in the gateway, with proof."""


@erase.command()
@click.argument("data_subject")
@click.option("--request", "request_id", required=True, help="The request that this answers, such as `dsr-2026-118`.")
@click.option("--by", type=click.Choice(sorted(KINDS)), help="Read one more identifier of this kind from the input.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def plan(opened: Opened, *, data_subject: str, request_id: str, by: str | None, as_json: bool) -> None:
    """Plan an erasure: what of each field goes, what is kept by which ground and until when. Changes no row."""
    known = (Identifier(by, hidden_line(by)),) if by else ()
    erasing = opened().erasure_desk.erasing
    _show(erasing.plan(data_subject, request_id=request_id, by=_OPERATOR, known_by=known), as_json=as_json)


@erase.command()
@click.argument("erasure_id")
@click.option("--at-once", is_flag=True, help="The person waived the time in which it can be taken back.")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def run(opened: Opened, *, erasure_id: str, at_once: bool, yes: bool, as_json: bool) -> None:
    """Carry an erasure out, or go on with one that was cut short."""
    erasing = opened().erasure_desk.erasing
    if not yes:
        click.confirm(f"Erase {erasing.find(erasure_id).data_subject}? Nothing can undo it", abort=True, err=True)
    _show(erasing.execute(erasure_id, by=_OPERATOR, at_once=at_once), as_json=as_json)


@erase.command()
@click.argument("erasure_id")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def again(opened: Opened, *, erasure_id: str, as_json: bool) -> None:
    """Run an erasure that left something once more, after the cause is mended."""
    _show(opened().erasure_desk.erasing.look_again(erasure_id, by=_OPERATOR), as_json=as_json)


@erase.command()
@click.argument("erasure_id")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(opened: Opened, *, erasure_id: str, as_json: bool) -> None:
    """Show where an erasure stands, what is kept and what is left."""
    _show(opened().erasure_desk.erasing.find(erasure_id), as_json=as_json)


@erase.command()
@click.argument("erasure_id")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def cancel(opened: Opened, *, erasure_id: str, as_json: bool) -> None:
    """Take an erasure back that has not begun."""
    _show(opened().erasure_desk.erasing.cancel(erasure_id, by=_OPERATOR), as_json=as_json)


@click.command()
@click.argument("erasure_id")
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.pass_obj
def certificate(opened: Opened, *, erasure_id: str, output: Path) -> None:
    """Write the signed certificate of an erasure to a file."""
    file = opened().erasure_desk.erasing.find(erasure_id).certificate
    if file is None:
        raise click.ClickException("the erasure is not finished: there is no certificate yet")
    output.write_bytes(file)
    click.echo(str(output))


@click.command()
@click.pass_obj
def certificate_keys(opened: Opened) -> None:
    """Print the JWK set with which certificates are verified; publish it."""
    click.echo(json.dumps(opened().erasure_desk.certificates.key_set))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--keys", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JWK set.")
@click.option("--json", "as_json", is_flag=True)
def verify_certificate_(*, file: Path, keys: Path, as_json: bool) -> None:
    """Verify a certificate without the gateway; exit code 1 if it is not what was issued."""
    try:
        told = verify_certificate(file.read_bytes(), json.loads(keys.read_text(encoding="utf-8")))
    except (ReceiptInvalid, ValueError) as error:
        click.echo(json.dumps({"valid": False, "cause": str(error)}) if as_json else f"not valid: {error}")
        raise SystemExit(1) from None
    if as_json:
        click.echo(json.dumps({"valid": True, "certificate": told}))
        return
    click.echo(f"valid: {told['data_subject']} for {told['request']}, {told['outcome']} at {told['finished_at']}")


@click.command()
@click.option("--execute", is_flag=True, help="Erase what has passed its time; without it only say what would go.")
@click.option("--runs", type=click.IntRange(1, 366), help="Show so many of the worker's last daily runs instead.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def retention(opened: Opened, *, execute: bool, runs: int | None, as_json: bool) -> None:
    """Say what has passed its time by the schedules of retention.yaml, or erase it."""
    if runs is not None:
        _show_runs(opened, runs, as_json=as_json)
        return
    report = opened().erasure_desk.retention.run(by=_OPERATOR, dry_run=not execute)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(report), "at": report.at.isoformat()}))
        return
    done = "went" if execute else "would go"
    for one in report.passed:
        click.echo(
            f"{one.schedule}: {one.deleted} rows {done}, {one.emptied} emptied in part; {one.held} under a hold,"
            f" {one.unreadable} values whose day cannot be read, {one.refused} rows the store refused"
        )


def _show_runs(opened: Opened, runs: int, *, as_json: bool) -> None:
    daily = opened().rights.daily
    found = [] if daily is None else daily.latest(runs)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found], default=str))
        return
    if not found:
        click.echo("the worker has run nothing: set CONSENT_GATEWAY_RETENTION to `dry_run` or `on`")
    for one in found:
        report = one.report or {"schedules": [], "requests": 0}
        rows = sum(each["deleted"] + each["emptied"] for each in report["schedules"])
        held = sum(each["held"] for each in report["schedules"])
        did = "would go" if one.dry_run else "went"
        how = f"failed with {one.failed}, tried again" if one.failed else "going on"
        told = f"{rows} rows and {report['requests']} requests {did}, {held} under a hold"
        click.echo(f"{one.day}: {told if one.report is not None else how}")


def _show(erasure: Erasure, *, as_json: bool) -> None:
    told = _told(erasure)
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(f"{erasure.erasure_id} of {erasure.data_subject}: {erasure.state}")
    for one in erasure.fields:
        if one.outcome == "not_found":
            continue
        until = f" until {one.until}" if one.until else ""
        ground = f" by {one.schedule or one.ground}{until}" if one.kept else ""
        click.echo(f"  {one.field}: {one.outcome}, {one.erased} erased, {one.kept} kept{ground}")
    for left in erasure.leftovers:
        click.echo(f"  left in {left.place} {left.where}: {left.cause}, {left.rows} rows; {left.mend}")


def _told(erasure: Erasure) -> dict[str, Any]:
    moments = {name: getattr(erasure, name) for name in ("planned_at", "not_before", "begun_at", "finished_at")}
    return {
        "erasure_id": erasure.erasure_id,
        "data_subject": erasure.data_subject,
        "request_id": erasure.request_id,
        "state": erasure.state.value,
        "run": erasure.run,
        **{name: None if moment is None else moment.isoformat() for name, moment in moments.items()},
        "fields": [fields_of(one) for one in erasure.fields],
        "leftovers": [leftover_of(one) for one in erasure.leftovers],
    }


verify_certificate_.name = "verify-certificate"
COMMANDS: tuple[click.Command, ...] = (erase, certificate, certificate_keys, verify_certificate_, retention)
"""What `rights` gets from here."""
