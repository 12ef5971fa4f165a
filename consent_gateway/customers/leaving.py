"""Ends every session and link of an erased person, in the caller's transaction; decides nothing."""

from collections.abc import Callable

import sqlalchemy as sa

from consent_gateway.customers.mail import Left, Settled, nobody_asks
from consent_gateway.customers.tables import (
    CONFIRMATIONS,
    CUSTOMER_LINKS,
    CUSTOMER_MAIL,
    CUSTOMER_SESSIONS,
    UNSUBSCRIBE_LINKS,
)
from consent_gateway.protection.primitives import bind, gcm_decrypt

OF_A_PERSON = (CUSTOMER_SESSIONS, CUSTOMER_LINKS, UNSUBSCRIBE_LINKS, CONFIRMATIONS)
"""The tables of this room that name a person."""


def end_all(connection: sa.Connection, data_subject: str) -> None:
    """Delete the person's sessions, sign-in links, unsubscribe links and confirmations."""
    for table in OF_A_PERSON:
        connection.execute(sa.delete(table).where(table.c.data_subject == data_subject))


def drop_mail(
    connection: sa.Connection, key: bytes, is_theirs: Callable[[str], bool], settled: Settled = nobody_asks
) -> int:
    """Delete the queued mails whose recipient, subject or text is an erased person's; how many there were.

    A mail names nobody until it is opened, so all that wait are; `key` is the queue's.
    """
    theirs = [
        row.mail_id
        for row in connection.execute(sa.select(CUSTOMER_MAIL.c.mail_id, CUSTOMER_MAIL.c.sealed))
        if is_theirs(gcm_decrypt(key, row.sealed, bind("customer-mail/1", row.mail_id)).decode())
    ]
    if theirs:
        connection.execute(sa.delete(CUSTOMER_MAIL).where(CUSTOMER_MAIL.c.mail_id.in_(theirs)))
    for mail_id in theirs:
        settled(connection, mail_id, Left.DROPPED)
    return len(theirs)
