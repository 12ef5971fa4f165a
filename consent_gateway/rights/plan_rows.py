"""Finds the rows of a person in a store by identities and references; changes nothing and keeps no value.

The catalogue says which tables are about people and how they hang on the person; the store's own foreign keys say the
rest. A row is the person's where a chain of references leads from it to their record, or where it leads nowhere and
the row carries one of their identifiers (an orphan). A row that leads to two people is shared and stays.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from consent_gateway.policy.catalogue import Catalogue, Collection
from consent_gateway.ports import ErasableStore, StoreKey, StoreReference, StoreRow, StoreTable
from consent_gateway.rights.plan_model import Gathered, Outside
from consent_gateway.vocabulary import Identifier, JsonValue

_ROUNDS = 32  # of following references; more than any chain of real tables is long
_DEFAULT_SCHEMAS = ("public.", "main.", "dbo.")


def alike(key: StoreKey) -> StoreKey:
    """A key as it is compared with that of another column, which may be of another type or collation."""
    return tuple(str(value).lower() for value in key)


def table_named(tables: Mapping[str, StoreTable], name: str) -> StoreTable | None:
    """The table the catalogue means; it may name the default schema, which the store's own names leave out."""
    for prefix in ("", *_DEFAULT_SCHEMAS):
        found = tables.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if found is not None:
            return found
    return None


def gather(
    store: ErasableStore, catalogue: Catalogue, store_key: str | None, known_by: Sequence[Identifier] = ()
) -> Gathered:
    """The person's rows. `known_by` are identifiers beside those in the rows, as a request brings them."""
    gathering = Gathering(store, catalogue, known_by)
    gathering.begin(store_key)
    for _round in range(_ROUNDS):
        if not gathering.go_on():
            break
    gathering.look_outside()
    return gathering.found


class Gathering:
    """One search for the rows of one person."""

    def __init__(self, store: ErasableStore, catalogue: Catalogue, known_by: Sequence[Identifier]) -> None:
        self._store = store
        self._catalogue = catalogue
        self._known_by = known_by
        self.found = Gathered(store.shape())
        self._declared: dict[str, Collection] = {}
        for one in catalogue.collections.values():
            table = table_named(self.found.tables, one.table)
            if table is None:
                self.found.missing.append(one.table)
            else:
                self._declared[table.name] = one
        self._names = {one.name: table for table, one in self._declared.items()}
        self._asked: set[tuple[str, tuple[str, ...], StoreKey]] = set()
        self._parents: dict[tuple[str, StoreKey], StoreRow | None] = {}

    def begin(self, store_key: str | None) -> None:
        """Find the person's own record."""
        root = self._names.get(self._catalogue.root.name)
        if root is None or store_key is None:
            return
        column = self._catalogue.root.primary_key
        wanted: list[StoreKey] = [(store_key,)]
        if store_key.removeprefix("-").isdecimal():
            wanted.append((int(store_key),))
        self._take(root, [row for row in self._find(root, (column,), wanted) if str(row.values[column]) == store_key])

    def adopt(self, table: str, rows: Sequence[StoreRow]) -> None:
        """Take these rows and what the catalogue hangs on them, whosever they are."""
        self.found.mine[table] = {row.key: row for row in rows}
        for _round in range(_ROUNDS):
            new = False
            for name, collection in self._declared.items():
                link = self._link(name, collection)
                if name == table or link is None or link.table not in self.found.mine:
                    continue
                wanted = [self._held(row, link.to_columns) for row in self.found.mine[link.table].values()]
                rows = self._find(name, link.columns, wanted)
                self.found.mine.setdefault(name, {}).update({row.key: row for row in rows})
                new |= bool(rows)
            if not new:
                return

    def root_key(self, table: str, row: StoreRow) -> str | None:
        """The store's key of the person whose row it is; None where its references lead to none."""
        for _step in range(_ROUNDS):
            collection = self._declared[table]
            if collection is self._catalogue.root:
                return str(row.values[collection.primary_key])
            link = self._link(table, collection)
            held = () if link is None else self._held(row, link.columns)
            if link is None or None in held:
                return None
            if (link.table, held) not in self._parents:
                self._parents[link.table, held] = next(
                    iter(self._store.find(link.table, link.to_columns, [held])), None
                )
            parent = self._parents[link.table, held]
            if parent is None:
                return None
            table, row = link.table, parent
        return None

    def go_on(self) -> bool:
        """Follow every reference one step further; False once nothing new was found."""
        new = False
        for table, collection in self._declared.items():
            new |= self._by_declaration(table, collection)
        for table in self._declared:
            new |= self._by_foreign_keys(table)
        for table, collection in self._declared.items():
            new |= self._by_identity(table, collection)
        return new

    def look_outside(self) -> None:
        """Find rows of others, and of tables nobody declared, that point to the person's."""
        for table, reference in self._pointing():
            wanted = {
                self._held(row, reference.to_columns): key for key, row in self.found.mine[reference.table].items()
            }
            wanted = {key: target for key, target in wanted.items() if None not in key}
            for row in self._store.find(table, reference.columns, list(wanted)) if wanted else ():
                if not self.found.has(table, row.key):
                    target = (reference.table, wanted[self._held(row, reference.columns)])
                    declared = table in self._declared
                    self.found.outside.append(Outside(table, row.key, reference, target, declared))

    def _by_declaration(self, table: str, collection: Collection) -> bool:
        """Rows whose declared reference holds what a row of the person's holds."""
        link = self._link(table, collection)
        if link is None or link.table not in self.found.mine:
            return False
        parents = self.found.mine[link.table]
        wanted = [self._held(row, link.to_columns) for row in parents.values()]
        rows = self._find(table, link.columns, wanted)
        if not rows:
            return False
        of_others = self._of_others(link, {self._held(row, link.columns) for row in rows})
        mine = [row for row in rows if alike(self._held(row, link.columns)) not in of_others]
        self._share(table, [row for row in rows if alike(self._held(row, link.columns)) in of_others])
        return self._take(table, mine)

    def _of_others(self, link: StoreReference, held: set[StoreKey]) -> set[StoreKey]:
        """Which of these values other people's rows hold as well, so that what hangs on them is theirs too."""
        parent = self.found.tables[link.table]
        if set(link.to_columns) >= set(parent.key):
            return set()
        rows = self._store.find(link.table, link.to_columns, list(held))
        others = (row for row in rows if not self.found.has(link.table, row.key))
        return {alike(self._held(row, link.to_columns)) for row in others}

    def _by_foreign_keys(self, table: str) -> bool:
        """Rows that point to one of the person's by another key and belong to nobody else."""
        new = False
        for reference in self.found.tables[table].references:
            if reference.table not in self.found.mine or self._is_link(table, reference):
                continue
            wanted = [self._held(row, reference.to_columns) for row in self.found.mine[reference.table].values()]
            rows = self._find(table, reference.columns, wanted)
            new |= self._take(table, [row for row in rows if self._owner(table, row) is None])
        return new

    def _by_identity(self, table: str, collection: Collection) -> bool:
        """Orphans: rows that lead to nobody and carry an identifier of the person's that is nobody else's."""
        new = False
        for field in collection.fields if table != self._names.get(self._catalogue.root.name) else ():
            column = self.found.tables[table].columns.get(field.column)
            if field.identity is None or column is None:
                continue
            values = self._identifiers(field.identity)
            rows = self._find(table, (field.column,), [(value,) for value in sorted(values, key=str)])
            rows = [row for row in rows if self._owner(table, row) is None]
            if not rows:
                continue
            if self._used_by_others(field.identity, values):
                self._share(table, rows)
            else:
                new |= self._take(table, rows)
        return new

    def _identifiers(self, kind: str) -> set[JsonValue]:
        """Every way in which an identifier of this kind stands in the person's rows or was brought."""
        found: set[JsonValue] = {one.value for one in self._known_by if one.kind == kind}
        for table, rows in self.found.mine.items():
            columns = [one.column for one in self._declared[table].fields if one.identity == kind]
            found |= {row.values[column] for row in rows.values() for column in columns if column in row.values}
        texts = {one for one in found if isinstance(one, str) and one.strip()}
        numbers = {one for one in found if isinstance(one, int) and not isinstance(one, bool)}
        return {*texts, *(one.strip() for one in texts), *(one.lower() for one in texts), *numbers}

    def _used_by_others(self, kind: str, values: Iterable[JsonValue]) -> bool:
        root = self._catalogue.root
        table = self._names[root.name]
        columns = [one.column for one in root.fields if one.identity == kind]
        wanted: list[StoreKey] = [(value,) for value in values]
        rows = (row for column in columns for row in self._store.find(table, (column,), wanted))
        return any(not self.found.has(table, row.key) for row in rows)

    def _owner(self, table: str, row: StoreRow) -> str | None:
        """`mine` or `other` where the row's declared references end in a record; None where they end before one."""
        for _step in range(_ROUNDS):
            if self.found.has(table, row.key):
                return "mine"
            collection = self._declared[table]
            if collection is self._catalogue.root:
                return "other"
            link = self._link(table, collection)
            held = () if link is None else self._held(row, link.columns)
            if link is None or None in held:
                return None
            parents = self._store.find(link.table, link.to_columns, [held])
            if not parents:
                return None
            mine = next((one for one in parents if self.found.has(link.table, one.key)), None)
            table, row = link.table, mine or parents[0]
        return "other"

    def _take(self, table: str, rows: Sequence[StoreRow]) -> bool:
        """Call these rows the person's, but for those that lead to another person as well."""
        taken = self.found.mine.setdefault(table, {})
        shared = self.found.shared.get(table, {})
        new = [row for row in rows if row.key not in taken and row.key not in shared]
        both = [row for row in new if self._leads_to_another(table, row)]
        self._share(table, both)
        mine = [row for row in new if row not in both]
        taken.update({row.key: row for row in mine})
        return bool(mine)

    def _share(self, table: str, rows: Sequence[StoreRow]) -> None:
        taken = self.found.mine.get(table, {})
        fresh = {row.key: row for row in rows if row.key not in taken}
        if fresh:
            self.found.shared.setdefault(table, {}).update(fresh)

    def _leads_to_another(self, table: str, row: StoreRow) -> bool:
        root = self._names.get(self._catalogue.root.name)
        if root is None or table == root:
            return False
        mine = self.found.mine.get(root, {})
        for reference in self.found.tables[table].references:
            held = self._held(row, reference.columns)
            if reference.table == root and None not in held:
                ours = {alike(self._held(one, reference.to_columns)) for one in mine.values()}
                if alike(held) not in ours and self._store.find(root, reference.to_columns, [held]):
                    return True
        return False

    def _link(self, table: str, collection: Collection) -> StoreReference | None:
        """The declared reference; the whole foreign key where the column is a part of one."""
        if collection is self._catalogue.root or collection.reference is None:
            return None
        parent = self._names.get(collection.reference.to_collection)
        if parent is None:
            return None
        pair = (collection.reference.column, collection.reference.to_column)
        for one in self.found.tables[table].references:
            if one.table == parent and pair in zip(one.columns, one.to_columns, strict=True):
                return one
        columns = self.found.tables[table].columns
        if pair[0] not in columns or pair[1] not in self.found.tables[parent].columns:
            return None
        return StoreReference((pair[0],), parent, (pair[1],))

    def _is_link(self, table: str, reference: StoreReference) -> bool:
        return self._link(table, self._declared[table]) == reference

    def _pointing(self) -> Iterator[tuple[str, StoreReference]]:
        for table in self.found.tables.values():
            for reference in table.references:
                if self.found.mine.get(reference.table):
                    yield table.name, reference

    def _find(self, table: str, columns: tuple[str, ...], wanted: Iterable[StoreKey]) -> Sequence[StoreRow]:
        """As the store's, but nothing is asked for twice."""
        fresh = [key for key in dict.fromkeys(wanted) if None not in key and (table, columns, key) not in self._asked]
        self._asked.update((table, columns, key) for key in fresh)
        return self._store.find(table, columns, fresh) if fresh else ()

    @staticmethod
    def _held(row: StoreRow, columns: Sequence[str]) -> StoreKey:
        return tuple(row.values[column] for column in columns)
