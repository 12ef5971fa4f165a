"""Databases of the conformance suite, as a retailer would have made them."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from consent_gateway.conformance import Rows
from consent_gateway.connectors.sql import SqlStore
from consent_gateway.policy.catalogue import Catalogue

MakeStore = Callable[[Catalogue, Rows], SqlStore]


def retailer_tables() -> sa.MetaData:
    """The tables of the suite's rows; `secret` and `margin` are in no catalogue."""
    metadata = sa.MetaData()
    sa.Table(
        "customers", metadata,
        sa.Column("customer_id", sa.Integer, primary_key=True),
        sa.Column("email", sa.String(40), nullable=False, unique=True),
        sa.Column("phone", sa.String(20)),
        sa.Column("country", sa.String(2)),
        sa.Column("points", sa.Integer),
        sa.Column("secret", sa.String(40)),
    )  # fmt: skip
    _child(metadata, "loyalty_accounts", "loyalty_number", sa.String(20), "customer_id", "tier")
    _child(metadata, "devices", "device_id", sa.String(20), "customer_id", "platform")
    _child(metadata, "orders", "order_id", sa.Integer, "customer_id", "placed_on", "city", "margin")
    _child(metadata, "order_lines", "line_id", sa.Integer, "order_id", "product")
    _child(metadata, "line_notes", "note_id", sa.Integer, "line_id", "note")
    return metadata


def _child(metadata: sa.MetaData, table: str, key: str, key_type: object, parent: str, *texts: str) -> None:
    columns = [sa.Column(one, sa.Integer if one == "margin" else sa.String(40)) for one in texts]
    key_column: sa.Column[object] = sa.Column(key, key_type, primary_key=True)  # type: ignore[call-overload]
    sa.Table(table, metadata, key_column, sa.Column(parent, sa.Integer, index=True), *columns)


def fill(url: str, rows: Rows) -> None:
    """Make the tables anew and fill them, as the retailer."""
    engine = sa.create_engine(url)
    metadata = retailer_tables()
    with engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
        for table in metadata.sorted_tables:
            if rows[table.name]:
                connection.execute(sa.insert(table), [dict(row) for row in rows[table.name]])
        if engine.dialect.name == "postgresql":  # the rows brought their own keys
            connection.execute(sa.text("SELECT setval('customers_customer_id_seq', 1000)"))
    engine.dispose()


@pytest.fixture
def make_sql_store(empty_database: str) -> Iterator[MakeStore]:
    """Makes a store over a fresh database holding the rows given; once on SQLite, once on PostgreSQL."""
    made: list[SqlStore] = []

    def make(catalogue: Catalogue, rows: Rows) -> SqlStore:
        fill(empty_database, rows)
        made.append(SqlStore(empty_database, catalogue, timeout=5.0, version_key=b"v" * 32, threads=4))
        return made[-1]

    yield make
    for store in made:
        store.close()
