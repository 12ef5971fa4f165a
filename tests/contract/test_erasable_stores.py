"""The suite for erasable stores on the one of the project, on SQLite and on PostgreSQL."""

from collections.abc import Iterator, Mapping
from datetime import date

import pytest
import sqlalchemy as sa

from consent_gateway.conformance import ErasableRows, ErasableStoreConformance
from consent_gateway.connectors.erasing import SqlErasing


def _tables() -> sa.MetaData:
    """The tables as a retailer has them; the day is a date."""
    metadata = sa.MetaData()
    sa.Table(
        "customers", metadata,
        sa.Column("customer_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("email", sa.String(60), nullable=False, unique=True),
        sa.Column("phone", sa.String(30)),
        sa.Column("points", sa.Integer),
    )  # fmt: skip
    sa.Table(
        "orders", metadata,
        sa.Column("order_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("customer_id", sa.Integer, sa.ForeignKey("customers.customer_id"), nullable=False),
        sa.Column("placed_on", sa.Date),
        sa.Column("city", sa.String(40)),
    )  # fmt: skip
    sa.Table(
        "reviews", metadata,
        sa.Column("review_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.order_id")),
        sa.Column("words", sa.String(200)),
    )  # fmt: skip
    sa.Table(
        "scraps", metadata,
        sa.Column("scrap_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("words", sa.Text),
    )  # fmt: skip
    return metadata


def _dated(row: Mapping[str, object]) -> dict[str, object]:
    day = row.get("placed_on")
    return {**row, "placed_on": date.fromisoformat(day)} if isinstance(day, str) else dict(row)


class TestSqlErasing(ErasableStoreConformance):
    """Any database that SQLAlchemy reaches."""

    @pytest.fixture(autouse=True)
    def _database(self, empty_database: str) -> Iterator[None]:
        self.url = empty_database
        self.made: list[SqlErasing] = []
        yield
        for store in self.made:
            store.close()

    def make_store(self, rows: ErasableRows) -> SqlErasing:
        """The rows in fresh tables."""
        metadata, engine = _tables(), sa.create_engine(self.url)
        with engine.begin() as connection:
            metadata.drop_all(connection)
            metadata.create_all(connection)
            for table in metadata.sorted_tables:
                connection.execute(sa.insert(table), [_dated(row) for row in rows[table.name]])
        engine.dispose()
        self.made.append(SqlErasing(self.url, timeout=30))
        return self.made[-1]

    def make_lost_store(self) -> SqlErasing:
        """A file in a folder that is not there, a server that does not listen."""
        url = sa.make_url(self.url)
        away = url.set(database="/nowhere/at/all.db") if url.drivername == "sqlite" else url.set(database="nobody")
        self.made.append(SqlErasing(away.render_as_string(hide_password=False), timeout=5))
        return self.made[-1]
