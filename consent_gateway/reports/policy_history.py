"""Which policy revisions decided when, how often, and what each changed against the one before; interprets no rule.

Documents are compared as they were written, so that a revision this version of the gateway could no longer load is
still told apart from its neighbour.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy.archive import POLICY_REVISIONS, load
from consent_gateway.policy.source import parse, plain
from consent_gateway.reports.model import Asked, Cell, Report, Row, Table
from consent_gateway.reports.observed import USES
from consent_gateway.reports.source import Source, moment

NAME, TITLE = "policy", "History of the policy"
_REVISIONS = (
    "revision",
    "first_used_at_utc",
    "decisions",
    "first_decision_utc",
    "last_decision_utc",
    "present",
    "kept",
)
_CHANGES = ("revision", "before", "document", "item", "change", "members")
_KEYS = ("id", "key", "name", "fides_key", "pack", "notice", "effective_from")
_NOTES = (
    (
        "Decisions are counted from the log, in the period; `kept` is false for a revision that entries name and that"
        " is not in the archive."
    ),
    (
        "`members` are those members of the item that differ; the texts of both revisions are in the archive, and"
        " `consent-gateway policy diff` shows what a change does to verdicts."
    ),
)
_Items = dict[tuple[str, str], Any]
_Count = tuple[int, str, str]


def policy_history(source: Source, asked: Asked) -> Report:
    """The report: every revision that was kept or decided in the period, oldest first."""
    column = POLICY_REVISIONS.c
    ordered = sa.select(column.revision, column.first_used_at).order_by(column.first_used_at, column.revision)
    kept = {row.revision: row.first_used_at for row in source.connection.execute(ordered)}
    decided = _decided(source, asked)
    revisions: list[Row] = []
    for revision in [*kept, *sorted(set(decided) - set(kept))]:
        count, first, last = decided.get(revision, (0, None, None))
        at, present = moment(kept.get(revision)), revision == source.policies.revision
        revisions.append((revision, at, count, first, last, present, revision in kept))
    changes = tuple(_changes(source, list(kept)))
    tables = (
        Table("revisions", "Revisions", _REVISIONS, tuple(revisions)),
        Table("changes", "What each changed", _CHANGES, changes),
    )
    figures: dict[str, Cell] = {
        "revisions": len(kept),
        "changes": len(changes),
        "decisions": sum(count for count, _first, _last in decided.values()),
        "decided_by_unknown_revisions": sum(one[0] for revision, one in decided.items() if revision not in kept),
    }
    return source.report(NAME, TITLE, asked, figures, tables, _NOTES)


def _decided(source: Source, asked: Asked) -> Mapping[str, _Count]:
    found: dict[str, _Count] = {}
    for _index, entry in source.entries(USES, asked):
        revision, at = entry.get("revision"), str(entry.get("at"))
        if revision:
            count, first, last = found.get(revision, (0, at, at))
            found[revision] = count + 1, min(first, at), max(last, at)
    return found


def _changes(source: Source, revisions: list[str]) -> Iterator[Row]:
    before: _Items = {}
    for at, revision in enumerate(revisions):
        after = _items(source, revision)
        for key in sorted(before.keys() | after.keys()) if at else ():
            change = "added" if key not in before else "removed" if key not in after else "changed"
            if before.get(key) != after.get(key):
                members = "" if change != "changed" else " ".join(_differing(before[key], after[key]))
                yield (revision, revisions[at - 1], *key, change, members)
        before = after


def _differing(before: Any, after: Any) -> list[str]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return []
    return sorted(str(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _items(source: Source, revision: str) -> _Items:
    """Everything that has a name in the documents of a revision: (path, name) to what is said of it."""
    found: _Items = {}
    for path, text in load(source.connection, revision).items():
        findings: list[Any] = []
        said = plain(parse(path, text, findings).value)
        if findings:
            raise PolicyInvalid(f"the archived policy `{revision}` cannot be read: {findings[0]}")
        _collect(said, path, "", found)
    return found


def _collect(value: Any, path: str, place: str, found: _Items) -> Any:
    """Take every named item out of a document, so that each stands for itself; returns what is left around them."""
    if isinstance(value, dict):
        rest = {name: _collect(each, path, f"{place}/{name}", found) for name, each in value.items()}
        if not place:
            found[path, "/"] = rest
        return rest
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value) or not value:
        return value
    numbers: dict[str, int] = defaultdict(int)
    for each in value:
        name = next((str(each[key]) for key in _KEYS if key in each), "item")
        numbers[name] += 1
        own = f"{place}/{name}" + (f"#{numbers[name]}" if numbers[name] > 1 else "")
        found[path, own] = {key: _collect(one, path, f"{own}/{key}", found) for key, one in each.items()}
    return None
