"""Verifies the log in the database itself: what `verify` checks, and every copy that the tables keep of it."""

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.columns import columns_of
from consent_gateway.audit.merkle import CompactRange
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_LOG, AUDIT_NODES
from consent_gateway.audit.tree import STORED_LEVELS
from consent_gateway.audit.verify import LogCheck, LogKey, Report

PAGE = 2000


def verify_database(engine: sa.Engine, key: LogKey, earlier: Iterable[str] = ()) -> Report:
    """The report on the sealed log as it stands; sealing may go on meanwhile.

    Beside the evidence it checks the copies that searches rely on: a changed `data_subject` column would hide
    an entry from a report although the entry itself is untouched.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # one statement sees one state: what is sealed from here on is not part of this verification
        count, sealed = connection.execute(
            sa.select(
                sa.select(sa.func.coalesce(sa.func.max(AUDIT_LOG.c.leaf_index) + 1, 0)).scalar_subquery(),
                sa.select(sa.func.coalesce(sa.func.max(AUDIT_CHECKPOINTS.c.size), 0)).scalar_subquery(),
            )
        ).one()
        check = LogCheck(key, _notes(connection, sealed), earlier=earlier)
        nodes: list[tuple[int, int, bytes]] = []
        tree = CompactRange(on_node=lambda *node: nodes.append(node))
        for row in _entries(connection, count):
            leaf, recorded = raw(row["entry"]), raw(row["leaf_hash"])
            check.add(leaf, recorded, row["leaf_index"])
            _compare_copies(check, row, leaf)
            tree.append(recorded)
        if not any(finding.code == "gap" for finding in check.report.findings):
            _compare_nodes(check, connection, nodes)
        return check.finish()


def raw(stored: object) -> bytes:
    """The bytes of a column, also where somebody changed its type in the database: the hash then tells the rest."""
    return stored.encode() if isinstance(stored, str) else bytes(stored)  # type: ignore[call-overload]


def _entries(connection: sa.Connection, count: int) -> Iterator[sa.RowMapping]:
    after = -1
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


def _notes(connection: sa.Connection, sealed: int) -> Iterator[tuple[int, str]]:
    after = -1
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
    stored = {
        (level, position): bytes(subtree)
        for level, position, subtree in connection.execute(
            sa.select(AUDIT_NODES.c.level, AUDIT_NODES.c.position, AUDIT_NODES.c.hash)
        )
    }
    for level, position, subtree in nodes:
        if level % STORED_LEVELS == 0 and stored.get((level, position)) != subtree:
            first = position << level
            last = ((position + 1) << level) - 1
            check.bad("node", f"the stored hash over these entries (level {level}) differs", first, last)
