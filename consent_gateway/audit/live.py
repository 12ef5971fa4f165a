"""Verifies the log in the database itself: what `verify` checks, and every copy that the tables keep of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.columns import columns_of, raw
from consent_gateway.audit.merkle import CompactRange
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_LOG, AUDIT_NODES
from consent_gateway.audit.tree import STORED_LEVELS
from consent_gateway.audit.verify import LogCheck, LogKey, Report
from consent_gateway.database import reading_connection

PAGE = 2000
Writers = dict[str, tuple[int, str, int]]


@dataclass(frozen=True, slots=True)
class Verified:
    """A beginning of the log that was verified: its size, its edge, and where each writer's chain stands.

    `chains` is False where the writers are not known: then a missing entry of one is not told.
    """

    size: int = 0
    edge: tuple[tuple[int, bytes], ...] = ()
    writers: Writers = field(default_factory=dict)
    chains: bool = True


class _Check(LogCheck):
    """A check that goes on where an earlier one ended."""

    def go_on(self, after: Verified) -> None:
        for level, subtree in after.edge:
            self.skip(level, subtree)
        self._good, self._writers, self._partial = after.size, dict(after.writers), not after.chains

    def verified(self, before: Verified) -> Verified:
        return Verified(self._size, tuple(self.edge), self._writers, before.chains)


def verify_database(engine: sa.Engine, key: LogKey, earlier: Iterable[str] = ()) -> Report:
    """The report on the sealed log as it stands; sealing may go on meanwhile.

    Beside the evidence it checks the copies that searches rely on: a changed `data_subject` column would hide
    an entry from a report although the entry itself is untouched.
    """
    with reading_connection(engine) as connection:
        # one statement sees one state: what is sealed from here on is not part of this verification
        count, sealed = connection.execute(
            sa.select(
                sa.select(sa.func.coalesce(sa.func.max(AUDIT_LOG.c.leaf_index) + 1, 0)).scalar_subquery(),
                sa.select(sa.func.coalesce(sa.func.max(AUDIT_CHECKPOINTS.c.size), 0)).scalar_subquery(),
            )
        ).one()
        return verify_stretch(connection, key, Verified(), count, sealed, earlier)[0]


def verify_stretch(
    connection: sa.Connection, key: LogKey, after: Verified, count: int, sealed: int, earlier: Iterable[str] = ()
) -> tuple[Report, Verified]:
    """The report on the entries after a verified beginning, up to `count`, against checkpoints up to size `sealed`."""
    check = _Check(key, _notes(connection, after.size, sealed), earlier)
    check.go_on(after)
    nodes: list[tuple[int, int, bytes]] = []

    def keep(level: int, position: int, subtree: bytes) -> None:
        if level % STORED_LEVELS == 0:
            nodes.append((level, position, subtree))

    tree = CompactRange(after.size, [subtree for _level, subtree in after.edge], keep)
    for row in _entries(connection, after.size, count):
        leaf, recorded = raw(row["entry"]), raw(row["leaf_hash"])
        check.add(leaf, recorded, row["leaf_index"])
        _compare_copies(check, row, leaf)
        tree.append(recorded)
    if not any(finding.code == "gap" for finding in check.report.findings):
        _compare_nodes(check, connection, nodes)
    return check.finish(), check.verified(after)


def _entries(connection: sa.Connection, start: int, count: int) -> Iterator[sa.RowMapping]:
    after = start - 1
    while after < count - 1:
        seen = after
        page = connection.execute(
            sa.select(AUDIT_LOG)
            .where(AUDIT_LOG.c.leaf_index > after, AUDIT_LOG.c.leaf_index < count)
            .order_by(AUDIT_LOG.c.leaf_index)
            .limit(PAGE)
        ).mappings()
        for row in page:
            after = row["leaf_index"]
            yield row
        if after == seen:
            return  # what was counted has vanished since; the check finds it missing


def _notes(connection: sa.Connection, start: int, sealed: int) -> Iterator[tuple[int, str]]:
    after = start - (not start)  # a log may have a checkpoint of size 0
    while True:
        page = connection.execute(
            sa.select(AUDIT_CHECKPOINTS.c.size, AUDIT_CHECKPOINTS.c.note)
            .where(AUDIT_CHECKPOINTS.c.size > after, AUDIT_CHECKPOINTS.c.size <= sealed)
            .order_by(AUDIT_CHECKPOINTS.c.size)
            .limit(PAGE)
        ).all()
        if not page:
            return
        for size, note in page:
            after = size
            yield size, note


def _compare_copies(check: LogCheck, row: sa.RowMapping, leaf: bytes) -> None:
    expected: dict[str, Any] = columns_of(leaf, row["entry_id"])
    for name in ("entry_id", "kind", "recorded_at", "caller", "data_subject"):
        if row[name] != expected[name]:
            check.bad("column", f"its column `{name}` does not say what the entry says", row["leaf_index"])


def _compare_nodes(check: LogCheck, connection: sa.Connection, nodes: list[tuple[int, int, bytes]]) -> None:
    """Hold the stored nodes against those computed, which come level by level in ascending order."""
    node = AUDIT_NODES.c
    for level in sorted({level for level, _position, _subtree in nodes}):
        computed = {position: subtree for each, position, subtree in nodes if each == level}
        between = node.position.between(min(computed), max(computed))
        stored = connection.execute(sa.select(node.position, node.hash).where(node.level == level, between))
        found = {position: raw(subtree) for position, subtree in stored}
        for position, subtree in computed.items():
            if found.get(position) != subtree:
                last = ((position + 1) << level) - 1
                check.bad(
                    "node", f"the stored hash over these entries (level {level}) differs", position << level, last
                )
