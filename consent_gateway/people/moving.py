"""Moves identifiers from an older index key to the newest; finds the person at every moment, and commits nothing.

An identifier stands in the directory once, under one of the keys in use. A move changes its row and the rows of those
who share it in one transaction, so a look-up under all keys in use finds the same people before it and after it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from consent_gateway.people.blind_index import Indexed
from consent_gateway.people.linking import Carry, Index, chunks, link_all
from consent_gateway.people.tables import IDENTIFIERS, SHARED_IDENTIFIERS


def carry_nothing(_connection: sa.Connection, _early: str, _person: str) -> bool:
    """A carry for a move without a record: an early person stays a holder of their own."""
    return False


_COPY: Mapping[str, Callable[[list[str], sa.Select[Any]], sa.Insert]] = MappingProxyType(
    {
        "sqlite": lambda names, rows: sqlite.insert(IDENTIFIERS).from_select(names, rows).on_conflict_do_nothing(),
        "postgresql": lambda names, rows: (
            postgresql.insert(IDENTIFIERS).from_select(names, rows).on_conflict_do_nothing()
        ),
    }
)
_OLDER = (
    sa.select(IDENTIFIERS.c.kind, IDENTIFIERS.c.blind_index, IDENTIFIERS.c.data_subject)
    .where(
        IDENTIFIERS.c.kind == sa.bindparam("of_kind", type_=sa.String()),
        IDENTIFIERS.c.blind_index.in_(sa.bindparam("indexes", expanding=True, type_=sa.String())),
    )
    .order_by(IDENTIFIERS.c.blind_index)
    .with_for_update()
)


def move_to_newest(connection: sa.Connection, identifiers: Iterable[Indexed], carry: Carry) -> int:
    """Bring identifiers that stand under an older key under the newest; returns how many were moved.

    To be called before these identifiers are looked at in a transaction that writes. Costs nothing while each kind
    has one key.
    """
    older: dict[str, dict[str, str]] = {}
    for each in identifiers:
        for value in each.values[1:]:
            older.setdefault(each.kind, {})[value] = each.values[0]
    moved = 0
    for kind in sorted(older):
        for chunk in chunks(sorted(older[kind])):
            rows = connection.execute(_OLDER, {"of_kind": kind, "indexes": chunk}).all()
            for row in rows:
                _move(connection, (kind, row.blind_index), older[kind][row.blind_index], row.data_subject, carry)
            moved += len(rows)
    return moved


def _move(connection: sa.Connection, old: Index, value: str, person: str, carry: Carry) -> None:
    at = (IDENTIFIERS.c.kind == old[0], IDENTIFIERS.c.blind_index == old[1])
    shares = (SHARED_IDENTIFIERS.c.kind == old[0], SHARED_IDENTIFIERS.c.blind_index == old[1])
    copy = sa.select(
        IDENTIFIERS.c.kind,
        sa.literal(value).label("blind_index"),
        IDENTIFIERS.c.data_subject,
        IDENTIFIERS.c.shared,
        IDENTIFIERS.c.suppression_tag,
    ).where(*at)
    names = ["kind", "blind_index", "data_subject", "shared", "suppression_tag"]
    copied = connection.execute(_COPY[connection.dialect.name](names, copy)).rowcount
    if copied == 1:
        connection.execute(sa.update(SHARED_IDENTIFIERS).where(*shares).values(blind_index=value))
        connection.execute(sa.delete(IDENTIFIERS).where(*at))
        return
    # Two identifiers that a newer rule takes for one: whoever holds the older meets whoever holds the newer.
    holders: Sequence[str] = (
        connection.execute(sa.select(SHARED_IDENTIFIERS.c.data_subject).where(*shares)).scalars().all()
    )
    connection.execute(sa.delete(SHARED_IDENTIFIERS).where(*shares))
    connection.execute(sa.delete(IDENTIFIERS).where(*at))
    link_all(connection, [(holder, (old[0], value)) for holder in holders or [person]], carry)
