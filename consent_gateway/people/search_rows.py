"""Keeps the indexes of search: for each person of the store the parts the catalogue asks for; commits nothing."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import sqlalchemy as sa

from consent_gateway.people.linking import chunks, insert_ignoring
from consent_gateway.people.tables import SEARCH_INDEXES
from consent_gateway.policy.catalogue import Catalogue

Part = tuple[str, str, str]
"""Kind, mode and blind index of one part of an identifier."""

_INSERT = insert_ignoring(SEARCH_INDEXES)
_OF_PEOPLE = sa.select(SEARCH_INDEXES).where(
    SEARCH_INDEXES.c.data_subject.in_(sa.bindparam("people", expanding=True, type_=sa.String()))
)
_DELETE = sa.delete(SEARCH_INDEXES).where(
    SEARCH_INDEXES.c.kind == sa.bindparam("of_kind"),
    SEARCH_INDEXES.c.mode == sa.bindparam("of_mode"),
    SEARCH_INDEXES.c.blind_index == sa.bindparam("of_index"),
    SEARCH_INDEXES.c.data_subject == sa.bindparam("of_person"),
)


def search_modes(catalogue: Catalogue) -> Mapping[str, tuple[str, ...]]:
    """By kind of identifier, the modes of search that some field of the catalogue asks for."""
    found: dict[str, set[str]] = {}
    for field in catalogue.fields.values():
        if field.identity is not None and field.search:
            found.setdefault(field.identity, set()).update(field.search)
    return MappingProxyType({kind: tuple(sorted(modes)) for kind, modes in found.items()})


def keep(connection: sa.Connection, wanted: Mapping[str, Collection[Part]]) -> None:
    """Make the parts of these people exactly those wanted: what is new is added, what is no longer theirs goes."""
    for chunk in chunks(sorted(wanted)):
        there = {
            (row.data_subject, row.kind, row.mode, row.blind_index)
            for row in connection.execute(_OF_PEOPLE, {"people": chunk})
        }
        asked = {(person, *part) for person in chunk for part in wanted[person]}
        gone, fresh = sorted(there - asked), sorted(asked - there)
        if gone:
            rows = [{"of_person": p, "of_kind": k, "of_mode": m, "of_index": i} for p, k, m, i in gone]
            connection.execute(_DELETE, rows)
        if fresh:
            rows = [{"data_subject": p, "kind": k, "mode": m, "blind_index": i} for p, k, m, i in fresh]
            connection.execute(_INSERT[connection.dialect.name], rows)


def drop_unasked(connection: sa.Connection, modes: Mapping[str, Sequence[str]]) -> int:
    """Delete the parts of kinds and modes that the catalogue no longer asks for; returns how many."""
    asked = [
        sa.and_(SEARCH_INDEXES.c.kind == kind, SEARCH_INDEXES.c.mode.in_(of_kind)) for kind, of_kind in modes.items()
    ]
    return connection.execute(sa.delete(SEARCH_INDEXES).where(sa.not_(sa.or_(sa.false(), *asked)))).rowcount
