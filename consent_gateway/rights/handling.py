"""What officers, and people about their own requests, do to a request; the step is checked by `states`, never here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.errors import Conflict, GatewayError, NotFound
from consent_gateway.ports import Clock
from consent_gateway.rights.effects import Effects, acting
from consent_gateway.rights.execution import Executor, Outcome, Work
from consent_gateway.rights.leaving import forget_expired
from consent_gateway.rights.requests import Book, By, Request
from consent_gateway.rights.sealed import Details, Seal
from consent_gateway.rights.states import Act, DenialGround, HoldGround, State, step

BY_HAND = frozenset({"correct", "complaint_ack", "opt_out_admt", "know"})
"""Rights that an officer may answer without the executor, saying what was done."""

LEASE = timedelta(minutes=15)
MOST_QUEUED = 500


class ExtensionReason(StrEnum):
    """Why more time is needed (GDPR Art. 12(3); 11 CCR 7021(b)); closed list."""

    COMPLEXITY = "complexity"
    NUMBER_OF_REQUESTS = "number_of_requests"


@dataclass(frozen=True, slots=True)
class Queued:
    """One line of the queue: a request, what is owed for it by when, and how many were joined to it."""

    request: Request
    owed: tuple[tuple[date, str], ...]
    joined: int


class Handling:
    """Works on requests. `executors` carry out rights by name. Safe to share between threads and processes."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        book: Book,
        effects: Effects,
        seal: Seal,
        executors: Mapping[str, Executor],
        tell_expired: Callable[[sa.Connection, datetime], None] = lambda _connection, _now: None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._book = book
        self._effects = effects
        self._seal = seal
        self._executors = executors
        self._tell_expired = tell_expired

    @property
    def book(self) -> Book:
        """The requests and their dates."""
        return self._book

    @property
    def today(self) -> date:
        """The day it is, UTC."""
        return self._clock.now().astimezone(UTC).date()

    def read(self, request_id: str, client: str | None = None) -> Request:
        """A request, or the one it was joined to; for a client only one that it recorded. Raises `NotFound`."""
        with reading(self._engine) as connection:
            own = self._book.find(connection, request_id)
            if client is not None and own.recorded_by != client:
                raise NotFound("no request has this id")
            return self._book.find(connection, own.joined_to) if own.joined_to else own

    def details(self, request: Request) -> Details:
        """What the person said, and by which identifier; for officers, while the request is open."""
        return self._seal.open(request.request_id, request.sealed)

    def queue(self, limit: int = MOST_QUEUED) -> list[Queued]:
        """Every open request, what is due first before the rest; those whose time to prove is over are left out."""
        today = self.today
        with reading(self._engine) as connection:
            found = [one for one in self._book.queue(connection, limit) if one.at(today) is not State.EXPIRED]
            joined = self._book.joined(connection, [one.request_id for one in found])
        return [Queued(one, tuple(self._book.owed(one)), joined.get(one.request_id, 0)) for one in found]

    def answered(self, limit: int = MOST_QUEUED) -> list[Queued]:
        """Closed requests, the newest first."""
        with reading(self._engine) as connection:
            found = self._book.answered(connection, limit)
            joined = self._book.joined(connection, [one.request_id for one in found])
        return [Queued(one, (), joined.get(one.request_id, 0)) for one in found]

    def purge(self) -> int:
        """Delete identifier and words of requests that expired, and say of how many."""
        with transaction(self._engine) as connection:
            self._tell_expired(connection, self._clock.now())
            return forget_expired(connection, self.today.isoformat())

    def acknowledge(self, request_id: str, by: By) -> Request:
        """Say that the person was told that the request came; said once, it stays so."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            request = self._book.first_of(connection, request_id, held=True)
            if request.acknowledged_at is not None:
                return request
            return self._book.change(connection, request, by, "acknowledge", now, acknowledged_at=now)

    def extend(self, request_id: str, reason: ExtensionReason, by: By) -> Request:
        """Take the longer time. Raises `Conflict` where the law knows none, or its notice is too late."""

        def change(request: Request, now: datetime) -> dict[str, object]:
            last = self._book.dates(request).extension_notice_by
            if last is None:
                raise Conflict(f"`{request.regime}` knows no longer time for `{request.right}`")
            if now.astimezone(UTC).date() > last:
                raise Conflict(f"the person had to be told of an extension by {last.isoformat()}")
            return {"extension_reason": reason.value}

        return self._step(request_id, Act.EXTEND, by, change=change, reason=reason.value)

    def hold(self, request_id: str, ground: HoldGround, by: By) -> Request:
        """Let a request wait. Where the person is awaited and the law lets it, the clock stands still."""
        return self._step(request_id, Act.HOLD, by, ground=ground.value)

    def approve(self, request_id: str, by: By) -> Request:
        """Say go on: to a request on hold, to one just received, and to what is about to be released or erased."""
        with reading(self._engine) as connection:
            state = self._book.first_of(connection, request_id).state
        act = {State.ON_HOLD: Act.RESUME, State.RECEIVED: Act.BEGIN}.get(state, Act.APPROVE)
        return self._step(request_id, act, by)

    def deny(self, request_id: str, ground: DenialGround, by: By) -> Request:
        """Refuse a request, with the ground; reads that a pending erasure had closed open again.

        Where the ground is that the data are right, what the person said of them is kept (11 CCR 7023(f)).
        """
        self._take_back(request_id, Act.DENY, by, ground.value)
        keeps = ground is DenialGround.DATA_ACCURATE
        change = self._statement if keeps else None
        return self._reopened(self._step(request_id, Act.DENY, by, ground=ground.value, change=change))

    def cancel(self, request_id: str, by: By) -> Request:
        """Withdraw a request, as its person wishes."""
        self._take_back(request_id, Act.CANCEL, by)
        return self._reopened(self._step(request_id, Act.CANCEL, by))

    def call_off(self, request_id: str, by: By) -> bool:
        """Withdraw what somebody else asked for in a person's name; what it repeats goes on.

        False where others ask for the same, the person perhaps: then it goes on for them, and only that is noted.
        """
        now = self._clock.now()
        with transaction(self._engine) as connection:
            request = self._book.find(connection, request_id, held=True)
            if request.joined_to is not None and request.standing.open:
                # While it is joined the step owes no letter; once it has left, the other's end changes it no more.
                ended = self._book.take(connection, request, Act.CANCEL, by, now)
                self._book.change(connection, ended, by, "leave", now, joined_to=None)
                return True
            is_idle = request.standing.open and not request.standing.running
            if is_idle and self._book.joined(connection, [request_id]):
                self._book.record(connection, request, by, "leave", now)
                return False
        self.cancel(request_id, by)
        return True

    def execute(self, request_id: str, by: By, done: Outcome | None = None, *, waived: bool = False) -> Request:
        """Carry out an approved request: by its executor, or as an officer says it was `done`.

        `waived` says that the person waived the time in which they could take an erasure back. What was killed on the
        way is taken up again here once its lease is over, and done once. Raises `Conflict` where it may not be or is
        being done, and what the executor raises; the request can be executed again then.
        """
        with reading(self._engine) as connection:
            right = self._book.first_of(connection, request_id).right
        executor = None if done is not None and right in BY_HAND else self._executors.get(right)
        if executor is None and (done is None or right not in BY_HAND):
            raise Conflict(f"nothing here carries out `{right}`: say what was done, or let the operator add it")
        request = self._started(request_id, by)
        if request.right == "delete":
            self._pending(request, pending=True)
        try:
            if executor is None and done is not None:
                self._done_elsewhere(request, by)
                outcome = done
            else:
                outcome = self._run(executor, request, by, waived=waived)
        except GatewayError:
            self._step(request_id, Act.FAIL, by, change=lambda _request, _now: {"lease_until": None})
            raise
        told = {"reference": outcome.reference, "leftovers": list(outcome.leftovers)}
        act = Act.PRESENT if outcome.waits else Act.FINISH if outcome.complete else Act.FINISH_PARTLY
        words = {"leftovers": str(len(outcome.leftovers))}
        if outcome.reference is not None:
            words["outcome"] = outcome.reference
        change: dict[str, object] = {"outcome": told, "lease_until": None}
        return self._step(request_id, act, by, change=lambda _request, _now: change, **words)

    def _done_elsewhere(self, request: Request, by: By) -> None:
        """What was prepared here is not to be carried out as well."""
        if request.right in self._executors:
            self._executors[request.right].withdraw(request.request_id, by.officer or "")

    def _run(self, executor: Executor | None, request: Request, by: By, *, waived: bool) -> Outcome:
        if executor is None or request.data_subject is None:
            raise Conflict("nobody is known by whom this could be carried out: let an officer say whose request it is")
        return executor.execute(
            Work(
                request_id=request.request_id,
                right=request.right,
                data_subject=request.data_subject,
                jurisdiction=request.jurisdiction,
                received_at=request.received_at,
                officer=by.officer or "",
                language=request.language,
                waived=waived,
            )
        )

    def _started(self, request_id: str, by: By) -> Request:
        now = self._clock.now()
        with transaction(self._engine) as connection:
            request = self._book.first_of(connection, request_id, held=True)
            until = now + LEASE
            if request.standing.running and request.lease_until is not None and request.lease_until <= now:
                return self._book.change(connection, request, by, "take_up_again", now, lease_until=until)
            return self._book.take(connection, request, Act.START, by, now, change={"lease_until": until})

    def _step(
        self,
        request_id: str,
        act: Act,
        by: By,
        *,
        ground: str | None = None,
        change: Callable[[Request, datetime], dict[str, object]] | None = None,
        **detail: str,
    ) -> Request:
        now = self._clock.now()
        expired: Request | None = None
        with transaction(self._engine) as connection:
            request = self._book.first_of(connection, request_id, held=True)
            if request.at(now.astimezone(UTC).date()) is not request.state:
                expired = self._book.take(connection, request, Act.EXPIRE, by, now)
            else:
                more = None if change is None else change(request, now)
                return self._book.take(connection, request, act, by, now, ground=ground, change=more, **detail)
        raise Conflict(f"a request that is {expired.state} cannot be changed by `{act}`")

    def _statement(self, request: Request, _now: datetime) -> dict[str, object]:
        """What the person said, without the identifier by which they were named."""
        text = self._seal.open(request.request_id, request.sealed).text
        return {"sealed": self._seal.close(request.request_id, Details(text=text))} if text else {}

    def _take_back(self, request_id: str, act: Act, by: By, ground: str | None = None) -> None:
        """Undo what was prepared, before the step: where that is too late, the step is not taken either."""
        with reading(self._engine) as connection:
            request = self._book.first_of(connection, request_id)
        step(request.standing, act, self.today, ground)
        executor = self._executors.get(request.right)
        if executor is not None:
            executor.withdraw(request.request_id, by.officer or by.client or "")

    def _reopened(self, request: Request) -> Request:
        """Open what a proved erasure request had closed, where the erasure is not to be."""
        if request.right == "delete" and request.standing.proved:
            self._pending(request, pending=False)
        return request

    def _pending(self, request: Request, *, pending: bool) -> None:
        if request.data_subject is not None:
            client = acting(request.recorded_by, request.channel)
            at = self._clock.now()
            self._effects.erasure(request.data_subject, client, request.via, at, request.request_id, pending=pending)
