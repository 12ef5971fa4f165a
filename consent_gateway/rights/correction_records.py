"""Reads and writes the rows of corrections and their audit entries, in the caller's transaction; decides nothing.

New values and plan stand sealed under the key that seals those of erasures, each bound to its own id.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import MAX_DETAIL_CHARACTERS, Entry, EntryKind
from consent_gateway.database import from_micros
from consent_gateway.errors import NotFound
from consent_gateway.ids import new_id
from consent_gateway.rights.correction_tables import CORRECTION_STEPS, CORRECTIONS
from consent_gateway.rights.plan_model import (
    Cause,
    FieldPlan,
    Leftover,
    Plan,
    field_from,
    leftover_from,
)


class State(StrEnum):
    """Where a correction stands. One that the store refused is `proposed` again."""

    PROPOSED = "proposed"
    RUNNING = "running"
    CORRECTED = "corrected"
    PARTIALLY_CORRECTED = "partially_corrected"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Corrected:
    """One correction, without its values. Of `fields`, `erased` counts rows in which the old value goes."""

    correction_id: str
    data_subject: str
    request_id: str
    requested_by: str
    state: State
    run: int
    revision: str
    planned_at: datetime
    finished_at: datetime | None
    names: tuple[str, ...]
    fields: tuple[FieldPlan, ...]
    leftovers: tuple[Leftover, ...]


def correction_of(row: sa.Row[Any]) -> Corrected:
    """The correction of a row."""
    return Corrected(
        correction_id=row.correction_id,
        data_subject=row.data_subject,
        request_id=row.request_id,
        requested_by=row.requested_by,
        state=State(row.state),
        run=row.run,
        revision=row.revision,
        planned_at=from_micros(row.planned_at),
        finished_at=None if row.finished_at is None else from_micros(row.finished_at),
        names=tuple(json.loads(row.names)),
        fields=tuple(field_from(one) for one in json.loads(row.fields)),
        leftovers=tuple(leftover_from(one) for one in json.loads(row.leftovers)),
    )


def find_row(connection: sa.Connection, correction_id: str) -> sa.Row[Any]:
    """The row of a correction. Raises `NotFound`."""
    asked = sa.select(CORRECTIONS).where(CORRECTIONS.c.correction_id == correction_id)
    row = connection.execute(asked).one_or_none()
    if row is None:
        raise NotFound("no correction has this id")
    return row


def of_request(connection: sa.Connection, request_id: str) -> Corrected | None:
    """The correction of a request, if there is one."""
    row = connection.execute(sa.select(CORRECTIONS).where(CORRECTIONS.c.request_id == request_id)).one_or_none()
    return None if row is None else correction_of(row)


def insert_steps(connection: sa.Connection, correction_id: str, run: int, plan: Plan) -> None:
    """Write down the steps of a run."""
    rows = [
        {"correction_id": correction_id, "run": run, "position": at, "name": step.name[:160], "rows": step.rows}
        for at, step in enumerate(plan.steps, 1)
    ]
    if rows:
        connection.execute(sa.insert(CORRECTION_STEPS), rows)


def of_step(correction: Corrected, position: int) -> tuple[sa.ColumnElement[bool], ...]:
    """The condition that finds one step of the run."""
    columns = CORRECTION_STEPS.c
    of_run = (columns.correction_id == correction.correction_id, columns.run == correction.run)
    return (*of_run, columns.position == position)


def refusals(connection: sa.Connection, correction: Corrected) -> tuple[Leftover, ...]:
    """What the store refused in this run."""
    columns = CORRECTION_STEPS.c
    of_run = (columns.correction_id == correction.correction_id, columns.run == correction.run)
    asked = sa.select(CORRECTION_STEPS).where(*of_run, columns.refused.is_not(None)).order_by(columns.position)
    left: list[Leftover] = []
    for row in connection.execute(asked):
        table = row.name.rpartition(" ")[2]
        for column, code in json.loads(row.refused).items():
            left.append(
                Leftover("store", table if column == "*" else f"{table}.{column}", Cause.REFUSED, row.rows, code)
            )
    return tuple(left)


def entry(correction: Corrected, by: str | None, outcome: str, now: datetime, **detail: str) -> Entry:
    """An audit entry about a correction; `detail` holds names and counts, never a value."""
    return Entry(
        entry_id=new_id("cre", now),
        kind=EntryKind.CORRECTION,
        at=now,
        caller=by,
        action="correct",
        data_subject=correction.data_subject,
        revision=correction.revision,
        outcome=outcome,
        reference=correction.correction_id,
        detail={name: value[:MAX_DETAIL_CHARACTERS] for name, value in detail.items() if value},
    )


def counts_of(fields: Sequence[FieldPlan]) -> dict[str, str]:
    """How many rows are corrected and how many a law keeps, for an audit entry."""
    return {
        "names": ",".join(one.field for one in fields),
        "rows": str(sum(one.erased for one in fields)),
        "kept": str(sum(one.kept for one in fields)),
    }
