"""The demo's mail: each mail becomes a file that a page of the demo shows; sends nothing to anybody."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

from consent_gateway.customers.mail import Mail, MailUndelivered, Sender, message_of
from consent_gateway.ports import Clock

MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class OutboxMail:
    """One mail as the page shows it."""

    recipient: str
    subject_line: str
    sent_at: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Outbox:
    """Mail in a directory of the gateway's state, mode 0700, one `.eml` file for each."""

    directory: Path
    sender: Sender
    clock: Clock

    def send(self, mail: Mail) -> None:
        """As `Mailer.send`."""
        message = message_of(mail, self.sender, self.clock.now())
        target = self.directory / f"{mail.mail_id}.eml"
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            partial = target.with_suffix(".part")
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(bytes(message))
            partial.rename(target)
        except OSError as error:
            raise MailUndelivered("the outbox cannot be written") from error

    def drop(self, is_theirs: Callable[[str], bool]) -> int:
        """Delete the mails whose recipient, subject or text is an erased person's; how many there were."""
        theirs = [path for path in self.directory.glob("*.eml") if is_theirs(_all_of(_read(path)))]
        for path in theirs:
            path.unlink(missing_ok=True)
        return len(theirs)

    def newest(self) -> tuple[OutboxMail, ...]:
        """The newest mails, newest first."""
        if not self.directory.is_dir():
            return ()
        paths = sorted(self.directory.glob("*.eml"), reverse=True)[:MOST_SHOWN]  # an id's order is that of its time
        return tuple(map(_read, paths))


def _all_of(mail: OutboxMail) -> str:
    return f"{mail.recipient}\n{mail.subject_line}\n{mail.text}"


def _read(path: Path) -> OutboxMail:
    message = message_from_bytes(path.read_bytes(), policy=SMTP)
    return OutboxMail(
        recipient=str(message["To"]),
        subject_line=str(message["Subject"]),
        sent_at=str(message["Date"]),
        language=str(message["Content-Language"]),
        text=str(message.get_content()),
    )
