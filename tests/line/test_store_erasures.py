"""An erasure of the coffee chain's customers: store, gateway, certificate, what is kept or left, and who is told."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from consent_gateway.cli import cli
from consent_gateway.consent.choices import NewChoice
from consent_gateway.consent.receipt_verify import ReceiptInvalid
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.rights.certificate import verify_certificate
from consent_gateway.rights.erasure_records import Erasure, State
from consent_gateway.rights.erasure_tables import ACCESS_PACKAGES, ERASURES
from consent_gateway.rights.plan_model import Cause
from consent_gateway.vocabulary import Caller, EventKind
from tests.line.conftest import Line


def person(line: Line, key: int) -> str:
    """The id of a customer by the store's key."""
    return str(line.scalar("SELECT data_subject FROM people WHERE store_key = :key", key=str(key)))


def without_orders(line: Line, key: int) -> str:
    """A customer who never bought anything, so that nothing is kept of them."""
    line.store("DELETE FROM order_lines WHERE order_id IN (SELECT order_id FROM orders WHERE customer_id = :k)", k=key)
    line.store("DELETE FROM orders WHERE customer_id = :k", k=key)
    return person(line, key)


def erase(line: Line, data_subject: str) -> Erasure:
    """Erase a person who waived the time to take it back."""
    erasing = line.services.erasure_desk.erasing
    planned = erasing.plan(data_subject, request_id=f"dsr-{data_subject}", by="officer")
    return erasing.execute(planned.erasure_id, by="officer", at_once=True)


def administrator(line: Line) -> Caller:
    """Who may record acts of the company."""
    return Caller("desk", "till", frozenset(), frozenset(), frozenset({"consents:administer", "consents:write"}))


def record(line: Line, data_subject: str, kind: EventKind) -> None:
    """Record an act that concerns the whole person."""
    choice = NewChoice(PersonRef(data_subject=data_subject), kind, line.services.clock.now(), "api", reference="case-1")
    line.services.choices.record(administrator(line), choice)


def test_who_bought_nothing_is_erased_and_a_certificate_says_so(line: Line) -> None:
    """Rows, keys, directory and reads are gone, nothing is left, and the certificate verifies by its key alone."""
    someone = without_orders(line, 40)
    email = str(line.store("SELECT email FROM customers WHERE customer_id = 40"))
    erased = erase(line, someone)
    assert erased.state is State.ERASED, [(one.where, one.cause) for one in erased.leftovers]
    for table in ("customers", "loyalty_accounts", "visits", "devices", "support_notes"):
        assert line.store(f"SELECT count(*) FROM {table} WHERE customer_id = 40") == 0
    answer = line.services.gateway.read(
        line.caller("customer_support"), ReadQuery(PersonRef(data_subject=someone), "customer_support", ("city",))
    )
    assert not answer.record
    assert erased.certificate is not None
    told = verify_certificate(erased.certificate, line.services.erasure_desk.certificates.key_set)
    assert told["outcome"] == "erased"
    assert told["keys"]["destroyed_at"]
    assert email.encode() not in erased.certificate
    assert line.scalar("SELECT sealed FROM erasures WHERE erasure_id = :id", id=erased.erasure_id) is None


def test_what_a_law_keeps_is_kept_and_the_rest_of_the_row_goes(line: Line) -> None:
    """Orders stay until the end of the eighth year after theirs, by field; the customer's row stays, with no value."""
    someone, key = person(line, 2), 2
    before = line.store("SELECT count(*) FROM orders WHERE customer_id = 2")
    assert before
    erased = erase(line, someone)
    assert erased.state is State.PARTIALLY_ERASED
    fields = {one.field: one for one in erased.fields}
    assert fields["orders.total_cents"].outcome == "keep"
    assert fields["orders.total_cents"].schedule == "books-de"
    last = str(line.store("SELECT max(ordered_at) FROM orders WHERE customer_id = 2"))
    until = fields["orders.total_cents"].until
    assert until is not None
    assert (until.year, until.month, until.day) == (int(last[:4]) + 8, 12, 31)
    assert fields["email"].outcome == "erase"
    assert line.store("SELECT count(*) FROM orders WHERE customer_id = 2") == before
    assert line.store("SELECT count(*) FROM orders WHERE customer_id = 2 AND card_last4 IS NOT NULL") == 0
    assert line.store("SELECT email FROM customers WHERE customer_id = :key", key=key) is None
    assert line.store("SELECT first_name FROM customers WHERE customer_id = :key", key=key) == ""
    assert line.store("SELECT count(*) FROM visits WHERE customer_id = 2") == 0
    left = {(one.where, one.cause) for one in erased.leftovers}
    assert not {one for one in left if one[1] is not Cause.MENTION}


def test_the_person_may_take_it_back_until_it_begins(line: Line) -> None:
    """Within the time of the policy nothing is erased; taken back, nothing ever is, and reads open again."""
    someone = person(line, 3)
    erasing = line.services.erasure_desk.erasing
    planned = erasing.plan(someone, request_id="dsr-undo", by="officer")
    assert planned.not_before - planned.planned_at == timedelta(days=3)
    query = ReadQuery(PersonRef(data_subject=someone), "customer_support", ("city",))
    assert not line.services.gateway.read(line.caller("customer_support"), query).record
    with pytest.raises(Conflict, match="may take the erasure back until"):
        erasing.execute(planned.erasure_id, by="officer")
    with pytest.raises(Conflict, match="open already"):
        erasing.plan(someone, request_id="dsr-undo-2", by="officer")
    assert erasing.plan(someone, request_id="dsr-undo", by="officer") == planned
    assert erasing.cancel(planned.erasure_id, by="person").state is State.CANCELLED
    assert line.services.gateway.read(line.caller("customer_support"), query).record
    assert line.scalar("SELECT sealed FROM erasures WHERE erasure_id = :id", id=planned.erasure_id) is None
    with pytest.raises(Conflict, match="taken back"):
        erasing.execute(planned.erasure_id, by="officer", at_once=True)


def test_a_legal_hold_keeps_its_fields_and_the_keys_until_it_is_lifted(line: Line) -> None:
    """Under a hold nothing it covers goes and the keys live; lifted, the next run erases everything."""
    someone = without_orders(line, 42)
    line.services.keyring.create(someone)
    record(line, someone, EventKind.LEGAL_HOLD)
    held = erase(line, someone)
    assert held.state is State.PARTIALLY_ERASED
    assert {one.ground for one in held.fields if one.kept} == {"claims"}
    assert [(one.where, one.cause) for one in held.leftovers] == [("keys", Cause.KEYS_KEPT)]
    assert line.store("SELECT count(*) FROM customers WHERE customer_id = 42 AND email IS NOT NULL") == 1
    assert line.services.keyring.person_keys(someone)
    record(line, someone, EventKind.LIFT_LEGAL_HOLD)
    erasing = line.services.erasure_desk.erasing
    assert erasing.look_again(held.erasure_id, by="officer").state is State.ERASED
    assert line.store("SELECT count(*) FROM customers WHERE customer_id = 42") == 0


def test_what_is_left_is_named_and_gone_after_another_run(line: Line) -> None:
    """Their address in a note about somebody else, in another case: named, and erased once it is taken out there."""
    someone = without_orders(line, 32)
    email = str(line.store("SELECT email FROM customers WHERE customer_id = 32"))
    note = line.store("SELECT min(note_id) FROM support_notes WHERE customer_id <> 32")
    line.store("UPDATE support_notes SET note = :text WHERE note_id = :id", text=f"ask {email.upper()}.", id=note)
    left = erase(line, someone)
    assert left.state is State.PARTIALLY_ERASED
    assert [(one.place, one.where, one.cause, one.rows) for one in left.leftovers] == [
        ("store", "support_notes.note", Cause.MENTION, 1)
    ]
    line.store("UPDATE support_notes SET note = 'ask' WHERE note_id = :id", id=note)
    erased = line.services.erasure_desk.erasing.look_again(left.erasure_id, by="officer")
    assert (erased.state, erased.run) == (State.ERASED, 2)
    with pytest.raises(Conflict):
        line.services.erasure_desk.erasing.look_again(left.erasure_id, by="officer")


def test_an_access_package_goes_with_the_person(line: Line) -> None:
    """A package that was made before the erasure is deleted by it, and none can be made after it."""
    someone = without_orders(line, 34)
    packages = line.services.erasure_desk.packages
    made = packages.make(someone, request_id="dsr-34", by="officer")
    erase(line, someone)
    with line.services.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ACCESS_PACKAGES)).scalar_one() == 0
    with pytest.raises(NotFound):
        packages.find(made.package_id)
    with pytest.raises(Conflict):
        packages.make(someone, request_id="dsr-34-again", by="officer")


def test_what_is_sealed_is_forgotten_after_its_time(line: Line) -> None:
    """The values looked for are kept no longer than the policy says, whatever is still left."""
    someone = without_orders(line, 35)
    email = str(line.store("SELECT email FROM customers WHERE customer_id = 35"))
    note = line.store("SELECT max(note_id) FROM support_notes WHERE customer_id <> 35")
    line.store("UPDATE support_notes SET note = :text WHERE note_id = :id", text=email, id=note)
    left = erase(line, someone)
    assert left.leftovers
    erasing = line.services.erasure_desk.erasing
    assert erasing.purge() == 0
    with line.services.engine.begin() as connection:
        soon = sa.update(ERASURES).where(ERASURES.c.erasure_id == left.erasure_id)
        connection.execute(soon.values(forget_at=1))
    assert erasing.purge() == 1
    with pytest.raises(Conflict, match="forgotten"):
        erasing.look_again(left.erasure_id, by="officer")
    line.store("UPDATE support_notes SET note = '' WHERE note_id = :id", id=note)


def test_a_certificate_is_verified_offline_by_command(line: Line, tmp_path: Path) -> None:
    """`rights verify-certificate` needs the file and the keys alone; a changed byte anywhere is found."""
    erased = erase(line, without_orders(line, 36))
    assert erased.certificate is not None
    file, keys = tmp_path / "certificate.json", tmp_path / "keys.json"
    file.write_bytes(erased.certificate)
    keys.write_text(json.dumps(line.services.erasure_desk.certificates.key_set))
    command = ["rights", "verify-certificate", str(file), "--keys", str(keys)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "erased" in done.output
    for at in range(0, len(erased.certificate), 97):
        changed = bytearray(erased.certificate)
        changed[at] ^= 1
        with pytest.raises(ReceiptInvalid):
            verify_certificate(bytes(changed), line.services.erasure_desk.certificates.key_set)
    file.write_bytes(erased.certificate.replace(b'"erased"', b'"ersaed"', 1))
    assert CliRunner().invoke(cli, command).exit_code == 1


def test_the_commands_carry_an_erasure_from_plan_to_certificate(line: Line, tmp_path: Path) -> None:
    """`rights erase plan`, `run`, `show` and `rights certificate` do what the services do."""
    someone = without_orders(line, 37)
    services: Callable[[], object] = lambda: line.services  # noqa: E731 - what the command line passes on
    runner = CliRunner()
    planned = runner.invoke(cli, ["rights", "erase", "plan", someone, "--request", "dsr-37", "--json"], obj=services)
    erasure_id = json.loads(planned.output)["erasure_id"]
    ran = runner.invoke(cli, ["rights", "erase", "run", erasure_id, "--at-once", "--yes", "--json"], obj=services)
    assert json.loads(ran.output)["state"] == "erased"
    shown = runner.invoke(cli, ["rights", "erase", "show", erasure_id], obj=services)
    assert "erased" in shown.output
    target = tmp_path / "c.json"
    written = runner.invoke(cli, ["rights", "certificate", erasure_id, "--output", str(target)], obj=services)
    assert written.exit_code == 0
    assert target.read_bytes() == line.services.erasure_desk.erasing.find(erasure_id).certificate


def test_an_address_that_a_household_shares_is_named_and_stays(line: Line) -> None:
    """Of two who have one e-mail address one is erased: it stays the other's, and the outcome says that it is there."""
    erased = erase(line, without_orders(line, 31))
    assert erased.state is State.PARTIALLY_ERASED
    assert [(one.where, one.cause) for one in erased.leftovers] == [("customers.email", Cause.MENTION)]
    assert line.store("SELECT email FROM customers WHERE customer_id = 30")
