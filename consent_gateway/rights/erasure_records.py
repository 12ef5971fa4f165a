"""Reads and writes the rows of erasures and their audit entries, in the caller's transaction; decides nothing.

What is personal of an erasure, its plan and what it goes by, stands sealed under a key of the gateway's own and bound
to the erasure: it must outlive the person's key, since what is left is looked for after that is gone, and it is deleted
when nothing is left to do.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
import sqlalchemy as sa

from consent_gateway.audit.entry import MAX_DETAIL_CHARACTERS, Entry, EntryKind
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import NotFound
from consent_gateway.ids import new_id
from consent_gateway.protection.primitives import NONCE_BYTES, bind, gcm_decrypt, gcm_encrypt
from consent_gateway.rights.certificate import StepDone
from consent_gateway.rights.erasure_tables import ERASURE_STEPS, ERASURES
from consent_gateway.rights.plan_model import (
    Cause,
    FieldPlan,
    Leftover,
    Plan,
    field_from,
    fields_of,
    leftover_from,
    leftover_of,
    plan_from,
    plan_text,
)
from consent_gateway.vocabulary import Identifier

KEY = "erasures"
"""Name of the service key that seals what is personal of an erasure."""


class State(StrEnum):
    """Where an erasure stands."""

    PLANNED = "planned"
    RUNNING = "running"
    ERASED = "erased"
    PARTIALLY_ERASED = "partially_erased"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure, without what is personal of it."""

    erasure_id: str
    data_subject: str
    request_id: str
    requested_by: str
    state: State
    run: int
    revision: str
    planned_at: datetime
    not_before: datetime
    begun_at: datetime | None
    finished_at: datetime | None
    fields: tuple[FieldPlan, ...]
    leftovers: tuple[Leftover, ...]
    certificate: bytes | None


@dataclass(frozen=True, slots=True)
class Personal:
    """What is kept sealed: by what the person was known to the store, and the plan."""

    store_key: str | None
    known_by: tuple[Identifier, ...]
    plan: Plan


class Sealer:
    """Seals and opens what is personal of an erasure. `key` does nothing else."""

    def __init__(self, key: bytes, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._key = key
        self._random = random

    def seal(self, erasure_id: str, personal: Personal) -> bytes:
        """The sealed form, which opens for this erasure alone."""
        known = [[one.kind, one.value] for one in personal.known_by]
        body = orjson.dumps([personal.store_key, known, plan_text(personal.plan).decode()])
        return gcm_encrypt(self._key, self._random(NONCE_BYTES), body, bind("erasure/1", erasure_id))

    def open(self, erasure_id: str, sealed: bytes) -> Personal:
        """Undo `seal`; raises `KeysUnavailable`."""
        store_key, known, plan = orjson.loads(gcm_decrypt(self._key, sealed, bind("erasure/1", erasure_id)))
        return Personal(store_key, tuple(Identifier(*one) for one in known), plan_from(plan.encode()))


def erasure_of(row: sa.Row[Any]) -> Erasure:
    """The erasure of a row."""
    return Erasure(
        erasure_id=row.erasure_id,
        data_subject=row.data_subject,
        request_id=row.request_id,
        requested_by=row.requested_by,
        state=State(row.state),
        run=row.run,
        revision=row.revision,
        planned_at=from_micros(row.planned_at),
        not_before=from_micros(row.not_before),
        begun_at=None if row.begun_at is None else from_micros(row.begun_at),
        finished_at=None if row.finished_at is None else from_micros(row.finished_at),
        fields=tuple(field_from(one) for one in json.loads(row.fields)),
        leftovers=tuple(leftover_from(one) for one in json.loads(row.leftovers)),
        certificate=None if row.certificate is None else bytes(row.certificate),
    )


def find_row(connection: sa.Connection, erasure_id: str) -> sa.Row[Any]:
    """The row of an erasure. Raises `NotFound`."""
    row = connection.execute(sa.select(ERASURES).where(ERASURES.c.erasure_id == erasure_id)).one_or_none()
    if row is None:
        raise NotFound("no erasure has this id")
    return row


def fields_text(fields: Sequence[FieldPlan]) -> str:
    """Fields as they are kept."""
    return json.dumps([fields_of(one) for one in fields])


def leftovers_text(leftovers: Sequence[Leftover]) -> str:
    """Leftovers as they are kept."""
    return json.dumps([leftover_of(one) for one in leftovers])


def insert_steps(connection: sa.Connection, erasure_id: str, run: int, plan: Plan) -> None:
    """Write down the steps of a run."""
    rows = [
        {"erasure_id": erasure_id, "run": run, "position": at, "name": step.name[:160], "rows": step.rows}
        for at, step in enumerate(plan.steps, 1)
    ]
    if rows:
        connection.execute(sa.insert(ERASURE_STEPS), rows)


def steps_done(connection: sa.Connection, erasure_id: str) -> tuple[StepDone, ...]:
    """Every step of every run that is done, in order."""
    columns = ERASURE_STEPS.c
    asked = sa.select(ERASURE_STEPS).where(columns.erasure_id == erasure_id, columns.outcome_entry.is_not(None))
    return tuple(
        StepDone(row.name, row.rows, row.intent_entry, row.outcome_entry, json.loads(row.refused or "{}"))
        for row in connection.execute(asked.order_by(columns.run, columns.position))
    )


def refusals(connection: sa.Connection, erasure_id: str, run: int) -> tuple[Leftover, ...]:
    """What the store refused in this run."""
    columns = ERASURE_STEPS.c
    of_run = (columns.erasure_id == erasure_id, columns.run == run, columns.refused.is_not(None))
    left: list[Leftover] = []
    for row in connection.execute(sa.select(ERASURE_STEPS).where(*of_run).order_by(columns.position)):
        table = row.name.partition(" ")[2]
        for column, code in json.loads(row.refused).items():
            where = table if column == "*" else f"{table}.{column}"
            left.append(Leftover("store", where, Cause.REFUSED, row.rows, code))
    return tuple(left)


def entry(erasure: Erasure, by: str | None, action: str, outcome: str, now: datetime, **detail: str) -> Entry:
    """An audit entry about an erasure; `detail` holds counts and words of a closed form, cut to their length."""
    return Entry(
        entry_id=new_id("ers", now),
        kind=EntryKind.ERASURE,
        at=now,
        caller=by,
        action=action,
        data_subject=erasure.data_subject,
        revision=erasure.revision,
        outcome=outcome,
        reference=erasure.erasure_id,
        detail={name: value[:MAX_DETAIL_CHARACTERS] for name, value in detail.items() if value},
    )


def counts_of(fields: Sequence[FieldPlan]) -> Mapping[str, str]:
    """How many fields have which outcome, for an audit entry."""
    outcomes = [one.outcome for one in fields]
    return {word: str(outcomes.count(word)) for word in ("erase", "keep", "shared", "not_found")}


def at_micros(moment: datetime | None) -> int | None:
    """A time as it is kept."""
    return None if moment is None else to_micros(moment)
