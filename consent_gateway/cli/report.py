"""`consent-gateway report NAME`: makes a report and prints or writes it; thin over the reports room, counts nothing."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from consent_gateway.audit.recorder import record_alone
from consent_gateway.cli.audit import EXPORT_SECONDS, moment, required
from consent_gateway.database import open_engine
from consent_gateway.errors import InputRefused
from consent_gateway.ids import new_id
from consent_gateway.policy import Policies, load_policies
from consent_gateway.reports import forms
from consent_gateway.reports.book import REPORTS, entry_of, kind_of, make
from consent_gateway.reports.model import Asked, Report, Table
from consent_gateway.reports.source import open_source
from consent_gateway.settings import read_settings

_SHOWN = 20  # rows of a table that a terminal gets


@click.command("report")
@click.argument("name", type=click.Choice(list(REPORTS)))
@click.option("--since", metavar="TIME", help="from this time on, RFC 3339; UTC where no zone is given")
@click.option("--until", metavar="TIME", help="before this time")
@click.option("--person", metavar="ID", help="consents, withdrawals, retention: the person of this id")
@click.option("--sample", type=int, help="consents: how many people to draw")
@click.option("--seed", help="consents: what they are drawn by; by default the root hash of the checkpoint")
@click.option("--caller", help="breach, processing: what this client or officer obtained")
@click.option("--key-class", help="breach: fields sealed under this class of keys")
@click.option("--aware", metavar="TIME", help="breach: when it became known, for the authority's clock")
@click.option("--regime", help="rights: one law, such as US_CA_CCPA")
@click.option("--csv", "csv_table", metavar="TABLE", help="print this table as CSV")
@click.option("--html", is_flag=True, help="print the page")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="write all forms into this folder")
@click.option("--database", metavar="URL", help="the gateway database")
@click.option("--policies", "directory", type=click.Path(path_type=Path, file_okay=False), help="the policy directory")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def report(
    name: str,
    csv_table: str | None,
    out: Path | None,
    database: str | None,
    directory: Path | None,
    *,
    html: bool,
    as_json: bool,
    **what: str | int | None,
) -> None:
    """Make a report for officers and auditors. It names the signed checkpoint of the log that it rests on."""
    asked = _asked(what)
    kind_of(name, asked)
    made = _made(name, asked, database, policies_of(directory))
    if out is not None:
        click.echo(f"{_written(made, out)} files in {out}", err=True)
    elif csv_table is not None:
        if csv_table not in {table.key for table in made.tables}:
            known = ", ".join(table.key for table in made.tables)
            raise InputRefused(f"the report has no table `{csv_table[:64]}`; it has {known}")
        sys.stdout.buffer.write(forms.as_csv(made, csv_table))
    elif html:
        sys.stdout.buffer.write(forms.as_html(made))
    else:
        click.echo(json.dumps(made.as_json()) if as_json else _text(made))


def policies_of(directory: Path | None) -> Policies:
    """The policy of the directory named, or that of the settings."""
    return load_policies(read_settings().policies if directory is None else directory)


def _asked(what: dict[str, str | int | None]) -> Asked:
    def text(name: str) -> str | None:
        value = what[name]
        return None if value is None else str(value)

    sample = what["sample"]
    return Asked(
        since=moment(text("since")),
        until=moment(text("until")),
        data_subject=text("person"),
        sample=None if sample is None else int(sample),
        seed=text("seed"),
        caller=text("caller"),
        key_class=text("key_class"),
        regime=text("regime"),
        aware_at=moment(text("aware")),
    )


def _made(name: str, asked: Asked, database: str | None, policies: Policies) -> Report:
    now = datetime.now(UTC)
    engine = open_engine(required(database), threads=1, statement_seconds=EXPORT_SECONDS)
    try:
        record_alone(engine, entry_of(new_id("rep", now), name, asked, None, now))
        with open_source(engine, policies, now) as source:
            return make(source, name, asked)
    finally:
        engine.dispose()


def _written(made: Report, folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = {
        f"{made.name}.json": forms.as_json(made),
        f"{made.name}.html": forms.as_html(made),
        forms.STYLESHEET: (Path(forms.__file__).parent / forms.STYLESHEET).read_bytes(),
        **{f"{made.name}-{table.key}.csv": forms.as_csv(made, table.key) for table in made.tables},
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return len(files)


def _text(made: Report) -> str:
    lines = [made.title, f"rests on {made.rests_on.size} entries of {made.rests_on.origin}; times are UTC"]
    lines += [f"{forms.heading(name)}: {value}" for name, value in made.figures.items()]
    for table in made.tables:
        lines += ["", f"{table.title} ({len(table.rows)} rows)", *_lines(table)]
    return "\n".join(lines)


def _lines(table: Table) -> list[str]:
    lines = [
        "  " + ", ".join(f"{name}={value}" for name, value in row.items() if value not in (None, ""))
        for row in table.records[:_SHOWN]
    ]
    left = len(table.rows) - _SHOWN
    return lines if left <= 0 else [*lines, f"  and {left} more: --csv {table.key} shows all"]
