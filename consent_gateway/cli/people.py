"""`people`: brings customers of the store into the gateway and erases them from it; prints no value.

Whoever lists the machine's processes or reads a shell's history sees what was given on a command line, so an identifier
is asked for or read from standard input.
"""

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import click

from consent_gateway.people.enrolment import Enrolment, Report
from consent_gateway.people.normalise import KINDS
from consent_gateway.people.suppression import STORE_KEY, SuppressionList
from consent_gateway.seal_existing import SealExisting
from consent_gateway.shredding import Shredded, Shredding

_OPERATOR = "operator"
OLDER_BACKUPS = "older back-ups of the key table can still open this until the epoch is closed (`keys close-epoch`)"


class Services(Protocol):
    """What these commands need of the composition root."""

    @property
    def enrolment(self) -> Enrolment:
        """Brings the store's people into the directory."""
        ...

    @property
    def seal_existing(self) -> SealExisting:
        """Seals what the store holds in the clear."""
        ...

    @property
    def shredding(self) -> Shredding:
        """Erases people from the gateway."""
        ...

    @property
    def suppressions(self) -> SuppressionList:
        """What erased people were known by."""
        ...


@click.group()
def people() -> None:
    """Who the gateway knows."""


@people.command()
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON object.")
@click.pass_obj
def enrol(services: Callable[[], Services], *, as_json: bool) -> None:
    """Enrol the people of the customer store, or refresh those who are enrolled. Safe to run again at any time."""
    enrolment = services().enrolment

    def progress(done: int, total: int) -> None:
        if not as_json:
            click.echo(f"\renrolled {done} of {total}", nl=False, err=True)

    report = enrolment.run(progress)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report)))
        return
    click.echo("", err=True)
    click.echo(_told(report))


@people.command()
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON object.")
@click.pass_obj
def seal(services: Callable[[], Services], *, as_json: bool) -> None:
    """Seal the values that columns called sealed already hold in the clear. Safe to run again at any time."""

    def progress(done: int, total: int) -> None:
        if not as_json:
            click.echo(f"\rread {done} of {total}", nl=False, err=True)

    report = services().seal_existing.run(progress)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report)))
        return
    click.echo("", err=True)
    click.echo(
        f"{report.read} records read, {report.sealed} sealed; {report.busy} changed meanwhile, run again;"
        f" {report.unenrolled} of people not enrolled yet; {report.refused} refused, for they hold a damaged"
        " sealed value or one of an earlier format: `consent-gateway doctor` names them"
    )


@people.command()
@click.argument("data_subject")
@click.option("--reference", required=True, help="Points to the request that this answers, such as `dsr-2026-118`.")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@click.option("--json", "as_json", is_flag=True, help="Print the evidence as one JSON object.")
@click.pass_obj
def shred(services: Callable[[], Services], *, data_subject: str, reference: str, yes: bool, as_json: bool) -> None:
    """Erase a person from the gateway for good: keys, identifiers, sources. Erase the store's rows before."""
    if not yes:
        click.confirm(f"Erase {data_subject}? Nothing can undo it", abort=True, err=True)
    evidence = services().shredding.shred(data_subject, reference=reference, by=_OPERATOR)
    if as_json:
        told = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in dataclasses.asdict(evidence).items()
        }
        click.echo(json.dumps(told | {"remark": OLDER_BACKUPS}))
        return
    click.echo(_evidence(evidence))


@people.group()
def suppression() -> None:
    """The list of what erased people were known by, which keeps an import from bringing them back."""


@suppression.command(name="list")
@click.option("--count", is_flag=True, help="Print the number of all entries alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts by kind as one JSON object.")
@click.pass_obj
def list_entries(services: Callable[[], Services], *, count: bool, as_json: bool) -> None:
    """Show how many entries there are of each kind. An entry is a keyed tag and can be read by nobody."""
    counts = services().suppressions.counts()
    if as_json:
        click.echo(json.dumps(counts))
    elif count:
        click.echo(sum(counts.values()))
    else:
        for kind, number in counts.items():
            click.echo(f"{kind}: {number}")


@suppression.command()
@click.option("--kind", required=True, type=click.Choice([*sorted(KINDS), STORE_KEY]), help="What is lifted.")
@click.option("--reference", required=True, help="Points to the person's own act of coming back.")
@click.option("--json", "as_json", is_flag=True, help="Print the id of the audit entry as one JSON object.")
@click.pass_obj
def lift(services: Callable[[], Services], *, kind: str, reference: str, as_json: bool) -> None:
    """Take one identifier off the list, for someone who comes back by their own act. It is read from standard input."""
    value = click.prompt(kind, hide_input=True, prompt_suffix=": ", err=True)
    entry = services().suppressions.lift(kind, value, reference=reference, by=_OPERATOR)
    click.echo(json.dumps({"entry_id": entry}) if as_json else f"lifted; the audit entry is {entry}")


def _evidence(evidence: Shredded) -> str:
    return "\n".join(
        [
            f"erased {evidence.data_subject} for {evidence.reference}, begun {evidence.begun_at.isoformat()}",
            f"data key {evidence.fingerprint}, shard {evidence.shard}, epoch {evidence.epoch}",
            f"destroyed {evidence.destroyed_at.isoformat()}",
            f"{evidence.suppressed} identifiers and keys suppressed; {evidence.shared} not, for others use them",
            f"audit entries: intent {evidence.shredding_id}, outcome {evidence.outcome_entry}",
            OLDER_BACKUPS,
        ]
    )


def _told(report: Report) -> str:
    people_told = (
        f"{report.read} people read: {report.added} new, {report.adopted} known by an earlier choice,"
        f" {report.changed} changed; {report.joined} joined the programme"
    )
    identifiers = f"{report.linked} identifiers linked, {report.shared} found to be shared by several people"
    unreadable = [
        f"{count} values of `{kind}` could not be read; these people are enrolled without them"
        for kind, count in sorted(report.unreadable.items())
    ]
    erased = [
        f"{count} {what}"
        for count, what in (
            (report.suppressed, "records left out: their people were erased"),
            (report.withheld, "identifiers of erased people not linked to the others who hold them in the store"),
        )
        if count
    ]
    return "\n".join([people_told, identifiers, *erased, *unreadable])
