"""Turns a driver's errors into the gateway's, naming fields and codes; never repeats its text, which holds values."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from consent_gateway.database import driver_errors
from consent_gateway.errors import (
    Conflict,
    DatabaseUnavailable,
    FieldFault,
    GatewayError,
    InputRefused,
    StoreUnavailable,
)

_UNIQUE = {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID", "1062"}
_NULL = {"23502", "SQLITE_CONSTRAINT_NOTNULL", "1048", "1364"}


def code_of(error: BaseException | None) -> str:
    """The database's own code of an error (SQLSTATE, SQLite's name, MySQL's number), or the error's class."""
    seen = getattr(error, "orig", None) or error
    for name in ("sqlstate", "sqlite_errorname"):
        code = getattr(seen, name, None)
        if code:
            return str(code)
    first = seen.args[0] if seen is not None and seen.args else None
    return str(first) if isinstance(first, int) else type(seen).__name__


def unavailable(error: BaseException | None) -> StoreUnavailable:
    """The store failed; the code is for the operator."""
    return StoreUnavailable(f"the customer store did not answer ({code_of(error)}): see that it runs and is reachable")


@contextmanager
def answering(engine: Engine) -> Iterator[None]:
    """Whatever the driver raises inside becomes `StoreUnavailable`."""
    try:
        yield
    except DatabaseUnavailable as error:
        raise unavailable(error.__cause__) from None
    except driver_errors(engine) as error:
        raise unavailable(error) from None


def refusal(error: sa.exc.DBAPIError, table: sa.Table, changed: Iterable[str]) -> GatewayError:
    """What a failed change means to the caller: a conflict, a value that is not taken, or a store that failed."""
    code = code_of(error)
    names = _blamed(error.orig, table) or tuple(changed)
    listed = ", ".join(f"`{name}`" for name in names)
    if code in _UNIQUE:
        return Conflict(f"another record has this value already: {listed} must be unique")
    if code in _NULL:
        return _refused(names, "must have a value")
    if isinstance(error, sa.exc.IntegrityError):
        return _refused(names, "breaks a rule of the store")
    if isinstance(error, sa.exc.DataError):
        return _refused(names, "is not a value its column takes")
    return unavailable(error)


def _refused(names: tuple[str, ...], what: str) -> InputRefused:
    return InputRefused("the store does not take a value", tuple(FieldFault(f"/record/{name}", what) for name in names))


def _blamed(error: BaseException | None, table: sa.Table) -> tuple[str, ...]:
    """Columns the database names in its error; PostgreSQL names a column or a constraint, SQLite lists columns."""
    diagnosis: Any = getattr(error, "diag", None)
    if diagnosis is not None:
        if diagnosis.column_name:
            return (str(diagnosis.column_name),)
        return _constrained(table, diagnosis.constraint_name)
    if getattr(error, "sqlite_errorname", None) is None:
        return ()
    _, _, listed = str(error).partition(": ")
    columns = (part.rpartition(".")[2] for part in listed.split(", "))
    return tuple(column for column in columns if column in table.columns)


def _constrained(table: sa.Table, name: str | None) -> tuple[str, ...]:
    for index in table.indexes:
        if name is not None and index.name == name:
            return tuple(column.name for column in index.columns)
    for one in table.constraints:
        if (
            isinstance(one, sa.UniqueConstraint | sa.PrimaryKeyConstraint | sa.ForeignKeyConstraint)
            and one.name == name
        ):
            return tuple(column.name for column in one.columns)
    return ()
