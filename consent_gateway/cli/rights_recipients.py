"""`rights recipients`, `rights recipient …`: who must erase or correct too, and who confirmed; prints no address."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from consent_gateway.errors import NotFound
from consent_gateway.rights.answers import written
from consent_gateway.rights.recipients import Notice, RecipientNotices, notice_document

if TYPE_CHECKING:
    from consent_gateway.wiring import Services

_OPERATOR = "operator"


@click.command("recipients")
@click.argument("request_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def recipients(opened: Callable[[], "Services"], request_id: str | None, *, as_json: bool) -> None:
    """List whom a request made to be told, or without a request everybody who has not confirmed yet."""
    services = opened()
    try:
        notices = _notices(services)
        found = notices.unconfirmed() if request_id is None else notices.of_request(request_id)
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps({"notices": [notice_document(one) for one in found]}, default=written))
        return
    if not found:
        click.echo("no recipient is waited for" if request_id is None else "no recipient had to be told")
    for one in found:
        click.echo(_line(one))


@click.group("recipient")
def recipient() -> None:
    """Say that a recipient confirmed or was told by hand, or mail its notice again."""


@recipient.command()
@click.argument("notice_id")
@click.pass_obj
def confirmed(opened: Callable[[], "Services"], notice_id: str) -> None:
    """Say that a recipient has confirmed that it did its part."""
    _changed(opened, lambda notices: notices.confirm(notice_id, by=_OPERATOR))


@recipient.command()
@click.argument("notice_id")
@click.pass_obj
def told(opened: Callable[[], "Services"], notice_id: str) -> None:
    """Say that a recipient was told by hand."""
    _changed(opened, lambda notices: notices.told(notice_id, by=_OPERATOR))


@recipient.command()
@click.argument("notice_id")
@click.pass_obj
def resend(opened: Callable[[], "Services"], notice_id: str) -> None:
    """Mail a notice that failed, or whose recipient has an address only now."""
    _changed(opened, lambda notices: notices.resend(notice_id, by=_OPERATOR))


def _changed(opened: Callable[[], "Services"], change: Callable[[RecipientNotices], Notice]) -> None:
    services = opened()
    try:
        click.echo(_line(change(_notices(services))))
    finally:
        services.close()


def _line(one: Notice) -> str:
    said = f"{one.notice_id} {one.state.value:<8} {one.recipient}: {one.done.kind.value} for {one.done.request_id}"
    known = f", known as {', '.join(one.known_as)}" if one.known_as else ""
    confirmed = "" if one.confirmed_at is None else f", confirmed {written(one.confirmed_at)}"
    return f"{said}, {', '.join(one.fields)}{known}{confirmed}"


def _notices(services: "Services") -> RecipientNotices:
    if services.rights.notices is None:
        raise NotFound("no recipients are told here")
    return services.rights.notices


COMMANDS = (recipients, recipient)
