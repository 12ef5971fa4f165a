"""Compares the catalogue with the store and says what does not fit, each with its mend; mends nothing itself."""

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from consent_gateway.connectors.plans import Planner, links
from consent_gateway.connectors.refusals import code_of
from consent_gateway.connectors.schema import Schema
from consent_gateway.database import driver_errors
from consent_gateway.errors import DatabaseUnavailable, StoreUnavailable
from consent_gateway.policy.catalogue import Collection


def schema_faults(engine: Engine, schema: Schema, planner: Planner) -> list[str]:
    """Everything the catalogue names and the store does not have, then what the store refuses to read."""
    faults = [fault for one in schema.catalogue.collections.values() for fault in _of_collection(schema, one)]
    if faults:
        return faults
    faults = _key_faults(engine, schema)
    for one in schema.catalogue.collections.values():
        faults += _trial(planner, one)
    return faults


def _of_collection(schema: Schema, collection: Collection) -> list[str]:
    table = schema.tables.get(collection.name)
    if table is None:
        return [
            (
                f"the catalogue names table `{collection.table}`, which the store does not have:"
                " remove the collection from the catalogue, add the table, or let the gateway's role see it"
            )
        ]
    named = [*(field.column for field in collection.fields), collection.primary_key, collection.order_by]
    if collection.reference is not None:
        named.append(collection.reference.column)
    faults = [
        f"the catalogue names column `{column}` of table `{collection.table}`, which the store does not have:"
        " remove it from the catalogue or add the column"
        for column in dict.fromkeys(named)
        if column not in table.columns
    ]
    if collection is schema.catalogue.root:
        return faults
    try:
        links(schema.catalogue, collection)
    except StoreUnavailable as error:
        faults.append(error.message)
    return faults


def _key_faults(engine: Engine, schema: Schema) -> list[str]:
    """The root's key must be unique, or two people could be read as one. A view cannot declare that."""
    root, table = schema.catalogue.root, schema.table(schema.catalogue.root)
    unique = [list(table.primary_key.columns.keys())]
    try:
        inspector = sa.inspect(engine)
        if table.name in inspector.get_view_names(schema=table.schema):
            return []
        unique += [one["column_names"] for one in inspector.get_unique_constraints(table.name, schema=table.schema)]
        indexes = inspector.get_indexes(table.name, schema=table.schema)
        unique += [[str(name) for name in one["column_names"]] for one in indexes if one["unique"]]
    except driver_errors(engine) as error:
        return [f"the store does not tell its keys ({code_of(error)}): let the gateway's role see them"]
    if [root.primary_key] in unique:
        return []
    return [
        (
            f"the catalogue's primary key `{root.primary_key}` of table `{root.table}` is not unique in the store:"
            " name the table's key in the catalogue or make the column unique"
        )
    ]


def _trial(planner: Planner, collection: Collection) -> list[str]:
    """Read every catalogued column of nobody, as a real read would: shows missing grants and keys of other types."""
    plan = planner.plan(frozenset(field.name for field in collection.fields))
    reads = [plan.root, *plan.children]
    try:
        for one in reads:
            paging = {} if one is plan.root else {"limit": 0, "offset": 0}
            one.read.rows(key=None, **paging)
    except DatabaseUnavailable as error:
        return [
            (
                f"the store refuses a read of table `{collection.table}` ({code_of(error.__cause__)}):"
                " grant SELECT to the gateway's role, and let reference columns have the type of the key they hold"
            )
        ]
    return []
