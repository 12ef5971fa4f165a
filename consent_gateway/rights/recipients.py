"""Tells recipients that they too must erase or correct (GDPR Art. 19; 11 CCR 7022(c)), by mail; keeps who confirmed.

A notice is written in the transaction of the outcome that it tells. It names the person as its recipient knows them
and in no other way, and the fields, never a value: a recipient reads corrected fields again, under its own purpose.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.customers.mail import Left, Mail, MailQueue
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.ids import new_id
from consent_gateway.people.linking import insert_ignoring
from consent_gateway.policy.documents import Recipient
from consent_gateway.policy.letters import LetterTexts
from consent_gateway.ports import Clock
from consent_gateway.rights.recipient_tables import RECIPIENT_NOTICES
from consent_gateway.vocabulary import COMPANY, Effect

LIFE = timedelta(days=7)
"""How long a notice is tried by mail before it has failed."""

MOST_LISTED = 1_000

KnownAs = Callable[[sa.Connection, str, str], Sequence[str]]
"""What a recipient calls a person; nothing where nobody can say it any more. May raise `KeysUnavailable`."""

_T = RECIPIENT_NOTICES.c
_INSERT = insert_ignoring(RECIPIENT_NOTICES)


Concerned = Mapping[str, Sequence[str]]
"""Recipients, each with the names of fields that it must erase or correct."""


def received(entries: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Everybody outside the company whom entries about a person say to have received something, with the fields."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        if entry.get("kind") == EntryKind.DECISION.value and entry.get("outcome") == "open" and "recipient" in entry:
            fields = {name for name, told in entry.get("fields", {}).items() if told[0] != Effect.WITHHOLD.word}
            found.setdefault(entry["recipient"], set()).update(fields)
    found.pop(COMPANY, None)
    return found


class Kind(StrEnum):
    """What a recipient is told of; closed list. The template of each is `recipient_` and its name."""

    ERASURE = "erasure"
    CORRECTION = "correction"


class NoticeState(StrEnum):
    """How far a notice is; closed list."""

    QUEUED = "queued"  # on its way by mail
    SENT = "sent"  # the mail server took it
    FAILED = "failed"  # refused for good, or its time was over
    TO_TELL = "to_tell"  # no mail can be written: to be told by hand
    TOLD = "told"  # somebody said that they told it


_UNTOLD = frozenset({NoticeState.TO_TELL, NoticeState.FAILED})


@dataclass(frozen=True, slots=True)
class Done:
    """What was done about a person: an erasure or a correction by its id, for which request."""

    kind: Kind
    act_id: str
    request_id: str
    data_subject: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice, of the fields that its recipient once received.

    `known_as` is what the recipient calls the person, empty where nobody can say it any more.
    """

    notice_id: str
    done: Done
    recipient: str
    fields: tuple[str, ...]
    state: NoticeState
    queued_at: datetime
    settled_at: datetime | None
    confirmed_at: datetime | None
    known_as: tuple[str, ...] = ()


class RecipientNotices:
    """Safe to share between threads and processes. Without a `queue` no mail leaves and all is told by hand."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        texts: LetterTexts,
        recipients: Mapping[str, Recipient],
        known_as: KnownAs,
        queue: MailQueue | None,
        company: str,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._texts = texts
        self._recipients = recipients
        self._known_as = known_as
        self._queue = queue
        self._company = company

    def tell(self, connection: sa.Connection, done: Done, concerned: Concerned) -> None:
        """Write a notice to each recipient that has none of this, in the transaction of the outcome."""
        now = self._clock.now()
        for recipient, fields in sorted(concerned.items()):
            notice_id = new_id("rn", now)
            row = {
                "notice_id": notice_id,
                "kind": done.kind.value,
                "act_id": done.act_id,
                "request_id": done.request_id,
                "data_subject": done.data_subject,
                "recipient": recipient,
                "fields": json.dumps(fields),
                "state": NoticeState.TO_TELL.value,
                "queued_at": to_micros(now),
            }
            if connection.execute(_INSERT[connection.dialect.name], row).rowcount != 1:
                continue  # told by a run before this one
            notice = self._found(connection, notice_id)
            mail_id = self._mail(connection, notice, now)
            state = NoticeState.TO_TELL if mail_id is None else NoticeState.QUEUED
            self._change(connection, notice, None, now, state=state.value, mail_id=mail_id)

    def settled(self, connection: sa.Connection, mail_id: str, left: Left) -> None:
        """The mail of a notice left its queue: say so, in the same transaction. A mail of another kind is nothing."""
        ours = sa.select(_T.notice_id).where(_T.mail_id == mail_id, _T.state == NoticeState.QUEUED.value)
        notice_id = connection.execute(ours.with_for_update()).scalar_one_or_none()
        if notice_id is not None:
            now, state = self._clock.now(), NoticeState.SENT if left is Left.SENT else NoticeState.FAILED
            notice = self._found(connection, notice_id)
            self._change(connection, notice, None, now, state=state.value, settled_at=to_micros(now))

    def of_request(self, request_id: str) -> list[Notice]:
        """Who was told for a request, by recipient, with what each calls the person."""
        found = sa.select(RECIPIENT_NOTICES).where(_T.request_id == request_id).order_by(_T.recipient, _T.queued_at)
        with reading(self._engine) as connection:
            return [self._named(connection, _notice(row)) for row in connection.execute(found).all()]

    def unconfirmed(self, limit: int = MOST_LISTED) -> list[Notice]:
        """The notices that nobody has confirmed yet, the oldest first."""
        waiting = sa.select(RECIPIENT_NOTICES).where(_T.confirmed_at.is_(None))
        with reading(self._engine) as connection:
            return [
                _notice(row) for row in connection.execute(waiting.order_by(_T.queued_at, _T.notice_id).limit(limit))
            ]

    def resend(self, notice_id: str, *, by: str) -> Notice:
        """Mail a notice that was not told. Raises `NotFound`, and `Conflict` where no mail can be written."""
        with transaction(self._engine) as connection:
            notice, now = self._found(connection, notice_id), self._clock.now()
            if notice.state not in _UNTOLD or notice.confirmed_at is not None:
                raise Conflict(f"the notice is {_word(notice)}: there is nothing to send")
            mail_id = self._mail(connection, notice, now)
            if mail_id is None:
                raise Conflict("no mail can be written: the recipient has no address, or nobody knows the name it uses")
            values = {"state": NoticeState.QUEUED.value, "mail_id": mail_id, "settled_at": None}
            return self._change(connection, notice, by, now, **values)

    def told(self, notice_id: str, *, by: str) -> Notice:
        """Say that a recipient was told by hand. Raises `NotFound`, and `Conflict` for a notice that goes by mail."""
        with transaction(self._engine) as connection:
            notice, now = self._found(connection, notice_id), self._clock.now()
            if notice.state is NoticeState.TOLD:
                return self._named(connection, notice)
            if notice.state not in _UNTOLD:
                raise Conflict(f"the notice is {_word(notice)}: it goes by mail")
            return self._change(connection, notice, by, now, state=NoticeState.TOLD.value, settled_at=to_micros(now))

    def confirm(self, notice_id: str, *, by: str) -> Notice:
        """Write down that the recipient has done its part; said once, it stays so. Raises `NotFound`."""
        with transaction(self._engine) as connection:
            notice, now = self._found(connection, notice_id), self._clock.now()
            if notice.confirmed_at is not None:
                return self._named(connection, notice)
            return self._change(connection, notice, by, now, confirmed_at=to_micros(now))

    def _found(self, connection: sa.Connection, notice_id: str) -> Notice:
        found = sa.select(RECIPIENT_NOTICES).where(_T.notice_id == notice_id).with_for_update()
        row = connection.execute(found).one_or_none()
        if row is None:
            raise NotFound("no notice has this id")
        return _notice(row)

    def _named(self, connection: sa.Connection, notice: Notice) -> Notice:
        known_as = tuple(self._known_as(connection, notice.recipient, notice.done.data_subject))
        return replace(notice, known_as=known_as)

    def _mail(self, connection: sa.Connection, notice: Notice, now: datetime) -> str | None:
        """Queue the notice as a mail; the mail's id, or None where none can be written."""
        recipient = self._recipients.get(notice.recipient)
        contact = None if recipient is None else recipient.contact
        template = self._texts.template(f"recipient_{notice.done.kind}", now.date())
        names = self._known_as(connection, notice.recipient, notice.done.data_subject)
        if self._queue is None or contact is None or template is None or not names:
            return None
        places = {
            "name": self._company,
            "reference": notice.notice_id,
            "person": ", ".join(names),
            "fields": ", ".join(notice.fields),
        }
        subject_line, text = template.languages[contact.language].filled(places)
        mail = Mail(new_id("ml", now), contact.address, subject_line, text, contact.language)
        self._queue.put_in(connection, mail, now=now, life=LIFE)
        return mail.mail_id

    def _change(
        self, connection: sa.Connection, notice: Notice, by: str | None, now: datetime, **values: Any
    ) -> Notice:
        changed = sa.update(RECIPIENT_NOTICES).where(_T.notice_id == notice.notice_id).values(values)
        row = connection.execute(changed.returning(RECIPIENT_NOTICES)).one()
        after = _notice(row)
        record_in(
            connection,
            Entry(
                new_id("log", now),
                EntryKind(notice.done.kind.value),
                now,
                caller=by,
                action="notify",
                data_subject=notice.done.data_subject,
                recipient=notice.recipient,
                outcome=_word(after),
                reference=notice.done.act_id,
                detail={"notice": notice.notice_id},
            ),
        )
        return self._named(connection, after)


def _word(notice: Notice) -> str:
    return "confirmed" if notice.confirmed_at is not None else notice.state.value


def _notice(row: sa.Row[Any]) -> Notice:
    return Notice(
        notice_id=row.notice_id,
        done=Done(Kind(row.kind), row.act_id, row.request_id, row.data_subject),
        recipient=row.recipient,
        fields=tuple(json.loads(row.fields)),
        state=NoticeState(row.state),
        queued_at=from_micros(row.queued_at),
        settled_at=None if row.settled_at is None else from_micros(row.settled_at),
        confirmed_at=None if row.confirmed_at is None else from_micros(row.confirmed_at),
    )


def notice_document(notice: Notice) -> dict[str, Any]:
    """A notice as officers get it."""
    return {
        "id": notice.notice_id,
        "kind": notice.done.kind.value,
        "request": notice.done.request_id,
        "recipient": notice.recipient,
        "known_as": list(notice.known_as),
        "fields": list(notice.fields),
        "state": notice.state.value,
        "queued_at": notice.queued_at,
        "settled_at": notice.settled_at,
        "confirmed_at": notice.confirmed_at,
    }
