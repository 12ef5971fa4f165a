"""Changes and inserts of root rows, each one transaction; the columns it touches are those named and no other.

Order of effects in a change: lock the row, compare the version, update, read the new version, commit. A crash
before the commit leaves the row as it was.
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from consent_gateway.connectors.coercion import coerced
from consent_gateway.connectors.json_forms import NoJsonForm, former, to_json
from consent_gateway.connectors.plans import refuse_unknown
from consent_gateway.connectors.refusals import refusal
from consent_gateway.connectors.schema import Schema, key_parser
from consent_gateway.connectors.versions import Versions
from consent_gateway.errors import Conflict, FieldFault, InputRefused, NotFound, StoreUnavailable
from consent_gateway.policy.catalogue import Catalogue, Field
from consent_gateway.vocabulary import JsonValue

MOVED = "the record changed since it was read: read it again and repeat the change"


def refuse_unwritable(catalogue: Catalogue, names: Mapping[str, JsonValue], *, new: bool) -> None:
    """Raise `UnknownField` or `InputRefused` for what is no writable root field; a new record may bring its key."""
    refuse_unknown(catalogue, names)
    root = catalogue.root
    faults = []
    for name in names:
        field = catalogue.fields[name]
        if field.collection != root.name:
            faults.append(FieldFault(f"/record/{name}", "is in a child collection, which cannot be written"))
        elif field.column == root.primary_key and not new:
            faults.append(FieldFault(f"/record/{name}", "is the store's key, which never changes"))
        elif field.column != root.primary_key and not field.writable:
            faults.append(FieldFault(f"/record/{name}", "is not writable: mark it `writable: true` in the catalogue"))
    if faults:
        raise InputRefused("a field cannot be written", tuple(faults))


class Changes:
    """Writes to one store."""

    def __init__(self, engine: Engine, schema: Schema, versions: Versions) -> None:
        self._engine = engine
        self._schema = schema
        self._versions = versions
        self._table = schema.table(schema.catalogue.root)
        self._parse_key = key_parser(schema.key.type, schema.dialect.name)

    def update(self, store_key: str, changes: Mapping[str, JsonValue], expected_version: str | None) -> str:
        """As `CustomerStore.update`."""
        refuse_unwritable(self._schema.catalogue, changes, new=False)
        values = self._coerced(changes)
        covered = self._versions.ordered(list(changes))
        if expected_version is not None:
            named = self._versions.covered(expected_version)
            if named is None:
                raise Conflict(MOVED)
            covered = named
        key = self._parse_key(store_key)
        if key is None:
            raise NotFound("the store has no record with this key")
        return self._in_transaction(
            changes, lambda connection: self._replace(connection, (store_key, key), values, covered, expected_version)
        )

    def create(self, values: Mapping[str, JsonValue]) -> str:
        """As `CustomerStore.create`."""
        refuse_unwritable(self._schema.catalogue, values, new=True)
        taken = self._coerced(values)
        return self._in_transaction(values, lambda connection: self._insert(connection, taken))

    def _in_transaction(self, named: Mapping[str, JsonValue], act: Callable[[sa.Connection], str]) -> str:
        try:
            with self._engine.begin() as connection:
                return act(connection)
        except sa.exc.DBAPIError as error:
            raise refusal(error, self._table, named) from None

    def _replace(
        self,
        connection: sa.Connection,
        key: tuple[str, Any],
        values: dict[str, Any],
        covered: tuple[str, ...],
        expected_version: str | None,
    ) -> str:
        store_key, driver_key = key
        present = self._version(connection, store_key, driver_key, covered)
        if expected_version is not None and present != expected_version:
            raise Conflict(MOVED)
        if values:
            connection.execute(sa.update(self._table).where(self._schema.key == driver_key).values(values))
        return self._version(connection, store_key, driver_key, covered)

    def _version(self, connection: sa.Connection, store_key: str, driver_key: Any, covered: tuple[str, ...]) -> str:
        """The row's version, with the row locked. Values come as the driver has them, as in a read."""
        root = self._schema.catalogue.root
        columns = [self._schema.column(root, name) for name in covered]
        raw: list[sa.ColumnElement[Any]] = [
            sa.type_coerce(column, sa.types.NullType()).label(f"c{at}") for at, column in enumerate(columns)
        ]
        statement = sa.select(*(raw or [sa.literal_column("1")])).select_from(self._table)
        rows = connection.execute(statement.where(self._schema.key == driver_key).with_for_update()).fetchall()
        if not rows:
            raise NotFound("the store has no record with this key")
        if len(rows) > 1:
            raise StoreUnavailable(f"more than one record has the same `{root.primary_key}`: make the column unique")
        formers = [former(column.type, self._schema.dialect.name) for column in columns]
        try:
            pairs = zip(covered, formers, rows[0][: len(covered)], strict=True)
            seen = {name: form(value) for name, form, value in pairs}
        except NoJsonForm as error:
            raise StoreUnavailable(f"the record holds a value without a JSON form ({error})") from None
        return self._versions.of(store_key, seen)

    def _insert(self, connection: sa.Connection, values: dict[str, Any]) -> str:
        key = self._schema.key
        if key.name not in values and not self._makes_keys():
            raise InputRefused(
                "the store makes no key of its own", (FieldFault(f"/record/{key.name}", "must have a value"),)
            )
        statement = sa.insert(self._table).values(values)
        if self._schema.dialect.insert_returning:
            made = connection.execute(statement.returning(key)).scalar_one()
        else:
            made = (connection.execute(statement).inserted_primary_key or (values.get(key.name),))[0]
        return str(to_json(made))

    def _makes_keys(self) -> bool:
        """True where the key has a default, or numbers itself as an integer key of SQLite and MySQL does."""
        key = self._schema.key
        if key.server_default is not None or key.identity is not None:
            return True
        return self._schema.dialect.name != "postgresql" and self._table.autoincrement_column is key

    def _coerced(self, values: Mapping[str, JsonValue]) -> dict[str, Any]:
        """Values by column name; a root field is named like its column."""
        catalogue = self._schema.catalogue
        fields: list[Field] = [catalogue.fields[name] for name in values]
        columns = {field.column: self._schema.column(catalogue.root, field.column) for field in fields}
        by_column = {catalogue.fields[name].column: value for name, value in values.items()}
        return coerced(columns, by_column, self._schema.dialect.name)
