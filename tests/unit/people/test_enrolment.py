"""Enrolment from a store: what is read, derived, counted and audited."""

from collections.abc import Mapping, Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.recorder import record_in
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.consent import ledger
from consent_gateway.consent.enrolled import EnrolledLedger
from consent_gateway.errors import NotFound, Suppressed
from consent_gateway.people import directory, enrolment
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.people.suppression import SuppressionTags, leave
from consent_gateway.people.tables import IDENTIFIERS, PEOPLE
from consent_gateway.ports import Page, StoredIdentity, StoredRecord
from consent_gateway.propagation.outbox import Outbox
from consent_gateway.vocabulary import ANY_PURPOSE, EventKind, Evidence, Identifier, NewConsentEvent
from tests.conftest import NOON, NoNames, StillClock

TAGS = SuppressionTags(bytes(range(32)), "DE")


class Shelf:
    """A store of identities; `read` answers by catalogue field names."""

    def __init__(self, *rows: StoredIdentity) -> None:
        self.rows = list(rows)

    def count(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    def identities(self, after: str | None, limit: int) -> Sequence[StoredIdentity]:
        """Rows after a key, in order."""
        return [row for row in self.rows if after is None or row.store_key > after][:limit]

    def read(self, store_key: str, _fields: Sequence[str], _page: Page) -> StoredRecord | None:
        """One row as a record."""
        for row in self.rows:
            if row.store_key == store_key:
                values = {"country": row.attributes.get("country"), "email": dict(row.identities).get("email")}
                cards = [{"number": value} for kind, value in row.identities if kind == "loyalty_number"]
                return StoredRecord(values, {"cards": cards}, "1")
        return None


def row(key: str, *identities: tuple[str, str], **attributes: str) -> StoredIdentity:
    """A row of the store."""
    return StoredIdentity(key, identities, attributes)


def service(engine: sa.Engine, store: Shelf, indexes: Any, clock: Any = None) -> Enrolment:
    """Enrolment with the real ledger and audit queue."""
    named = {
        "id": SimpleNamespace(identity=None, attribute=None, collection="people", column="id", search=()),
        "email": SimpleNamespace(identity="email", attribute=None, collection="people", column="email", search=()),
        "cards.number": SimpleNamespace(
            identity="loyalty_number", attribute=None, collection="cards", column="number", search=()
        ),
        "country": SimpleNamespace(
            identity=None, attribute="country", collection="people", column="country", search=()
        ),
        "born": SimpleNamespace(identity=None, attribute="birth_date", collection="people", column="born", search=()),
    }
    root = SimpleNamespace(name="people", primary_key="id")
    return Enrolment(
        engine=engine,
        store=store,  # type: ignore[arg-type]
        catalogue=SimpleNamespace(fields=named, root=root),  # type: ignore[arg-type]
        indexes=indexes,
        tags=TAGS,
        ledger=EnrolledLedger(Outbox(NoNames(), (), StillClock()).announce_in),
        record_in=record_in,
        clock=clock or StillClock(),
    )


def silent(_done: int, _total: int) -> None:
    """No progress."""


def people(engine: sa.Engine) -> Mapping[str, Any]:
    """People by store key."""
    with engine.begin() as connection:
        return {each.store_key: each for each in connection.execute(sa.select(PEOPLE))}


def event(person: str, kind: EventKind, purpose: str = ANY_PURPOSE) -> NewConsentEvent:
    """A choice on paper."""
    return NewConsentEvent(person, purpose, kind, NOON, Evidence("till", "paper", "till", reference="f1"))


def test_a_run_derives_residence_minority_and_membership(gateway_engine: sa.Engine, indexes: Any) -> None:
    """Country and region become a jurisdiction, a birth date is kept for minors alone, members join once."""
    shelf = Shelf(
        row("1", ("email", "a@example.com"), country="US", region="CA", birth_date="1980-01-01", member="L1"),
        row("2", ("email", "b@example.com"), country="DE", region="BY", birth_date="2012-01-01"),
        row("3", country="FR", member="0"),
    )
    enrol = service(gateway_engine, shelf, indexes)
    report = enrol.run(silent)
    again = enrol.run(silent)
    found = people(gateway_engine)
    assert {key: each.jurisdiction for key, each in found.items()} == {"1": "US-CA", "2": "DE", "3": "FR"}
    assert {key: each.minor_born for key, each in found.items()} == {"1": None, "2": "2012-01-01", "3": None}
    assert (report.read, report.added, report.joined, report.linked) == (3, 3, 1, 2)
    assert (again.read, again.added, again.joined, again.linked) == (3, 0, 0, 0)
    with gateway_engine.begin() as connection:
        history = ledger.history(connection, found["1"].data_subject)
    assert [(each.event.kind, each.event.evidence.how) for each in history] == [(EventKind.JOIN_PROGRAMME, "import")]


def test_unreadable_values_are_counted_and_nowhere_told(gateway_engine: sa.Engine, indexes: Any) -> None:
    """A person whose identifiers or attributes cannot be read is enrolled; the report counts, and no value shows."""
    shelf = Shelf(
        row("1", ("email", "canary"), ("phone", "canary"), ("email", "a@example.com"), country="Canaryland"),
        row("2", country="US", region="Canaryfornia", birth_date="canary"),
    )
    report = service(gateway_engine, shelf, indexes).run(silent)
    assert report.added == 2
    assert report.unreadable == {"email": 1, "phone": 1, "residence": 2, "birth_date": 1}
    assert {each.jurisdiction for each in people(gateway_engine).values()} == {None}
    with gateway_engine.begin() as connection:
        entries = b"".join(connection.execute(sa.select(AUDIT_QUEUE.c.entry)).scalars())
        assert len(connection.execute(sa.select(IDENTIFIERS)).all()) == 1
    assert b"canary" not in (entries + repr(report).encode()).lower()
    assert b'"enrol"' in entries


def test_a_run_goes_on_where_one_broke_off(
    gateway_engine: sa.Engine, indexes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends in the middle leaves whole pages behind, and the next one adds the rest."""
    monkeypatch.setattr(enrolment, "PAGE", 2)
    shelf = Shelf(*(row(str(n), ("email", f"p{n}@example.com"), country="DE") for n in range(5)))
    enrol = service(gateway_engine, shelf, indexes)

    def stop(done: int, _total: int) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enrol.run(stop)
    assert len(people(gateway_engine)) == 2
    seen: list[tuple[int, int]] = []
    report = enrol.run(lambda done, total: seen.append((done, total)))
    assert (report.read, report.added) == (5, 3)
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_who_left_or_is_erased_does_not_join_again(gateway_engine: sa.Engine, indexes: Any) -> None:
    """A store that still calls someone a member does not undo their leaving, nor an erasure."""
    shelf = Shelf(row("1", country="DE", member="1"), row("2", country="DE", member="1"))
    enrol = service(gateway_engine, shelf, indexes)
    enrol.run(silent)
    found = people(gateway_engine)
    with gateway_engine.begin() as connection:
        ledger.record(connection, event(found["1"].data_subject, EventKind.LEAVE_PROGRAMME), now=NOON)
        ledger.record(connection, event(found["2"].data_subject, EventKind.ERASED), now=NOON)
    assert enrol.run(silent).joined == 0
    with gateway_engine.begin() as connection:
        assert "member" not in ledger.state(connection, found["1"].data_subject).flags


def test_an_early_opt_out_follows_the_customer(gateway_engine: sa.Engine, indexes: Any) -> None:
    """An opt-out by an address nobody had binds the customer at whose record the address turns up later."""
    index = ("email", indexes.of(Identifier("email", "a@example.com")))
    shelf = Shelf(row("1", country="DE"))
    enrol = service(gateway_engine, shelf, indexes)
    enrol.run(silent)
    with gateway_engine.begin() as connection:
        early = directory.pre_register(connection, index, now=NOON)[0].data_subject
        chosen = event(early, EventKind.OPT_OUT, "data_sale")
        ledger.record_many(connection, [chosen, event(early, EventKind.GRANT, "sms")], now=NOON)
    shelf.rows = [row("1", ("email", "A@example.com"), country="DE")]
    enrol.run(silent)
    who = people(gateway_engine)["1"].data_subject
    with gateway_engine.begin() as connection:
        assert directory.find(connection, index)[0].data_subject == who
        state = ledger.state(connection, who)
    assert who != early
    assert state.choices["data_sale"].opted_out
    assert "sms" not in state.choices  # nothing is opened by a coincidence of addresses


def test_refresh_takes_one_record_over(gateway_engine: sa.Engine, indexes: Any) -> None:
    """After a write the record's present identifiers and residence stand in the directory, child rows included."""
    shelf = Shelf(
        row("1", ("email", "a@example.com"), ("loyalty_number", "l1"), ("loyalty_number", "l2"), country="US")
    )
    enrol = service(gateway_engine, shelf, indexes)
    with gateway_engine.begin() as connection:
        who = enrol.refresh(connection, "1")
        for identifier in (Identifier("email", "a@example.com"), Identifier("loyalty_number", "L2")):
            holders = directory.find(connection, (identifier.kind, indexes.of(identifier)))
            assert [holder.data_subject for holder in holders] == [who]
        with pytest.raises(NotFound):
            enrol.refresh(connection, "2")


def test_a_newcomer_is_judged_before_enrolment(gateway_engine: sa.Engine, indexes: Any) -> None:
    """Values of a record that is yet to be created say where the person lives and whether they may be a minor."""
    newcomer = service(gateway_engine, Shelf(), indexes).newcomer(
        {"country": "de", "born": "2012-03-04", "email": "a@example.com", "other": None}
    )
    assert (newcomer.jurisdiction, newcomer.minor_born) == ("DE", date(2012, 3, 4))


def erase(engine: sa.Engine, store_key: str) -> None:
    """Take a person out of the directory as an erasure does."""
    with engine.begin() as connection:
        leave(connection, directory.by_store_keys(connection, [store_key])[store_key], TAGS)


def test_who_was_erased_is_left_out_and_counted(gateway_engine: sa.Engine, indexes: Any) -> None:
    """A record with the erased person's store key, or a new one with an identifier of theirs, is not enrolled."""
    shelf = Shelf(row("1", ("email", "a@example.com"), country="DE"), row("2", country="DE"))
    enrol = service(gateway_engine, shelf, indexes)
    enrol.run(silent)
    erase(gateway_engine, "1")
    shelf.rows = [row("1", country="DE"), row("2", country="DE"), row("3", ("email", "A@EXAMPLE.com"), country="DE")]
    report = enrol.run(silent)
    assert (report.read, report.added, report.suppressed, report.withheld) == (3, 0, 2, 0)
    assert set(people(gateway_engine)) == {"2", None}
    for store_key in ("1", "3"):
        with gateway_engine.begin() as connection, pytest.raises(Suppressed):
            enrol.refresh(connection, store_key)


def test_a_customer_is_not_given_an_erased_identifier(gateway_engine: sa.Engine, indexes: Any) -> None:
    """Someone enrolled whose record comes to hold such an identifier stays a customer and is refreshed without it."""
    shelf = Shelf(row("1", ("email", "a@example.com"), country="DE"), row("2", country="DE"))
    enrol = service(gateway_engine, shelf, indexes)
    enrol.run(silent)
    erase(gateway_engine, "1")
    shelf.rows = [row("2", ("email", "a@example.com"), ("email", "b@example.com"), country="FR")]
    report = enrol.run(silent)
    assert (report.changed, report.linked, report.suppressed, report.withheld) == (1, 1, 0, 1)
    with gateway_engine.begin() as connection:
        found = directory.find(connection, ("email", indexes.of(Identifier("email", "a@example.com"))))
    assert found == ()


def test_values_of_erased_people_are_refused_by_name(gateway_engine: sa.Engine, indexes: Any) -> None:
    """A write of such an identifier or store key is refused naming the field and no value; others pass."""
    enrol = service(gateway_engine, Shelf(row("1", ("email", "canary@example.com"), country="DE")), indexes)
    enrol.run(silent)
    enrol.refuse_suppressed({"email": "canary@example.com", "id": 1})
    erase(gateway_engine, "1")
    for name, value in (("email", "Canary@example.com"), ("id", 1)):
        with pytest.raises(Suppressed, match=name) as refused:
            enrol.refuse_suppressed({name: value})
        assert "canary" not in refused.value.message.lower()
    enrol.refuse_suppressed({"email": "b@example.com", "id": 2, "country": "DE"})


def test_enrolling_again_gives_old_identifiers_their_tag(gateway_engine: sa.Engine, indexes: Any) -> None:
    """An identifier that stands without a tag gets it at the next run, so that its holder can be erased."""
    enrol = service(gateway_engine, Shelf(row("1", ("email", "a@example.com"), country="DE")), indexes)
    enrol.run(silent)
    with gateway_engine.begin() as connection:
        connection.execute(sa.update(IDENTIFIERS).values(suppression_tag=None))
    assert enrol.run(silent).linked == 0
    with gateway_engine.begin() as connection:
        tag = connection.execute(sa.select(IDENTIFIERS.c.suppression_tag)).scalar_one()
    assert tag == TAGS.of(Identifier("email", "a@example.com"))
