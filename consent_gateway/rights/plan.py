"""Plans the erasure of a person from a store: per field erase, keep with ground and end, or not found.

It changes nothing. `plan_rows` finds the rows, `plan_keep` says what a ground keeps, `plan_fates` and `plan_order` how
the rest goes without breaking a rule of the store, `scan_values` what is looked for afterwards; here they meet.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from consent_gateway.policy.catalogue import Catalogue, Collection, Field
from consent_gateway.policy.retention import Retention
from consent_gateway.ports import ColumnKind, ErasableStore, StoreKey
from consent_gateway.rights.plan_fates import Fates, Stay
from consent_gateway.rights.plan_keep import Circumstances, Keeping, KeptRows
from consent_gateway.rights.plan_model import (
    STRUCTURE,
    Cause,
    FieldPlan,
    Gathered,
    Keep,
    Leftover,
    Plan,
    Suspect,
)
from consent_gateway.rights.plan_order import order
from consent_gateway.rights.plan_rows import gather, table_named
from consent_gateway.rights.scan_values import Choosing, Opened, is_plain
from consent_gateway.vocabulary import Identifier, JsonValue

SHARED = ("*",)
"""Stands for every column of a row that is another person's as well."""

_TEXTUAL = frozenset({ColumnKind.TEXT, ColumnKind.JSON, ColumnKind.BYTES, ColumnKind.OTHER})


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose data, and what beside the store tells about them. `mark` is a few hexadecimal digits drawn at random."""

    store_key: str | None
    circumstances: Circumstances
    known_by: Sequence[Identifier]
    region: str | None
    mark: str


class Planner:
    """Plans over one store. `opened` gives the clear values of sealed columns of a person's row."""

    def __init__(self, store: ErasableStore, catalogue: Catalogue, retention: Retention) -> None:
        self._store = store
        self._catalogue = catalogue
        self._retention = retention

    def gather(self, asked: Asked) -> Gathered:
        """The person's rows."""
        return gather(self._store, self._catalogue, asked.store_key, asked.known_by)

    def plan(self, asked: Asked, opened: Opened = lambda _collection, _row: {}) -> Plan:
        """The plan for one person."""
        gathered = self.gather(asked)
        collections = declared_tables(gathered, self._catalogue)
        keeping = Keeping(gathered, self._catalogue, self._retention, asked.circumstances)
        kept = {
            table: {key: found for key, row in rows.items() if (found := keeping.of(collections[table], row))}
            for table, rows in gathered.mine.items()
        }
        ordered = order(gathered, collections, kept, asked.mark)
        terms = self._retention.on(asked.circumstances.day)
        choosing = Choosing(self._store, self._catalogue, terms, gathered, asked.region, opened)
        return Plan(
            fields=tuple(_field_plans(gathered, collections, kept, ordered.fates)),
            steps=ordered.steps,
            kept=_staying(gathered, kept),
            foreseen=tuple(_foreseen(gathered, collections, kept)),
            looked=choosing.looked(asked.known_by),
            suspects=tuple(_suspects(gathered, collections)),
            identifiers=choosing.identifiers(),
            keeps_sealed=any(
                one.protection == "sealed" and one.column in keeps
                for table, rows in kept.items()
                for keeps in rows.values()
                for one in collections[table].fields
            ),
        )


def declared_tables(gathered: Gathered, catalogue: Catalogue) -> dict[str, Collection]:
    """The declared collections by the store's name of their table."""
    found: dict[str, Collection] = {}
    for one in catalogue.collections.values():
        table = table_named(gathered.tables, one.table)
        if table is not None:
            found[table.name] = one
    return found


def _field_plans(
    gathered: Gathered, collections: Mapping[str, Collection], kept: KeptRows, fates: Fates
) -> Iterator[FieldPlan]:
    for table, collection in collections.items():
        for field in collection.fields:
            if field.personal:
                yield _field_plan(field, table, gathered, kept, fates)


def _field_plan(field: Field, table: str, gathered: Gathered, kept: KeptRows, fates: Fates) -> FieldPlan:
    told = gathered.tables[table]
    links = {column for one in told.references for column in one.columns} | set(told.key)
    counts: Counter[str] = Counter()
    keeps: list[Keep] = []
    for key, row in gathered.mine.get(table, {}).items():
        if row.values.get(field.column) is None:
            continue
        keep = kept.get(table, {}).get(key, {}).get(field.column)
        stays = field.column in links and field.column not in fates.cuts.get((table, key), {})
        if keep is None and stays and (table, key) in fates.stays:
            because = fates.because.get((table, key))
            is_kept = fates.stays[table, key] is Stay.KEPT
            keep = because if is_kept and because else Keep(STRUCTURE, None, because.until if because else None)
        counts["kept" if keep else "erased"] += 1
        keeps += [keep] if keep else []
    shared = sum(row.values.get(field.column) is not None for row in gathered.shared.get(table, {}).values())
    last = max(keeps, key=lambda one: (one.ground != STRUCTURE, one.until is None, one.until), default=None)
    return FieldPlan(
        field.name,
        counts["erased"],
        counts["kept"],
        shared,
        last.ground if last else None,
        last.schedule if last else None,
        last.until if last else None,
    )


def _staying(gathered: Gathered, kept: KeptRows) -> dict[str, dict[StoreKey, tuple[str, ...]]]:
    staying: dict[str, dict[StoreKey, tuple[str, ...]]] = {}
    for table, rows in kept.items():
        for key, keeps in rows.items():
            links = {column for one in gathered.tables[table].references for column in one.columns}
            staying.setdefault(table, {})[key] = tuple({*keeps, *gathered.tables[table].key, *links})
    for table, shared in gathered.shared.items():
        staying.setdefault(table, {}).update(dict.fromkeys(shared, SHARED))
    return staying


def _foreseen(gathered: Gathered, collections: Mapping[str, Collection], kept: KeptRows) -> Iterator[Leftover]:
    """What the plan itself must leave."""
    undeclared = Counter(
        f"{one.table}.{'+'.join(one.reference.columns)}" for one in gathered.outside if not one.declared
    )
    for where, number in sorted(undeclared.items()):
        yield Leftover("store", where, Cause.UNDECLARED_REFERENCE, number)
    for table, shared in sorted(gathered.shared.items()):
        yield Leftover("store", table, Cause.SHARED_ROW, len(shared))
    for table, rows in sorted(kept.items()):
        named = {one.column for one in collections[table].fields}
        for column in gathered.tables[table].columns.values():
            if column.name in named or column.kind not in _TEXTUAL:
                continue
            values = (gathered.mine[table][key].values.get(column.name) for key in rows)
            held = sum(value is not None and value != "" and not is_plain(str(value)) for value in values)
            if held:
                yield Leftover("store", f"{table}.{column.name}", Cause.UNDECLARED_COLUMN, held)
    for table in gathered.missing:
        yield Leftover("store", table, Cause.UNREAD, 0)


def _suspects(gathered: Gathered, collections: Mapping[str, Collection]) -> Iterator[Suspect]:
    """Columns that nobody declared and no foreign key binds, named like a key of a table of the person's."""
    names: dict[str, list[JsonValue]] = {}
    for table, rows in gathered.mine.items():
        key = gathered.tables[table].key
        if len(key) != 1:
            continue
        held = [row.values[key[0]] for row in rows.values()]
        bare = table.rpartition(".")[2]
        for name in _called(bare, key[0]):
            names.setdefault(name, []).extend(held)
    for table, told in gathered.tables.items():
        declared = {one.column for one in collections[table].fields} if table in collections else set()
        bound = {column for one in told.references for column in one.columns}
        for column in told.columns:
            held = names.get(column.lower(), [])
            if held and column not in declared and column not in bound:
                yield Suspect(table, column, tuple(held))


def _called(table: str, key: str) -> set[str]:
    """What a column in another table that holds this key is usually called."""
    table, key = table.lower(), key.lower()
    single = {table, table.removesuffix("s"), table.removesuffix("es")}
    called = {f"{one}_{key}" for one in single} | {f"{one}{key}" for one in single}
    return called | ({key} if key not in {"id", "key", "no", "nr", "number", "code", "name"} else set())
