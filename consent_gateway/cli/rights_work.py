"""`rights request …`: an operator's work on one request, step by step; which step may be taken is decided in `rights`.

Prints states, dates and ids, and nothing of a person: what they wrote is for officers, by the API and the console.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from consent_gateway.errors import Conflict, InputRefused
from consent_gateway.people.directory import PersonRef
from consent_gateway.rights.answers import dates_of
from consent_gateway.rights.execution import Outcome
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.intake import NewRequest
from consent_gateway.rights.requests import By, Request, Via
from consent_gateway.rights.states import DenialGround, HoldGround
from consent_gateway.vocabulary import Identifier

if TYPE_CHECKING:
    from consent_gateway.rights.room import RightsRoom
    from consent_gateway.wiring import Services

_OPERATOR = "operator"
Opened = Callable[[], "Services"]
Step = Callable[["RightsRoom", By], Request]

_request_id = click.argument("request_id")
_json = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group("request")
def request() -> None:
    """Work on one request."""


@request.command()
@click.option("--right", required=True, help="such as access, correct or delete")
@click.option("--place", "jurisdiction", help="where the person lives, such as DE or US-CA")
@click.option("--email", help="the mail address by which they are named; or give --person")
@click.option("--person", "data_subject", help="their id")
@click.option("--received", required=True, help="the day the letter arrived, or a moment with its offset")
@click.option("--language", help="the language to answer in, such as de")
@_json
@click.pass_obj
def enter(
    opened: Opened,
    *,
    right: str,
    jurisdiction: str | None,
    email: str | None,
    data_subject: str | None,
    received: str,
    language: str | None,
    as_json: bool,
) -> None:
    """Enter a request that came by post."""
    person = PersonRef(data_subject=data_subject, identifier=None if email is None else Identifier("email", email))

    def entered(room: "RightsRoom", by: By) -> Request:
        new = NewRequest(
            right=right,
            person=person,
            via=Via.POST,
            received_at=_moment(received),
            channel=room.channel,
            jurisdiction=jurisdiction,
            language=language,
        )
        return room.intake.receive(new, by)

    _take(opened, entered, as_json=as_json)


@request.command()
@_request_id
@_json
@click.pass_obj
def show(opened: Opened, request_id: str, *, as_json: bool) -> None:
    """Tell how a request stands, and what is due by when."""
    _take(opened, lambda room, _by: room.handling.read(request_id), as_json=as_json)


@request.command()
@_request_id
@click.option("--reference", required=True, help="the id of what was seen, as your files have it")
@click.option("--person", "data_subject", help="whose request it is, where its identifier does not say")
@_json
@click.pass_obj
def prove(opened: Opened, request_id: str, *, reference: str, data_subject: str | None, as_json: bool) -> None:
    """Say that proof of identity was seen."""

    def proved(room: "RightsRoom", by: By) -> Request:
        done = room.proofs.by_officer(request_id, reference, data_subject, by)
        room.proofs.close_reads(done)
        return done

    _take(opened, proved, as_json=as_json)


@request.command()
@_request_id
@_json
@click.pass_obj
def acknowledge(opened: Opened, request_id: str, *, as_json: bool) -> None:
    """Say that the person was told that their letter came."""
    _take(opened, lambda room, by: room.handling.acknowledge(request_id, by), as_json=as_json)


@request.command()
@_request_id
@_json
@click.pass_obj
def approve(opened: Opened, request_id: str, *, as_json: bool) -> None:
    """Say go on: after a hold, to a request just received, to what is about to be released or erased."""
    _take(opened, lambda room, by: room.handling.approve(request_id, by), as_json=as_json)


@request.command()
@_request_id
@click.option("--ground", required=True, type=click.Choice([each.value for each in HoldGround]))
@_json
@click.pass_obj
def hold(opened: Opened, request_id: str, *, ground: str, as_json: bool) -> None:
    """Let a request wait."""
    _take(opened, lambda room, by: room.handling.hold(request_id, HoldGround(ground), by), as_json=as_json)


@request.command()
@_request_id
@click.option("--reason", required=True, type=click.Choice([each.value for each in ExtensionReason]))
@_json
@click.pass_obj
def extend(opened: Opened, request_id: str, *, reason: str, as_json: bool) -> None:
    """Take the longer time, once."""
    _take(opened, lambda room, by: room.handling.extend(request_id, ExtensionReason(reason), by), as_json=as_json)


@request.command()
@_request_id
@click.option("--ground", required=True, type=click.Choice([each.value for each in DenialGround]))
@_json
@click.pass_obj
def deny(opened: Opened, request_id: str, *, ground: str, as_json: bool) -> None:
    """Refuse a request."""
    _take(opened, lambda room, by: room.handling.deny(request_id, DenialGround(ground), by), as_json=as_json)


@request.command()
@_request_id
@_json
@click.pass_obj
def cancel(opened: Opened, request_id: str, *, as_json: bool) -> None:
    """Withdraw a request, as its person wishes."""
    _take(opened, lambda room, by: room.handling.cancel(request_id, by), as_json=as_json)


@request.command()
@_request_id
@click.option("--done", metavar="REFERENCE", help="it was done by hand; the id of the letter or the case")
@click.option("--waived", is_flag=True, help="the person waived the time in which an erasure can be called off")
@_json
@click.pass_obj
def execute(opened: Opened, request_id: str, *, done: str | None, waived: bool, as_json: bool) -> None:
    """Carry out an approved request; asked again after it was killed it goes on where it was."""
    outcome = None if done is None else Outcome(complete=True, reference=done)
    _take(opened, lambda room, by: room.handling.execute(request_id, by, outcome, waived=waived), as_json=as_json)


@request.command()
@_request_id
@click.option("--blank", multiple=True, metavar="FIELD", help="leave this field out")
@_json
@click.pass_obj
def release(opened: Opened, request_id: str, *, blank: tuple[str, ...], as_json: bool) -> None:
    """Let the person fetch their package; prints the secret of its single-use link, which is kept nowhere."""
    with _room(opened) as (room, by):
        if room.handing is None:
            raise Conflict("no packages are made here")
        secret, released = room.handing.release(request_id, by, blank)
        told = {**_document(room, released), "secret": secret}
    click.echo(json.dumps(told) if as_json else f"{_line(told)}\n{secret}")


@contextmanager
def _room(opened: Opened) -> Iterator[tuple["RightsRoom", By]]:
    services = opened()
    try:
        yield services.rights, By(officer=_OPERATOR, channel=services.rights.channel)
    finally:
        services.close()


def _take(opened: Opened, step: Step, *, as_json: bool) -> None:
    with _room(opened) as (room, by):
        told = _document(room, step(room, by))
    click.echo(json.dumps(told) if as_json else _line(told))


def _document(room: "RightsRoom", found: Request) -> dict[str, Any]:
    return {
        "id": found.request_id,
        "right": found.right,
        "regime": found.regime,
        "state": found.at(room.handling.today).value,
        "ground": found.standing.ground,
        "data_subject": found.data_subject,
        "due": dict(dates_of(room.handling.book.dates(found))),
        "warnings": list(found.warnings),
        "outcome": None if found.outcome is None else dict(found.outcome),
    }


def _line(told: dict[str, Any]) -> str:
    more = [told["state"].replace("_", " ")]
    more += [told["ground"].replace("_", " ")] if told["ground"] else []
    more += [word.replace("_", " ") for word in told["warnings"]]
    made = (told["outcome"] or {}).get("reference")
    more += [f"outcome {made}"] if made else []
    dates = "".join(f"\n   {name.replace('_', ' '):<26} {day}" for name, day in told["due"].items())
    return f"{told['id']}: {told['right']} under {told['regime']} ({', '.join(more)}){dates}"


def _moment(text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputRefused("--received cannot be read: write 2026-01-31, or 2026-01-31T14:30+01:00") from error
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


COMMANDS = (request,)
