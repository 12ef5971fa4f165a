"""`doctor`: proves on the live installation that what the catalogue calls protected is; prints no value and no key."""

import dataclasses
import json
import sys

import click

from consent_gateway.cli.terminal import progress
from consent_gateway.doctor import Check, Diagnosis, Standing
from consent_gateway.settings import read_settings, secret_files
from consent_gateway.wiring import open_doctor

_EXIT = {Standing.OK: 0, Standing.BAD: 1, Standing.UNKNOWN: 3}


@click.command()
@click.option(
    "--sample", type=click.IntRange(min=1), help="Read at most this many records, spread evenly over the store."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def doctor(*, sample: int | None, as_json: bool) -> None:
    """Look whether every part is sound and every sealed field really sealed, value by value; changes nothing.

    Exit code 0 where all is right, 1 where something is not, 3 where something could not be looked at.
    """
    shown = progress("read {done} of {total} records", every=100, silent=as_json)
    diagnosis = open_doctor(read_settings(), secret_files()).examine(sample, shown)
    if as_json:
        click.echo(json.dumps({"standing": diagnosis.standing, **dataclasses.asdict(diagnosis)}))
    else:
        click.echo(_told(diagnosis))
    sys.exit(_EXIT[diagnosis.standing])


def _told(diagnosis: Diagnosis) -> str:
    lines = [line for check in diagnosis.checks for line in _lines(check)]
    if diagnosis.looked < diagnosis.records:
        lines.append(
            f"a sample: {diagnosis.looked} of {diagnosis.records} records were read, of the others nothing is known"
        )
    return "\n".join(lines)


def _lines(check: Check) -> list[str]:
    lines = [f"{check.standing.value:8} {check.name}: {check.found}"]
    return lines if check.mend is None else [*lines, f"{'':8} mend: {check.mend}"]
