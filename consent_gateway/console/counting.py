"""Counts sealed entries by day as they come, so that a page never scans the log; the log stays the evidence.

Each round reads the next stretch behind its bookmark and adds to the counts in the bookmark's own transaction: killed
anywhere, nothing is counted twice and nothing is left out.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from consent_gateway.audit.columns import raw
from consent_gateway.audit.entry import EntryKind
from consent_gateway.audit.log import readable
from consent_gateway.audit.tables import AUDIT_LOG
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.console.tables import CONSOLE_COUNTED, CONSOLE_COUNTS
from consent_gateway.vocabulary import Effect, EventKind

STRETCH = 2_000
DECISIONS, DENIED, CHOICES, REQUESTS = "decisions", "denied", "choices", "requests"
_NAME = "log"
_WORD = re.compile(r"[a-z0-9_.-]{1,64}")
_DECIDING = frozenset({EntryKind.DECISION.value, EntryKind.WRITE_INTENT.value})
_CHOICE_WORDS = frozenset(kind.value for kind in EventKind)


class Counting:
    """The rounds of a worker. Of several workers one counts a stretch, and the others begin behind it."""

    def __init__(self, engine: sa.Engine, stretch: int = STRETCH) -> None:
        self._engine = engine
        self._stretch = stretch

    def round(self) -> int:
        """Count what was sealed since the last round; how many entries."""
        total = 0
        while counted := self._next():
            total += counted
            if counted < self._stretch:
                break
        return total

    def _next(self) -> int:
        with reading(self._engine) as connection:
            before = position(connection)
            log = AUDIT_LOG.c
            stretch = sa.select(log.leaf_index, log.entry).where(log.leaf_index >= before).order_by(log.leaf_index)
            rows = connection.execute(stretch.limit(self._stretch)).all()
        if not rows:
            return 0
        counts: Counter[tuple[str, str, str]] = Counter()
        for row in rows:
            counts.update(_counted(readable(raw(row.entry))))
        with transaction(self._engine) as connection:
            if not self._move(connection, before, rows[-1].leaf_index + 1):
                return 0  # another worker was first
            self._add(connection, counts)
        return len(rows)

    def _move(self, connection: sa.Connection, before: int, after: int) -> bool:
        column = CONSOLE_COUNTED.c
        connection.execute(
            _insert(connection, CONSOLE_COUNTED, {"name": _NAME, "position": 0}).on_conflict_do_nothing()
        )
        moved = sa.update(CONSOLE_COUNTED).where(column.name == _NAME, column.position == before)
        return connection.execute(moved.values(position=after)).rowcount == 1

    def _add(self, connection: sa.Connection, counts: Mapping[tuple[str, str, str], int]) -> None:
        for (day, what, word), number in sorted(counts.items()):
            row = {"day": day, "what": what, "word": word, "number": number}
            added = _insert(connection, CONSOLE_COUNTS, row)
            connection.execute(
                added.on_conflict_do_update(
                    index_elements=["day", "what", "word"], set_={"number": CONSOLE_COUNTS.c.number + number}
                )
            )


def position(connection: sa.Connection) -> int:
    """How many entries of the log are counted."""
    found = connection.execute(sa.select(CONSOLE_COUNTED.c.position)).scalar_one_or_none()
    return 0 if found is None else int(found)


def _insert(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> Any:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(table).values(row)


def _counted(entry: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What one entry adds to: day, what, and the word of it. Of a decision every reason that closed a field, once.

    What somebody slipped into the log may hold anything; it must not stop the counting of the rest.
    """
    kind, action, day = str(entry.get("kind")), str(entry.get("action")), str(entry.get("at"))[:10]
    if not _is_day(day):
        return
    if kind in _DECIDING:
        yield day, DECISIONS, _word(entry.get("outcome"))
        fields = entry.get("fields")
        verdicts = fields.values() if isinstance(fields, dict) else ()
        for reason in sorted({_reason(verdict) for verdict in verdicts} - {""}):
            yield day, DENIED, reason
    elif kind == EntryKind.CONSENT_EVENT.value and action in _CHOICE_WORDS:
        yield day, CHOICES, action
    elif kind == EntryKind.RIGHTS_REQUEST.value:
        yield day, REQUESTS, _word(action)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _reason(verdict: object) -> str:
    """Why a field stayed closed; nothing for one that is open, and for what is no verdict of ours."""
    if not isinstance(verdict, list) or len(verdict) < 2 or verdict[0] != Effect.WITHHOLD.word:
        return ""
    return _word(verdict[1])


def _word(told: object) -> str:
    return str(told) if _WORD.fullmatch(str(told)) else "other"
