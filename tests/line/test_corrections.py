"""Corrections over HTTP: the record, the directory, recipients; what is left is named."""

from collections.abc import Callable
from typing import Any

import pytest

from consent_gateway.errors import NotFound
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Identifier
from tests.line.conftest import Line
from tests.line.test_rights_carried_out import approved, ask  # noqa: F401 - a fixture
from tests.line.test_store_erasures import person

Ask = Callable[..., Any]


def corrected(line: Line, key: int, column: str) -> object:
    """What the shop's database holds."""
    return line.store(f"SELECT {column} FROM customers WHERE customer_id = :key", key=key)


def found_by(line: Line, kind: str, value: str) -> str | None:
    """Whom the gateway finds by an identifier."""
    caller = line.caller("customer_support")
    query = ReadQuery(PersonRef(identifier=Identifier(kind, value)), "customer_support", ("first_name",))
    return line.services.gateway.read(caller, query).data_subject


def test_a_correction_is_written_once_approved_and_the_directory_follows(line: Line, ask: Ask) -> None:  # noqa: F811
    """Proposed, nothing is written; executed, the record says it and the person is found by the new address alone."""
    someone, old = person(line, 21), str(corrected(line, 21, "email"))
    path = approved(line, ask, 21, "correct")
    ask("GET", f"{path}/correction", status=404)
    made = ask("POST", f"{path}/correction", {"record": {"email": "mended.21@example.com", "last_name": "Mended"}})
    assert (made["state"], made["names"]) == ("proposed", ["email", "last_name"])
    assert {each["field"]: each["corrected"] for each in made["fields"]} == {"email": 1, "last_name": 1}
    assert corrected(line, 21, "email") == old
    done = ask("POST", f"{path}/execute", {})
    assert (done["state"], done["outcome"]["leftovers"]) == ("fulfilled", [])
    assert (corrected(line, 21, "email"), corrected(line, 21, "last_name")) == ("mended.21@example.com", "Mended")
    assert found_by(line, "email", "mended.21@example.com") == someone
    assert found_by(line, "email", old) is None
    read = ask("GET", f"{path}/correction")
    assert (read["state"], read["id"]) == ("corrected", done["outcome"]["reference"])
    assert line.scalar("SELECT sealed FROM corrections WHERE correction_id = :id", id=read["id"]) is None
    source = "SELECT source FROM field_provenance WHERE data_subject = :who AND field = 'email'"
    assert line.scalar(source, who=someone) == "data_subject"
    ask("POST", f"{path}/correction", {"record": {"last_name": "Again"}}, 409)


def test_a_sealed_field_stays_sealed(line: Line, ask: Ask) -> None:  # noqa: F811
    """The new value lies in the shop's database under the person's key, as the old one did."""
    path = approved(line, ask, 22, "correct")
    ask("POST", f"{path}/correction", {"record": {"service_note": "Ring at the back door, please"}})
    assert ask("POST", f"{path}/execute", {})["state"] == "fulfilled"
    stored = str(corrected(line, 22, "service_note"))
    assert "back door" not in stored
    clear = line.services.gateway.read(
        line.caller("customer_support"),
        ReadQuery(PersonRef(data_subject=person(line, 22)), "customer_support", ("service_note",)),
    )
    assert clear.record == {"service_note": "Ring at the back door, please"}


@pytest.mark.parametrize(
    ("record", "status"),
    [
        ({"marketing_opt_in": 1}, 422),
        ({"created_at": "2020-01-01"}, 400),
        ({"orders.total_cents": 1}, 400),
        ({"no_such_field": 1}, 400),
        ({"email": "not an address"}, 400),
        ({"country": "XX"}, 400),
    ],
)
def test_what_no_write_may_bring_is_not_proposed(line: Line, ask: Ask, record: Any, status: int) -> None:  # noqa: F811
    """A copy of a consent, the store's own columns, other tables and values that cannot be read are refused by name."""
    email = corrected(line, 23, "email")
    letter = {"identifier": {"kind": "email", "value": email}, "right": "correct", "jurisdiction": "DE", "via": "post"}
    path = f"/{ask('POST', '', letter, 201)['id']}"
    ask("POST", f"{path}/correction", {"record": {"last_name": "X"}}, 409)  # nobody has proved who asks
    ask("POST", f"{path}/verify", {"method": "seen", "reference": "desk-1", "data_subject": person(line, 23)})
    answer = ask("POST", f"{path}/correction", {"record": record}, status)
    assert next(iter(record)) in str(answer)
    ask("POST", f"{path}/cancel")


def test_an_erased_persons_address_is_not_brought_back(line: Line, ask: Ask) -> None:  # noqa: F811
    """Who was erased stays suppressed, by a correction too."""
    gone, address = person(line, 24), str(corrected(line, 24, "email"))
    line.services.shredding.shred(gone, reference="case-24", by="operator")
    path = approved(line, ask, 25, "correct")
    ask("POST", f"{path}/correction", {"record": {"email": address}}, 409)


def test_a_mention_elsewhere_is_named_and_mended_it_is_whole(line: Line, ask: Ask) -> None:  # noqa: F811
    """The old address in a note of the call centre is left over; taken out, the request run again is fulfilled."""
    old = str(corrected(line, 26, "email"))
    insert = (
        "INSERT INTO support_notes (note_id, customer_id, written_at, agent, note) VALUES (990026, 26, :d, 'x', :n)"
    )
    line.store(insert, d="2026-11-01T10:00:00Z", n=f"write to {old}")
    path = approved(line, ask, 26, "correct")
    ask("POST", f"{path}/correction", {"record": {"email": "mended.26@example.com"}})
    done = ask("POST", f"{path}/execute", {})
    assert (done["state"], done["outcome"]["leftovers"]) == ("partially_fulfilled", ["support_notes.note"])
    assert ask("GET", f"{path}/correction")["leftovers"][0]["cause"] == "mention"
    line.store("UPDATE support_notes SET note = 'mended' WHERE note_id = 990026")
    assert ask("POST", f"{path}/execute", {})["state"] == "fulfilled"


def test_a_record_the_store_refuses_stays_and_is_proposed_again(line: Line, ask: Ask) -> None:  # noqa: F811
    """Nothing is half written: the request stays in progress, and another value goes through."""
    path = approved(line, ask, 27, "correct")
    before = corrected(line, 27, "first_name")
    ask("POST", f"{path}/correction", {"record": {"first_name": 7}})  # the column takes text
    ask("POST", f"{path}/execute", {}, 409)
    assert (ask("GET", path)["state"], corrected(line, 27, "first_name")) == ("in_progress", before)
    ask("POST", f"{path}/correction", {"record": {"first_name": "Mended"}})
    assert ask("POST", f"{path}/execute", {})["state"] == "fulfilled"


def test_contested_data_keep_the_persons_statement(line: Line, ask: Ask) -> None:  # noqa: F811
    """Denied since the data are right, what the person said stays for officers, sealed, without their address."""
    address = str(corrected(line, 29, "email"))
    asked = {"identifier": {"kind": "email", "value": address}, "right": "correct", "jurisdiction": "DE", "via": "post"}
    path = f"/{ask('POST', '', {**asked, 'text': 'My birthday is the third.'}, 201)['id']}"
    ask("POST", f"{path}/verify", {"method": "seen", "reference": "desk-1", "data_subject": person(line, 29)})
    ask("POST", f"{path}/correction", {"record": {"birth_date": "1990-05-03"}})
    denied = ask("POST", f"{path}/deny", {"ground": "data_accurate"})
    assert (denied["state"], denied["text"]) == ("denied", "My birthday is the third.")
    assert ask("GET", f"{path}/correction")["state"] == "withdrawn"
    request = line.services.rights.handling.read(path[1:])
    assert line.services.rights.handling.details(request).identifier is None


def test_an_erasure_leaves_no_proposal(line: Line, ask: Ask) -> None:  # noqa: F811
    """What was proposed for a person goes with their keys, and can no longer be carried out."""
    someone, path = person(line, 30), approved(line, ask, 30, "correct")
    ask("POST", f"{path}/correction", {"record": {"last_name": "Mended"}})
    line.services.shredding.shred(someone, reference="case-30", by="operator")
    assert line.scalar("SELECT sealed FROM corrections WHERE request_id = :id", id=path[1:]) is None
    ask("POST", f"{path}/execute", {}, 409)
    mending = line.services.rights.mending
    assert mending is not None
    assert mending.correcting.resume() == 0
    with pytest.raises(NotFound):
        mending.correcting.of_request("dsr-none")
