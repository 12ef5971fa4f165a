"""What becomes of letters: the mail's end, an officer's second sending or posting, old addresses; writes no letter."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.customers.mail import Left
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.ports import Clock
from consent_gateway.rights.letters import Letters, LetterState
from consent_gateway.rights.requests import Book, By, Taken
from consent_gateway.rights.states import Act, step
from consent_gateway.rights.tables import RIGHTS_LETTERS, RIGHTS_REQUESTS

KEPT = timedelta(days=30)
"""How long the address of a letter that failed is kept for a second sending."""

_T = RIGHTS_LETTERS.c
_R = RIGHTS_REQUESTS.c
_ENDS = {
    Left.SENT: LetterState.SENT,
    Left.REFUSED: LetterState.FAILED,
    Left.OVERDUE: LetterState.FAILED,
    Left.DROPPED: LetterState.DROPPED,
}
_WITHOUT_MAIL = frozenset({LetterState.TO_POST, LetterState.FAILED, LetterState.DROPPED})


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter as officers see it. `can_be_resent` is whether its address is still there."""

    letter_id: str
    request_id: str
    kind: str
    language: str
    template: str
    state: LetterState
    subject_line: str
    text: str
    created_at: datetime
    settled_at: datetime | None
    can_be_resent: bool


class LetterDesk:
    """Letters once they are written. Safe to share between threads and processes."""

    def __init__(self, *, engine: sa.Engine, clock: Clock, book: Book, letters: Letters) -> None:
        self._engine = engine
        self._clock = clock
        self._book = book
        self._letters = letters

    @property
    def book(self) -> Book:
        """The requests, whose steps write letters."""
        return self._book

    def of_request(self, request_id: str) -> list[Letter]:
        """The letters about a request, or about the one it was joined to, the oldest first. Raises `NotFound`."""
        with reading(self._engine) as connection:
            first = self._book.first_of(connection, request_id)
            ids = {request_id, first.request_id}
            found = sa.select(RIGHTS_LETTERS).where(_T.request_id.in_(sorted(ids)))
            return [_letter(row) for row in connection.execute(found.order_by(_T.created_at, _T.version))]

    def settled(self, connection: sa.Connection, mail_id: str, left: Left) -> None:
        """The mail of a letter left its queue: say so, in the same transaction. A mail of another kind is nothing."""
        now, state = self._clock.now(), _ENDS[left]
        ours = sa.and_(_T.mail_id == mail_id, _T.state == LetterState.QUEUED)
        gone = {} if state is LetterState.FAILED else {"address": None}
        ended = sa.update(RIGHTS_LETTERS).where(ours).values(state=state, settled_at=to_micros(now), **gone)
        row = connection.execute(ended.returning(RIGHTS_LETTERS)).one_or_none()
        if row is not None:
            self._told(connection, row, By(), now, cause=left.value)

    def resend(self, letter_id: str, by: By) -> Letter:
        """Mail a letter that failed once more. Raises `NotFound`, and `Conflict` where it is no such letter."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            row = self._row(connection, letter_id)
            if row.state != LetterState.FAILED or row.address is None:
                raise Conflict(f"the letter is {row.state} and has no address to be mailed to again: print it")
            address = bytes(row.address)
            sent = (row.request_id, address, row.subject_line, row.text, row.language, now)
            mail_id = self._letters.mail(connection, *sent)
            if mail_id is None:
                raise Conflict("no mail is set up: print the letter")
            values = {"state": LetterState.QUEUED, "mail_id": mail_id, "settled_at": None}
            return _letter(self._changed(connection, row, by, now, values))

    def posted(self, letter_id: str, by: By) -> Letter:
        """Say that a letter was printed and posted. Raises `NotFound`, and `Conflict` for one that went by mail."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            row = self._row(connection, letter_id)
            if row.state == LetterState.POSTED:
                return _letter(row)
            if row.state not in _WITHOUT_MAIL:
                raise Conflict(f"the letter is {row.state}: it goes by mail")
            values = {"state": LetterState.POSTED, "settled_at": to_micros(now), "address": None}
            return _letter(self._changed(connection, row, by, now, values))

    def tell_expired(self, connection: sa.Connection, now: datetime) -> None:
        """Write to the people whose time to prove is over, before what is sealed of them is deleted with this."""
        today = now.astimezone(UTC).date()
        over = sa.and_(_R.state == "identity_pending", _R.prove_until < today.isoformat(), _R.sealed.is_not(None))
        found = sa.select(_R.request_id).where(over).with_for_update()
        for request_id in connection.execute(found).scalars().all():
            request = self._book.find(connection, request_id)
            ended = self._book.ended(request, step(request.standing, Act.EXPIRE, today))
            due = self._book.dates(request)
            self._letters.tell(self._book, connection, Taken(request, ended, Act.EXPIRE, By(), now, due))

    def purge(self) -> int:
        """Delete the addresses of letters that failed long ago, and say of how many."""
        old = sa.and_(_T.state == LetterState.FAILED, _T.settled_at <= to_micros(self._clock.now() - KEPT))
        with transaction(self._engine) as connection:
            gone = sa.update(RIGHTS_LETTERS).where(old, _T.address.is_not(None)).values(address=None)
            return connection.execute(gone).rowcount

    def _row(self, connection: sa.Connection, letter_id: str) -> sa.Row[Any]:
        found = sa.select(RIGHTS_LETTERS).where(_T.letter_id == letter_id).with_for_update()
        row = connection.execute(found).one_or_none()
        if row is None:
            raise NotFound("no letter has this id")
        return row

    def _changed(
        self, connection: sa.Connection, row: sa.Row[Any], by: By, now: datetime, values: dict[str, Any]
    ) -> sa.Row[Any]:
        same = sa.and_(_T.letter_id == row.letter_id, _T.state == row.state)
        changed = sa.update(RIGHTS_LETTERS).where(same).values(**values).returning(RIGHTS_LETTERS)
        after = connection.execute(changed).one()
        self._told(connection, after, by, now)
        return after

    def _told(self, connection: sa.Connection, row: sa.Row[Any], by: By, now: datetime, **detail: str) -> None:
        """The audit entry; and once any letter reached its person, they know that their request came."""
        request = self._book.find(connection, row.request_id, held=True)
        said = {"letter": row.kind, "letter_id": row.letter_id, "letter_state": row.state, **detail}
        self._book.record(connection, request, by, "letter", now, **said)
        if row.state in (LetterState.SENT, LetterState.POSTED) and request.acknowledged_at is None:
            self._book.change(connection, request, by, "acknowledge", now, acknowledged_at=now)


def _letter(row: sa.Row[Any]) -> Letter:
    return Letter(
        letter_id=row.letter_id,
        request_id=row.request_id,
        kind=row.kind,
        language=row.language,
        template=row.template,
        state=LetterState(row.state),
        subject_line=row.subject_line,
        text=row.text,
        created_at=from_micros(row.created_at),
        settled_at=None if row.settled_at is None else from_micros(row.settled_at),
        can_be_resent=row.state == LetterState.FAILED and row.address is not None,
    )


def letter_document(one: Letter) -> dict[str, Any]:
    """A letter as JSON says it."""
    return {
        "id": one.letter_id,
        "request": one.request_id,
        "kind": one.kind,
        "language": one.language,
        "template": one.template,
        "state": one.state.value,
        "subject": one.subject_line,
        "text": one.text,
        "created_at": one.created_at,
        "settled_at": one.settled_at,
        "can_be_resent": one.can_be_resent,
    }
