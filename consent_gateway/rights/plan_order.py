"""Puts the changes of an erasure in order: cuts, then what is emptied, then what goes, children before parents; pure.

Rows that point to each other in a ring are freed by a reference that may be null; where the ring has none, its rows
stay emptied. Each step is one table's, and so many steps as there are tables is the usual number.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from consent_gateway.policy.catalogue import Collection
from consent_gateway.ports import Fill, StoreChange, StoreKey
from consent_gateway.rights.plan_fates import Fates, Fating, Node, Pointer, Stay
from consent_gateway.rights.plan_keep import KeptRows
from consent_gateway.rights.plan_model import Gathered, Step
from consent_gateway.vocabulary import JsonValue


@dataclass(slots=True)
class Ordered:
    """The steps, and the fates they carry out."""

    fates: Fates
    steps: tuple[Step, ...]


@dataclass(slots=True)
class _Going:
    """The rows that go, and which of them still point to which."""

    rows: set[Node]
    pointed: dict[Node, list[Pointer]] = field(default_factory=dict)
    cuts: dict[Node, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    order: list[tuple[str, list[StoreKey]]] = field(default_factory=list)


def order(gathered: Gathered, collections: Mapping[str, Collection], kept: KeptRows, mark: str) -> Ordered:
    """The steps of one person's erasure. `mark` tells the unique blanks of this erasure from those of any other."""
    fating = Fating(gathered, collections, kept)
    pinned: set[Node] = set()
    while True:
        fates = fating.decide(pinned)
        going = _Going({(t, key) for t, rows in gathered.mine.items() for key in rows if (t, key) not in fates.stays})
        for node in going.rows:
            going.pointed[node] = [one for one in fating.pointers[node] if one.source in going.rows]
        ring = _sort(going, fating)
        if not ring:
            break
        pinned |= ring
    writing = _Writing(gathered, collections, kept, fates, mark)
    steps = [*writing.cuts(going.cuts), *writing.emptied(), *_deletions(going, mark)]
    return Ordered(fates, tuple(steps))


def _sort(going: _Going, fating: Fating) -> set[Node]:
    """Order the rows that go, cutting rings; the rows of a ring that cannot be cut, or none."""
    left = set(going.rows)
    while left:
        ready: dict[str, list[StoreKey]] = defaultdict(list)
        for table, key in left:
            if not any(one.source in left for one in going.pointed[table, key]):
                ready[table].append(key)
        if not ready:
            cut = _cut_ring(left, going, fating)
            if not cut:
                return {_in_ring(left, going)}
            continue
        waiting: dict[str, int] = defaultdict(int)
        for table, _key in left:
            waiting[table] += 1
        table = min(ready, key=lambda name: (waiting[name] - len(ready[name]), name))
        keys = sorted(ready[table], key=repr)
        going.order.append((table, keys))
        left -= {(table, key) for key in keys}
    return set()


def _cut_ring(left: set[Node], going: _Going, fating: Fating) -> bool:
    """Set to null one kind of reference among the rows left; False where none of them may be null."""
    candidates: dict[tuple[str, tuple[str, ...]], list[Pointer]] = defaultdict(list)
    for node in left:
        for one in going.pointed[node]:
            if one.source in left and fating.nullable(one.source[0], one.reference):
                candidates[one.source[0], one.reference.columns].append(one)
    if not candidates:
        return False
    first = max(candidates, key=lambda name: (len(candidates[name]), name))
    for one in candidates[first]:
        for column in fating.nullable(one.source[0], one.reference):
            going.cuts[one.source][column] = None
    cut = set(map(id, candidates[first]))
    for node in left:
        going.pointed[node] = [one for one in going.pointed[node] if id(one) not in cut]
    return True


def _in_ring(left: set[Node], going: _Going) -> Node:
    """A row of a ring: go back along the pointers until one comes again."""
    node = min(left, key=repr)
    seen: list[Node] = []
    while node not in seen:
        seen.append(node)
        node = next(one.source for one in going.pointed[node] if one.source in left)
    return node


def _deletions(going: _Going, mark: str) -> Iterable[Step]:
    """One step for the levels of one table that follow each other."""
    at = 0
    while at < len(going.order):
        table = going.order[at][0]
        changes: list[StoreChange] = []
        while at < len(going.order) and going.order[at][0] == table:
            changes.append(StoreChange(table, tuple(going.order[at][1]), {}, {}, mark, deletes=True))
            at += 1
        yield Step(f"delete {table}", table, tuple(changes), sum(len(one.keys) for one in changes))


class _Writing:
    """Makes the changes that write over values."""

    def __init__(
        self,
        gathered: Gathered,
        collections: Mapping[str, Collection],
        kept: KeptRows,
        fates: Fates,
        mark: str,
    ) -> None:
        self._gathered = gathered
        self._collections = collections
        self._kept = kept
        self._fates = fates
        self._mark = mark

    def cuts(self, of_rings: Mapping[Node, Mapping[str, None]]) -> Iterable[Step]:
        """References of rows that are not emptied anyway: of others' rows, and in rings."""
        by_table: dict[str, dict[tuple[str, ...], list[StoreKey]]] = defaultdict(lambda: defaultdict(list))
        outside = {node: columns for node, columns in self._fates.cuts.items() if node not in self._fates.stays}
        for node, columns in (*outside.items(), *of_rings.items()):
            by_table[node[0]][tuple(columns)].append(node[1])
        for table, groups in sorted(by_table.items()):
            changes = tuple(
                StoreChange(table, tuple(keys), dict.fromkeys(columns, Fill.NULL), {}, self._mark)
                for columns, keys in sorted(groups.items())
            )
            yield Step(f"cut {table}", table, changes, sum(len(one.keys) for one in changes))

    def emptied(self) -> Iterable[Step]:
        """The rows that stay, with nothing in them but what is kept and the keys others hang on."""
        by_table: dict[str, dict[str, tuple[StoreChange, list[StoreKey]]]] = defaultdict(dict)
        for (table, key), stay in self._fates.stays.items():
            fills, values = self._overwritten(table, key, stay)
            if fills or values:
                change = StoreChange(table, (), fills, values, self._mark)
                by_table[table].setdefault(repr((fills, values)), (change, []))[1].append(key)
        for table, groups in sorted(by_table.items()):
            changes = tuple(
                StoreChange(table, tuple(keys), one.fills, one.values, f"{self._mark}{at:x}")
                for at, (one, keys) in enumerate(groups.values())
            )
            yield Step(f"empty {table}", table, changes, sum(len(one.keys) for one in changes))

    def _overwritten(self, table: str, key: StoreKey, stay: Stay) -> tuple[dict[str, Fill], dict[str, JsonValue]]:
        told, collection = self._gathered.tables[table], self._collections[table]
        row = self._gathered.mine[table][key]
        fields = {one.column: one for one in collection.fields}
        links = {column for one in told.references for column in one.columns}
        keeps = self._kept.get(table, {}).get(key, {})
        fills: dict[str, Fill] = {}
        values: dict[str, JsonValue] = {}
        for name, column in told.columns.items():
            declared = fields.get(name)
            if name in told.key or name in keeps or name == collection.mark:
                continue
            if stay is Stay.KEPT and (declared is None or not declared.personal):
                continue  # what nobody declared may be what the ground is about; it is named instead
            if name in links:
                if name in self._fates.cuts.get((table, key), {}):
                    fills[name] = Fill.NULL
            elif declared is not None and declared.erased_as is not None:
                values[name] = declared.erased_as
            elif row.values.get(name) is not None:
                fills[name] = Fill.NULL if column.nullable else Fill.UNIQUE if column.unique else Fill.BLANK
        for name in self._fates.cuts.get((table, key), {}):
            fills[name] = Fill.NULL
        if collection.mark is not None and stay is not Stay.KEPT and collection.mark in told.columns:
            fills[collection.mark] = Fill.MARK
        return fills, values
