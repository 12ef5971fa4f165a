"""Writes the letter that a step of a request owes into the outbox, in the step's own transaction; sends none itself.

A letter holds what the request's row holds and nothing else about its person: no name, no data, none of their words.
Where the request has a mail address it is queued as a mail; where it has none, it waits to be printed and posted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from babel.dates import format_date

from consent_gateway.customers.mail import Mail, MailQueue
from consent_gateway.database import to_micros
from consent_gateway.ids import new_id
from consent_gateway.policy.letters import LetterTexts, Template
from consent_gateway.rights.letters_owed import Kind, owed
from consent_gateway.rights.requests import Book, Taken
from consent_gateway.rights.sealed import AddressSeal
from consent_gateway.rights.states import Act
from consent_gateway.rights.tables import RIGHTS_LETTERS

LIFE = timedelta(days=7)
"""How long a letter is tried by mail before it has failed."""


class LetterState(StrEnum):
    """How far a letter is; closed list."""

    QUEUED = "queued"  # on its way by mail
    SENT = "sent"  # the mail server took it
    FAILED = "failed"  # refused for good, or its time was over
    TO_POST = "to_post"  # there is no mail address: to be printed
    POSTED = "posted"  # somebody said that they posted it
    DROPPED = "dropped"  # taken back unsent, when its person was erased


@dataclass(frozen=True, slots=True)
class Company:
    """What letters say of the company: its name, and the page on which people see their requests."""

    name: str
    link: str


class Letters:
    """`authority` names that of a place in a language, `addresses` seals; without a `queue` no mail leaves."""

    def __init__(
        self,
        *,
        texts: LetterTexts,
        authority: Callable[[str, str], str | None],
        addresses: AddressSeal,
        queue: MailQueue | None,
        company: Company,
    ) -> None:
        self._texts = texts
        self._authority = authority
        self._addresses = addresses
        self._queue = queue
        self._company = company

    def tell(self, book: Book, connection: sa.Connection, taken: Taken) -> None:
        """As `Tells.tell`. What a request joined to another owes is told once, about the other."""
        before, after = taken.before, taken.after
        kind = owed(after.right, before.standing, taken.act, after.standing)
        if taken.act is Act.EXPIRE and before.sealed is None:
            return  # told already, when what was sealed was deleted
        template = None if kind is None else self._texts.template(kind, taken.now.date())
        if kind is None or template is None or after.joined_to is not None:
            return
        language = self._texts.language(after.language, after.jurisdiction)
        letter_id = new_id("rl", taken.now)
        subject_line, text = self.written(book, kind, template, language, taken)
        mail_id, address = None, before.reply_to if self._queue is not None else None
        if address is not None:
            mail_id = self.mail(connection, after.request_id, address, subject_line, text, language, taken.now)
        way = LetterState.TO_POST if mail_id is None else LetterState.QUEUED
        connection.execute(
            sa.insert(RIGHTS_LETTERS).values(
                letter_id=letter_id,
                request_id=after.request_id,
                version=after.version,
                kind=kind.value,
                language=language,
                template=template.effective_from.isoformat(),
                subject_line=subject_line,
                text=text,
                state=way.value,
                mail_id=mail_id,
                address=address,
                created_at=to_micros(taken.now),
            )
        )
        said = {"letter": kind.value, "letter_id": letter_id, "language": language, "letter_state": way.value}
        book.record(connection, after, taken.by, "letter", taken.now, **said)

    def mail(
        self,
        connection: sa.Connection,
        request_id: str,
        address: bytes,
        subject_line: str,
        text: str,
        language: str,
        now: datetime,
    ) -> str | None:
        """Queue the letter as a mail; the mail's id, or None where no mail leaves."""
        if self._queue is None:
            return None
        mail = Mail(new_id("ml", now), self._addresses.open(request_id, address), subject_line, text, language)
        self._queue.put_in(connection, mail, now=now, life=LIFE)
        return mail.mail_id

    def written(self, book: Book, kind: Kind, template: Template, language: str, taken: Taken) -> tuple[str, str]:
        """Subject line and text of a letter about a request as it stands after a step."""
        request, words = taken.after, self._texts.words
        day = taken.due.extended_respond_by if request.standing.extended else taken.due.respond_by
        by = (request.prove_until if kind is Kind.IDENTITY else None) or day or taken.due.effective_by
        when = words["times"]["soon" if by is None else "by"][language]
        ground = request.standing.ground or ""
        places = {
            "name": self._company.name,
            "link": self._company.link,
            "reference": request.request_id,
            "right": words["rights"][request.right][language],
            "received": str(format_date(book.received_on(request), "long", locale=language)),
            "when": when if by is None else when.replace("{day}", str(format_date(by, "long", locale=language))),
        }
        if kind is Kind.EXTENSION:
            places["reason"] = words["extensions"][request.extension_reason or ""][language]
        elif kind is Kind.QUESTION:
            places["reason"] = words["questions"][ground][language]
        elif kind is Kind.DENIAL:
            places["ground"] = words["grounds"][ground][language]
        remedy = self._texts.remedy(request.regime, taken.now.date())
        if remedy is not None:
            authority = self._authority(request.jurisdiction, language) or ""
            places["remedy"] = remedy.languages[language].replace("{authority}", authority)
        return template.languages[language].filled(places)
