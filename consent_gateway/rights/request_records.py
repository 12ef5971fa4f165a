"""Deletes the records of answered requests once nobody has to show them any longer; a dry run changes nothing.

How long they are kept is the law's of each request, or else the policy's `keep`; without either they stay. Those of
people under a legal hold stay as well. What proves an erasure holds nothing of its person and stays.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.consent.tables import PERSON_STATE
from consent_gateway.errors import GatewayError
from consent_gateway.ids import new_id
from consent_gateway.policy.retention import after
from consent_gateway.policy.rights_terms import RightsTerms, terms_on
from consent_gateway.ports import Clock
from consent_gateway.rights.correction_tables import CORRECTION_STEPS, CORRECTIONS
from consent_gateway.rights.erasure_tables import ACCESS_PACKAGES
from consent_gateway.rights.recipient_tables import RECIPIENT_NOTICES
from consent_gateway.rights.requests import Book, Request, request_of
from consent_gateway.rights.states import OPEN, State
from consent_gateway.rights.tables import RIGHTS_CODES, RIGHTS_LETTERS, RIGHTS_REQUESTS

PAGE = 500
_T = RIGHTS_REQUESTS.c
_LATER = frozenset({"running", "proposed"})  # a correction that is not at its end


class RequestRecords:
    """The records of one installation."""

    def __init__(self, engine: sa.Engine, clock: Clock, book: Book, terms: Sequence[RightsTerms]) -> None:
        self._engine = engine
        self._clock = clock
        self._book = book
        self._terms = tuple(terms)

    def purge(self, *, by: str, dry_run: bool) -> int:
        """Delete what has passed its time, each request with its audit entry; how many, or how many would go."""
        now = self._clock.now()
        gone = 0
        for page in self._pages():
            over = [one for one in page if self._is_over(one, now.date())]
            gone += len(over)
            if over and not dry_run:
                self._delete(over, by, now)
        return gone

    def _is_over(self, request: Request, today: date) -> bool:
        end = self._ended(request, today)
        if end is None:
            return False
        try:
            until = self._book.dates(request).keep_until_at_least
        except GatewayError:  # a law that the policy no longer has: nobody can say when its time is over
            return False
        own = None if (terms := terms_on(self._terms, today)) is None or terms.keep is None else after(end, terms.keep)
        ends = [each for each in (until, own) if each is not None]
        return bool(ends) and max(ends) < today

    def _ended(self, request: Request, today: date) -> date | None:
        if request.at(today) is State.EXPIRED and request.answered_at is None:
            return request.prove_until
        return None if request.standing.open or request.answered_at is None else request.answered_at.date()

    def _pages(self) -> Iterator[list[Request]]:
        """Requests that are answered or expired and whose people are under no hold, in order of id."""
        held = sa.select(PERSON_STATE.c.data_subject).where(PERSON_STATE.c.legal_hold.is_(True))
        ended = sa.or_(_T.state.not_in(sorted(OPEN)), _T.state == State.IDENTITY_PENDING)
        free = sa.or_(_T.data_subject.is_(None), _T.data_subject.not_in(held))
        last = ""
        while True:
            asked = sa.select(RIGHTS_REQUESTS).where(ended, free, _T.request_id > last, _T.running.is_(False))
            with reading(self._engine) as connection:
                rows = connection.execute(asked.order_by(_T.request_id).limit(PAGE)).all()
            page = [request_of(row) for row in rows]
            if not page:
                return
            yield page
            last = page[-1].request_id

    def _delete(self, requests: Sequence[Request], by: str, now: datetime) -> None:
        with transaction(self._engine) as connection:
            for one in requests:
                same = (_T.request_id == one.request_id, _T.version == one.version)
                if connection.execute(sa.delete(RIGHTS_REQUESTS).where(*same)).rowcount != 1:
                    continue  # somebody changed it in between: another day
                _forget(connection, one.request_id)
                record_in(connection, _entry(one, by, now))


def _forget(connection: sa.Connection, request_id: str) -> None:
    """What belongs to a request: proofs that wait, letters, packages, the correction with its steps and notices."""
    connection.execute(sa.delete(RIGHTS_CODES).where(RIGHTS_CODES.c.request_id == request_id))
    connection.execute(sa.delete(RIGHTS_LETTERS).where(RIGHTS_LETTERS.c.request_id == request_id))
    connection.execute(sa.delete(ACCESS_PACKAGES).where(ACCESS_PACKAGES.c.request_id == request_id))
    ended = sa.and_(CORRECTIONS.c.request_id == request_id, CORRECTIONS.c.state.not_in(sorted(_LATER)))
    theirs = sa.select(CORRECTIONS.c.correction_id).where(ended)
    connection.execute(sa.delete(CORRECTION_STEPS).where(CORRECTION_STEPS.c.correction_id.in_(theirs)))
    notices = RECIPIENT_NOTICES.c
    of_theirs = sa.or_(notices.act_id.in_(theirs), notices.confirmed_at.is_not(None))
    connection.execute(sa.delete(RECIPIENT_NOTICES).where(notices.request_id == request_id, of_theirs))
    connection.execute(sa.delete(CORRECTIONS).where(ended))


def _entry(request: Request, by: str, now: datetime) -> Entry:
    return Entry(
        entry_id=new_id("rre", now),
        kind=EntryKind.RIGHTS_REQUEST,
        at=now,
        caller=by,
        action="forget",
        data_subject=request.data_subject,
        jurisdiction=request.jurisdiction,
        reference=request.request_id,
        detail={"right": request.right, "regime": request.regime, "state": request.state.value},
    )
