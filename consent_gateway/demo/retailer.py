"""Builds the retailer's own SQLite database, Morgenrot Coffee; equal seeds give equal rows; it calls nobody.

The database exists before the gateway and belongs to the shop: its tables are a shop's tables, reached by the
gateway through the field catalogue alone.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from consent_gateway.demo.customers import invent
from consent_gateway.demo.schema import COLUMNS, INDEXES, TABLES
from consent_gateway.demo.trade import Row, Trade

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done and how much there is."""

SEED = 20_261_120
_BATCH = 1000  # customers written at once
_LABEL = "inventing Morgenrot Coffee"


def silent(_what: str, _done: int, _total: int) -> None:
    """A progress nobody watches."""


def build_retailer(path: Path, customers: int = 20_000, seed: int = SEED, progress: Progress = silent) -> None:
    """Write the database to `path`, replacing what is there; the file appears only when it is whole."""
    unfinished = path.with_name(path.name + ".partial")
    unfinished.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(unfinished)
    try:
        connection.execute("PRAGMA journal_mode=OFF")  # a half-written file is thrown away, never repaired
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript(TABLES)
        _fill(connection, customers, seed, progress)
        connection.executescript(INDEXES)
        connection.commit()
    finally:
        connection.close()
    unfinished.replace(path)


def _fill(connection: sqlite3.Connection, customers: int, seed: int, progress: Progress) -> None:
    trade = Trade(seed)
    rows: dict[str, list[Row]] = {table: [] for table in COLUMNS}
    progress(_LABEL, 0, customers)
    for customer in invent(customers, seed):
        rows["customers"].append(customer.row())
        for table, row in trade.of(customer):
            rows[table].append(row)
        if customer.customer_id % _BATCH == 0 or customer.customer_id == customers:
            _write(connection, rows)
            progress(_LABEL, customer.customer_id, customers)


def _write(connection: sqlite3.Connection, rows: dict[str, list[Row]]) -> None:
    for table, waiting in rows.items():
        places = ", ".join("?" * COLUMNS[table])
        connection.executemany(f"INSERT INTO {table} VALUES ({places})", waiting)  # noqa: S608 - our own names
        waiting.clear()
    connection.commit()
