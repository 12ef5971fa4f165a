"""The ledger: dense order, one transaction, append-only, and a state that can be rebuilt; on both databases."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.consent import ledger
from consent_gateway.consent.tables import CONSENT_EVENTS, PERSON_STATE, PURPOSE_STATE
from consent_gateway.errors import ConsentNotRaised, InputRefused, NotFound
from consent_gateway.vocabulary import ChoiceStatus, EventKind
from tests.conftest import NOON


def test_an_event_is_appended_and_told_as_it_was(gateway_engine: sa.Engine, people: Sequence[str], event: Any) -> None:
    """What is recorded is read back whole, with position and time of recording."""
    made = event("ds_1", EventKind.GRANT, at=NOON - timedelta(hours=1), valid_until=NOON + timedelta(days=9))
    with gateway_engine.begin() as connection:
        committed = ledger.record(connection, made, now=NOON)
        second = ledger.record(connection, event("ds_1", EventKind.WITHDRAW), now=NOON)
    with gateway_engine.begin() as connection:
        assert ledger.history(connection, "ds_1") == (committed, second)
        assert ledger.state(connection, "ds_1").choices["email_marketing"].status is ChoiceStatus.WITHDRAWN
        assert ledger.state(connection, "ds_2").choices == {}
    assert (committed.event, committed.position, second.position, committed.recorded_at) == (made, 1, 2, NOON)


def test_a_rolled_back_event_leaves_nothing(gateway_engine: sa.Engine, people: Sequence[str], event: Any) -> None:
    """If the caller's transaction is rolled back, neither event nor state nor a gap in the positions remains."""
    with gateway_engine.connect() as connection:
        transaction = connection.begin()
        ledger.record(connection, event("ds_1", EventKind.OBJECT), now=NOON)
        transaction.rollback()
    with gateway_engine.begin() as connection:
        assert ledger.state(connection, "ds_1").position == 0
        assert ledger.record(connection, event("ds_1", EventKind.OBJECT), now=NOON).position == 1


def test_one_bad_event_stops_the_batch(gateway_engine: sa.Engine, people: Sequence[str], event: Any) -> None:
    """A batch with a malformed event, or one about nobody, writes nothing."""
    good = event("ds_1", EventKind.OBJECT)
    for bad, error in (
        (event("ds_1", EventKind.OBJECT, at=NOON + timedelta(days=1)), InputRefused),
        (event("ds_nobody", EventKind.OBJECT), NotFound),
    ):
        with gateway_engine.begin() as connection:
            with pytest.raises(error):
                ledger.record_many(connection, [good, bad], now=NOON)
            assert ledger.history(connection, "ds_1") == ()


def test_after_an_erasure_only_restrictions_are_recorded(
    gateway_engine: sa.Engine, people: Sequence[str], event: Any
) -> None:
    """An erased person cannot be opened again, in the same batch or later; their objection is still kept."""
    with gateway_engine.begin() as connection:
        ledger.record(connection, event("ds_1", EventKind.ERASED), now=NOON)
        for kind in (EventKind.GRANT, EventKind.JOIN_PROGRAMME, EventKind.ERASURE_CANCEL):
            with pytest.raises(ConsentNotRaised):
                ledger.record(connection, event("ds_1", kind), now=NOON)
        with pytest.raises(ConsentNotRaised):
            ledger.record_many(connection, [event("ds_2", EventKind.ERASED), event("ds_2", EventKind.GRANT)], now=NOON)
        assert ledger.record(connection, event("ds_1", EventKind.OBJECT), now=NOON).position == 2


def test_positions_are_dense_under_eight_writers(gateway_engine: sa.Engine, people: Sequence[str], event: Any) -> None:
    """Eight threads that write about two people at once leave positions without gap or double, in order of time."""
    start, errors = threading.Barrier(8), []

    def write(number: int) -> None:
        start.wait()
        try:
            for turn in range(5):
                with gateway_engine.begin() as connection:
                    events = [event(each, EventKind.OBJECT, f"p{number}") for each in ("ds_2", "ds_1")]
                    ledger.record_many(connection, events, now=NOON + timedelta(seconds=turn))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with gateway_engine.begin() as connection:
        for person in ("ds_1", "ds_2"):
            assert [each.position for each in ledger.history(connection, person)] == list(range(1, 41))
            assert ledger.state(connection, person).position == 40
        assert ledger.rebuild(connection) == ()


ONLY_SQLITE = pytest.mark.only_on("sqlite", reason="PostgreSQL has no REPLACE")
ONLY_POSTGRESQL = pytest.mark.only_on("postgresql", reason="SQLite has no TRUNCATE")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consent_events SET kind = 'grant'",
        "DELETE FROM consent_events",
        pytest.param("TRUNCATE consent_events CASCADE", marks=ONLY_POSTGRESQL),
        pytest.param("INSERT OR REPLACE INTO consent_events SELECT * FROM consent_events", marks=ONLY_SQLITE),
        pytest.param(
            """REPLACE INTO consent_events SELECT 'other', data_subject, position, purpose, kind, occurred_at,
            recorded_at, valid_until, channel, how, recorded_by, notice, notice_version,
            notice_sha256, language, reference, conditions, frequency
            FROM consent_events""",
            marks=ONLY_SQLITE,
        ),
    ],
)
def test_the_database_itself_refuses_to_change_an_event(
    gateway_engine: sa.Engine, people: Sequence[str], event: Any, statement: str
) -> None:
    """No statement updates, deletes, empties or replaces committed events, whoever sends it."""
    with gateway_engine.begin() as connection:
        committed = ledger.record(connection, event("ds_1", EventKind.OBJECT), now=NOON)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), gateway_engine.begin() as connection:
        connection.exec_driver_sql(statement)
    with gateway_engine.begin() as connection:
        assert ledger.history(connection, "ds_1") == (committed,)


def test_rebuild_mends_what_was_tampered_with(gateway_engine: sa.Engine, people: Sequence[str], event: Any) -> None:
    """A state that someone changed by hand is named, by what differed, and put right from the events."""
    with gateway_engine.begin() as connection:
        for person in people:
            ledger.record(connection, event(person, EventKind.WITHDRAW), now=NOON)
        connection.execute(
            sa.update(PURPOSE_STATE).where(PURPOSE_STATE.c.data_subject == "ds_1").values(status="granted")
        )
        connection.execute(
            sa.update(PURPOSE_STATE).where(PURPOSE_STATE.c.data_subject == "ds_2").values(status="bogus")
        )
        connection.execute(sa.update(PERSON_STATE).where(PERSON_STATE.c.data_subject == "ds_3").values(member=True))
        connection.execute(sa.delete(PURPOSE_STATE).where(PURPOSE_STATE.c.data_subject == "ds_4"))
        found = {each.data_subject: each.what for each in ledger.rebuild(connection, "ds_1")}
        assert found == {"ds_1": ("email_marketing",)}
        assert {each.data_subject for each in ledger.rebuild(connection)} >= {"ds_2", "ds_3", "ds_4"}
        assert ledger.rebuild(connection) == ()
        states = [ledger.state(connection, person) for person in people]
    assert all(state.choices["email_marketing"].status is ChoiceStatus.WITHDRAWN for state in states)
    assert not any(state.flags for state in states)


@pytest.mark.only_on("sqlite", reason="the planner of PostgreSQL scans small tables on purpose")
def test_the_events_of_one_person_come_by_index(gateway_engine: sa.Engine, people: Sequence[str]) -> None:
    """The history of a person is an indexed search, not a scan."""
    query = sa.select(CONSENT_EVENTS).where(CONSENT_EVENTS.c.data_subject == "ds_1").order_by(CONSENT_EVENTS.c.position)
    with gateway_engine.begin() as connection:
        text = str(query.compile(dialect=gateway_engine.dialect))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("ds_1",)).all()
    assert [row[3].split()[0] for row in plan] == ["SEARCH"]
