"""`rights letters` and `rights letter …`: what people were written, again by mail, by post; prints no address."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from consent_gateway.errors import NotFound
from consent_gateway.rights.answers import written
from consent_gateway.rights.letter_desk import Letter, LetterDesk, letter_document
from consent_gateway.rights.requests import By

if TYPE_CHECKING:
    from consent_gateway.wiring import Services

_OPERATOR = By(officer="operator")


@click.command("letters")
@click.argument("request_id")
@click.option("--text", "with_text", is_flag=True, help="print what each letter says, to be posted")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def letters(opened: Callable[[], "Services"], request_id: str, *, with_text: bool, as_json: bool) -> None:
    """List the letters about a request, and how far each is: queued, sent, failed, to_post, posted or dropped."""
    services = opened()
    try:
        found = _desk(services).of_request(request_id)
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps({"letters": [letter_document(one) for one in found]}, default=written))
        return
    if not found:
        click.echo("no letter was written")
    for one in found:
        click.echo(_line(one))
        if with_text:
            click.echo(f"\n{one.subject_line}\n\n{one.text}")


@click.group("letter")
def letter() -> None:
    """Send a letter again, or say that it was posted."""


@letter.command()
@click.argument("letter_id")
@click.pass_obj
def resend(opened: Callable[[], "Services"], letter_id: str) -> None:
    """Mail a letter that failed once more."""
    services = opened()
    try:
        click.echo(_line(_desk(services).resend(letter_id, _OPERATOR)))
    finally:
        services.close()


@letter.command()
@click.argument("letter_id")
@click.pass_obj
def posted(opened: Callable[[], "Services"], letter_id: str) -> None:
    """Say that a letter was printed and posted."""
    services = opened()
    try:
        click.echo(_line(_desk(services).posted(letter_id, _OPERATOR)))
    finally:
        services.close()


def _line(one: Letter) -> str:
    return f"{one.letter_id} {one.state.value:<8} {one.kind}, {one.language}, written {written(one.created_at)}"


def _desk(services: "Services") -> LetterDesk:
    if services.rights.letters is None:
        raise NotFound("no letters are written here")
    return services.rights.letters


COMMANDS = (letters, letter)
