"""Databases lent to tests: what a test wrote is gone for the next, and one that it altered is not lent again."""

import pytest
import sqlalchemy as sa

from consent_gateway.database import KEY_METADATA, METADATA
from tests.databases import SCHEMAS, Lending, build_schema

PERSON = "INSERT INTO people (data_subject, store_key, jurisdiction, created_at) VALUES ('ds_1', '1', 'DE', 0)"
ALTERED = {
    "a guard is off": "ALTER TABLE consent_events DISABLE TRIGGER USER",
    "a table is gone": "DROP TABLE people CASCADE",
    "a table is new": "CREATE TABLE more (one int)",
    "a column is new": "ALTER TABLE people ADD COLUMN more int",
    "an index is gone": "DROP INDEX ix_access_tokens_client_id",
    "a right is given": "GRANT SELECT ON people TO PUBLIC",
    "a function is new": "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a setting is new": "ALTER DATABASE {name} SET work_mem = '1MB'",
}


def rows(connection: sa.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Everything that stands in the tables."""
    found = {table.name: connection.execute(sa.select(table)).all() for table in METADATA.sorted_tables}
    return {name: [tuple(row) for row in every] for name, every in found.items() if every}


def carry_out(url: str, statement: str) -> None:
    """One statement, committed."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement.replace("{name}", f'"{engine.url.database}"'))
    engine.dispose()


def test_what_a_test_wrote_is_gone(lending: Lending) -> None:
    """Rows and numbers are those of a database just made, though a connection was left open; it is the same one."""
    url = lending.lend("gateway")
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        first = rows(connection)
    carry_out(url, PERSON)
    carry_out(
        url, "INSERT INTO audit_queue (entry_id, entry, txid) VALUES ('dec_1', '\\x00', 0), ('dec_2', '\\x01', 0)"
    )
    carry_out(url, "UPDATE index_generation SET generation = 7")
    left_open = engine.connect()
    left_open.execute(sa.text("SELECT count(*) FROM people"))
    lending.take_back(url)
    left_open.invalidate()
    left_open.close()
    engine.dispose()
    again = lending.lend("gateway")
    assert again == url
    engine = sa.create_engine(again)
    with engine.begin() as connection:
        assert rows(connection) == first
        connection.exec_driver_sql("INSERT INTO audit_queue (entry_id, entry, txid) VALUES ('dec_3', '\\x00', 0)")
        assert connection.exec_driver_sql("SELECT n FROM audit_queue").scalar_one() == 1
    engine.dispose()
    lending.take_back(again)


@pytest.mark.parametrize("what", ALTERED)
def test_an_altered_database_is_not_lent_again(lending: Lending, what: str) -> None:
    """Whatever a test changes beside rows, the next test does not meet it."""
    url = lending.lend("gateway")
    carry_out(url, ALTERED[what])
    lending.take_back(url)
    assert lending.lend("gateway") != url


def test_an_empty_database_comes_back_empty(lending: Lending) -> None:
    """Tables that a test made in an empty database are gone for the next."""
    url = lending.lend("empty")
    engine = sa.create_engine(url)
    KEY_METADATA.create_all(engine)
    engine.dispose()
    lending.take_back(url)
    assert lending.lend("empty") == url
    engine = sa.create_engine(url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
    lending.take_back(url)


@pytest.mark.parametrize("schema", ["gateway", "keys"])
def test_a_template_holds_what_the_models_say(schema: str) -> None:
    """A SQLite database from the template has the tables, indexes, triggers and rows of one that is made anew."""
    said = []
    for build in (lambda engine: build_schema(engine, schema), SCHEMAS[schema].create_all):
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        build(engine)
        with engine.connect() as connection:
            objects = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master ORDER BY name").all()
            held = [
                (name, connection.exec_driver_sql(f'SELECT * FROM "{name}"').all())
                for kind, name, _sql in objects
                if kind == "table"
            ]
        said.append((objects, held))
        engine.dispose()
    assert said[0] == said[1]
