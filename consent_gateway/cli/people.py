"""`people`: brings the customers of the store into the gateway; prints counts and never a value."""

import dataclasses
import json
from collections.abc import Callable
from typing import Protocol

import click

from consent_gateway.people.enrolment import Enrolment, Report
from consent_gateway.seal_existing import SealExisting


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
        f" {report.unenrolled} of people not enrolled yet; {report.refused} sealed in a format that is read no more"
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
    return "\n".join([people_told, identifiers, *unreadable])
