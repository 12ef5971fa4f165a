"""Facts by id and by blind index: what they hold, what a shared identifier gives, and that nothing is cached."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.consent import ledger
from consent_gateway.consent.facts import FactsReader
from consent_gateway.consent.tables import PURPOSE_STATE
from consent_gateway.errors import DatabaseUnavailable
from consent_gateway.people import directory
from consent_gateway.people.tables import PEOPLE
from consent_gateway.vocabulary import EventKind, Facts
from tests.conftest import NOON

MAIL = ("email", "a" * 32)


def carried(_connection: sa.Connection, _early: str, _person: str) -> bool:
    """No early person is met in these tests."""
    raise AssertionError


def test_facts_equal_the_projection(
    gateway_engine: sa.Engine, people: Sequence[str], event: Any, reader: FactsReader
) -> None:
    """By id and by identifier, the facts are those of the state, with residence, minority and every detail."""
    made = [
        event("ds_1", EventKind.GRANT, valid_until=NOON + timedelta(days=1), at=NOON - timedelta(microseconds=1)),
        event("ds_1", EventKind.OPT_OUT, "data_sale"),
        event("ds_1", EventKind.GPC),
    ]
    with gateway_engine.begin() as connection:
        ledger.record_many(connection, made, now=NOON)
        directory.link(connection, "ds_1", MAIL, carry=carried)
        connection.execute(sa.update(PEOPLE).values(minor_born="2012-05-06"))
        expected = ledger.state(connection, "ds_1").facts("ds_1", "FR", date(2012, 5, 6))
    known = reader.by_id("ds_1")
    assert known is not None
    assert known.facts == expected
    assert reader.by_index(MAIL[0], [MAIL[1]]) == reader.holder(MAIL[0], [MAIL[1]]) == (1, known)
    assert (known.data_subject, known.store_key, known.shared) == ("ds_1", "1", False)
    assert all(type(getattr(known.facts, name)) is bool for name in ("gpc", "member", "restricted"))


def test_someone_without_events_has_bare_facts(
    gateway_engine: sa.Engine, people: Sequence[str], reader: FactsReader
) -> None:
    """A person of whom nothing was recorded has a residence and no choices; an unknown id or index is nobody."""
    known = reader.by_id("ds_1")
    assert known is not None
    assert known.facts == Facts(jurisdiction="FR", data_subject="ds_1")
    assert reader.by_id("ds_nobody") is None
    assert reader.by_index(MAIL[0], [MAIL[1]]) == reader.holder(MAIL[0], [MAIL[1]]) == (1, None)


def test_the_next_read_sees_a_committed_withdrawal(
    gateway_engine: sa.Engine, people: Sequence[str], event: Any, reader: FactsReader
) -> None:
    """The same reader, before and after a commit, tells the two states."""
    seen = []
    for kind in (EventKind.GRANT, EventKind.WITHDRAW):
        with gateway_engine.begin() as connection:
            ledger.record(connection, event("ds_1", kind), now=NOON)
        known = reader.by_id("ds_1")
        assert known is not None
        seen.append(known.facts.choices["email_marketing"].status.value)
    assert seen == ["granted", "withdrawn"]


def test_a_shared_identifier_gives_the_most_restrictive_facts(
    gateway_engine: sa.Engine, people: Sequence[str], event: Any, reader: FactsReader
) -> None:
    """Facts by a shared identifier join all holders' restrictions, carry no store key and say that they are shared."""
    with gateway_engine.begin() as connection:
        for person in ("ds_3", "ds_1", "ds_2"):
            directory.link(connection, person, MAIL, carry=carried)
        ledger.record(connection, event("ds_1", EventKind.GRANT), now=NOON)
        ledger.record(connection, event("ds_2", EventKind.OPT_OUT), now=NOON)
        ledger.record(connection, event("ds_3", EventKind.RESTRICT), now=NOON)
    assert reader.holder(MAIL[0], [MAIL[1]]) == (1, None)
    _, known = reader.by_index(MAIL[0], [MAIL[1]])
    assert known is not None
    assert (known.shared, known.store_key, known.data_subject, known.facts.data_subject) == (True, None, "ds_1", None)
    assert known.facts.restricted
    assert known.facts.choices["email_marketing"].opted_out
    assert reader.by_id("ds_1") != known


def test_an_unknown_status_decides_nothing(
    gateway_engine: sa.Engine, people: Sequence[str], event: Any, reader: FactsReader
) -> None:
    """A stored status that is no word of the vocabulary is an error with its mend, not a guess."""
    with gateway_engine.begin() as connection:
        ledger.record(connection, event("ds_1", EventKind.GRANT), now=NOON)
        connection.execute(sa.update(PURPOSE_STATE).values(status="perhaps"))
    with pytest.raises(DatabaseUnavailable, match="rebuild"):
        reader.by_id("ds_1")


@pytest.mark.only_on("sqlite", reason="the planner of PostgreSQL scans small tables on purpose")
def test_every_lookup_is_an_indexed_search(gateway_engine: sa.Engine, reader: FactsReader) -> None:
    """No look-up of the hot path scans a table; `found` is the few people a search came to, not a table."""
    with gateway_engine.begin() as connection:
        by_key = [*reader._by_index.values(), *reader._by_shared.values(), *reader._by_part.values()]
        for read in (reader._by_id, *by_key):
            text = read._text
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("x",) * text.count("?")).all()
            assert not [row[3] for row in plan if row[3].startswith("SCAN") and not row[3].startswith("SCAN found")]
