"""Links identifiers to people without ever moving one between two of them unseen; commits nothing."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from consent_gateway.people.tables import IDENTIFIERS, PEOPLE, SHARED_IDENTIFIERS

Index = tuple[str, str]
"""An identifier as it is stored: (kind, blind index)."""

Carry = Callable[[sa.Connection, str, str], bool]
"""`carry(connection, early, person)` takes the choices of `early`, known by a choice alone, over to `person`.

True if it did and the identifier may follow; False if `early` must stay a holder of its own, as one erased must.
"""

Tags = Mapping[Index, str]
"""The suppression tag of each identifier that is linked; see `suppression`."""

NO_TAGS: Tags = MappingProxyType({})

BATCH = 500  # people, or identifiers of one kind, that one statement handles
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Held:
    """Who stands in the directory under an identifier: the first holder, and whether there are others."""

    data_subject: str
    store_key: str | None
    shared: bool
    tagged: bool = True  # has its suppression tag

    @property
    def early(self) -> bool:
        """Known by a choice alone: nobody's record, and nobody else's identifier."""
        return self.store_key is None and not self.shared


def insert_ignoring(table: sa.Table) -> Mapping[str, sa.Insert]:
    """For each dialect, the insert that leaves a row with the same unique key alone; `rowcount` tells whether it did.

    Unless it is asked to keep it, PostgreSQL's driver counts no insert.
    """
    return MappingProxyType(
        {
            "sqlite": sqlite.insert(table).on_conflict_do_nothing(),
            "postgresql": postgresql.insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True),
        }
    )


_INSERT_IDENTIFIERS = insert_ignoring(IDENTIFIERS)
_INSERT_SHARED = insert_ignoring(SHARED_IDENTIFIERS)
_HELD = (
    sa.select(
        IDENTIFIERS.c.blind_index,
        IDENTIFIERS.c.data_subject,
        IDENTIFIERS.c.shared,
        PEOPLE.c.store_key,
        IDENTIFIERS.c.suppression_tag.is_not(None).label("tagged"),
    )
    .join(PEOPLE, PEOPLE.c.data_subject == IDENTIFIERS.c.data_subject)
    .where(
        IDENTIFIERS.c.kind == sa.bindparam("of_kind", type_=sa.String()),
        IDENTIFIERS.c.blind_index.in_(sa.bindparam("indexes", expanding=True, type_=sa.String())),
    )
)
_TAG = (
    sa.update(IDENTIFIERS)
    .where(IDENTIFIERS.c.kind == sa.bindparam("of_kind"), IDENTIFIERS.c.blind_index == sa.bindparam("of_index"))
    .values(suppression_tag=sa.bindparam("tag"))
)
_SHARES = sa.select(SHARED_IDENTIFIERS.c.kind).where(
    *(column == sa.bindparam(column.name) for column in SHARED_IDENTIFIERS.primary_key)
)


def held(connection: sa.Connection, indexes: Sequence[Index]) -> dict[Index, Held]:
    """Who holds each of these identifiers; one that nobody holds is left out."""
    by_kind: dict[str, dict[str, None]] = {}
    for kind, blind_index in indexes:
        by_kind.setdefault(kind, {})[blind_index] = None
    found: dict[Index, Held] = {}
    for kind, wanted in by_kind.items():
        for chunk in chunks(list(wanted)):
            for row in connection.execute(_HELD, {"of_kind": kind, "indexes": chunk}):
                found[kind, row.blind_index] = Held(row.data_subject, row.store_key, row.shared, bool(row.tagged))
    return found


def link_all(
    connection: sa.Connection, pairs: Sequence[tuple[str, Index]], carry: Carry, tags: Tags = NO_TAGS
) -> tuple[int, int]:
    """Link identifiers to people, given as (data_subject, index); returns how many were new and how many got shared.

    `tags` are kept with the identifiers, also with those that stood there without: one that has none cannot be
    suppressed, so its holder cannot be erased.

    Two writers that bring the same identifier at once end with one row and a shared mark: the unique index lets one
    of them in, and the other then reads what the first has committed.
    """
    wanted = sorted(set(pairs), key=lambda pair: pair[1])  # one order for all writers, so that none waits in a ring
    if not wanted:
        return 0, 0
    before = held(connection, [index for _, index in wanted])
    fresh = [(person, index) for person, index in wanted if index not in before]
    bare = {index for index, holder in before.items() if not holder.tagged and index in tags}
    if bare:
        connection.execute(_TAG, [{"of_kind": index[0], "of_index": index[1], "tag": tags[index]} for index in bare])
    insert = _INSERT_IDENTIFIERS[connection.dialect.name]
    if fresh:
        connection.execute(insert, [_fresh(person, index, tags.get(index)) for person, index in fresh])
        before |= held(connection, [index for _, index in fresh])
    shared = 0
    for person, index in wanted:
        if before[index].data_subject != person:
            shared += _meet(connection, before, person, index, carry)
    linked = len({index for person, index in fresh if before[index].data_subject == person})
    return linked, shared


def add_holder(connection: sa.Connection, person: str, index: Index, tag: str | None = None) -> None:
    """Link an identifier that nobody holds; where someone else was first, theirs stays."""
    connection.execute(_INSERT_IDENTIFIERS[connection.dialect.name], [_fresh(person, index, tag)])


def unlink_others(connection: sa.Connection, person: str, kinds: Collection[str], kept: Collection[Index]) -> int:
    """Take from a person the identifiers of these kinds that are not kept; returns how many.

    Where one holder is left of a shared identifier, it is theirs alone again.
    """
    columns = (IDENTIFIERS.c.kind, IDENTIFIERS.c.blind_index)
    shares = (SHARED_IDENTIFIERS.c.kind, SHARED_IDENTIFIERS.c.blind_index)
    mine = connection.execute(
        sa.select(*columns)
        .where(IDENTIFIERS.c.data_subject == person)
        .union(sa.select(*shares).where(SHARED_IDENTIFIERS.c.data_subject == person))
    )
    gone = {(str(kind), str(index)) for kind, index in mine if kind in kinds} - set(kept)
    for kind, index in gone:
        shared = (SHARED_IDENTIFIERS.c.kind == kind, SHARED_IDENTIFIERS.c.blind_index == index)
        at = (IDENTIFIERS.c.kind == kind, IDENTIFIERS.c.blind_index == index)
        connection.execute(sa.delete(SHARED_IDENTIFIERS).where(*shared, SHARED_IDENTIFIERS.c.data_subject == person))
        left = connection.execute(sa.select(SHARED_IDENTIFIERS.c.data_subject).where(*shared)).scalars().all()
        if not left:
            connection.execute(sa.delete(IDENTIFIERS).where(*at))
            continue
        connection.execute(sa.update(IDENTIFIERS).where(*at).values(data_subject=min(left), shared=len(left) > 1))
        if len(left) == 1:
            connection.execute(sa.delete(SHARED_IDENTIFIERS).where(*shared))
    return len(gone)


def chunks(items: Sequence[_T]) -> Sequence[Sequence[_T]]:
    """The items in batches that one statement can take."""
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def _meet(connection: sa.Connection, before: dict[Index, Held], person: str, index: Index, carry: Carry) -> int:
    """`person` comes with an identifier that another holds; returns 1 if it is shared since."""
    holder = before[index]
    at = (IDENTIFIERS.c.kind == index[0], IDENTIFIERS.c.blind_index == index[1])
    if holder.early and carry(connection, holder.data_subject, person):
        connection.execute(sa.update(IDENTIFIERS).where(*at).values(data_subject=person))
        before[index] = Held(person, "", shared=False)
        return 0
    if holder.shared and connection.execute(_SHARES, _row(person, index)).one_or_none() is not None:
        return 0
    connection.execute(_INSERT_SHARED[connection.dialect.name], [_row(person, index), _row(holder.data_subject, index)])
    if not holder.shared:
        connection.execute(sa.update(IDENTIFIERS).where(*at).values(shared=True))
        before[index] = Held(holder.data_subject, holder.store_key, shared=True)
    return 1


def _fresh(person: str, index: Index, tag: str | None) -> dict[str, object]:
    return _row(person, index) | {"shared": False, "suppression_tag": tag}


def _row(person: str, index: Index) -> dict[str, object]:
    return {"kind": index[0], "blind_index": index[1], "data_subject": person}
