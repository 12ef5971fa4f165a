"""The customer-store suite on every store of the project, and what a set of fields may never do."""

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent_gateway.conformance import ROWS, CustomerStoreConformance, Rows, conformance_catalogue
from consent_gateway.connectors.memory import MemoryStore
from consent_gateway.connectors.sql import SqlStore
from consent_gateway.database import HeldConnections
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.ports import Page

MakeStore = Callable[[Catalogue, Rows], SqlStore]
NAMES = tuple(conformance_catalogue().fields)


class TestMemoryStore(CustomerStoreConformance):
    """The store in memory."""

    def make_store(self, catalogue: Catalogue, rows: Rows) -> MemoryStore:
        """The rows as they are."""
        return MemoryStore(catalogue, rows)


class TestSqlStore(CustomerStoreConformance):
    """The store over SQLAlchemy, on SQLite and on PostgreSQL."""

    @pytest.fixture(autouse=True)
    def _database(self, make_sql_store: MakeStore) -> None:
        self.make = make_sql_store

    def make_store(self, catalogue: Catalogue, rows: Rows) -> SqlStore:
        """The rows in tables of a fresh database."""
        return self.make(catalogue, rows)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_no_set_of_fields_brings_back_or_asks_for_anything_else(make_sql_store: MakeStore, data: st.DataObject) -> None:
    """Whatever fields are asked, the answer holds exactly these, and the statements select exactly their columns."""
    store = _kept(make_sql_store)
    fields = data.draw(st.lists(st.sampled_from(NAMES), unique=True))
    key = data.draw(st.sampled_from(["1", "2", "10"]))
    page = Page(data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4)))
    with pytest.MonkeyPatch.context() as patch:
        texts = _recorded(patch)
        record = store.read(key, fields, page)
    catalogue = conformance_catalogue()
    assert record is not None
    assert set(record.values) == {name for name in fields if "." not in name}
    expected = {"customers": {name for name in fields if "." not in name}}
    for name in fields:
        if "." in name:
            collection, _, short = name.partition(".")
            expected.setdefault(collection, set()).add(short)
    assert set(record.children) == set(expected) - {"customers"}
    for name, rows in record.children.items():
        assert len(rows) <= page.limit
        assert all(set(row) == expected[name] for row in rows)
    assert _selected(texts) == {name: columns or {"1"} for name, columns in expected.items()}
    memory = MemoryStore(catalogue, ROWS, version_key=b"v" * 32).read(key, fields, page)
    assert memory == record  # the two implementations agree on everything, the version too


def test_root_fields_are_read_in_one_statement(make_sql_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of root fields alone runs one statement, and the second such read compiles nothing."""
    store = make_sql_store(conformance_catalogue(), ROWS)
    store.read("1", ("email", "phone"), Page())
    texts = _recorded(monkeypatch)
    monkeypatch.setattr("consent_gateway.connectors.plans.PreparedRead", None)
    store.read("2", ("phone", "email"), Page())
    assert len(texts) == 1


def _kept(make_sql_store: MakeStore) -> SqlStore:
    """One store for all examples of a test."""
    if not hasattr(make_sql_store, "kept"):
        make_sql_store.kept = make_sql_store(conformance_catalogue(), ROWS)  # type: ignore[attr-defined]
    return make_sql_store.kept  # type: ignore[attr-defined,no-any-return]


def _recorded(patch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    run = HeldConnections.rows

    def rows(self: HeldConnections, text: str, parameters: object) -> list[tuple[object, ...]]:
        texts.append(text)
        return run(self, text, parameters)

    patch.setattr(HeldConnections, "rows", rows)
    return texts


def _selected(texts: list[str]) -> dict[str, set[str]]:
    """The columns of each statement's select list, by table."""
    found: dict[str, set[str]] = {}
    for text in texts:
        match = re.match(r"SELECT (.*?)\s+FROM (\w+)", text, re.DOTALL)
        assert match is not None
        found[match[2]] = {column.strip().rpartition(".")[2] for column in match[1].split(",")}
    return found
