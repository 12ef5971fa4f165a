"""`rights due` and `rights queue`: legal clocks, and what is due for open requests; decides nothing."""

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consent_gateway.policy import load_policies
from consent_gateway.rights.answers import dates_of, due_at, moment, pause
from consent_gateway.rights.clocks import Due
from consent_gateway.rights.handling import Queued
from consent_gateway.rights.regimes import Laws

if TYPE_CHECKING:
    from consent_gateway.wiring import Services

_TOLD = {
    "confirm_by": "confirm receipt by",
    "ack_by": "acknowledge by",
    "respond_by": "answer by",
    "extension_notice_by": "tell of an extension by",
    "extended_respond_by": "answer, if extended, by",
    "effective_by": "take effect by",
    "notify_by": "notify the authority by",
    "earliest_reask": "do not ask again before",
    "keep_until_at_least": "keep the record until at least",
}


_MOST = 500


@click.command("due")
@click.option("--regime", required=True, help="the law, such as EU_GDPR, UK_GDPR, US_CA_CCPA or US_VA")
@click.option("--right", required=True, help="such as access, delete or opt_out_sale_share")
@click.option("--received", required=True, help="a day, or a moment such as 2026-01-31T14:30+01:00")
@click.option("--calendar", help="whose holidays and weekends move an end on, such as IE or DE-BY")
@click.option("--paused", multiple=True, metavar="FROM:TO", help="days for which an answer of the person was awaited")
@click.option("--answered", help="the day of the final answer, from which records are kept; else that of receipt")
@click.option(
    "--policies", "directory", type=click.Path(path_type=Path, file_okay=False), default=Path("policies"),
    help="the policy directory",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def due(
    regime: str,
    right: str,
    received: str,
    calendar: str | None,
    paused: tuple[str, ...],
    answered: str | None,
    directory: Path,
    *,
    as_json: bool,
) -> None:
    """Tell what is due by when, as far as the law knows such a date."""
    at = moment(received)
    ended = None if answered is None else moment(answered)
    law = Laws(load_policies(directory).documents.packs).find(regime, right, at)
    found = due_at(law, at, calendar, [pause(each) for each in paused], ended)
    dates = dates_of(found)
    if as_json:
        said = {"regime": regime, "right": right, "received": received, "calendar": calendar, **dates}
        more = {"paused_days": found.paused_days, "suspended": found.suspended}
        click.echo(json.dumps({**said, **more, "pack": f"{law.pack}@{law.version}", "source": law.clock.source}))
        return
    for name, day in dates.items():
        click.echo(f"{_TOLD[name]:<31} {day}")
    if found.paused_days or found.suspended:
        awaited = ", and stands still until the person answers" if found.suspended else ""
        click.echo(f"the clock stood still for {found.paused_days} days{awaited}")
    click.echo(f"{law.pack}@{law.version}: {law.clock.source}")


@click.command("queue")
@click.option("--limit", type=click.IntRange(1, _MOST), default=100, help="how many requests at most")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def queue(opened: Callable[[], "Services"], limit: int, *, as_json: bool) -> None:
    """List open requests, what is due first before the rest, with what is owed by when and why."""
    services = opened()
    try:
        handling = services.rights.handling
        today, lines = handling.today, handling.queue(limit)
        told = [_line(handling.book.dates(each.request), each, today) for each in lines]
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps({"today": today.isoformat(), "requests": told}))
        return
    if not told:
        click.echo("no request is open")
    for one in told:
        click.echo(_told(one))


def _line(due: Due, queued: Queued, today: date) -> dict[str, Any]:
    request = queued.request
    by, what = queued.owed[0] if queued.owed else (None, None)
    return {
        "id": request.request_id,
        "right": request.right,
        "regime": request.regime,
        "state": request.state.value,
        "ground": request.standing.ground,
        "next_by": None if by is None else by.isoformat(),
        "what": what,
        "days_left": None if by is None else (by - today).days,
        "suspended": due.suspended,
        "due": dict(dates_of(due)),
        "warnings": list(request.warnings),
        "joined": queued.joined,
    }


def _told(one: Mapping[str, Any]) -> str:
    left = one["days_left"]
    when = (
        "no date" if left is None else f"{one['next_by']} " + (f"{-left} days late" if left < 0 else f"in {left} days")
    )
    what = _TOLD.get(one["what"], "nothing is due").removesuffix(" by")
    more = [one["state"].replace("_", " ")]
    more += [one["ground"].replace("_", " ")] if one["ground"] else []
    more += ["the clock stands still"] if one["suspended"] else []
    more += [word.replace("_", " ") for word in one["warnings"]]
    more += [f"{one['joined']} joined"] if one["joined"] else []
    return f"{when:<24} {what}: {one['right']} under {one['regime']}, {one['id']} ({', '.join(more)})"


COMMANDS = (due, queue)
