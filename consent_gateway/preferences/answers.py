"""Turns what a person marked on the page into the events that say it; pure, records nothing.

What is not marked, or marked as it stands already, makes no event. Restricting events come first: if the machine fails
in the middle, what is lost is a permission and never a refusal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consent_gateway.preferences.standing import Standing, Way
from consent_gateway.vocabulary import OPENING, ChoiceStatus, EventKind


class Mark(StrEnum):
    """What a radio button says."""

    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Planned:
    """One event to record."""

    purpose: str
    kind: EventKind
    until: datetime | None = None  # of a pause
    frequency: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Events to record, restricting ones first, and the purposes that need a second step before they are allowed."""

    events: tuple[Planned, ...]
    to_confirm: tuple[str, ...]


def plan(standings: Iterable[Standing], marks: Mapping[str, Mark]) -> Plan:
    """The events that say what was marked. Purposes without a mark are left as they are."""
    events: list[Planned] = []
    to_confirm: list[str] = []
    for standing in standings:
        mark = marks.get(standing.purpose)
        if mark is None or (mark is Mark.ALLOW) is standing.answer:
            continue
        if mark is Mark.ALLOW and standing.way is Way.OBJECTION and standing.in_use:
            continue  # in use on its own ground: there is nothing to allow
        if mark is Mark.REFUSE:
            events.append(Planned(standing.purpose, refusal(standing)))
        elif standing.opt_in_again:
            to_confirm.append(standing.purpose)
        else:
            events.append(Planned(standing.purpose, permission(standing)))
    events.sort(key=lambda each: each.kind in OPENING)
    return Plan(tuple(events), tuple(to_confirm))


def permission(standing: Standing) -> EventKind:
    """The event by which the person allows the purpose; after an opt-out, the second of its two steps."""
    if standing.opt_in_again:
        return EventKind.OPT_IN_AGAIN
    return EventKind.GRANT_EXPLICIT if standing.explicit else EventKind.GRANT


def refusal(standing: Standing) -> EventKind:
    """The event by which the person ends the purpose on the ground it rests on."""
    if standing.way is Way.OBJECTION:
        return EventKind.OBJECT
    if standing.way is Way.OPT_OUT:
        return EventKind.OPT_OUT
    given = standing.choice.status in (ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT)
    return EventKind.WITHDRAW if given else EventKind.REFUSE
