"""The requests as stored: written once, changed by a step and a version, read with their dates; decides nothing itself.

Every change leaves its audit entry in the change's own transaction: ids and words, never a value.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Protocol

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.ids import new_id
from consent_gateway.rights.answers import due_at
from consent_gateway.rights.clocks import Due, Pause, receipt_day
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.states import OPEN, Act, Standing, State, step
from consent_gateway.rights.tables import RIGHTS_CODES, RIGHTS_REQUESTS

_T = RIGHTS_REQUESTS.c


SAID = frozenset({"correct", "complaint_ack"})
"""Rights that live by the person's own words: what is wrong, what they complain about."""


class Via(StrEnum):
    """How a request came in; closed list."""

    PAGE = "page"
    API = "api"
    AGENT = "agent"  # somebody of the company, at the call centre or the till
    AUTHORISED_AGENT = "authorised_agent"  # somebody the person permitted to ask for them
    POST = "post"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `next_by` is the day of what is due next, `sealed` what only this room can open.

    `reply_to` is the mail address for letters about it, sealed for them; None where they go by post.
    """

    request_id: str
    right: str
    regime: str
    jurisdiction: str
    received_at: datetime
    via: Via
    channel: str
    recorded_by: str
    person_key: str
    standing: Standing
    version: int = 1
    calendar: str | None = None
    data_subject: str | None = None
    sealed: bytes | None = None
    reply_to: bytes | None = None
    language: str | None = None
    purposes: tuple[str, ...] = ()
    agent_permission: str | None = None
    warnings: tuple[str, ...] = ()
    extension_reason: str | None = None
    attempts: int = 0
    codes: int = 0
    prove_until: date | None = None
    next_by: date | None = None
    acknowledged_at: datetime | None = None
    lease_until: datetime | None = None
    answered_at: datetime | None = None
    outcome: Mapping[str, Any] | None = None
    joined_to: str | None = None

    @property
    def state(self) -> State:
        """Its state as stored; `at` tells it with the clock of the call."""
        return self.standing.state

    def at(self, day: date) -> State:
        """Its state on a day: one whose time to prove identity is over has expired, without anybody's doing."""
        over = self.state is State.IDENTITY_PENDING and self.prove_until is not None and day > self.prove_until
        return State.EXPIRED if over else self.state


@dataclass(frozen=True, slots=True)
class By:
    """Who does something to a request: a client or an officer, never the person's own name."""

    client: str | None = None
    officer: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A step as it was taken; `due` is what was due by when after it."""

    before: Request
    after: Request
    act: Act
    by: By
    now: datetime
    due: Due


class Tells(Protocol):
    """Writes to people what a step of their request owes them."""

    def tell(self, book: "Book", connection: sa.Connection, taken: Taken) -> None:
        """Put the letter into the outbox, in the transaction of the step itself; or none where none is owed."""
        ...


class Book:
    """Reads and writes requests on a connection that is passed in. `laws` give the dates, `tells` writes letters."""

    def __init__(self, laws: Laws, tells: Tells | None = None) -> None:
        self._laws = laws
        self._tells = tells

    def dates(self, request: Request) -> Due:
        """What is due by when, as things stand."""
        law = self._laws.find(request.regime, request.right, request.received_at)
        answered = None if request.answered_at is None else request.answered_at.date()
        return due_at(law, request.received_at, request.calendar, request.standing.pauses, answered)

    def received_on(self, request: Request) -> date:
        """The day a request counts as received, at its law's offset."""
        return receipt_day(
            self._laws.find(request.regime, request.right, request.received_at).clock, request.received_at
        )

    def ended(self, request: Request, standing: Standing) -> Request:
        """The request after a step that is seen and not stored."""
        return replace(request, standing=standing, version=request.version + 1, sealed=None, reply_to=None)

    def add(self, connection: sa.Connection, request: Request, by: By, now: datetime) -> Request:
        """Write a new request with its audit entry."""
        dated = replace(request, next_by=self._next_by(request))
        connection.execute(sa.insert(RIGHTS_REQUESTS).values(_row(dated)))
        self.record(connection, dated, by, "receive", now, via=request.via.value)
        return dated

    def find(self, connection: sa.Connection, request_id: str, *, held: bool = False) -> Request:
        """The request of this id; with `held` nobody changes it until the transaction ends. Raises `NotFound`."""
        query = sa.select(RIGHTS_REQUESTS).where(_T.request_id == request_id)
        row = connection.execute(query.with_for_update() if held else query).one_or_none()
        if row is None:
            raise NotFound("no request has this id")
        return request_of(row)

    def first_of(self, connection: sa.Connection, request_id: str, *, held: bool = False) -> Request:
        """The request of this id, or the one it was joined to. Raises `NotFound`."""
        found = self.find(connection, request_id)
        return self.find(connection, found.joined_to or found.request_id, held=held)

    def join(self, connection: sa.Connection, request: Request, by: By, now: datetime) -> Request:
        """Join a proved request to the open and proved one that it repeats, if there is one.

        Only what is proved is joined: else whoever asks in another's name would be told how their request goes. What
        says something of its own is no repeat: its words would be lost.
        """
        if request.right in SAID:
            return request
        query = (
            sa.select(RIGHTS_REQUESTS)
            .where(_T.person_key == request.person_key, _T.right == request.right, _T.state.in_(sorted(OPEN)))
            .where(_T.proved.is_(True), _T.joined_to.is_(None), _T.request_id != request.request_id)
            .where(_T.regime == request.regime)  # under another law another clock runs
            .order_by(_T.received_at)
            .limit(1)
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            return request
        return self.change(connection, request, by, "join", now, joined_to=row.request_id, sealed=None, reply_to=None)

    def take(
        self,
        connection: sa.Connection,
        request: Request,
        act: Act,
        by: By,
        now: datetime,
        *,
        ground: str | None = None,
        change: Mapping[str, Any] | None = None,
        **detail: str,
    ) -> Request:
        """Take one step and record it. Raises `Conflict` for one not to be taken, or where somebody was first.

        `change` are members of the request that change with it. Once answered, what the step seals alone stays sealed.
        """
        standing = step(request.standing, act, now.astimezone(UTC).date(), ground)
        after = replace(request, standing=standing, version=request.version + 1, **(change or {}))
        if not standing.open and not standing.running:
            kept, answered = (change or {}).get("sealed"), request.answered_at or now
            after = replace(after, sealed=kept, reply_to=None, answered_at=answered, lease_until=None)
            connection.execute(sa.delete(RIGHTS_CODES).where(RIGHTS_CODES.c.request_id == request.request_id))
        after = replace(after, next_by=self._next_by(after))
        self._save(connection, request, after)
        if not after.standing.open and not after.standing.running:
            self._close_joined(connection, after)
        words = {**detail, **({} if ground is None else {"ground": ground})}
        self.record(connection, after, by, act.value, now, **words)
        if self._tells is not None:
            self._tells.tell(self, connection, Taken(request, after, act, by, now, self.dates(after)))
        return after

    def change(
        self, connection: sa.Connection, request: Request, by: By, act: str, now: datetime, **change: Any
    ) -> Request:
        """Change members of a request that are no step, and record it. Raises `Conflict` where somebody was first."""
        after = replace(request, version=request.version + 1, **change)
        after = replace(after, next_by=self._next_by(after))
        self._save(connection, request, after)
        self.record(connection, after, by, act, now)
        return after

    def queue(self, connection: sa.Connection, limit: int) -> Sequence[Request]:
        """Open requests that were not joined to another, what is due first before the rest."""
        query = (
            sa.select(RIGHTS_REQUESTS)
            .where(_T.state.in_(sorted(OPEN)), _T.joined_to.is_(None))
            .order_by(_T.next_by.is_(None), _T.next_by, _T.received_at, _T.request_id)
            .limit(limit)
        )
        return [request_of(row) for row in connection.execute(query)]

    def answered(self, connection: sa.Connection, limit: int) -> Sequence[Request]:
        """Closed requests that were not joined to another, the newest first."""
        closed = sorted({state.value for state in State} - {state.value for state in OPEN})
        query = (
            sa.select(RIGHTS_REQUESTS)
            .where(_T.state.in_(closed), _T.joined_to.is_(None))
            .order_by(_T.received_at.desc(), _T.request_id.desc())
            .limit(limit)
        )
        return [request_of(row) for row in connection.execute(query)]

    def of_person(self, connection: sa.Connection, data_subject: str, limit: int) -> Sequence[Request]:
        """The requests of one person that were not joined to another, the newest first."""
        query = (
            sa.select(RIGHTS_REQUESTS)
            .where(_T.data_subject == data_subject, _T.joined_to.is_(None))
            .order_by(_T.received_at.desc(), _T.request_id.desc())
            .limit(limit)
        )
        return [request_of(row) for row in connection.execute(query)]

    def attempts_since(self, connection: sa.Connection, person_key: str, since: datetime) -> int:
        """How many proofs failed for requests about one person that came since then."""
        total = sa.select(sa.func.coalesce(sa.func.sum(_T.attempts), 0))
        asked = total.where(_T.person_key == person_key, _T.received_at >= to_micros(since))
        return int(connection.execute(asked).scalar_one())

    def joined(self, connection: sa.Connection, request_ids: Sequence[str]) -> Mapping[str, int]:
        """How many requests were joined to each of these."""
        counted = sa.select(_T.joined_to, sa.func.count()).where(_T.joined_to.in_(list(request_ids)))
        return {row[0]: row[1] for row in connection.execute(counted.group_by(_T.joined_to))}

    def record(
        self, connection: sa.Connection, request: Request, by: By, act: str, now: datetime, **detail: str
    ) -> None:
        """The audit entry of something that happened to a request, in its transaction."""
        words = {"right": request.right, "regime": request.regime, "state": request.state.value, **detail}
        if by.officer is not None:
            words["officer"] = by.officer
        entry = Entry(
            entry_id=new_id("rre", now),
            kind=EntryKind.RIGHTS_REQUEST,
            at=now,
            caller=by.client,
            channel=by.channel or request.channel,
            action=act,
            data_subject=request.data_subject,
            jurisdiction=request.jurisdiction,
            reference=request.request_id,
            detail=words,
        )
        record_in(connection, entry)

    def _close_joined(self, connection: sa.Connection, first: Request) -> None:
        """What was joined ends with what it was joined to; the entry about that one names it."""
        ended = {"state": first.state.value, "answered_at": _micros(first.answered_at), "version": _T.version + 1}
        connection.execute(sa.update(RIGHTS_REQUESTS).where(_T.joined_to == first.request_id).values(ended))

    def _save(self, connection: sa.Connection, before: Request, after: Request) -> None:
        same = sa.and_(_T.request_id == before.request_id, _T.version == before.version)
        if connection.execute(sa.update(RIGHTS_REQUESTS).where(same).values(_row(after))).rowcount != 1:
            raise Conflict("somebody changed the request in between: read it again")

    def _next_by(self, request: Request) -> date | None:
        if not request.standing.open or request.joined_to is not None:
            return None
        return min((day for day, _what in self.owed(request)), default=None)

    def owed(self, request: Request) -> list[tuple[date, str]]:
        """Every date at which something is still owed for an open request, with its name, in order."""
        dates, standing = self.dates(request), request.standing
        owed: list[tuple[date, str]] = []
        if request.acknowledged_at is None:
            owed += [(day, name) for day, name in ((dates.confirm_by, "confirm_by"), (dates.ack_by, "ack_by")) if day]
        if dates.effective_by is not None:
            owed.append((dates.effective_by, "effective_by"))
        end, name = dates.respond_by, "respond_by"
        if standing.extended and dates.extended_respond_by is not None:
            end, name = dates.extended_respond_by, "extended_respond_by"
        if end is not None:
            owed.append((end, name))
        return sorted(owed)


_PLAIN = (
    "request_id", "right", "regime", "jurisdiction", "calendar", "channel", "recorded_by", "data_subject", "person_key",
    "language", "agent_permission", "version", "extension_reason", "attempts", "codes", "joined_to",
)  # fmt: skip
_OF_STANDING = ("proved", "begun", "extended", "approved", "running", "ground")


def _row(request: Request) -> dict[str, Any]:
    standing = request.standing
    pauses = [[pause.begin.isoformat(), pause.end and pause.end.isoformat()] for pause in standing.pauses]
    return {
        **{name: getattr(request, name) for name in (*_PLAIN, "sealed", "reply_to")},
        **{name: getattr(standing, name) for name in _OF_STANDING},
        "state": standing.state.value,
        "pauses": json.dumps(pauses),
        "received_at": to_micros(request.received_at),
        "via": request.via.value,
        "purposes": json.dumps(request.purposes),
        "warnings": json.dumps(request.warnings),
        "prove_until": request.prove_until and request.prove_until.isoformat(),
        "next_by": request.next_by and request.next_by.isoformat(),
        "acknowledged_at": _micros(request.acknowledged_at),
        "lease_until": _micros(request.lease_until),
        "answered_at": _micros(request.answered_at),
        "outcome": None if request.outcome is None else json.dumps(dict(request.outcome)),
    }


def request_of(row: sa.Row[Any]) -> Request:
    """The request of a row."""
    pauses = tuple(Pause(date.fromisoformat(begin), _day(end)) for begin, end in json.loads(row.pauses))
    standing = Standing(state=State(row.state), pauses=pauses, **{name: getattr(row, name) for name in _OF_STANDING})
    return Request(
        **{name: getattr(row, name) for name in _PLAIN},
        standing=standing,
        received_at=from_micros(row.received_at),
        via=Via(row.via),
        sealed=None if row.sealed is None else bytes(row.sealed),
        reply_to=None if row.reply_to is None else bytes(row.reply_to),
        purposes=tuple(json.loads(row.purposes)),
        warnings=tuple(json.loads(row.warnings)),
        prove_until=_day(row.prove_until),
        next_by=_day(row.next_by),
        acknowledged_at=_moment(row.acknowledged_at),
        lease_until=_moment(row.lease_until),
        answered_at=_moment(row.answered_at),
        outcome=None if row.outcome is None else json.loads(row.outcome),
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
