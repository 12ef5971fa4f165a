"""Requests of people as officers read them: the queue, one request with what may be done now, the review; changes none.

What the person wrote and what a package holds stand on the review page alone, and each look at that is recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from flask import Response

from consent_gateway.console.overview import bucket_of
from consent_gateway.console.permissions import Doing
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.policy.rights_terms import Way
from consent_gateway.rights.answers import dates_of
from consent_gateway.rights.carrying import Handing
from consent_gateway.rights.handling import BY_HAND, ExtensionReason
from consent_gateway.rights.requests import Request
from consent_gateway.rights.states import IN_REVIEW, Act, DenialGround, HoldGround, State, step
from consent_gateway.web.console.routes import PageCall, page
from consent_gateway.web.console.showing import HOME

REQUESTS = f"{HOME}/requests"
_MOST = 200
_CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the queue: the request, what is due next, in how many days, and how many were joined to it."""

    request: Request
    state: State
    what: str
    by: date | None
    days: int | None
    joined: int


@page("GET", REQUESTS, Doing.SEE_REQUESTS)
def queue(call: PageCall) -> Response:
    """Every open request, what is due first before the rest; or those that are closed, the newest first."""
    handling = call.services.rights.handling
    today, wanted = handling.today, call.request.args.get("due", "")
    found = handling.answered(_MOST) if wanted == _CLOSED else handling.queue(_MOST)
    lines = [_line(one.request, one.owed, one.joined, today) for one in found]
    shown = [line for line in lines if wanted in ("", _CLOSED) or bucket_of(line.days) == wanted]
    return call.show("requests", lines=shown, wanted=wanted, most=len(lines) == _MOST)


@page("GET", f"{REQUESTS}/{{item}}", Doing.SEE_REQUESTS)
def request(call: PageCall) -> Response:
    """One request, its dates, and the steps that its state allows."""
    return show_request(call)


@page("GET", f"{REQUESTS}/{{item}}/review", Doing.REVIEW_PACKAGE)
def review(call: PageCall) -> Response:
    """What the person wrote, and the package before it is released. This look is recorded."""
    handling = call.services.rights.handling
    found = handling.read(call.item)
    officer_id = call.officer.officer_id
    package, document = None, None
    try:
        package, document = handing_of(call).review(found.request_id, officer_id)
    except NotFound:
        call.console.looks.looked(officer_id, "request_words", {"request": found.request_id}, found.request_id)
    words = handling.details(found).text
    return call.show("review", one=found, package=package, document=document, words=words, acts=acts_of(call, found))


def show_request(call: PageCall, *, status: int = 200, conflict: str | None = None) -> Response:
    """The page of one request. After a step that could not be taken, `conflict` says why."""
    room = call.services.rights
    found = room.handling.read(call.item)
    today, due = room.handling.today, room.handling.book.dates(found)
    owed = room.handling.book.owed(found) if found.standing.open else []
    state = found.at(today)
    return call.show(
        "request",
        status=status,
        one=found,
        state=state,
        line=_line(found, owed, 0, today),
        due=dates_of(due),
        suspended=due.suspended and state is found.state,
        paused_days=due.paused_days,
        acts=acts_of(call, found),
        needed=room.proofs.needed(found.right) if state is State.IDENTITY_PENDING else None,
        recipients=[] if room.notices is None else room.notices.of_request(found.request_id),
        conflict=conflict,
        done=call.request.args.get("done", ""),
        choices=_CHOICES,
    )


def acts_of(call: PageCall, found: Request) -> Mapping[str, bool]:
    """Which steps the request's state allows now, by the name of their form."""
    today = call.services.rights.handling.today
    if found.at(today) is not found.state:
        return MappingProxyType({})
    terms = call.services.rights.proofs.needed(found.right)
    ways = frozenset() if terms is None else terms.ways
    pending = found.state is State.IDENTITY_PENDING
    approving = any(_allowed(found, act, today) for act in (Act.APPROVE, Act.BEGIN, Act.RESUME))
    starting = _allowed(found, Act.START, today)
    standing = found.standing
    told = {
        "acknowledge": standing.open and found.acknowledged_at is None,
        "send_code": pending and Way.CODE in ways,
        "prove": pending and Way.SEEN in ways,
        "extend": _allowed(found, Act.EXTEND, today) and _extendable(call, found, today),
        "hold": _allowed(found, Act.HOLD, today),
        "approve": approving and not (standing.approved and found.state in IN_REVIEW),
        "execute": starting and found.right not in BY_HAND,
        "done": starting and found.right in BY_HAND,
        "release": _to_release(found),
        "deny": _allowed(found, Act.DENY, today),
        "cancel": _allowed(found, Act.CANCEL, today),
    }
    return MappingProxyType(told)


def handing_of(call: PageCall) -> Handing:
    """What makes and releases packages. Raises `NotFound` where nothing does."""
    handing = call.services.rights.handing
    if handing is None:
        raise NotFound("no packages are made here")
    return handing


def _allowed(found: Request, act: Act, today: date) -> bool:
    ground = {Act.DENY: DenialGround.UNFOUNDED.value, Act.HOLD: HoldGround.INTERNAL.value}.get(act)
    try:
        step(found.standing, act, today, ground)
    except Conflict:
        return False
    return True


def _extendable(call: PageCall, found: Request, today: date) -> bool:
    last = call.services.rights.handling.book.dates(found).extension_notice_by
    return last is not None and today <= last


def _to_release(found: Request) -> bool:
    standing, made = found.standing, found.outcome is not None
    return made and standing.approved and not standing.running and standing.state in IN_REVIEW


def _line(found: Request, owed: Any, joined: int, today: date) -> Line:
    by, what = next(iter(owed), (None, ""))
    return Line(found, found.at(today), what, by, None if by is None else (by - today).days, joined)


_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hold": tuple(HoldGround),
        "deny": tuple(DenialGround),
        "extend": tuple(ExtensionReason),
    }
)

PAGES = (queue, request, review)
