"""Ends every session and link of an erased person, in the caller's transaction; decides nothing."""

import sqlalchemy as sa

from consent_gateway.customers.tables import CONFIRMATIONS, CUSTOMER_LINKS, CUSTOMER_SESSIONS, UNSUBSCRIBE_LINKS

OF_A_PERSON = (CUSTOMER_SESSIONS, CUSTOMER_LINKS, UNSUBSCRIBE_LINKS, CONFIRMATIONS)
"""The tables of this room that name a person."""


def end_all(connection: sa.Connection, data_subject: str) -> None:
    """Delete the person's sessions, sign-in links, unsubscribe links and confirmations."""
    for table in OF_A_PERSON:
        connection.execute(sa.delete(table).where(table.c.data_subject == data_subject))
