"""Versions, keys and statements, without a database."""

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql

from consent_gateway.conformance import conformance_catalogue
from consent_gateway.connectors.engines import Deadline
from consent_gateway.connectors.plans import Planner, child_statement
from consent_gateway.connectors.schema import Schema, key_parser
from consent_gateway.connectors.versions import Versions
from consent_gateway.database import HeldConnections
from consent_gateway.errors import SettingsRefused

KEY = b"v" * 32
NAMES = tuple(field.name for field in conformance_catalogue().root.fields)


class Recording(HeldConnections):
    """Held connections that keep what they are asked and answer nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []

    def rows(self, text: str, parameters: object) -> list[tuple[object, ...]]:
        """No rows."""
        self.asked.append((text, parameters))
        return []


def schema(dialect: sa.Dialect) -> Schema:
    """The conformance catalogue's tables, all columns text but the root's key."""
    catalogue = conformance_catalogue()
    tables = {
        one.name: sa.Table(
            one.table,
            sa.MetaData(),
            *(sa.Column(f.column, sa.Integer if f.column == "customer_id" else sa.String(9)) for f in one.fields),
        )
        for one in catalogue.collections.values()
    }
    return Schema(catalogue, tables, dialect)


@given(values=st.dictionaries(st.sampled_from(NAMES), st.text() | st.none() | st.integers(-(2**53), 2**53)))
def test_a_version_says_which_columns_it_covers(values: dict[str, str | int | None]) -> None:
    """The columns of a version can be told from it, whatever their values; equal values give equal versions."""
    versions = Versions(KEY, conformance_catalogue())
    ordered = {name: values[name] for name in versions.ordered(frozenset(values))}
    version = versions.of("1", ordered)
    assert versions.covered(version) == tuple(ordered)
    assert version == Versions(KEY, conformance_catalogue()).of("1", dict(ordered))


def test_a_version_depends_on_key_record_columns_and_values() -> None:
    """Another version key, record, column or value gives another version: nobody can compare or guess values by it."""
    versions = Versions(KEY, conformance_catalogue())
    seen = {
        versions.of("1", {"email": "a"}),
        versions.of("2", {"email": "a"}),
        versions.of("1", {"email": "b"}),
        versions.of("1", {"phone": "a"}),
        versions.of("1", {"email": None}),
        versions.of("1", {}),
        Versions(b"w" * 32, conformance_catalogue()).of("1", {"email": "a"}),
    }
    assert len(seen) == 7


@pytest.mark.parametrize("text", ["", "x", ".", "3", "zz.00", "-1.00", "ffffff.00", "3 .00", "0x3.00", "03.00"])
def test_a_text_that_is_no_version_covers_nothing(text: str) -> None:
    """What no store made is not read as a version."""
    assert Versions(KEY, conformance_catalogue()).covered(text) is None


def test_a_short_version_key_is_refused() -> None:
    """A key that could be guessed is not taken."""
    with pytest.raises(SettingsRefused, match="at least 16"):
        Versions(b"short", conformance_catalogue())


@pytest.mark.parametrize(
    ("column_type", "text", "key"),
    [
        (sa.Integer(), "7", 7),
        (sa.Integer(), "-7", -7),
        (sa.Integer(), "07", None),
        (sa.Integer(), "+7", None),
        (sa.Integer(), "٧", None),
        (sa.Integer(), "2147483648", None),
        (sa.BigInteger(), "2147483648", 2147483648),
        (sa.BigInteger(), "9" * 50, None),
        (sa.Uuid(), "x", None),
        (sa.Uuid(), "{00000000-0000-0000-0000-000000000001}", None),
        (sa.String(), "any text", "any text"),
        (sa.String(), "a\x00b", None),
        (sa.String(), "\udc00", None),
    ],
)
def test_only_the_text_a_read_gives_back_is_a_key(
    column_type: sa.types.TypeEngine[object], text: str, key: object
) -> None:
    """One record has one store key: other spellings of it name nobody, so that no person has two histories."""
    assert key_parser(column_type, "postgresql")(text) == key


def test_statements_name_columns_and_never_values() -> None:
    """Keys and page bounds are parameters in the style of the driver, on databases with names and with places."""
    for dialect, text, parameters in (
        (postgresql.psycopg.dialect(), "customers.customer_id = %(key)s", {"key": 1}),
        (mysql.pymysql.dialect(), "customers.customer_id = %s", (1,)),
    ):
        held = Recording()
        plan = Planner(schema(dialect), held, Versions(KEY, conformance_catalogue())).plan(frozenset({"email"}))
        plan.root.read.rows(key=1)
        assert text in held.asked[0][0]
        assert held.asked[0][1] == parameters


def test_a_chain_of_references_is_a_chain_of_conditions() -> None:
    """A row three references away is found through each collection between, without a join that could repeat rows."""
    one = schema(postgresql.psycopg.dialect())
    notes = one.catalogue.collections["line_notes"]
    text = " ".join(str(child_statement(one, notes, [notes.fields[2]])).split())
    assert text.startswith(
        "SELECT line_notes.note FROM line_notes WHERE line_notes.line_id IN (SELECT order_lines.line_id"
    )
    assert "order_lines.order_id IN (SELECT orders.order_id FROM orders WHERE orders.customer_id = :key)" in text
    assert "JOIN" not in text
    assert text.count("customers") == 0


def test_a_deadline_passes_when_its_seconds_are_used_up() -> None:
    """A call has its seconds from its start; before any call nothing has passed."""
    moments = iter([10.0, 11.9, 12.1, 20.0, 20.1])
    deadline = Deadline(2.0, lambda: next(moments))
    assert not deadline.passed()
    deadline.start()
    assert not deadline.passed()
    assert deadline.passed()
    deadline.start()
    assert not deadline.passed()
