"""`rights access …`: makes, releases and fetches access packages; writes them to files, prints nothing of a person."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import click

from consent_gateway.cli.terminal import hidden_line
from consent_gateway.preferences.centre import PreferenceCentre
from consent_gateway.rights.access import Package, Packages
from consent_gateway.rights.access_document import ACCESS, KNOW, PORTABILITY
from consent_gateway.rights.access_report import files_of
from consent_gateway.vocabulary import LANGUAGES

_OPERATOR = "operator"


class Desk(Protocol):
    """What these commands need of the desk."""

    @property
    def packages(self) -> Packages:
        """Access packages."""
        ...


class Services(Protocol):
    """What these commands need of the composition root."""

    @property
    def erasure_desk(self) -> Desk:
        """Access packages, beside erasures."""
        ...

    @property
    def preferences(self) -> PreferenceCentre:
        """The words of each language, and what the company is called."""
        ...


Opened = Callable[[], Services]


@click.group()
def access() -> None:
    """Give a person their data."""


@access.command()
@click.argument("data_subject")
@click.option("--request", "request_id", required=True, help="The request that this answers, such as `dsr-2026-119`.")
@click.option("--kind", type=click.Choice([ACCESS, PORTABILITY, KNOW]), default=ACCESS, show_default=True)
@click.option("--language", default="en", show_default=True, help="BCP 47; texts that are not there come in English.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def make(opened: Opened, *, data_subject: str, request_id: str, kind: str, language: str, as_json: bool) -> None:
    """Make a package; it lies encrypted until an officer has released it."""
    packages = opened().erasure_desk.packages
    made = packages.make(data_subject, request_id=request_id, by=_OPERATOR, kind=kind, language=language)
    click.echo(json.dumps(_told(made)) if as_json else f"{made.package_id} made, over at {made.expires_at.isoformat()}")


@access.command()
@click.argument("package_id")
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write, 0600.")
@click.pass_obj
def review(opened: Opened, *, package_id: str, output: Path) -> None:
    """Write what a package holds to a file, to be looked at before its release. This is recorded."""
    document = opened().erasure_desk.packages.review(package_id, by=_OPERATOR)
    output.touch(mode=0o600)
    output.write_text(json.dumps(document, ensure_ascii=False, indent=2), encoding="utf-8")
    click.echo(f"{output}: {len(document['fields'])} fields; with free text: {', '.join(document.get('review', []))}")


@access.command()
@click.argument("package_id")
@click.option("--blank", multiple=True, help="Leave out this field, which is about others.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def release(opened: Opened, *, package_id: str, blank: tuple[str, ...], as_json: bool) -> None:
    """Let the person fetch a package once; prints the secret of the link, which is kept nowhere."""
    secret = opened().erasure_desk.packages.release(package_id, by=_OPERATOR, blank=blank)
    click.echo(json.dumps({"secret": secret}) if as_json else secret)


@access.command()
@click.argument("data_subject")
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make.")
@click.pass_obj
def fetch(opened: Opened, *, data_subject: str, output: Path) -> None:
    """Fetch a released package once, by the link's secret from standard input, and write its files to a folder."""
    services = opened()
    document = services.erasure_desk.packages.fetch(hidden_line("secret"), data_subject)
    centre = services.preferences
    words = centre.words.get(document["language"], centre.words[LANGUAGES[0]])
    files = files_of(document, words, centre.brand.name)
    output.mkdir(mode=0o700, parents=True)
    for name, content in files.items():
        path = output / name
        path.touch(mode=0o600)
        path.write_bytes(content)
    click.echo(f"{output}: {', '.join(files)}")


def _told(package: Package) -> dict[str, str]:
    return {
        "package_id": package.package_id,
        "data_subject": package.data_subject,
        "request_id": package.request_id,
        "kind": package.kind,
        "state": package.state,
        "expires_at": package.expires_at.isoformat(),
    }


COMMANDS: tuple[click.Command, ...] = (access,)
"""What `rights` gets from here."""
