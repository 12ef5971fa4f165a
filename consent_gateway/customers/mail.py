"""Mail to customers: its words in their language, the queue it waits in sealed, the port it leaves by; sends nothing.

A mail is queued in the transaction of what it is about and sent by the worker, so neither is ever without the other.
Until it has left, recipient and text stand in the database under a key; afterwards nowhere.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from enum import StrEnum
from importlib.resources import files
from typing import Any, Protocol

import sqlalchemy as sa

from consent_gateway.customers.tables import CUSTOMER_MAIL
from consent_gateway.database import to_micros
from consent_gateway.errors import GatewayError
from consent_gateway.ids import new_id
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.source import parse
from consent_gateway.protection.primitives import NONCE_BYTES, bind, gcm_encrypt
from consent_gateway.vocabulary import LANGUAGES

_PLACES = {
    "sign_in": frozenset({"link", "minutes", "name", "not_me"}),
    "rights_code": frozenset({"code", "minutes", "name"}),
    "confirm": frozenset({"link", "until", "name"}),
    "parent": frozenset({"link", "until", "name"}),
    "parent_done": frozenset({"link", "name"}),
}
_ADDRESS = re.compile(r"[^\s\x00-\x1f\x7f<>,;:\"()\[\]\\]{1,254}")


class MailUndelivered(GatewayError):
    """The mail did not leave this time; it stays queued."""

    code = "mail_undelivered"


class MailRefused(GatewayError):
    """The mail can never leave: its recipient or form is refused for good."""

    code = "mail_refused"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, as plain text. Its id becomes the `Message-ID`, so that a repeated sending can be told."""

    mail_id: str
    recipient: str
    subject_line: str
    text: str
    language: str

    def __repr__(self) -> str:
        return f"Mail(mail_id={self.mail_id!r}, …)"


class Left(StrEnum):
    """How a mail left its queue; closed list."""

    SENT = "sent"
    REFUSED = "refused"
    OVERDUE = "overdue"
    DROPPED = "dropped"


Settled = Callable[[sa.Connection, str, Left], None]
"""Told of each mail that left the queue, by its id, in the transaction in which it leaves."""


def nobody_asks(_connection: sa.Connection, _mail_id: str, _left: Left) -> None:
    """Nobody follows what becomes of mail."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom mail comes from."""

    address: str
    name: str


class Mailer(Protocol):
    """A way for mail to leave."""

    def send(self, mail: Mail) -> None:
        """Hand the mail over for good. Raises `MailUndelivered` to be asked again, `MailRefused` not to be."""
        ...


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one kind of mail in one language, and their version."""

    version: int
    subject_line: str
    text: str


def released(name: str) -> Any:
    """What a file of words beside this one says. Raises `ValueError` where it cannot be read."""
    findings: list[Finding] = []
    text = (files(__package__) / "wording" / f"{name}.yaml").read_text(encoding="utf-8")
    read = parse(f"{name}.yaml", text, findings, bare_words=True)
    if findings:
        raise ValueError(f"the words of {name} cannot be read: {findings[0].what}")
    return read.value


def wordings(kind: str) -> Mapping[str, Wording]:
    """The words of a kind of mail by language, from the versioned file beside this one.

    Raises `ValueError` for a file that lacks a language or a place, or holds another: it is part of the release.
    """
    raw = released(kind)
    found = {
        language: Wording(raw["version"], words["subject"], words["text"])
        for language, words in raw["languages"].items()
    }
    for language in LANGUAGES:
        words = found[language]
        if set(re.findall(r"{(\w+)}", words.text)) != _PLACES[kind] or "\n" in words.subject_line:
            raise ValueError(f"the {kind} mail in {language} does not stand")
    return found


def language_of(wanted: Sequence[str]) -> str:
    """The first of the languages wanted, as tags in order of preference, that there are words in; else English."""
    for tag in wanted:
        language = tag.lower().partition("-")[0]
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]


def message_of(mail: Mail, sender: Sender, now: datetime) -> EmailMessage:
    """The mail as it travels (RFC 5322). Raises `MailRefused` where a header would not be one line."""
    if _ADDRESS.fullmatch(mail.recipient) is None or mail.recipient.count("@") != 1:
        raise MailRefused("the recipient is no plain mail address")
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = Address(sender.name, addr_spec=sender.address)
        message["To"] = Address(addr_spec=mail.recipient)
        message["Subject"] = mail.subject_line
    except ValueError as error:  # what stands in the cause is the recipient's address
        raise MailRefused("a header of the mail would not be one line") from error
    message["Date"] = now
    message["Message-ID"] = f"<{mail.mail_id}@{sender.address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notice comes back
    message.set_content(mail.text)
    message["Content-Language"] = mail.language  # after the content, whose setting takes away every `Content-` header
    return message


class MailQueue:
    """Queues mail. `key` seals it and does nothing else."""

    def __init__(self, key: bytes, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._key = key
        self._random = random

    def put_in(
        self, connection: sa.Connection, mail: Mail, *, now: datetime, life: timedelta, decoy: bool = False
    ) -> None:
        """Queue the mail in the transaction of what it is about; past its life it is dropped.

        A decoy is stored like any other and never sent: asking for nobody must cost what asking for somebody does.
        """
        body = json.dumps([mail.recipient, mail.subject_line, mail.text, mail.language]).encode()
        connection.execute(
            sa.insert(CUSTOMER_MAIL).values(
                mail_id=mail.mail_id,
                sealed=gcm_encrypt(self._key, self._random(NONCE_BYTES), body, bind("customer-mail/1", mail.mail_id)),
                decoy=decoy,
                attempts=0,
                due_at=to_micros(now),
                expires_at=to_micros(now + life),
            )
        )


def new_mail(recipient: str, wording: Wording, language: str, now: datetime, **places: str) -> Mail:
    """A mail in these words with the places filled."""
    return Mail(
        mail_id=new_id("ml", now),
        recipient=recipient,
        subject_line=wording.subject_line.replace("{name}", places["name"]),
        text=re.sub(r"{(\w+)}", lambda place: places[place[1]], wording.text),
        language=language,
    )
