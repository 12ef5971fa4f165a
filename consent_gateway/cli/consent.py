"""`consent`: records, shows, imports and rebuilds choices for an operator; decides nothing and prints no identifier."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import click

from consent_gateway.choosing import Choosing
from consent_gateway.cli.terminal import hidden_line
from consent_gateway.consent.choices import ADMINISTER_SCOPE, WRITE_SCOPE, Choices, NewChoice
from consent_gateway.consent.facts import Known
from consent_gateway.consent.proof import Step
from consent_gateway.consent.receipt_verify import ReceiptInvalid, verify_receipt
from consent_gateway.consent.witness import Witness
from consent_gateway.errors import InputRefused
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.normalise import KINDS
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import ANY_PURPOSE, Caller, ConsentEvent, EventKind, Identifier

_OPERATOR = "operator"
_RECORDABLE = tuple(
    kind.value for kind in EventKind if kind is not EventKind.ERASED
)  # an erasure is carried out, not told


class Services(Protocol):
    """What these commands need of the composition root."""

    @property
    def choices(self) -> Choices:
        """The consent room."""
        ...

    @property
    def choosing(self) -> Choosing:
        """What shows a choice, among others."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of this process."""
        ...


Opened = Callable[[], Services]
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _person_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--by", type=click.Choice(sorted(KINDS)), help="Read an identifier of this kind from the input."),
        click.option("--store-key", help="The person's key in the customer store."),
        click.option("--data-subject", help="The person's id in the gateway."),
    ):
        command = option(command)
    return command


@click.group()
def consent() -> None:
    """What people chose."""


@consent.command()
@_person_options
@click.option("--kind", required=True, type=click.Choice(_RECORDABLE))
@click.option("--purpose", default=ANY_PURPOSE, help="One purpose; left out, the choice concerns everything.")
@click.option("--how", default="paper", show_default=True, help="How it was made: spoken, paper, api and so on.")
@click.option("--occurred-at", help="When it was made (RFC 3339 with offset); left out, now.")
@click.option("--notice", help="Id of the text that was shown.")
@click.option("--notice-version")
@click.option("--language", help="BCP 47.")
@click.option("--reference", help="Where the evidence lies: the number of a form, a call, a case.")
@click.option("--agent", help="Of a spoken choice: the id of who heard it.")
@click.option("--script-version", help="Of a spoken choice: the version of the script read out.")
@click.option("--image", type=_FILE, help="Of a choice on paper: the form's image; its SHA-256 is kept, nothing else.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def record(opened: Opened, /, *, as_json: bool, image: Path | None, **given: str | None) -> None:
    """Record one choice, as told on paper or by telephone."""
    image_sha256 = None if image is None else hashlib.sha256(image.read_bytes()).hexdigest()
    services = opened()
    choices = services.choices
    choice = NewChoice(
        person=_person(choices, given["data_subject"], given["store_key"], given["by"]),
        kind=EventKind(given["kind"] or ""),
        occurred_at=_moment(given["occurred_at"]) if given["occurred_at"] else services.clock.now(),
        how=given["how"] or "",
        purpose=given["purpose"] or ANY_PURPOSE,
        notice=given["notice"],
        notice_version=given["notice_version"],
        language=given["language"],
        reference=given["reference"],
        witness=Witness(given["agent"], given["script_version"], image_sha256),
    )
    recorded = choices.record(_operator(choices), choice)
    answer = {"event_ids": list(recorded.event_ids), "entry_id": recorded.entry_id, "state": _state(recorded.state)}
    click.echo(json.dumps(answer) if as_json else f"recorded {', '.join(recorded.event_ids)}")


@consent.command()
@_person_options
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(opened: Opened, /, *, as_json: bool, **given: str | None) -> None:
    """Show where a person stands and every choice they made."""
    choices = opened().choices
    person = _person(choices, given["data_subject"], given["store_key"], given["by"])
    known = choices.state(person)
    events = [] if known.shared else [_event(each) for each in choices.history(person)]
    if as_json:
        click.echo(json.dumps({"state": _state(known), "events": events}))
        return
    for name, value in _state(known).items():
        click.echo(f"{name}: {json.dumps(value)}")
    for event in events:
        click.echo(f"{event['position']:>4}  {event['occurred_at']}  {event['kind']}  {event['purpose']}")


@consent.command()
@_person_options
@click.option("--purpose", required=True, help="One purpose.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def evidence(opened: Opened, /, *, as_json: bool, purpose: str, **given: str | None) -> None:
    """Show what shows a person's choice on one purpose, step by step: who, when, how, by which text."""
    services = opened()
    person = _person(services.choices, given["data_subject"], given["store_key"], given["by"])
    proof = services.choosing.proofs.of(_operator(services.choices), person, purpose)
    steps = [_step(each) for each in proof.steps]
    if as_json:
        told = {"data_subject": proof.data_subject, "purpose": purpose, "status": proof.choice.status.value}
        click.echo(json.dumps({**told, "rests_on": proof.choice.event_id, "steps": steps}))
        return
    click.echo(f"{proof.data_subject} on {purpose}: {proof.choice.status.value}, resting on {proof.choice.event_id}")
    for step in steps:
        click.echo(f"\n{step['event']['occurred_at']}  {step['event']['kind']}")
        for name, value in _lines_of(step):
            click.echo(f"  {name}: {value}")


@consent.command(name="import")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def import_(opened: Opened, path: Path, *, as_json: bool) -> None:
    """Import choices from a file of JSON lines, oldest first. Safe to run again: nothing is recorded twice."""

    def progress(lines: int) -> None:
        if not as_json:
            click.echo(f"\r{lines} lines", nl=False, err=True)

    report = opened().choices.import_choices(_lines(path), progress, _OPERATOR)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report)))
    else:
        click.echo("", err=True)
        click.echo(f"{report.lines} lines: {report.recorded} events recorded, {report.skipped} there already")
        for number, message in report.refusals:
            click.echo(f"line {number}: {message}", err=True)
    if report.refused:
        raise click.ClickException(f"{report.refused} lines were refused")


@consent.command()
@_person_options
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def rebuild(opened: Opened, /, *, as_json: bool, **given: str | None) -> None:
    """Compute the stored states anew from the events; name no one for all. Says where they had differed."""
    choices = opened().choices
    one = any(given.values())
    person = _person(choices, given["data_subject"], given["store_key"], given["by"]) if one else None
    differences = choices.rebuild(person)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in differences]))
        return
    for each in differences:
        click.echo(f"{each.data_subject}: {', '.join(each.what)}")
    click.echo(f"{len(differences)} people's states differed from their events and are mended")


@consent.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def verify(opened: Opened, /, *, as_json: bool) -> None:
    """Compare every choice with the sealed audit log. Verify the log itself first: `audit verify`."""
    differences = opened().choices.unbound()
    if as_json:
        click.echo(json.dumps({"ok": not differences, "differences": differences}))
    else:
        for line in differences:
            click.echo(line)
        click.echo("every choice is the one that was sealed" if not differences else f"{len(differences)} differences")
    if differences:
        sys.exit(1)


@consent.command(name="verify-receipt")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--keys", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The company's JWK set."
)
@click.option("--at", help="The time to judge for (RFC 3339 with offset); left out, now.")
@click.option("--json", "as_json", is_flag=True)
def verify_receipt_(path: Path, keys: Path, *, at: str | None, as_json: bool) -> None:
    """Verify a receipt offline, with the key set published at `/.well-known/jwks.json`. Opens no database.

    One whose choice was given for a time that is over is refused as expired: it proves the past and no present yes.
    """
    moment = datetime.now(UTC) if at is None else _moment(at)
    try:
        receipt = verify_receipt(path.read_bytes(), json.loads(keys.read_bytes()), moment)
    except (ReceiptInvalid, ValueError, AttributeError) as error:
        cause = str(error) if isinstance(error, ReceiptInvalid) else "the key set is not one"
        click.echo(json.dumps({"ok": False, "cause": cause}) if as_json else f"refused: {cause}")
        sys.exit(1)
    click.echo(json.dumps({"ok": True, "receipt": receipt}) if as_json else json.dumps(receipt, indent=2))


def _operator(choices: Choices) -> Caller:
    scopes = frozenset({WRITE_SCOPE, ADMINISTER_SCOPE})
    return Caller(_OPERATOR, _OPERATOR, choices.purposes, frozenset(), scopes)


def _person(choices: Choices, data_subject: str | None, store_key: str | None, by: str | None) -> PersonRef:
    if [data_subject, store_key, by].count(None) != 2:
        raise click.UsageError("name the person by exactly one of --data-subject, --store-key and --by")
    if store_key is not None:
        return choices.of_store_key(store_key)
    if by is not None:
        # From the input, since arguments stay behind in the shell's history and in the list of processes.
        value = hidden_line(by)
        return PersonRef(identifier=Identifier(by, value))
    return PersonRef(data_subject=data_subject)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError("the time must be as in RFC 3339") from error


def _lines(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                raise InputRefused(f"line {number} is not JSON: mend the file") from None  # the cause quotes the line
            if not isinstance(line, dict):
                raise InputRefused(f"line {number} is not a JSON object: mend the file")
            yield line


def _state(known: Known) -> dict[str, Any]:
    facts = dataclasses.asdict(known.facts)
    facts["choices"] = {key: _plain(choice) for key, choice in sorted(facts["choices"].items())}
    facts["data_subject"] = known.data_subject
    return {**_plain(facts), "shared": known.shared}


def _step(step: Step) -> dict[str, Any]:
    shown = None if step.shown is None else {"title": step.shown.title, "text": step.shown.text}
    return {
        "event": _event(step.committed),
        "suffices": step.suffices,
        "witness": dict(step.witness),
        "shown": shown,
        "receipt_id": step.receipt_id,
    }


def _lines_of(step: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What there is of one step, as lines."""
    names = ("channel", "how", "recorded_by", "notice", "notice_version", "notice_sha256", "language")
    for name in names:
        if step["event"][name] is not None:
            yield name, step["event"][name]
    yield from step["witness"].items()
    if step["shown"] is not None:
        yield "text", f"{step['shown']['title']}: {' '.join(step['shown']['text'].split())}"
    yield "needs", step["suffices"]
    if step["receipt_id"] is not None:
        yield "receipt", step["receipt_id"]


def _event(committed: ConsentEvent) -> dict[str, Any]:
    event = committed.event
    return {
        "event_id": committed.event_id,
        "position": committed.position,
        "recorded_at": committed.recorded_at.isoformat(),
        "kind": event.kind.value,
        "purpose": event.purpose,
        "occurred_at": event.occurred_at.isoformat(),
        "valid_until": event.valid_until.isoformat() if event.valid_until else None,
        **_plain(dataclasses.asdict(event.evidence)),
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with times as text and sets as sorted lists, ready for JSON."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, frozenset):
            found[name] = sorted(value)
        else:
            found[name] = value.isoformat() if hasattr(value, "isoformat") else value
    return found
