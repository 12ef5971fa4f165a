"""Transactions of the callers' room: every failure of the database itself becomes `DatabaseUnavailable`."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import DatabaseUnavailable


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction, committed at the end. A broken uniqueness is left to the caller: `IntegrityError`."""
    try:
        with engine.begin() as connection:
            yield connection
    except sa.exc.IntegrityError:
        raise
    except DRIVER_ERRORS as error:
        raise DatabaseUnavailable("the gateway database did not answer: try again") from error


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection for reads outside any transaction, which on SQLite would take the write lock."""
    try:
        with reading_connection(engine) as connection:
            yield connection
    except DRIVER_ERRORS as error:
        raise DatabaseUnavailable("the gateway database did not answer: try again") from error
