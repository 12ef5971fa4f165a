"""What reports are made from: one snapshot of the gateway's database, and the log up to a signed checkpoint.

Reads only. Entries past the checkpoint, and those that wait to be sealed, are left out: nothing vouches for them yet.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.checkpoint import read_body, signatures
from consent_gateway.audit.columns import raw
from consent_gateway.audit.entry import EntryKind
from consent_gateway.audit.log import EntryFilter, checkpoint_note, conditions, readable
from consent_gateway.audit.tables import AUDIT_LOG
from consent_gateway.database import DRIVER_ERRORS, from_micros, to_micros
from consent_gateway.errors import DatabaseUnavailable, InputRefused
from consent_gateway.policy import Policies
from consent_gateway.reports.model import Asked, Cell, Report, RestsOn, Table

PAGE = 2000
Logged = tuple[int, Mapping[str, Any]]
"""Index and members of an entry."""


@dataclass(frozen=True, slots=True)
class Source:
    """One state of everything, at `now`. `most` bounds how many entries of the log may be read; None for any number."""

    connection: sa.Connection
    policies: Policies
    now: datetime
    rests_on: RestsOn
    most: int | None = None

    def entries(self, kinds: Sequence[EntryKind], asked: Asked) -> Iterator[Logged]:
        """Sealed entries of these kinds in the period, of the caller and about the person if named, oldest first.

        Raises `InputRefused` where there are more than may be read.
        """
        log = AUDIT_LOG.c
        which = EntryFilter(asked.since, asked.until, caller=asked.caller, data_subject=asked.data_subject)
        fit = [
            log.leaf_index < self.rests_on.size,
            log.kind.in_(sorted(kind.value for kind in kinds)),
            *conditions(which),
        ]
        ordered = sa.select(log.leaf_index, log.entry).where(*fit).order_by(log.leaf_index)
        with self.connection.execute(ordered.execution_options(yield_per=PAGE)) as rows:
            for read, row in enumerate(rows):
                if read == self.most:
                    raise InputRefused(
                        f"the period holds more than {self.most} entries: name a shorter one, or make the report with"
                        " the command `consent-gateway report`"
                    )
                yield row.leaf_index, readable(raw(row.entry))

    def rows(self, statement: sa.Select[Any]) -> Iterator[sa.Row[Any]]:
        """The rows of a statement, streamed."""
        with self.connection.execute(statement.execution_options(yield_per=PAGE)) as found:
            yield from found

    def report(
        self,
        name: str,
        title: str,
        asked: Asked,
        figures: Mapping[str, Cell],
        tables: Sequence[Table],
        notes: Sequence[str] = (),
    ) -> Report:
        """A report made from here."""
        revision = self.policies.revision
        return Report(name, title, self.now, revision, asked, self.rests_on, figures, tuple(tables), tuple(notes))


@contextmanager
def open_source(
    engine: sa.Engine, policies: Policies, now: datetime, note: str | None = None, most: int | None = None
) -> Iterator[Source]:
    """A snapshot of the database as it is now; it rests on the newest checkpoint, or on the one given.

    Raises `NotFound` before the first checkpoint and `DatabaseUnavailable`.
    """
    try:
        with engine.connect() as opened, snapshot(opened) as connection:
            yield Source(connection, policies, now, rests_on(note or checkpoint_note(connection)), most)
    except DRIVER_ERRORS as error:
        raise DatabaseUnavailable("the gateway database did not answer: try again") from error


@contextmanager
def snapshot(opened: sa.Connection) -> Iterator[sa.Connection]:
    """The connection within a transaction that sees one state of the database and writes nothing."""
    if opened.dialect.name != "sqlite":
        connection = opened.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection
        return
    connection = opened.execution_options(isolation_level="AUTOCOMMIT")  # else SQLite would be locked for writing
    connection.exec_driver_sql("BEGIN")
    try:
        yield connection
    finally:
        connection.exec_driver_sql("COMMIT")


def rests_on(note: str) -> RestsOn:
    """What a checkpoint says."""
    head = read_body(signatures(note)[0])
    return RestsOn(head.origin, head.size, head.root.hex(), note)


def period(column: sa.ColumnElement[int], asked: Asked) -> list[sa.ColumnElement[bool]]:
    """That a time in microseconds lies in the period asked for."""
    since = [] if asked.since is None else [column >= to_micros(asked.since)]
    return since + ([] if asked.until is None else [column < to_micros(asked.until)])


def moment(micros: int | None) -> str | None:
    """A stored time as RFC 3339 in UTC."""
    return None if micros is None else from_micros(micros).isoformat(timespec="microseconds").replace("+00:00", "Z")


def words(values: Any) -> str:
    """Several words in one cell, in order."""
    return " ".join(sorted(values))
