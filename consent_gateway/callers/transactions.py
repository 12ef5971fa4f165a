"""Transactions of the callers' room, and work gone on with: failures of the database become `DatabaseUnavailable`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa

from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import DatabaseUnavailable, GatewayError

_Work = TypeVar("_Work")


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


def resume_each(waiting: Sequence[_Work], go_on: Callable[[_Work], object]) -> int:
    """Go on with each piece of work that was cut short; how many. The first failure is raised after all were tried."""
    failed: list[GatewayError] = []
    for one in waiting:
        try:
            go_on(one)
        except GatewayError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return len(waiting)
