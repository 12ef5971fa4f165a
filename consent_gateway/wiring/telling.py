"""Builds what tells others: changes, the notices that people saw, letters, notices to recipients; decides nothing."""

from dataclasses import dataclass

import sqlalchemy as sa

from consent_gateway.consent.notices import Notices
from consent_gateway.customers.mail import Left
from consent_gateway.policy import archive
from consent_gateway.rights.letter_desk import LetterDesk
from consent_gateway.rights.recipients import RecipientNotices
from consent_gateway.settings import Settings
from consent_gateway.wiring.outward import Outward, open_outward
from consent_gateway.wiring.parts import Parts
from consent_gateway.wiring.requests import open_letters, open_recipient_notices


@dataclass(frozen=True, slots=True)
class Telling:
    """What tells others. `notices` are the texts shown to people, `recipients` is what outside recipients are told."""

    outward: Outward
    notices: Notices
    letters: LetterDesk
    recipients: RecipientNotices

    def settled(self, connection: sa.Connection, mail_id: str, left: Left) -> None:
        """A mail left its queue; whoever wrote it knows it by its id. See `customers.mail.Settled`."""
        self.letters.settled(connection, mail_id, left)
        self.recipients.settled(connection, mail_id, left)


def open_telling(parts: Parts, settings: Settings) -> Telling:
    """All of it, over one process's parts."""
    return Telling(
        outward=open_outward(parts, settings),
        notices=_kept_notices(parts),
        letters=open_letters(parts, settings),
        recipients=open_recipient_notices(parts, settings),
    )


def _kept_notices(parts: Parts) -> Notices:
    """The notices, once their texts and this revision of the policy are kept in the database for later readers."""
    notices = Notices(parts.policies.documents.notices, parts.clock)
    now = parts.clock.now()
    with parts.engine.begin() as connection:
        notices.keep(connection, now)
        archive.save(connection, parts.policies, now)
    return notices
