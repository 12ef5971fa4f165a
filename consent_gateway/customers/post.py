"""The worker's round of mail: takes what is due, hands it to the mailer, forgets what left; writes no mail.

A mail is taken by moving its due time on, in a committed transaction, before it is sent: of any number of workers one
sends it, and one that is killed while sending leaves it due again later. So a mail may arrive twice and is not lost.
"""

import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from consent_gateway.callers.transactions import transaction
from consent_gateway.customers.mail import Left, Mail, Mailer, MailRefused, MailUndelivered, Settled, nobody_asks
from consent_gateway.customers.tables import CUSTOMER_MAIL
from consent_gateway.database import to_micros
from consent_gateway.ports import Clock
from consent_gateway.protection.primitives import bind, gcm_decrypt

AT_ONCE = 20
FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=5)
_LOG = logging.getLogger(__name__)


class Post:
    """Sends what is queued. `key` is the queue's; `mailer` is None where no mail leaves, and then none is sent."""

    def __init__(
        self, engine: sa.Engine, clock: Clock, key: bytes, mailer: Mailer | None, settled: Settled = nobody_asks
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key
        self._mailer = mailer
        self._settled = settled

    def send_due(self) -> int:
        """Send the mails that are due, and say how many left. What fails stays queued until its life is over."""
        sent = 0
        for row in self._take():
            if row.decoy or row.expires_at <= to_micros(self._clock.now()):
                self._forget(row.mail_id, Left.OVERDUE)
                continue
            sent += self._send(self._opened(row))
        return sent

    def _send(self, mail: Mail) -> int:
        if self._mailer is None:
            return 0
        try:
            self._mailer.send(mail)
        except MailUndelivered as error:
            _LOG.warning("mail %s did not leave and will be tried again: %s", mail.mail_id, error.message)
            return 0
        except MailRefused as error:
            _LOG.warning("mail %s was refused for good and is dropped: %s", mail.mail_id, error.message)
            self._forget(mail.mail_id, Left.REFUSED)
            return 0
        self._forget(mail.mail_id, Left.SENT)
        return 1

    def _take(self) -> Sequence[sa.Row[Any, Any, Any, Any, Any]]:
        now = self._clock.now()
        columns = (
            CUSTOMER_MAIL.c.mail_id,
            CUSTOMER_MAIL.c.sealed,
            CUSTOMER_MAIL.c.decoy,
            CUSTOMER_MAIL.c.expires_at,
            CUSTOMER_MAIL.c.attempts,
        )
        due = sa.select(*columns).where(CUSTOMER_MAIL.c.due_at <= to_micros(now))
        due = due.order_by(CUSTOMER_MAIL.c.due_at).limit(AT_ONCE).with_for_update(skip_locked=True)
        with transaction(self._engine) as connection:
            rows = connection.execute(due).all()
            for row in rows:
                wait = min(FIRST_WAIT * 2**row.attempts, LONGEST_WAIT)
                connection.execute(
                    sa.update(CUSTOMER_MAIL)
                    .where(CUSTOMER_MAIL.c.mail_id == row.mail_id)
                    .values(attempts=row.attempts + 1, due_at=to_micros(now + wait))
                )
        return rows

    def _opened(self, row: sa.Row[Any, Any, Any, Any, Any]) -> Mail:
        body = gcm_decrypt(self._key, row.sealed, bind("customer-mail/1", row.mail_id))
        recipient, subject_line, text, language = json.loads(body)
        return Mail(row.mail_id, recipient, subject_line, text, language)

    def _forget(self, mail_id: str, left: Left) -> None:
        with transaction(self._engine) as connection:
            # Of two workers that sent one mail, the one that deletes it says what became of it.
            if connection.execute(sa.delete(CUSTOMER_MAIL).where(CUSTOMER_MAIL.c.mail_id == mail_id)).rowcount == 1:
                self._settled(connection, mail_id, left)
