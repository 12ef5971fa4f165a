"""The line of one search, end to end on real parts; what a miss and a refusal cost is counted, not timed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.entry import Entry
from consent_gateway.audit.recorder import Recorder
from consent_gateway.database import HeldConnections
from consent_gateway.demo.cast import CAST
from consent_gateway.errors import AuditUnavailable, CallerNotPermitted, IdentifierRefused
from consent_gateway.line import DecideQuery, ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.searches import SLOTS, SearchQuery
from consent_gateway.vocabulary import Identifier
from consent_gateway.wiring import open_sealer
from consent_gateway.writes import WriteQuery
from tests.line.conftest import ALL, Line, named

SUPPORT = "customer_support"
QUIET = ALL - {"customers:explain"}


class Counted:
    """What one call cost: statements by text, rows asked of the store, entries made durable."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.store_reads = 0
        self.entries: list[Entry] = []


@contextmanager
def counting(line: Line, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Counts everything that the calls within cost."""
    counted, store = Counted(), type(line.services.store)
    rows, read, record, record_all = HeldConnections.rows, store.read, Recorder.record, Recorder.record_all

    def watched_rows(held: HeldConnections, text: str, parameters: Any) -> Any:
        counted.statements.append(text)
        return rows(held, text, parameters)

    def watched_read(self: Any, *given: Any) -> Any:
        counted.store_reads += 1
        return read(self, *given)

    def watched_record(self: Recorder, entry: Entry) -> None:
        counted.entries.append(entry)
        record(self, entry)

    def watched_all(self: Recorder, entries: list[Entry]) -> None:
        counted.entries += entries
        record_all(self, entries)

    def watched_core(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "leaves" not in statement and "audit_queue" not in statement:  # the recorder's own thread
            counted.statements.append(statement)

    with monkeypatch.context() as patch:
        patch.setattr(HeldConnections, "rows", watched_rows)
        patch.setattr(store, "read", watched_read)
        patch.setattr(Recorder, "record", watched_record)
        patch.setattr(Recorder, "record_all", watched_all)
        for engine in (line.services.engine, line.services.key_engine):
            sa.event.listen(engine, "before_cursor_execute", watched_core)
        try:
            yield counted
        finally:
            for engine in (line.services.engine, line.services.key_engine):
                sa.event.remove(engine, "before_cursor_execute", watched_core)


def last4(line: Line, number: int = 1) -> str:
    """The last four digits of a customer's telephone number."""
    phone = str(line.store(f"SELECT phone FROM customers WHERE customer_id = {number}"))
    return "".join(filter(str.isdigit, phone))[-4:]


def search(line: Line, value: str, purpose: str = SUPPORT, scopes: frozenset[str] = ALL) -> Any:
    """A search by the last four digits of a telephone number."""
    query = SearchQuery("phone", "last4", value, purpose, ("first_name", "city"))
    return line.services.searches.search(line.caller(purpose, scopes=scopes), query)


def unused_last4(line: Line) -> str:
    """Four digits in which nobody's number ends."""
    taken = {last4(line, number) for number in range(1, 61)}
    return next(f"{n:04}" for n in range(10_000) if f"{n:04}" not in taken)


def test_a_part_finds_who_has_it_each_by_a_decision_of_their_own(line: Line) -> None:
    """A candidate's answer is the one a look-up gives, under a decision id of its own that can be explained."""
    answer = search(line, last4(line))
    (anna,) = [each for each in answer.candidates if each.record.get("first_name") == CAST[0].first_name]
    read = line.services.gateway.read(line.caller(SUPPORT), ReadQuery(named(0), SUPPORT, ("first_name", "city")))
    assert (anna.data_subject, anna.record, anna.verdicts) == (read.data_subject, read.record, read.verdicts)
    assert len({each.decision_id for each in answer.candidates}) == len(answer.candidates)
    told = line.services.explain.decision(line.caller(SUPPORT), anna.decision_id)
    assert told["purpose"] == SUPPORT
    assert not answer.more


def test_no_result_and_every_result_refused_cost_the_same(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both run the same statements, make as many entries and ask the store nothing; the answers are equal."""
    search(line, last4(line))  # keys are open from here on
    costs, answers = [], []
    for value in (last4(line), unused_last4(line)):
        with counting(line, monkeypatch) as counted:
            answers.append(search(line, value, "sms_marketing", QUIET))
        costs.append((counted.statements, counted.store_reads, len(counted.entries)))
    assert answers[0] == answers[1]
    assert (answers[0].candidates, answers[0].more) == ((), False)
    assert costs[0] == costs[1]
    assert (len(costs[0][0]), *costs[0][1:]) == (1, 0, SLOTS)


def test_a_missed_and_a_refused_look_up_cost_the_same(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown, a refused and a shared address each run the same one statement and make one entry."""
    caller = line.caller("sms_marketing", scopes=QUIET)
    stranger = PersonRef(identifier=Identifier("email", "nobody.at.all@example.com"))
    for call in (
        lambda person: line.services.gateway.read(caller, ReadQuery(person, "sms_marketing", ("phone",))),
        lambda person: line.services.gateway.decide(caller, DecideQuery(person, "sms_marketing", ("phone",))),
    ):
        costs = []
        for person in (stranger, named(0), named(9)):
            with counting(line, monkeypatch) as counted:
                call(person)
            costs.append((counted.statements, counted.store_reads, len(counted.entries)))
        assert costs[0] == costs[1] == costs[2]
        assert (len(costs[0][0]), *costs[0][1:]) == (1, 0, 1)


def test_whoever_is_refused_is_not_counted(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more people than a search decides about, `more` is told only where all it decided about are told."""
    engine, shared_part = line.services.engine, line.services.searches
    indexes = shared_part._indexes.asked("phone", "last4", "0000").values[0]
    with engine.begin() as connection:
        people = connection.exec_driver_sql(
            "SELECT p.data_subject FROM people p LEFT JOIN person_state s ON s.data_subject = p.data_subject"
            " WHERE store_key IS NOT NULL AND jurisdiction IS NOT NULL AND NOT COALESCE(s.restricted, FALSE)"
            " AND NOT COALESCE(s.erasure_pending, FALSE) AND NOT COALESCE(s.erased, FALSE) ORDER BY p.data_subject"
        ).scalars().all()  # fmt: skip
        rows = [{"k": "phone", "m": "last4", "i": indexes, "p": person} for person in people[: SLOTS + 1]]
        statement = "INSERT INTO search_indexes (kind, mode, blind_index, data_subject) VALUES (:k, :m, :i, :p)"
        connection.execute(sa.text(statement), rows)
    try:
        open_to_all = search(line, "0000", "order_fulfilment")
        assert (len(open_to_all.candidates), open_to_all.more) == (SLOTS, True)
        assert {each.data_subject for each in open_to_all.candidates} == set(people[:SLOTS])
        real = line.services.gateway.decided_about

        def one_refused(caller: Any, request: Any, known: Any) -> Any:
            return real(caller, request, None if known is not None and known.data_subject == people[3] else known)

        monkeypatch.setattr(line.services.gateway, "decided_about", one_refused)
        fewer = search(line, "0000", "order_fulfilment")
        assert (len(fewer.candidates), fewer.more) == (SLOTS - 1, False)
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM search_indexes WHERE blind_index = :i"), {"i": indexes})


def test_the_entries_name_the_search_and_no_value(line: Line) -> None:
    """Each slot's entry says by what was searched; the digits stand nowhere."""
    answer = search(line, last4(line))
    sealer = open_sealer(line.deployment.settings, line.services)
    while sealer.seal_once().sealed:
        pass
    raw = line.scalar("SELECT entry FROM audit_log WHERE entry_id = :i", i=answer.candidates[0].decision_id)
    assert b'"search":"phone.last4"' in bytes(raw)  # type: ignore[arg-type]
    assert last4(line) not in repr(SearchQuery("phone", "last4", last4(line), SUPPORT))


def test_without_its_entries_nothing_is_told(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the entries cannot be made durable the search raises, whatever the store has answered."""

    def fail(_self: object, _entries: object) -> None:
        raise AuditUnavailable("full")

    monkeypatch.setattr(type(line.services.recorder), "record_all", fail)
    with pytest.raises(AuditUnavailable):
        search(line, last4(line))


def test_what_the_catalogue_does_not_ask_for_is_not_searched(line: Line) -> None:
    """A mode without its line in the catalogue is refused by pointer, and a purpose is claimed as in a read."""
    caller = line.caller(SUPPORT)
    with pytest.raises(IdentifierRefused) as refused:
        line.services.searches.search(caller, SearchQuery("email", "email_domain", "example.com", SUPPORT))
    assert refused.value.faults[0].pointer == "/identifier/mode"
    with pytest.raises(CallerNotPermitted):
        line.services.searches.search(caller, SearchQuery("phone", "last4", last4(line), "sms_marketing"))


def test_a_changed_number_is_found_by_its_new_part_alone(line: Line) -> None:
    """A write of an identifier takes its part along: the old one no longer leads to the person."""
    new = f"+49 30 555{unused_last4(line)}"
    person = line.services.gateway.read(line.caller(SUPPORT), ReadQuery(named(1), SUPPORT, ("city",))).data_subject
    old = last4(line, 2)
    before = str(line.store("SELECT phone FROM customers WHERE customer_id = 2"))
    try:
        line.services.writes.change(
            line.caller(SUPPORT), WriteQuery(PersonRef(data_subject=person), SUPPORT, {"phone": new}, "by telephone")
        )
        assert person in {each.data_subject for each in search(line, new[-4:], "order_fulfilment").candidates}
        assert person not in {each.data_subject for each in search(line, old, "order_fulfilment").candidates}
    finally:
        line.services.writes.change(
            line.caller(SUPPORT), WriteQuery(PersonRef(data_subject=person), SUPPORT, {"phone": before}, "by telephone")
        )
