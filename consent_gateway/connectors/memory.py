"""A customer store in memory, for tests and trials; keeps nothing after the process and decides nothing."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from consent_gateway.connectors.changes import MOVED, refuse_unwritable
from consent_gateway.connectors.enrolling import Gathered, telling
from consent_gateway.connectors.json_forms import NoJsonForm, to_json
from consent_gateway.connectors.plans import links, refuse_unknown
from consent_gateway.connectors.versions import Versions
from consent_gateway.errors import Conflict, FieldFault, InputRefused, NotFound, StoreUnavailable
from consent_gateway.policy.catalogue import Catalogue, Collection
from consent_gateway.ports import Page, StoredIdentity, StoredRecord
from consent_gateway.vocabulary import JsonValue

Row = dict[str, Any]
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "float": (int, float),
    "boolean": bool,
}


class MemoryStore:
    """`CustomerStore` over rows given by collection name and column; the rows are copied. Safe between threads.

    Values are checked against the catalogue's `data_type` where it is a simple one. Nothing but the key is unique.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        rows: Mapping[str, Sequence[Mapping[str, Any]]],
        *,
        version_key: bytes = b"versions of a store in memory",
    ) -> None:
        self._catalogue = catalogue
        self._rows = {name: [dict(row) for row in rows.get(name, ())] for name in catalogue.collections}
        self._absent = sorted(name for name in catalogue.collections if name not in rows)
        self._versions = Versions(version_key, catalogue)
        self._lock = Lock()

    def read(self, store_key: str, fields: Sequence[str], page: Page = Page()) -> StoredRecord | None:  # noqa: B008 - frozen
        """As `CustomerStore.read`."""
        refuse_unknown(self._catalogue, fields)
        if page.limit < 0 or page.offset < 0:
            raise InputRefused("a page has 0 rows or more and an offset of 0 or more")
        with self._lock:
            record = self._record(store_key)
            if record is None:
                return None
            root = self._catalogue.root
            values = {name: _form(root, record, name) for name in self._versions.ordered(list(fields))}
            children: dict[str, list[dict[str, JsonValue]]] = {}
            more = set()
            for collection in self._catalogue.collections.values():
                columns = [field.column for field in collection.fields if field.name in fields]
                if collection is root or not columns:
                    continue
                rows = self._belonging(collection, record)[page.offset :]
                children[collection.name] = [
                    {name: _form(collection, row, name) for name in columns} for row in rows[: page.limit]
                ]
                if len(rows) > page.limit:
                    more.add(collection.name)
        return StoredRecord(values, children, self._versions.of(store_key, values), frozenset(more))

    def update(self, store_key: str, changes: Mapping[str, JsonValue], expected_version: str | None) -> str:
        """As `CustomerStore.update`."""
        refuse_unwritable(self._catalogue, changes, new=False)
        self._refuse_types(changes)
        covered = self._versions.ordered(list(changes))
        if expected_version is not None:
            named = self._versions.covered(expected_version)
            if named is None:
                raise Conflict(MOVED)
            covered = named
        with self._lock:
            record = self._record(store_key)
            if record is None:
                raise NotFound("the store has no record with this key")
            if expected_version is not None and self._version(store_key, record, covered) != expected_version:
                raise Conflict(MOVED)
            record.update({self._catalogue.fields[name].column: value for name, value in changes.items()})
            return self._version(store_key, record, covered)

    def create(self, values: Mapping[str, JsonValue]) -> str:
        """As `CustomerStore.create`; a key that is not given is the next whole number."""
        refuse_unwritable(self._catalogue, values, new=True)
        self._refuse_types(values)
        root = self._catalogue.root
        with self._lock:
            records = self._rows[root.name]
            numbers = [row[root.primary_key] for row in records if isinstance(row[root.primary_key], int)]
            record: Row = {field.column: None for field in root.fields}
            record[root.primary_key] = max(numbers, default=0) + 1
            record.update(values)
            store_key = str(record[root.primary_key])
            if self._record(store_key) is not None:
                raise Conflict(f"another record has this value already: `{root.primary_key}` must be unique")
            records.append(record)
        return store_key

    def identities(self, after: str | None, limit: int) -> Sequence[StoredIdentity]:
        """As `CustomerStore.identities`."""
        if limit < 1:
            raise InputRefused("a page has at least 1 record")
        key = self._catalogue.root.primary_key
        with self._lock:
            records = sorted(self._rows[self._catalogue.root.name], key=lambda row: _place(row[key]))
            keys = [str(row[key]) for row in records]
            start = 0
            if after is not None:
                if after not in keys:
                    raise InputRefused("the position is not a key of this store: start again from the beginning")
                start = keys.index(after) + 1
            return [self._identity(record, str(record[key])) for record in records[start : start + limit]]

    def count(self) -> int:
        """As `CustomerStore.count`."""
        with self._lock:
            return len(self._rows[self._catalogue.root.name])

    def faults(self) -> Sequence[str]:
        """As `CustomerStore.faults`; a column is there if the collection's first row has it."""
        faults = [f"the catalogue names table `{name}`, which the store does not have: add it" for name in self._absent]
        with self._lock:
            for collection in self._catalogue.collections.values():
                faults += [
                    f"the catalogue names column `{field.column}` of table `{collection.table}`, which the store does"
                    " not have: remove it from the catalogue or add the column"
                    for row in self._rows[collection.name][:1]
                    for field in collection.fields
                    if field.column not in row
                ]
        return faults

    def _record(self, store_key: str) -> Row | None:
        root = self._catalogue.root
        found = [row for row in self._rows[root.name] if str(row[root.primary_key]) == store_key]
        if len(found) > 1:
            raise StoreUnavailable("more than one record has this key: make the catalogue's primary key unique")
        return found[0] if found else None

    def _belonging(self, collection: Collection, record: Row) -> list[Row]:
        rows = [record]
        for link in reversed(links(self._catalogue, collection)):  # from the root down
            held = [row[link.reference.to_column] for row in rows]
            rows = [row for row in self._rows[link.child.name] if row[link.reference.column] in held]
        order = (collection.order_by, collection.primary_key)
        return sorted(rows, key=lambda row: [_place(row[name]) for name in order])

    def _identity(self, record: Row, store_key: str) -> StoredIdentity:
        gathered = Gathered()
        for collection in self._catalogue.collections.values():
            fields = telling(collection)
            is_root = collection is self._catalogue.root
            for row in [record] if is_root else self._belonging(collection, record) if fields else []:
                formed = {field.column: _form(collection, row, field.column) for field in fields}
                gathered.add(fields, formed, of_root=is_root)
        return gathered.stored(store_key)

    def _version(self, store_key: str, record: Row, covered: tuple[str, ...]) -> str:
        return self._versions.of(store_key, {name: _form(self._catalogue.root, record, name) for name in covered})

    def _refuse_types(self, values: Mapping[str, JsonValue]) -> None:
        faults = []
        for name, value in values.items():
            field = self._catalogue.fields[name]
            expected = _TYPES.get(field.data_type, object)
            is_other = not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool)
            if value is not None and expected is not object and is_other:
                faults.append(FieldFault(f"/record/{name}", f"must be of type {field.data_type}"))
        if faults:
            raise InputRefused("the store does not take a value", tuple(faults))


def _form(collection: Collection, row: Row, column: str) -> JsonValue:
    if column not in row:
        raise StoreUnavailable(f"the store has no column `{column}` in table `{collection.table}`: mend the catalogue")
    try:
        return to_json(row[column])
    except NoJsonForm as error:
        raise StoreUnavailable(f"column `{column}` holds a value without a JSON form ({error})") from None


def _place(value: Any) -> tuple[bool, Any]:
    """Sorts nulls last."""
    return (value is None, 0 if value is None else value)
