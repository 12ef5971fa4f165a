"""Finds what has passed its time by the policy's schedules and erases it; a dry run changes nothing and says the same.

A field goes once every schedule that covers it has ended; a row goes with the last of its fields that has a schedule
where only keys would stay. Fields without a schedule stay, and so does everything of people under a legal hold. Each
step on the store stands between an intent and an outcome in the log; what a killed run left, the next one finds.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_alone
from consent_gateway.callers.transactions import reading
from consent_gateway.consent.tables import PERSON_STATE
from consent_gateway.ids import new_id
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy.catalogue import Catalogue, Collection
from consent_gateway.policy.retention import Retention, Schedule
from consent_gateway.ports import Clock, ErasableStore, StoreKey, StoreRow, StoreTable
from consent_gateway.rights.plan import declared_tables
from consent_gateway.rights.plan_keep import Circumstances, Keeping, KeptRows
from consent_gateway.rights.plan_model import Gathered, Keep, Step
from consent_gateway.rights.plan_order import order
from consent_gateway.rights.plan_rows import Gathering

PAGE = 500
_STAYS = Keep("schedule", None, None)


@dataclass(slots=True)
class Passed:
    """What one schedule did: rows that lost something or went, those under a hold, those whose day cannot be read."""

    schedule: str
    emptied: int = 0
    deleted: int = 0
    held: int = 0
    unreadable: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """One run."""

    at: datetime
    dry_run: bool
    passed: tuple[Passed, ...]


@dataclass(frozen=True, slots=True)
class _Person:
    jurisdiction: str | None = None
    held: bool = False


class _Gone:
    """What went in this run already, or would have gone, so that a later schedule does not count it again."""

    def __init__(self) -> None:
        self._rows: set[tuple[str, StoreKey]] = set()
        self._values: set[tuple[str, StoreKey, str]] = set()

    def add(self, step: Step) -> None:
        """Take over what a step erases."""
        for change in step.changes:
            if change.deletes:
                self._rows |= {(change.table, key) for key in change.keys}
            columns = (*change.fills, *change.values)
            self._values |= {(change.table, key, column) for key in change.keys for column in columns}

    def rest(self, table: str, row: StoreRow) -> StoreRow:
        """The row as it is afterwards: with nulls for what went."""
        whole = (table, row.key) in self._rows
        left = {
            column: None if whole or (table, row.key, column) in self._values else value
            for column, value in row.values.items()
        }
        return StoreRow(row.key, left)


class RetentionRun:
    """Runs the schedules over one store."""

    def __init__(
        self, *, engine: sa.Engine, store: ErasableStore, catalogue: Catalogue, retention: Retention, clock: Clock
    ) -> None:
        self._engine = engine
        self._store = store
        self._catalogue = catalogue
        self._retention = retention
        self._clock = clock

    def run(self, *, by: str, dry_run: bool) -> RetentionReport:
        """Look at every schedule in force and erase what has passed; with `dry_run` only say what would go.

        Raises `StoreUnavailable`, `AuditUnavailable`; run it again.
        """
        now = self._clock.now()
        shape, gone = self._store.shape(), _Gone()
        passed = tuple(
            self._schedule(one, shape, gone, by, dry_run=dry_run)
            for one in self._retention.schedules
            if one.effective_from <= now.date() and (one.effective_to is None or now.date() < one.effective_to)
        )
        return RetentionReport(now, dry_run, passed)

    def _schedule(
        self, schedule: Schedule, shape: Mapping[str, StoreTable], gone: "_Gone", by: str, *, dry_run: bool
    ) -> Passed:
        told = Passed(schedule.id)
        anchor = self._catalogue.fields[schedule.counted_from]
        collections = declared_tables(Gathered(shape), self._catalogue)
        table = next((name for name, one in collections.items() if one.name == anchor.collection), None)
        if table is None or anchor.column not in shape[table].columns:
            return told
        than, offset = cutoff(schedule, self._clock.now().date()).isoformat(), 0
        while rows := self._store.older(table, anchor.column, than, PAGE, offset):
            went = self._page(schedule, table, rows, told, gone, by, dry_run=dry_run)
            offset += len(rows) - went
        return told

    def _page(
        self,
        schedule: Schedule,
        table: str,
        rows: Sequence[StoreRow],
        told: Passed,
        gone: "_Gone",
        by: str,
        *,
        dry_run: bool,
    ) -> int:
        """Erase what of a page has passed; how many of its rows went."""
        gathering = Gathering(self._store, self._catalogue, ())
        gathering.adopt(table, rows)  # with what hangs on them by the catalogue
        found = gathering.found
        collections = declared_tables(found, self._catalogue)
        kept: KeptRows = {}
        for name, mine in found.mine.items():
            people = self._people(name, list(mine.values()), gathering)
            kept[name] = self._kept(schedule, found, collections[name], name, people, told, gone)
        found.mine.update({name: {key: found.mine[name][key] for key in keeps} for name, keeps in kept.items()})
        gathering.look_outside()
        steps = order(found, collections, kept, secrets.token_hex(4)).steps
        went = 0
        for step in steps:
            refused = {} if dry_run else self._carry_out(schedule, step, by)
            gone.add(step)
            told.refused += step.rows if refused else 0
            if step.name.startswith("delete"):
                told.deleted += step.rows
                went += step.rows if step.table == table and not refused and not dry_run else 0
            elif step.name.startswith("empty"):
                told.emptied += step.rows
        return went

    def _people(self, table: str, rows: Sequence[StoreRow], gathering: Gathering) -> dict[StoreKey, _Person]:
        """What counts of the person behind each row; nobody the gateway knows is under no hold."""
        keys = {row.key: gathering.root_key(table, row) for row in rows}
        wanted = sorted({key for key in keys.values() if key is not None})
        people: dict[str, _Person] = {}
        with reading(self._engine) as connection:
            joined = PEOPLE.outerjoin(PERSON_STATE, PERSON_STATE.c.data_subject == PEOPLE.c.data_subject)
            columns = (PEOPLE.c.store_key, PEOPLE.c.jurisdiction, PERSON_STATE.c.legal_hold)
            asked = sa.select(*columns).select_from(joined).where(PEOPLE.c.store_key.in_(wanted))
            for row in connection.execute(asked):
                people[str(row.store_key)] = _Person(row.jurisdiction, bool(row.legal_hold))
        return {key: people.get(owner or "", _Person()) for key, owner in keys.items()}

    def _kept(
        self,
        schedule: Schedule,
        found: Gathered,
        collection: Collection,
        table: str,
        people: Mapping[StoreKey, _Person],
        told: Passed,
        gone: "_Gone",
    ) -> dict[StoreKey, dict[str, Keep]]:
        """Of each row that loses something by this schedule, the columns that stay."""
        keeping = Keeping(found, self._catalogue, self._retention, Circumstances(self._clock.now().date(), None))
        shape = found.tables[table]
        links = {*shape.key, *(column for one in shape.references for column in one.columns)}
        kept: dict[StoreKey, dict[str, Keep]] = {}
        for key, whole in found.mine[table].items():
            row = gone.rest(table, whole)
            stays, goes = self._columns(schedule, keeping, collection, row, people[key], told)
            if goes and people[key].held:
                told.held += 1
            elif goes:
                kept[key] = stays | (dict.fromkeys(links, _STAYS) if stays else {})
        return kept

    def _columns(
        self,
        schedule: Schedule,
        keeping: Keeping,
        collection: Collection,
        row: StoreRow,
        person: _Person,
        told: Passed,
    ) -> tuple[dict[str, Keep], list[str]]:
        today = self._clock.now().date()
        keys = {collection.primary_key, collection.reference.column if collection.reference else ""}
        stays: dict[str, Keep] = {}
        goes: list[str] = []
        for one in collection.fields:
            if not one.personal or row.values.get(one.column) in {None, ""}:
                continue
            rules = self._retention.of_field(one.name, collection.name, one.categories, today, person.jurisdiction)
            ends = [
                [None if d is None else rule.until(d) for d in keeping.counted(rule, collection, row)] for rule in rules
            ]
            flat = [end for each in ends for end in each]
            if rules and None in flat:
                told.unreadable += 1
            over = bool(rules) and None not in flat and all(end < today for end in flat if end is not None)
            if over and schedule in rules:
                goes.append(one.column)
            elif not over and (one.column not in keys or rules):
                stays[one.column] = _STAYS
        return stays, goes

    def _carry_out(self, schedule: Schedule, step: Step, by: str) -> dict[str, str]:
        now = self._clock.now()
        detail = {"schedule": schedule.id, "step": step.name[:160], "rows": str(step.rows)}
        intent = _entry("intended", by, now, None, detail)
        record_alone(self._engine, intent)
        refused: dict[str, str] = {}
        for change in step.changes:
            refused |= self._store.apply(change).refused
        outcome = "refused" if refused else "done"
        record_alone(self._engine, _entry(outcome, by, self._clock.now(), intent.entry_id, detail))
        return refused


def cutoff(schedule: Schedule, today: date) -> date:
    """The first day from which on the period is not over: whatever is older has passed."""
    least, most = 1, today.toordinal() + 1
    while least < most:
        middle = (least + most) // 2
        if schedule.until(date.fromordinal(middle)) < today:
            least = middle + 1
        else:
            most = middle
    return date.fromordinal(least)


def _entry(outcome: str, by: str, now: datetime, reference: str | None, detail: Mapping[str, str]) -> Entry:
    return Entry(
        entry_id=new_id("ret", now),
        kind=EntryKind.ERASURE,
        at=now,
        caller=by,
        action="retention",
        outcome=outcome,
        reference=reference,
        detail=detail,
    )
