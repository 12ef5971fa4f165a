"""`people`: brings customers of the store into the gateway and erases them from it; prints no value.

The one exception is the store's key of a row that is to be erased there: nobody can look it up afterwards.

Whoever lists the machine's processes or reads a shell's history sees what was given on a command line, so an identifier
is asked for or read from standard input.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import click

from consent_gateway.cli.audit import moment
from consent_gateway.cli.terminal import hidden_line, progress
from consent_gateway.erasures import Erasure, Erasures
from consent_gateway.errors import StoreUnavailable
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
    def erasures(self) -> Erasures:
        """Looks at erasures."""
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
    report = services().enrolment.run(progress("enrolled {done} of {total}", silent=as_json))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report)))
        return
    click.echo(_told(report))


@people.command()
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON object.")
@click.pass_obj
def seal(services: Callable[[], Services], *, as_json: bool) -> None:
    """Seal the values that columns called sealed already hold in the clear. Safe to run again at any time."""
    report = services().seal_existing.run(progress("read {done} of {total}", silent=as_json))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report)))
        return
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
    opened = services()
    in_store = _in_store(opened.erasures, data_subject)
    if not yes:
        for warning in in_store:
            click.echo(warning, err=True)
        click.confirm(f"Erase {data_subject}? Nothing can undo it", abort=True, err=True)
    evidence = opened.shredding.shred(data_subject, reference=reference, by=_OPERATOR)
    if evidence.reference != reference:
        click.echo(
            f"the erasure was begun for {evidence.reference}, and belongs to it: {reference} is not recorded", err=True
        )
    if as_json:
        click.echo(json.dumps(_plain(evidence) | {"in_store": bool(in_store), "remark": OLDER_BACKUPS}))
        return
    click.echo("\n".join([_evidence(evidence), *in_store]))


@people.command()
@click.option("--since", metavar="TIME", help="Erasures begun from this time on, RFC 3339; UTC where no zone is given.")
@click.option("--json", "as_json", is_flag=True, help="Print them as one JSON array.")
@click.pass_obj
def erasures(services: Callable[[], Services], *, since: str | None, as_json: bool) -> None:
    """List the people who were erased, with reference, times and outcome entry. Keep it outside the gateway."""
    found = services().erasures.since(moment(since))
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found]))
        return
    for one in found:
        ended = "unfinished" if one.finished_at is None else f"{one.finished_at.isoformat()} {one.outcome_entry}"
        click.echo(f"{one.data_subject} {one.reference} begun {one.begun_at.isoformat()} finished {ended}")


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
    value = hidden_line(kind)
    entry = services().suppressions.lift(kind, value, reference=reference, by=_OPERATOR)
    click.echo(json.dumps({"entry_id": entry}) if as_json else f"lifted; the audit entry is {entry}")


def _in_store(erasures: Erasures, data_subject: str) -> tuple[str, ...]:
    """What is to be said of the person's row in the store: nothing where it holds none."""
    try:
        row = erasures.store_row(data_subject)
    except StoreUnavailable:
        return ("the store does not answer: whether it still holds this person's row is not known, look there",)
    return () if row is None else (f"the store still holds this person's row, under the key {row}: erase it there",)


def _plain(told: Shredded | Erasure) -> dict[str, object]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in dataclasses.asdict(told).items()
    }


def _evidence(evidence: Shredded) -> str:
    destroyed = f"destroyed {evidence.destroyed_at.isoformat()}"
    if evidence.destroyed_before is not None:
        destroyed = (
            f"destroyed again at {evidence.destroyed_at.isoformat()}: destroyed before at"
            f" {evidence.destroyed_before.isoformat()}, and alive again in this key table"
        )
    return "\n".join(
        [
            f"erased {evidence.data_subject} for {evidence.reference}, begun {evidence.begun_at.isoformat()}",
            f"data key {evidence.fingerprint}, shard {evidence.shard}, epoch {evidence.epoch}",
            destroyed,
            f"{evidence.suppressed} identifiers and keys suppressed; {evidence.shared} not, for others use them",
            f"audit entries: intent {evidence.shredding_id}, outcome {evidence.outcome_entry}",
            OLDER_BACKUPS,
        ]
    )


def _places(left_out: Sequence[int]) -> str:
    rows = ", ".join(f"row {place}" for place in left_out)
    return f"{rows} of the store in order of its key: erase them there, or lift the suppression of who came back"


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
            (report.suppressed, f"records left out: their people were erased; first {_places(report.left_out)}"),
            (report.withheld, "identifiers of erased people not linked to the others who hold them in the store"),
        )
        if count
    ]
    return "\n".join([people_told, identifiers, *erased, *unreadable])
