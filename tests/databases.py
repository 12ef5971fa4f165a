"""Fresh databases for tests, made fast: SQLite files from a template, PostgreSQL databases cleaned and lent again."""

import os
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import sqlalchemy as sa

from consent_gateway.database import KEY_METADATA, METADATA, open_engine, sqlite_file

SCHEMAS = {"gateway": METADATA, "keys": KEY_METADATA, "empty": sa.MetaData()}

# What a test could change in a database beside its rows; the numbers below 16384 are PostgreSQL's own.
FINGERPRINT = """
SELECT count(*), coalesce(sum(hashtextextended(x, 0)), 0) FROM (
  SELECT concat_ws(' ', 'class', oid, relname, relnamespace, relkind, relowner, relacl, reloptions) FROM pg_class
    WHERE oid >= 16384
  UNION ALL SELECT concat_ws(' ', 'column', attrelid, attnum, xmin) FROM pg_attribute WHERE attrelid >= 16384
  UNION ALL SELECT concat_ws(' ', 'default', oid, xmin) FROM pg_attrdef
  UNION ALL SELECT concat_ws(' ', 'constraint', oid, xmin) FROM pg_constraint WHERE oid >= 16384
  UNION ALL SELECT concat_ws(' ', 'index', indexrelid, indisvalid) FROM pg_index WHERE indexrelid >= 16384
  UNION ALL SELECT concat_ws(' ', 'trigger', oid, xmin) FROM pg_trigger
  UNION ALL SELECT concat_ws(' ', 'rule', oid, xmin) FROM pg_rewrite WHERE oid >= 16384
  UNION ALL SELECT concat_ws(' ', 'policy', oid, xmin) FROM pg_policy
  UNION ALL SELECT concat_ws(' ', 'function', oid, xmin) FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT concat_ws(' ', 'type', oid, xmin) FROM pg_type WHERE oid >= 16384
  UNION ALL SELECT concat_ws(' ', 'schema', nspname, nspowner, nspacl) FROM pg_namespace
  UNION ALL SELECT concat_ws(' ', 'extension', oid, xmin) FROM pg_extension
  UNION ALL SELECT concat_ws(' ', 'rights', oid, xmin) FROM pg_default_acl
  UNION ALL SELECT concat_ws(' ', 'event', oid, xmin) FROM pg_event_trigger
  UNION ALL SELECT concat_ws(' ', 'large object', oid, xmin) FROM pg_largeobject_metadata
  UNION ALL SELECT concat_ws(' ', 'setting', setrole, setconfig) FROM pg_db_role_setting
    JOIN pg_database ON setdatabase = pg_database.oid AND datname = current_database()
) AS all_of_it (x)
"""

EMPTIED = """
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC
"""


@dataclass(frozen=True)
class Fresh:
    """What a database was when it was made: what it is beside its rows, its first rows by table, its sequences."""

    schema: str
    fingerprint: tuple[object, ...]
    rows: Mapping[str, str]
    sequences: Mapping[str, int | None]


class Lending:
    """The databases of one PostgreSQL server, each lent to one test at a time and as new for the next.

    Making one takes longer than most tests. One that comes back gets its first rows again and is lent again, if all
    but its rows is as it was when it was made; if not, it is dropped.
    """

    def __init__(self, server: str) -> None:
        self._admin = sa.make_url(server).set(drivername="postgresql+psycopg")
        self._engine = sa.create_engine(self._admin, isolation_level="AUTOCOMMIT")
        self._idle: dict[str, list[str]] = {name: [] for name in SCHEMAS}
        self._made: dict[str, Fresh] = {}

    def lend(self, schema: str) -> str:
        """The URL of a fresh database with these tables."""
        name = self._idle[schema].pop() if self._idle[schema] else self._make(schema)
        return self._admin.set(database=name).render_as_string(hide_password=False)

    def take_back(self, url: str) -> None:
        """The test is over: whoever is still connected is thrown out, and what it wrote goes."""
        name = str(sa.make_url(url).database)
        with self._engine.connect() as connection:
            connection.execute(
                sa.text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"),
                {"name": name},
            )
        fresh = self._made[name]
        with self._inside(name) as connection:
            if fresh.schema == "empty":
                connection.exec_driver_sql(EMPTIED)
            same = _fingerprint(connection) == fresh.fingerprint
            if same:
                _renew(connection, fresh)
        if same:
            self._idle[fresh.schema].append(name)
        else:
            self.drop(url)

    def drop(self, url: str) -> None:
        """Do away with a database."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE "{sa.make_url(url).database}" WITH (FORCE)')

    def close(self) -> None:
        """Let go of the server."""
        self._engine.dispose()

    def _inside(self, name: str) -> AbstractContextManager[sa.Connection]:
        return sa.create_engine(self._admin.set(database=name), poolclass=sa.NullPool).begin()

    def _make(self, schema: str) -> str:
        name = f"t{uuid.uuid4().hex}"
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        with self._inside(name) as connection:
            connection.exec_driver_sql(EMPTIED)
            SCHEMAS[schema].create_all(connection)
        with self._inside(name) as connection:
            rows = {table: _rows(connection, table) for table in _filled(connection, schema)}
            self._made[name] = Fresh(schema, _fingerprint(connection), rows, _sequences(connection))
        return name


def _fingerprint(connection: sa.Connection) -> tuple[object, ...]:
    return tuple(connection.exec_driver_sql(FINGERPRINT).one())


def _filled(connection: sa.Connection, schema: str) -> set[str]:
    looks = [f"SELECT '{name}' WHERE EXISTS (SELECT FROM \"{name}\")" for name in SCHEMAS[schema].tables]
    return set(connection.exec_driver_sql(" UNION ALL ".join(looks)).scalars()) if looks else set()


def _rows(connection: sa.Connection, table: str) -> str:
    return str(connection.exec_driver_sql(f'SELECT json_agg(one)::text FROM "{table}" AS one').scalar())


def _sequences(connection: sa.Connection) -> dict[str, int | None]:
    listed = "SELECT format('%%I.%%I', schemaname, sequencename), last_value FROM pg_sequences"
    return dict(connection.exec_driver_sql(listed).all())


def _renew(connection: sa.Connection, fresh: Fresh) -> None:
    """The first rows and numbers again. Rows are taken out by TRUNCATE, which leaves a file as a new table has it."""
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")  # append-only tables refuse otherwise
    filled = _filled(connection, fresh.schema)
    written = [name for name in filled if fresh.rows.get(name) != _rows(connection, name)]
    if written:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(written)} CASCADE")
    for name, rows in fresh.rows.items():
        if _rows(connection, name) != rows:
            statement = f'INSERT INTO "{name}" SELECT * FROM json_populate_recordset(NULL::"{name}", %(rows)s)'
            connection.exec_driver_sql(statement, {"rows": rows})
    for name, last in _sequences(connection).items():
        if last != fresh.sequences[name]:
            number = "(SELECT seqstart FROM pg_sequence WHERE seqrelid = %(name)s::regclass)"
            statement = f"SELECT setval(%(name)s::regclass, coalesce(%(last)s, {number}), %(last)s IS NOT NULL)"
            connection.exec_driver_sql(statement, {"name": name, "last": fresh.sequences[name]})


@cache
def _template(schema: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        engine = open_engine(f"sqlite:///{path}", threads=1)
        SCHEMAS[schema].create_all(engine)
        engine.dispose()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return path.read_bytes()


def build_schema(engine: sa.Engine, schema: str) -> None:
    """The tables of the gateway or of the keys in a fresh database, where they do not stand yet."""
    path = sqlite_file(engine.url)
    if path is not None and not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_template(schema))
        return
    if engine.url.get_backend_name() == "sqlite" and path is None:
        raw = _template(schema)
        with engine.connect() as connection:  # in memory, where there is no write-ahead log
            driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
            driver.deserialize(raw[:18] + b"\1\1" + raw[20:])
        return
    tables = SCHEMAS[schema]
    with engine.connect() as connection:
        standing = sa.inspect(connection).has_table(tables.sorted_tables[0].name)
    if not standing:
        tables.create_all(engine)
