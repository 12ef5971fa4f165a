"""Plans a correction: every place where the old value of a field stands in the person's rows; changes nothing.

The record itself comes first. Copies in other tables follow where the catalogue calls them the same kind of data and
they hold the same value, unless a law keeps the row as it is. What many people share, such as a town, may have been
right when it was written down: such a copy is named and left to an officer, as is what nobody declared.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from consent_gateway.errors import NotFound
from consent_gateway.policy.catalogue import Catalogue, Collection, Field
from consent_gateway.policy.documents import covers
from consent_gateway.policy.retention import Retention, Terms
from consent_gateway.ports import ErasableStore, StoreChange, StoreKey, StoreRow
from consent_gateway.rights.plan import SHARED, declared_tables
from consent_gateway.rights.plan_keep import Circumstances, Keeping
from consent_gateway.rights.plan_model import Cause, FieldPlan, Gathered, Keep, Leftover, Plan, Step
from consent_gateway.rights.plan_rows import gather
from consent_gateway.rights.scan_values import Choosing, Opened
from consent_gateway.vocabulary import JsonValue

ROOT_STEP = "correct the record in "
"""Begins the name of the step that goes by the store's own writing, which looks at types and versions."""

AT_KEY = "key"
"""The code of a copy that other rows hang on."""

Sealed = Callable[[Mapping[str, JsonValue]], Mapping[str, JsonValue]]
"""Gives values by field as they stand in the store: sealed where the field is."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What is to stand in the record from now on, by field name, and whose it is."""

    store_key: str | None
    jurisdiction: str | None
    day: date
    region: str | None
    mark: str
    values: Mapping[str, JsonValue]


@dataclass(slots=True)
class _Found:
    """The places of one correction."""

    copies: dict[tuple[str, str], list[tuple[StoreKey, JsonValue]]] = field(default_factory=dict)
    kept: dict[str, dict[StoreKey, tuple[str, ...]]] = field(default_factory=dict)
    keeps: dict[str, Keep] = field(default_factory=dict)  # by field name, the one that keeps longest
    changed: Counter[str] = field(default_factory=Counter)
    staying: Counter[str] = field(default_factory=Counter)
    left: Counter[tuple[str, Cause, str]] = field(default_factory=Counter)


class _Tracing:
    """Finds the copies of the old values of one person's record."""

    def __init__(
        self, gathered: Gathered, catalogue: Catalogue, opened: Opened, keeping: Keeping, terms: Terms
    ) -> None:
        self._gathered = gathered
        self._catalogue = catalogue
        self._opened = opened
        self._keeping = keeping
        self._terms = terms
        self.collections = declared_tables(gathered, catalogue)
        self.found = _Found()

    def follow(self, named: Field, old: JsonValue, new: JsonValue) -> None:
        """Find where the old value of a field stands beside the field itself."""
        for table, collection in self.collections.items():
            for key, row in self._gathered.mine.get(table, {}).items():
                values = clear(collection, row, self._opened)
                held = [column for column, value in values.items() if _same(value, old)]
                for column in held:
                    self._copy(named, new, table, (key, row), column)
            for key, row in self._gathered.shared.get(table, {}).items():
                if any(_same(value, old) for value in row.values.values()):
                    self.found.kept.setdefault(table, {})[key] = SHARED
                    self.found.left[table, Cause.SHARED_ROW, ""] += 1

    def _copy(self, named: Field, new: JsonValue, table: str, of: tuple[StoreKey, StoreRow], column: str) -> None:
        collection, where, found = self.collections[table], f"{table}.{column}", self.found
        one = next((each for each in collection.fields if each.column == column), None)
        if one is None:
            found.left[where, Cause.UNDECLARED_COLUMN, ""] += 1
            return
        if one is named or one.mirrors_consent is not None or not _is_alike(named, one):
            return
        keep = self._keeping.of(collection, of[1]).get(column)
        told = self._gathered.tables[table]
        if keep is not None:
            rows = found.kept.setdefault(table, {})
            rows[of[0]] = (*rows.get(of[0], ()), column)
            found.staying[one.name] += 1
            known = found.keeps.get(one.name, keep)
            found.keeps[one.name] = max(keep, known, key=lambda each: each.until or date.max)
        elif column in told.key or any(column in each.columns for each in told.references):
            found.left[where, Cause.REFUSED, AT_KEY] += 1
        elif collection is not self._catalogue.root and _is_common(one, self._terms.common):
            found.left[where, Cause.MENTION, ""] += 1
        else:
            found.copies.setdefault((table, one.name), []).append((of[0], new))
            found.changed[one.name] += 1


class CorrectionPlanner:
    """Plans over one store."""

    def __init__(self, store: ErasableStore, catalogue: Catalogue, retention: Retention) -> None:
        self._store = store
        self._catalogue = catalogue
        self._retention = retention

    def plan(self, asked: Correction, opened: Opened, sealed: Sealed) -> Plan:
        """The plan as the store stands now. In `Plan.fields`, `erased` counts rows in which the old value goes.

        Raises `NotFound` where the store has no record of the person.
        """
        gathered, terms = gather(self._store, self._catalogue, asked.store_key), self._retention.on(asked.day)
        keeping = Keeping(gathered, self._catalogue, self._retention, Circumstances(asked.day, asked.jurisdiction))
        tracing = _Tracing(gathered, self._catalogue, opened, keeping, terms)
        table = next((name for name, one in tracing.collections.items() if one is self._catalogue.root), "")
        rows = gathered.mine.get(table, {})
        if len(rows) != 1:
            raise NotFound("the store has no record of this person: there is nothing to correct")
        key, row = next(iter(rows.items()))
        before = clear(self._catalogue.root, row, opened)
        old = {name: before[self._column(name)] for name in asked.values}
        goes = {name: new for name, new in asked.values.items() if not _same(old[name], new)}
        tracing.found.changed.update(goes.keys())
        for name, new in goes.items():
            if old[name] is not None and old[name] != "":
                tracing.follow(self._catalogue.fields[name], old[name], new)
        choosing = Choosing(self._store, self._catalogue, terms, gathered, asked.region)
        found = tracing.found
        return Plan(
            fields=tuple(self._told(found)),
            steps=tuple(self._steps(table, key, goes, found, sealed, asked.mark)),
            kept=found.kept,
            foreseen=tuple(Leftover("store", where, cause, n, code) for (where, cause, code), n in found.left.items()),
            # A value that lives on in the new one, as in a name that is only written otherwise, would always be found.
            looked=choosing.replaced({name: old[name] for name in goes if not _lives_on(old[name], goes[name])}),
        )

    def _column(self, name: str) -> str:
        return self._catalogue.fields[name].column

    def _steps(
        self,
        table: str,
        key: StoreKey,
        goes: Mapping[str, JsonValue],
        found: _Found,
        sealed: Sealed,
        mark: str,
    ) -> Iterator[Step]:
        if not goes:
            return
        stored = sealed(goes)  # by field name, as the store's own writing takes it
        yield Step(ROOT_STEP + table, table, (StoreChange(table, (key,), {}, dict(stored), mark),), 1)
        tables: dict[str, list[StoreChange]] = {}
        rows: dict[str, set[StoreKey]] = {}
        for (where, name), copies in found.copies.items():
            new = sealed({name: copies[0][1]})[name]
            keys = tuple(one for one, _new in copies)
            tables.setdefault(where, []).append(StoreChange(where, keys, {}, {self._column(name): new}, mark))
            rows.setdefault(where, set()).update(keys)
        for where, changes in tables.items():
            yield Step(f"correct copies in {where}", where, tuple(changes), len(rows[where]))

    def _told(self, found: _Found) -> Iterator[FieldPlan]:
        for name in dict.fromkeys((*found.changed, *found.staying)):
            keep = found.keeps.get(name)
            yield FieldPlan(
                name,
                found.changed[name],
                found.staying[name],
                0,
                keep.ground if keep else None,
                keep.schedule if keep else None,
                keep.until if keep else None,
            )


def clear(collection: Collection, row: StoreRow, opened: Opened) -> dict[str, JsonValue]:
    """The values of a row, those of sealed columns in the clear."""
    return {**row.values, **opened(collection, row)}


def _is_alike(one: Field, other: Field) -> bool:
    if one.identity is not None and one.identity == other.identity:
        return True
    return not set(one.categories).isdisjoint(other.categories)


def _is_common(one: Field, common: tuple[str, ...]) -> bool:
    return one.identity is None and any(covers(key, each) for key in common for each in one.categories)


def _same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are the same to a reader; of text the outer blanks and nothing else are left out."""
    if one is None or other is None:
        return one is other
    return str(one).strip() == str(other).strip()


def _lives_on(old: JsonValue, new: JsonValue) -> bool:
    lower = str(old or "").strip().lower()
    digits, kept = ("".join(filter(str.isdecimal, str(each or ""))) for each in (old, new))
    return not lower or lower in str(new or "").lower() or (len(digits) > 5 and digits[-10:] in kept)
