"""The line of one write, end to end on real parts."""

import json

import pytest

from consent_gateway.demo.cast import CAST
from consent_gateway.errors import Conflict, ConsentNotRaised, FieldsRefused, InputRefused, StoreUnavailable
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.protection.material import KeyGrant
from consent_gateway.vocabulary import Identifier
from consent_gateway.wiring import open_sealer
from consent_gateway.writes import CreateQuery, WriteQuery
from tests.line.conftest import Line, named

SUPPORT = "customer_support"


def person(line: Line, index: int) -> PersonRef:
    """The id of a named person."""
    answer = line.services.gateway.read(line.caller(SUPPORT), ReadQuery(named(index), SUPPORT, ("city",)))
    return PersonRef(data_subject=answer.data_subject)


def kinds(line: Line, decision_id: str) -> list[tuple[str, str]]:
    """Kind and outcome of the entries of one write, in the sealed log."""
    sealer = open_sealer(line.deployment.settings, line.services)
    while sealer.seal_once().sealed:
        pass
    rows = []
    with line.services.engine.connect() as connection:
        for (raw,) in connection.exec_driver_sql("SELECT entry FROM audit_log ORDER BY leaf_index"):
            entry = json.loads(bytes(raw))["entry"]
            if decision_id in (entry["id"], entry.get("reference")):
                rows.append((entry["kind"], entry["outcome"]))
    return rows


def test_a_write_leaves_intent_outcome_and_provenance(line: Line) -> None:
    """What is written stands in the store; the log has intent and outcome, the directory its source."""
    answer = line.services.writes.change(
        line.caller(SUPPORT), WriteQuery(person(line, 1), SUPPORT, {"city": "Fresno"}, "the customer, by telephone")
    )
    assert line.store("SELECT city FROM customers WHERE customer_id = 2") == "Fresno"
    assert kinds(line, answer.decision_id) == [("write_intent", "intended"), ("write_outcome", "written")]
    source = line.scalar("SELECT source FROM field_provenance WHERE entry_id = :id", id=answer.decision_id)
    assert source == "the customer, by telephone"


def test_a_field_without_a_basis_stops_the_whole_write(line: Line) -> None:
    """One refused field is named, and the others are not written either."""
    before = line.store("SELECT city FROM customers WHERE customer_id = 1")
    with pytest.raises(FieldsRefused) as refused:
        line.services.writes.change(
            line.caller(SUPPORT), WriteQuery(person(line, 0), SUPPORT, {"city": "Rom", "allergies": "nuts"}, "x")
        )
    assert refused.value.refused == {"allergies": "special_category"}
    assert line.store("SELECT city FROM customers WHERE customer_id = 1") == before


@pytest.mark.parametrize("value", [1, 0])
def test_no_write_touches_a_consent(line: Line, value: int) -> None:
    """A column that mirrors a consent is closed to data writes, up or down."""
    with pytest.raises(ConsentNotRaised):
        line.services.writes.change(
            line.caller(SUPPORT), WriteQuery(person(line, 0), SUPPORT, {"marketing_opt_in": value}, "x")
        )


def test_a_stale_version_is_a_conflict(line: Line) -> None:
    """A write on condition of an old version changes nothing and its outcome says so."""
    read = line.services.gateway.read(line.caller(SUPPORT), ReadQuery(person(line, 2), SUPPORT, ("street",)))
    query = WriteQuery(person(line, 2), SUPPORT, {"street": "Neue Gasse 1"}, "x", read.version)
    line.services.writes.change(line.caller(SUPPORT), query)
    with pytest.raises(Conflict):
        line.services.writes.change(line.caller(SUPPORT), query)
    assert line.store("SELECT street FROM customers WHERE customer_id = 3") == "Neue Gasse 1"


def test_bad_values_change_nothing(line: Line) -> None:
    """A value of the wrong type, a field that is not writable and an empty record are each refused by name."""
    for changes, pointer in (({"city": 7}, "city"), ({"customer_id": 7}, "customer_id"), ({}, "record")):
        with pytest.raises(InputRefused) as refused:
            line.services.writes.change(line.caller(SUPPORT), WriteQuery(person(line, 0), SUPPORT, changes, "x"))
        assert any(pointer in fault.pointer for fault in refused.value.faults) or pointer in refused.value.message


def test_a_new_address_can_be_found_and_a_move_changes_the_law(line: Line) -> None:
    """After a write of identifier or residence the directory follows in the same call."""
    services, who = line.services, person(line, 7)
    services.writes.change(line.caller(SUPPORT), WriteQuery(who, SUPPORT, {"email": "moved@example.org"}, "x"))
    found = services.gateway.read(
        line.caller(SUPPORT),
        ReadQuery(PersonRef(identifier=Identifier("email", "moved@example.org")), SUPPORT, ("city",)),
    )
    assert found.data_subject == who.data_subject
    if services.policies.catalogue.fields["country"].writable:
        services.writes.change(line.caller(SUPPORT), WriteQuery(who, SUPPORT, {"country": "CH", "region": None}, "x"))
        place = line.scalar("SELECT jurisdiction FROM people WHERE data_subject = :id", id=who.data_subject)
        assert place == "CH"


def test_a_mistyped_address_locks_nobody_out(line: Line) -> None:
    """An address written to the wrong person shares it; written right again, its owner is found by it as before."""
    services, wrong = line.services, person(line, 5)
    services.writes.change(line.caller(SUPPORT), WriteQuery(wrong, SUPPORT, {"email": CAST[0].email}, "typo"))
    assert services.gateway.read(line.caller(SUPPORT), ReadQuery(named(0), SUPPORT, ("city",))).data_subject is None
    services.writes.change(line.caller(SUPPORT), WriteQuery(wrong, SUPPORT, {"email": CAST[5].email}, "mended"))
    found = services.gateway.read(line.caller(SUPPORT), ReadQuery(named(0), SUPPORT, ("city",)))
    assert found.data_subject == person(line, 0).data_subject
    assert person(line, 5).data_subject == wrong.data_subject


def test_an_identifier_that_could_not_be_found_is_not_written(line: Line) -> None:
    """A value that is no e-mail address is refused with a pointer to its field."""
    with pytest.raises(InputRefused) as refused:
        line.services.writes.change(
            line.caller(SUPPORT), WriteQuery(person(line, 0), SUPPORT, {"email": "not-an-email"}, "x")
        )
    assert refused.value.faults[0].pointer == "/record/email"


def test_a_sealed_field_lies_encrypted_and_reads_back(line: Line) -> None:
    """What is written to a sealed field cannot be read in the store, and comes back to whom it is open."""
    services = line.services
    sealed = line.store("SELECT customer_id FROM customers WHERE allergies IS NOT NULL ORDER BY customer_id LIMIT 1")
    assert sealed
    line.store("UPDATE customers SET allergies = 'plain nuts' WHERE customer_id = :id", id=sealed)
    report = services.seal_existing.run(lambda _done, _total: None)
    again = services.seal_existing.run(lambda _done, _total: None)
    assert (report.sealed, report.refused, again.sealed, again.busy) == (1, 0, 0, 0)
    stored = str(line.store("SELECT allergies FROM customers WHERE customer_id = :id", id=sealed))
    key = str(line.scalar("SELECT data_subject FROM people WHERE store_key = :key", key=str(sealed)))
    care = KeyGrant(frozenset({"care"}))
    assert services.sealing.opened({"allergies": stored}, key, care) == {"allergies": "plain nuts"}
    assert "plain nuts" not in stored


def test_what_an_earlier_format_sealed_is_never_sealed_over(line: Line) -> None:
    """A value in the format before key classes is counted and left: sealing it again would hide that it is lost."""
    old = "fs1.m7k2.AAECAwQFBgcICQoLVHAAFCSCG9dwfowgMaQ9XC571U8Y589"
    kept = line.store("SELECT allergies FROM customers WHERE customer_id = 11")
    line.store("UPDATE customers SET allergies = :old WHERE customer_id = 11", old=old)
    report = line.services.seal_existing.run(lambda _done, _total: None)
    assert (report.sealed, report.refused) == (0, 1)
    assert line.store("SELECT allergies FROM customers WHERE customer_id = 11") == old
    line.store("UPDATE customers SET allergies = :kept WHERE customer_id = 11", kept=kept)


def test_a_created_customer_is_enrolled_and_readable(line: Line) -> None:
    """A new record can be read by its identifier at once; the same again is a conflict."""
    values = {"external_ref": "C-900001", "first_name": "Nina", "last_name": "Neu", "email": "nina.neu@example.org"}
    query = CreateQuery("order_fulfilment", {**values, "country": "DE"}, "till form")
    caller = line.caller("order_fulfilment")
    answer = line.services.writes.create(caller, query)
    nina = PersonRef(identifier=Identifier("email", "nina.neu@example.org"))
    found = line.services.gateway.read(caller, ReadQuery(nina, "order_fulfilment", ("first_name",)))
    assert (found.data_subject, found.record) == (answer.data_subject, {"first_name": "Nina"})
    assert kinds(line, answer.decision_id) == [("write_intent", "intended"), ("write_outcome", "written")]
    with pytest.raises(Conflict):
        line.services.writes.create(caller, query)
    sealed = CreateQuery("rights_requests", {"first_name": "Nina", "allergies": "nuts"}, "letter")
    with pytest.raises(InputRefused, match="sealed field"):
        line.services.writes.create(line.caller("rights_requests"), sealed)


def test_a_store_that_breaks_in_the_write_leaves_an_unknown_outcome(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store does not answer, nobody knows whether it wrote: the log says so."""

    def fail(*_given: object) -> str:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(type(line.services.store), "update", fail)
    with pytest.raises(StoreUnavailable):
        line.services.writes.change(line.caller(SUPPORT), WriteQuery(person(line, 0), SUPPORT, {"city": "Bonn"}, "x"))
    monkeypatch.undo()
    sealer = open_sealer(line.deployment.settings, line.services)
    while sealer.seal_once().sealed:
        pass
    assert line.scalar("SELECT count(*) FROM audit_log WHERE kind = 'write_outcome'")
