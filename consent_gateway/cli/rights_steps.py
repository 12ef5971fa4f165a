"""`rights work`: takes requests through their steps from a terminal, as an operator; decides nothing."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from consent_gateway.rights.execution import Outcome
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.requests import By, Request
from consent_gateway.rights.room import RightsRoom
from consent_gateway.rights.states import DenialGround, HoldGround

Word = TypeVar("Word", bound=StrEnum)
_OPERATOR = "operator"
_ID = "rq_"


class Services(Protocol):
    """What this command needs of the composition root."""

    @property
    def rights(self) -> RightsRoom:
        """Requests."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True, slots=True)
class _Given:
    """What the acts need beside their words."""

    reference: str | None
    values: Mapping[str, Any] | None


@click.command("work")
@click.argument("steps", nargs=-1, required=True, metavar="REQUEST ACT… [REQUEST ACT…]…")
@click.option("--reference", help="of what was seen as proof, or of what was done elsewhere; without spaces")
@click.option(
    "--values", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file of what is to stand in the record, by field, for `correct`",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def work(
    opened: Callable[[], Services], *, steps: tuple[str, ...], reference: str | None, values: Path | None, as_json: bool
) -> None:
    """Take requests through their steps: each id is followed by what is done to it, in order.

    Acts: acknowledge, seen, correct, approve, execute, execute:waived, done, release, cancel, hold:GROUND, deny:GROUND,
    extend:REASON. The first that is refused ends it.
    """
    services = opened()
    try:
        given = _Given(reference, None if values is None else json.loads(values.read_text(encoding="utf-8")))
        told = []
        for request_id, act in _pairs(steps):
            request = _done(services.rights, request_id, act, given)
            told.append({"id": request_id, "right": request.right, "act": act, "state": request.state.value})
            if not as_json:
                click.echo(f"{request_id} {request.right}, {act}: {request.state.value.replace('_', ' ')}")
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps(told))


def _pairs(steps: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    request_id = None
    for word in steps:
        if word.startswith(_ID):
            request_id = word
        elif request_id is None:
            raise click.UsageError("name a request before what is done to it")
        else:
            yield request_id, word


def _done(room: RightsRoom, request_id: str, act: str, given: _Given) -> Request:
    """Do one act; what may be done when is the room's to say."""
    handling, by = room.handling, By(officer=_OPERATOR, channel=room.channel)
    word, _, rest = act.partition(":")
    plain: Mapping[str, Callable[[], object]] = {
        "acknowledge": lambda: handling.acknowledge(request_id, by),
        "seen": lambda: _seen(room, request_id, given, by),
        "correct": lambda: _proposed(room, request_id, given),
        "approve": lambda: handling.approve(request_id, by),
        "execute": lambda: handling.execute(request_id, by, waived=rest == "waived"),
        "done": lambda: handling.execute(request_id, by, Outcome(complete=True, reference=given.reference)),
        "release": lambda: _released(room, request_id, by),
        "cancel": lambda: handling.cancel(request_id, by),
        "hold": lambda: handling.hold(request_id, _one_of(HoldGround, rest), by),
        "deny": lambda: handling.deny(request_id, _one_of(DenialGround, rest), by),
        "extend": lambda: handling.extend(request_id, _one_of(ExtensionReason, rest), by),
    }
    if word not in plain:
        raise click.UsageError(f"`{act}` is no act: one of {', '.join(plain)}")
    plain[word]()
    return handling.read(request_id)


def _seen(room: RightsRoom, request_id: str, given: _Given, by: By) -> None:
    if given.reference is None:
        raise click.UsageError("say with --reference what was seen")
    room.proofs.close_reads(room.proofs.by_officer(request_id, given.reference, None, by))


def _proposed(room: RightsRoom, request_id: str, given: _Given) -> None:
    if room.mending is None or given.values is None:
        raise click.UsageError("name with --values a file of what is to stand in the record")
    room.mending.propose(request_id, given.values, _OPERATOR)


def _released(room: RightsRoom, request_id: str, by: By) -> None:
    """The secret is not shown: the person fetches the files on their page, by a link made there."""
    if room.handing is None:
        raise click.UsageError("no packages are made here")
    room.handing.release(request_id, by, ())


def _one_of(words: type[Word], given: str) -> Word:
    try:
        return words(given)
    except ValueError as error:
        raise click.UsageError(f"`{given}` is none of {', '.join(words)}") from error


COMMANDS = (work,)
