"""Erasing a person as one act, on real parts: what closes at that moment, what is still heard, what is proved."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from consent_gateway.audit.live import verify_database
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.verify import LogKey
from consent_gateway.cli.people import OLDER_BACKUPS
from consent_gateway.cli.people import people as people_command
from consent_gateway.consent.choices import NewChoice
from consent_gateway.consent.witness import Witness
from consent_gateway.demo.cast import CAST
from consent_gateway.errors import Conflict, ConsentNotRaised, InputRefused, KeysUnavailable, NotFound, Suppressed
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.shredding import Shredded
from consent_gateway.vocabulary import OPENING, Caller, EventKind, Identifier
from consent_gateway.wiring import Services, every_class, open_sealer, open_services
from consent_gateway.writes import CreateQuery, WriteQuery
from tests.conftest import NOON, StillClock
from tests.line.conftest import Line

SUPPORT = "customer_support"
MARKETING = "email_marketing"
UNKNOWN = PersonRef(identifier=Identifier("email", "nobody-at-all@example.com"))


def id_of(line: Line, customer: int) -> str:
    """The id of a customer by their number in the store."""
    found = line.scalar("SELECT data_subject FROM people WHERE store_key = :key", key=str(customer))
    assert isinstance(found, str)
    return found


def identifiers(line: Line, customer: int) -> list[Identifier]:
    """Every identifier the store holds of a customer."""
    rows = line.services.store.identities(str(customer - 1) if customer > 1 else None, 1)
    assert rows[0].store_key == str(customer)
    return [Identifier(kind, value) for kind, value in rows[0].identities]


def shred(line: Line, customer: int, **given: Any) -> Shredded:
    """Erase a customer."""
    return line.services.shredding.shred(id_of(line, customer), reference="dsr-1", by="operator", **given)


def choose(line: Line, caller: Caller, person: PersonRef, kind: EventKind) -> str:
    """Record a choice on e-mail marketing; returns whom it was recorded for."""
    heard = Witness("agent-7", "script-3")
    choice = NewChoice(person, kind, line.services.clock.now(), "spoken", MARKETING, reference="call-1", witness=heard)
    return line.services.choices.record(caller, choice).state.data_subject


def entries(line: Line, **wanted: str) -> list[dict[str, Any]]:
    """Sealed entries with these members."""
    sealer = open_sealer(line.deployment.settings, line.services)
    while sealer.seal_once().sealed:
        pass
    with line.services.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT entry FROM audit_log ORDER BY leaf_index").all()
    found = [json.loads(bytes(raw))["entry"] for (raw,) in rows]
    return [each for each in found if all(each.get(name) == value for name, value in wanted.items())]


def plain(answer: Any) -> tuple[Any, ...]:
    """An answer without what differs between any two."""
    return (answer.data_subject, answer.record, answer.more, answer.verdicts, answer.version)


def test_an_erased_person_is_an_unknown_person(line: Line) -> None:
    """Look-ups by every identifier of the erased answer word for word as for nobody; by id nothing is open."""
    who, known = id_of(line, 1), identifiers(line, 1)
    assert {each.kind for each in known} >= {"email", "phone", "loyalty_number"}
    caller = line.caller(SUPPORT)
    nobody = plain(line.services.gateway.read(caller, ReadQuery(UNKNOWN, SUPPORT)))
    before = line.services.gateway.read(caller, ReadQuery(PersonRef(identifier=known[0]), SUPPORT))
    assert plain(before) != nobody
    evidence = shred(line, 1)
    assert evidence.suppressed == len(known) + 1
    for identifier in known:
        person = PersonRef(identifier=identifier)
        assert plain(line.services.gateway.read(caller, ReadQuery(person, SUPPORT))) == nobody
        with pytest.raises(NotFound):
            line.services.choices.state(person)
    by_id = line.services.gateway.read(caller, ReadQuery(PersonRef(data_subject=who), SUPPORT))
    assert by_id.record == {}
    assert {verdict.reason.value for verdict in by_id.verdicts.values()} == {"erased"}


@pytest.mark.parametrize("kind", sorted(OPENING), ids=str)
def test_nothing_opens_again_by_an_erased_identifier(line: Line, kind: EventKind) -> None:
    """Every kind that may open something is refused by any identifier of the erased, and leaves nobody behind."""
    if line.scalar("SELECT count(*) FROM people WHERE store_key = '3'"):
        shred(line, 3)
    people = line.scalar("SELECT count(*) FROM people")
    email = next(PersonRef(identifier=Identifier("email", CAST[2].email)) for _ in (0,))
    scopes = frozenset({"consents:write", "consents:administer"})
    wide = kind in {EventKind.LIFT_LIMIT, EventKind.LIFT_RESTRICTION, EventKind.PARENTAL_AUTHORISATION}
    wide = wide or kind in {EventKind.JOIN_PROGRAMME, EventKind.ERASURE_CANCEL, EventKind.LIFT_LEGAL_HOLD}
    heard = Witness("agent-7", "script-3")
    choice = NewChoice(email, kind, NOON, "spoken", "*" if wide else MARKETING, reference="call-1", witness=heard)
    with pytest.raises(Suppressed):
        line.services.choices.record(line.caller(MARKETING, scopes=scopes), choice)
    assert line.scalar("SELECT count(*) FROM people") == people


def test_a_no_after_the_erasure_is_recorded_and_proves(line: Line) -> None:
    """A withdrawal by an erased identifier is committed for a new id; neither it nor its id opens anything later."""
    who = id_of(line, 4)
    email = PersonRef(identifier=Identifier("email", CAST[3].email))
    shred(line, 4)
    caller = line.caller(MARKETING)
    early = choose(line, caller, email, EventKind.WITHDRAW)
    assert early != who
    assert line.services.choices.state(email).facts.choices[MARKETING].status.value == "withdrawn"
    assert choose(line, caller, email, EventKind.OBJECT) == early
    for person in (email, PersonRef(data_subject=early)):
        with pytest.raises(Suppressed):
            choose(line, caller, person, EventKind.GRANT)
    report = line.services.enrolment.run(lambda _done, _total: None)
    assert report.suppressed >= 1
    assert line.scalar("SELECT store_key FROM people WHERE data_subject = :id", id=early) is None


def test_a_create_or_write_of_an_erased_identifier_is_refused(line: Line) -> None:
    """Neither a new record nor a living customer's takes it over; the store is untouched and the refusal is logged."""
    shred(line, 5)
    caller, email = line.caller(SUPPORT), CAST[4].email.upper()
    count = line.store("SELECT count(*) FROM customers")
    new = {"email": email, "country": "DE", "first_name": "A", "last_name": "B"}
    with pytest.raises(Suppressed, match="`email`"):
        line.services.writes.create(caller, CreateQuery(SUPPORT, new, "the till"))
    query = WriteQuery(PersonRef(data_subject=id_of(line, 2)), SUPPORT, {"email": email}, "the till")
    with pytest.raises(Suppressed, match="`email`"):
        line.services.writes.change(caller, query)
    assert line.store("SELECT count(*) FROM customers") == count
    assert line.store("SELECT email FROM customers WHERE customer_id = 2") == CAST[1].email
    assert len(entries(line, outcome="suppressed", kind="decision")) == 2
    assert email.lower() not in json.dumps(entries(line)).lower()


def test_an_import_of_choices_opens_nothing_and_loses_nothing(line: Line) -> None:
    """Of an erased address an imported grant is refused with the reason; its objection is recorded."""
    shred(line, 6)
    identifier = {"kind": "email", "value": CAST[5].email}
    common = {"purpose": MARKETING, "channel": "x", "occurred_at": "2026-01-01T00:00:00Z"}
    lines: Sequence[dict[str, Any]] = [
        common | {"identifier": identifier, "kind": "grant"},
        common | {"identifier": identifier, "kind": "object"},
        common | {"store_key": "6", "kind": "object"},
    ]
    report = line.services.choices.import_choices(lines, lambda _done: None)
    assert (report.recorded, report.refused) == (1, 2)
    assert [number for number, _ in report.refusals] == [1, 3]
    assert "erased" in report.refusals[0][1]
    assert "erased" in report.refusals[1][1]


def test_the_second_call_gives_the_evidence_of_the_first(line: Line) -> None:
    """Shredding is idempotent: one event, one intent, one outcome, the same evidence, whatever the second call says."""
    who = id_of(line, 7)
    first = line.services.shredding.shred(who, reference="dsr-7", by="operator")
    assert line.services.shredding.shred(who, reference="other", by="somebody") == first
    assert line.services.shredding.resume() == 0
    assert first.reference == "dsr-7"
    assert first.epoch == 1
    found = entries(line, kind="erasure", data_subject=who)
    assert [each["outcome"] for each in found] == ["intended", "shredded"]
    assert [found[0]["id"], found[1]["id"]] == [first.shredding_id, first.outcome_entry]
    assert found[1]["reference"] == first.shredding_id
    assert found[1]["detail"]["fingerprint"] == first.fingerprint
    assert len(entries(line, kind="consent_event", action="erased", data_subject=who)) == 1


def test_a_legal_hold_an_unknown_id_and_no_reference_change_nothing(line: Line) -> None:
    """Each is refused with its reason, and the person's records, keys and directory rows are as they were."""
    who = id_of(line, 8)
    scopes = frozenset({"consents:write", "consents:administer"})
    hold = NewChoice(PersonRef(data_subject=who), EventKind.LEGAL_HOLD, NOON, "api", reference="case-1")
    line.services.choices.record(line.caller(scopes=scopes), hold)
    with pytest.raises(Conflict, match="legal hold"):
        shred(line, 8)
    with pytest.raises(NotFound):
        line.services.shredding.shred("ds_nobody", reference="dsr-1", by="operator")
    for reference in ("", "Anna Berger"):
        with pytest.raises(InputRefused):
            line.services.shredding.shred(who, reference=reference, by="operator")
    assert id_of(line, 8) == who
    assert line.scalar("SELECT count(*) FROM shreddings WHERE data_subject = :id", id=who) == 0
    lift = NewChoice(
        PersonRef(data_subject=who), EventKind.LIFT_LEGAL_HOLD, line.services.clock.now(), "paper", reference="case-1"
    )
    line.services.choices.record(line.caller(scopes=scopes), lift)
    assert shred(line, 8).data_subject == who


def test_a_person_known_by_a_choice_alone_can_be_erased(line: Line) -> None:
    """Someone without a record has their identifier listed and their never-made keys marked as destroyed."""
    email = PersonRef(identifier=Identifier("email", "only-a-choice@example.com"))
    early = choose(line, line.caller(MARKETING), email, EventKind.OBJECT)
    evidence = line.services.shredding.shred(early, reference="dsr-2", by="operator")
    assert (evidence.suppressed, evidence.shared) == (1, 0)
    with pytest.raises(NotFound):
        line.services.choices.state(email)
    with pytest.raises(Suppressed):
        choose(line, line.caller(MARKETING), email, EventKind.GRANT)
    with pytest.raises(KeysUnavailable):
        line.services.keyring.create(early)


def test_an_erased_flag_alone_is_not_a_shredding_and_does_not_hinder_it(line: Line) -> None:
    """Where the event was recorded before, the act does the rest and adds no second event."""
    who = id_of(line, 10)
    scopes = frozenset({"consents:write", "consents:administer"})
    erased = NewChoice(PersonRef(data_subject=who), EventKind.ERASED, NOON, "api", reference="case-2")
    line.services.choices.record(line.caller(scopes=scopes), erased)
    shred(line, 10)
    assert len(entries(line, kind="consent_event", action="erased", data_subject=who)) == 1
    assert line.scalar("SELECT count(*) FROM identifiers WHERE data_subject = :id", id=who) == 0


def test_another_process_denies_at_once_and_forgets_within_a_minute(line: Line) -> None:
    """Process B, which has the person's keys in memory, denies at the next read and opens nothing 60 seconds later."""
    clock = StillClock(line.services.clock.now())
    other: Services = open_services(line.deployment.settings, clock)
    try:
        who = id_of(line, 11)
        other.keyring.create(who)
        query = ReadQuery(PersonRef(data_subject=who), SUPPORT, ("city",))
        assert other.gateway.read(line.caller(SUPPORT), query).record
        shred(line, 11)
        denied = other.gateway.read(line.caller(SUPPORT), query)
        assert denied.record == {}
        assert {verdict.reason.value for verdict in denied.verdicts.values()} == {"erased"}
        clock.moment += timedelta(seconds=60)
        with pytest.raises(KeysUnavailable):
            other.keyring.person_keys(who)
    finally:
        other.close()


def test_a_sealed_value_does_not_open_after_the_act(line: Line) -> None:
    """What the store still holds of an erased person in a sealed column is noise from then on."""
    line.services.seal_existing.run(lambda _done, _total: None)
    who = id_of(line, 12)
    operator = every_class(line.services.policies)
    sealed = line.services.sealing.sealed({"allergies": "nuts"}, who, operator)
    assert line.services.sealing.opened(sealed, who, operator) == {"allergies": "nuts"}
    shred(line, 12)
    with pytest.raises(KeysUnavailable):
        line.services.sealing.opened(sealed, who, operator)


def test_log_and_ledger_stay_whole(line: Line) -> None:
    """After erasures the audit log verifies, every event of the ledger is the one sealed, and the events stay."""
    who = id_of(line, 13)
    choose(line, line.caller(MARKETING), PersonRef(data_subject=who), EventKind.OBJECT)
    shred(line, 13)
    assert entries(line, data_subject=who)
    signer = open_signer(line.deployment.settings.log_key_file, line.deployment.settings.log_origin)
    assert verify_database(line.services.engine, LogKey(str(signer.vkey))).ok
    assert line.services.choices.unbound() == []
    kinds = [each.event.kind.value for each in line.services.choices.history(PersonRef(data_subject=who))]
    assert kinds[-2:] == ["object", "erased"]
    assert line.services.choices.rebuild() == ()


def test_who_comes_back_by_own_act_is_a_customer_again(line: Line) -> None:
    """After the lift of key and identifiers the record is enrolled as a new person, with the no they said meanwhile."""
    who, known = id_of(line, 14), identifiers(line, 14)
    shred(line, 14)
    choose(line, line.caller(MARKETING), PersonRef(identifier=known[0]), EventKind.OBJECT)
    for identifier in known:
        line.services.suppressions.lift(identifier.kind, identifier.value, reference="form-9", by="operator")
    assert line.scalar("SELECT count(*) FROM people WHERE store_key = '14'") == 0
    line.services.suppressions.lift("store_key", "14", reference="form-9", by="operator")
    line.services.enrolment.run(lambda _done, _total: None)
    again = id_of(line, 14)
    assert again != who
    facts = line.services.choices.state(PersonRef(data_subject=again)).facts
    assert facts.choices[MARKETING].objected
    assert not facts.erased
    with pytest.raises(ConsentNotRaised):
        choose(line, line.caller(MARKETING), PersonRef(data_subject=who), EventKind.GRANT)


def run(line: Line, *arguments: str, typed: str | None = None) -> Any:
    """A `people` command."""
    return CliRunner().invoke(people_command, list(arguments), obj=lambda: line.services, input=typed)


def test_the_commands_ask_tell_and_hide(line: Line) -> None:
    """`shred` asks first and prints evidence and limit; `suppression` counts, lifts from the input, shows no value."""
    who, known = id_of(line, 15), identifiers(line, 15)
    assert run(line, "shred", who, "--reference", "dsr-9", typed="n\n").exit_code == 1
    assert id_of(line, 15) == who
    told = run(line, "shred", who, "--reference", "dsr-9", typed="y\n").stdout
    evidence = json.loads(run(line, "shred", who, "--reference", "dsr-9", "--yes", "--json").stdout)
    assert evidence["remark"] == OLDER_BACKUPS
    for shown in (evidence["fingerprint"], evidence["shredding_id"], evidence["outcome_entry"], OLDER_BACKUPS):
        assert shown in told
    before = int(run(line, "suppression", "list", "--count").stdout)
    email = next(each.value for each in known if each.kind == "email")
    lifted = run(line, "suppression", "lift", "--kind", "email", "--reference", "form-2", typed=f"{email}\n")
    assert lifted.exit_code == 0, lifted.output
    assert email not in lifted.output
    assert int(run(line, "suppression", "list", "--count").stdout) == before - 1
    counts = json.loads(run(line, "suppression", "list", "--json").stdout)
    assert sum(counts.values()) == before - 1
    assert f"email: {counts['email']}" in run(line, "suppression", "list").stdout
    enrolled = run(line, "enrol")
    assert "records left out: their people were erased" in enrolled.stdout
