"""How long data is kept by which rule, and what retention runs and erasures did about it; erases nothing."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import EntryKind
from consent_gateway.reports.model import Asked, Cell, Report, Row, Table
from consent_gateway.reports.source import Source, moment, period, words
from consent_gateway.rights.erasure_tables import ERASURES

NAME, TITLE = "retention", "Retention and erasure"
_SCHEDULES = (
    "schedule", "purpose", "ground", "period", "counted_from", "year_end", "from", "to", "jurisdictions", "fields",
    "source",
)  # fmt: skip
_FIELDS = ("field", "period", "schedules")
_RUNS = ("schedule", "steps", "rows", "refused", "unknown", "first_at_utc", "last_at_utc")
_ERASURES = (
    "erasure_id", "data_subject", "request_id", "state", "planned_at_utc", "begun_at_utc", "finished_at_utc",
    "fields_erased", "fields_kept", "grounds", "leftovers",
)  # fmt: skip
_NOTES = (
    "Runs are counted from the log: `unknown` are steps whose intent is there without an outcome.",
    "`consent-gateway rights retention` tells what would go today.",
)


def retention(source: Source, asked: Asked) -> Report:
    """The report; the period limits runs and erasures, not the rules."""
    runs, erasures = tuple(_runs(source, asked)), tuple(_erasures(source, asked))
    tables = (
        Table("schedules", "Schedules", _SCHEDULES, tuple(_schedules(source))),
        Table("fields", "Fields", _FIELDS, tuple(_fields(source))),
        Table("runs", "What retention runs erased", _RUNS, runs),
        Table("erasures", "Erasures of people", _ERASURES, erasures),
    )
    figures: dict[str, Cell] = {
        "schedules": len(source.policies.documents.retention.schedules),
        "fields_without_a_rule": sum(row[1] is None and not row[2] for row in tables[1].rows),
        "rows_erased_by_runs": sum(int(str(row[2])) for row in runs),
        "erasures": len(erasures),
    }
    return source.report(NAME, TITLE, asked, figures, tables, _NOTES)


def _schedules(source: Source) -> Iterator[Row]:
    for one in source.policies.documents.retention.schedules:
        end = None if one.effective_to is None else one.effective_to.isoformat()
        yield (
            one.id,
            one.purpose,
            one.ground,
            one.period,
            one.counted_from,
            one.year_end,
            one.effective_from.isoformat(),
            end,
            words(one.jurisdictions),
            words(_covered(source, one)),
            one.source,
        )


def _covered(source: Source, schedule: Any) -> Iterator[str]:
    for name, one in source.policies.catalogue.fields.items():
        if schedule.covers(name, one.collection, one.categories):
            yield name


def _fields(source: Source) -> Iterator[Row]:
    schedules = source.policies.documents.retention.schedules
    for name, one in source.policies.catalogue.fields.items():
        if one.personal:
            covering = [each.id for each in schedules if each.covers(name, one.collection, one.categories)]
            yield name, one.retention, words(covering)


def _runs(source: Source, asked: Asked) -> Iterator[Row]:
    """What the entries of retention runs tell, by schedule: each step is an intent and an outcome."""
    steps: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for _index, entry in source.entries((EntryKind.ERASURE,), asked):
        if entry.get("action") == "retention":
            steps[entry["detail"]["schedule"]][entry["outcome"]].append((entry["at"], int(entry["detail"]["rows"])))
    for schedule, by in sorted(steps.items()):
        done, refused, intended = by["done"], by["refused"], by["intended"]
        times = sorted(at for at, _rows in [*done, *refused, *intended])
        unknown = max(0, len(intended) - len(done) - len(refused))
        rows = sum(rows for _at, rows in done)
        yield schedule, len(done), rows, len(refused), unknown, times[0], times[-1]


def _erasures(source: Source, asked: Asked) -> Iterator[Row]:
    column = ERASURES.c
    within = period(column.planned_at, asked)
    if asked.data_subject is not None:
        within.append(column.data_subject == asked.data_subject)
    ordered = sa.select(ERASURES).where(*within).order_by(column.planned_at, column.erasure_id)
    for row in source.rows(ordered):
        fields = json.loads(row.fields)
        kept = [one for one in fields if one["kept"]]
        yield (
            row.erasure_id,
            row.data_subject,
            row.request_id,
            row.state,
            moment(row.planned_at),
            moment(row.begun_at),
            moment(row.finished_at),
            sum(bool(one["erased"]) for one in fields),
            len(kept),
            words({str(one.get("ground") or one.get("schedule")) for one in kept}),
            len(json.loads(row.leftovers)),
        )
