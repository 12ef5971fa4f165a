"""Decides which rows of a person go and which must stay emptied, so that the store's references hold; pure.

A row goes unless a ground keeps a value of it, its table is emptied instead by the catalogue's word, or a row that
stays points to it by a reference that may not be null. A reference that may be null is cut instead. Rows of tables
that nobody declared are never touched: what they point to stays, emptied, and they are named.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from consent_gateway.policy.catalogue import Collection
from consent_gateway.ports import StoreKey, StoreReference, StoreRow
from consent_gateway.rights.plan_keep import KeptRows, longest
from consent_gateway.rights.plan_model import Gathered, Keep
from consent_gateway.rights.plan_rows import alike

Node = tuple[str, StoreKey]
"""A row: its table and its key."""


class Stay(StrEnum):
    """Why a row stays."""

    KEPT = "kept"  # a ground keeps a value of it
    STRATEGY = "strategy"  # the catalogue says so
    STRUCTURE = "structure"  # a row that stays hangs on it


@dataclass(frozen=True, slots=True)
class Pointer:
    """A row that holds the key of one of the person's by a foreign key of the store."""

    source: Node
    reference: StoreReference
    mine: bool
    declared: bool = True


@dataclass(slots=True)
class Fates:
    """What becomes of each row. `cuts` are columns to be set to null; `because` is what keeps a row that stays."""

    stays: dict[Node, Stay] = field(default_factory=dict)
    because: dict[Node, Keep] = field(default_factory=dict)
    cuts: dict[Node, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    pinned: set[Node] = field(default_factory=set)  # in a ring of references that no null can break


class Fating:
    """Decides for one person. `collections` are the declared ones by table."""

    def __init__(self, gathered: Gathered, collections: Mapping[str, Collection], kept: KeptRows) -> None:
        self._gathered = gathered
        self._collections = collections
        self._kept = kept
        self.pointers: dict[Node, list[Pointer]] = defaultdict(list)
        self._index_pointers()

    def decide(self, pinned: Iterable[Node] = ()) -> Fates:
        """The fates, with these rows staying whatever else is so."""
        fates = Fates(pinned=set(pinned))
        for table, rows in self._gathered.mine.items():
            for key in rows:
                self._begin(fates, (table, key))
        moved = True
        while moved:
            moved = False
            for table, rows in self._gathered.mine.items():
                for key in rows:
                    moved |= (table, key) not in fates.stays and self._must_stay(fates, (table, key))
        for node in fates.stays:  # what stays lets go of what may be null in it
            self._cut_own(fates, node)
        for target, pointers in self.pointers.items():
            for one in pointers if target not in fates.stays else ():
                self._cut(fates, one)
        return fates

    def nullable(self, table: str, reference: StoreReference) -> tuple[str, ...]:
        """The columns of a reference that may be set to null, which ends it."""
        told = self._gathered.tables[table]
        return tuple(name for name in reference.columns if told.columns[name].nullable and name not in told.key)

    def _begin(self, fates: Fates, node: Node) -> None:
        keeps = self._kept.get(node[0], {}).get(node[1], {})
        if keeps:
            fates.stays[node] = Stay.KEPT
            reason = longest(iter(keeps.values()))
            if reason is not None:
                fates.because[node] = reason
        elif self._collections[node[0]].strategy != "delete":
            fates.stays[node] = Stay.STRATEGY
        elif node in fates.pinned:
            fates.stays[node] = Stay.STRUCTURE

    def _must_stay(self, fates: Fates, node: Node) -> bool:
        for one in self.pointers[node]:
            if one.mine and one.source not in fates.stays:
                continue  # it goes before
            if one.declared and self._may_cut(one):
                continue
            fates.stays[node] = Stay.STRUCTURE
            reason = longest(fates.because[each] for each in self._sources(node) if each in fates.because)
            if reason is not None:
                fates.because[node] = reason
            return True
        return False

    def _sources(self, node: Node) -> list[Node]:
        return [one.source for one in self.pointers[node]]

    def _may_cut(self, pointer: Pointer) -> bool:
        table, key = pointer.source
        keeps = self._kept.get(table, {}).get(key, {})
        return bool(set(self.nullable(table, pointer.reference)) - set(keeps)) if pointer.declared else False

    def _cut(self, fates: Fates, pointer: Pointer) -> None:
        if pointer.mine and pointer.source not in fates.stays:
            return
        keeps = self._kept.get(pointer.source[0], {}).get(pointer.source[1], {})
        for column in self.nullable(pointer.source[0], pointer.reference):
            if column not in keeps:
                fates.cuts[pointer.source][column] = None

    def _cut_own(self, fates: Fates, node: Node) -> None:
        keeps = self._kept.get(node[0], {}).get(node[1], {})
        personal = {one.column for one in self._collections[node[0]].fields if one.personal}
        for reference in self._gathered.tables[node[0]].references:
            for column in self.nullable(node[0], reference):
                if column not in keeps and (fates.stays[node] is not Stay.KEPT or column in personal):
                    fates.cuts[node][column] = None

    def _index_pointers(self) -> None:
        mine = self._gathered.mine
        for table, rows in mine.items():
            for reference in self._gathered.tables[table].references:
                targets = mine.get(reference.table)
                if not targets:
                    continue
                by_held = {alike(held(row, reference.to_columns)): key for key, row in targets.items()}
                for key, row in rows.items():
                    wanted = held(row, reference.columns)
                    target = None if None in wanted else by_held.get(alike(wanted))
                    if target is not None and (reference.table, target) != (table, key):
                        self.pointers[reference.table, target].append(Pointer((table, key), reference, mine=True))
        for one in self._gathered.outside:
            pointer = Pointer((one.table, one.key), one.reference, mine=False, declared=one.declared)
            self.pointers[one.target].append(pointer)


def held(row: StoreRow, columns: Iterable[str]) -> StoreKey:
    """What a row holds in these columns."""
    return tuple(row.values[column] for column in columns)
