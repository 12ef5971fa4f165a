"""Requests carried through to their end over HTTP: each kind is answered by what was made or erased, and not before."""

import json
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from consent_gateway.cli.rights import rights
from consent_gateway.errors import Conflict, GatewayError, NotFound
from consent_gateway.line import BatchQuery, DecideQuery, ReadQuery
from consent_gateway.officers.registry import Role
from consent_gateway.people.directory import PersonRef
from consent_gateway.rights.access_report import files_of
from consent_gateway.rights.erasure_records import State
from consent_gateway.web.app import create_app
from tests.line.conftest import Line
from tests.line.test_store_erasures import person, without_orders
from tests.officers import Officer, Passkey

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(line: Line) -> Ask:
    """Sends one call of a signed-in officer, and expects its status."""
    http: FlaskClient = create_app(line.services).test_client()

    class Sent:
        def __init__(self, answer: Any) -> None:
            self.status, self.body = answer.status_code, answer.get_json()

    def send(method: str, path: str, body: Any = None, token: str | None = None) -> Sent:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return Sent(http.open(path, method=method, json=body, headers=headers))

    officer = Officer(send, Passkey(line.services.issuer))
    assert officer.enrol(line.services.desk.officers.add("desk", (Role.OFFICER,))[1]).status == 201
    assert officer.sign_in().status == 201

    def asked(method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = send(method, f"/v1/rights-requests{path}", body, officer.token)
        assert answer.status == status, answer.body
        return answer.body

    return asked


def approved(line: Line, ask: Ask, key: int, right: str, days_ago: int = 0, place: str = "DE") -> str:
    """The path of a letter's request, proved and approved."""
    email = line.store("SELECT email FROM customers WHERE customer_id = :key", key=key)
    letter = {
        "identifier": {"kind": "email", "value": email},
        "right": right,
        "jurisdiction": place,
        "via": "post",
        "language": "de",
        "received_at": (line.services.clock.now() - timedelta(days=days_ago, hours=1)).isoformat(),
    }
    path = f"/{ask('POST', '', letter, 201)['id']}"
    ask("POST", f"{path}/execute", {}, 409)
    ask("POST", f"{path}/verify", {"method": "seen", "reference": "desk-1", "data_subject": person(line, key)})
    ask("POST", f"{path}/approve")
    return path


@pytest.mark.parametrize(("right", "kind", "key"), [("access", "access", 11), ("portability", "portability", 12)])
def test_a_package_answers_its_request_when_it_is_released(
    line: Line, ask: Ask, right: str, kind: str, key: int
) -> None:
    """Made, the answer is still owed; reviewed and released, the request is fulfilled and the link opens once."""
    path, someone = approved(line, ask, key, right), person(line, key)
    ask("GET", f"{path}/package", status=404)
    ask("POST", f"{path}/release", {}, 404)
    made = ask("POST", f"{path}/execute", {})
    assert (made["state"], made["running"], made["answered_at"]) == ("in_progress", False, None)
    assert ask("POST", f"{path}/execute", {})["outcome"] == made["outcome"]
    seen = ask("GET", f"{path}/package")
    assert (seen["id"], seen["kind"], seen["state"]) == (made["outcome"]["reference"], kind, "to_review")
    assert seen["document"]["language"] == "de"
    assert ("accesses" in seen["document"]) is (kind == "access")
    ask("POST", f"{path}/release", {"blank": ["no_such_field"]}, 400)
    released = ask("POST", f"{path}/release", {"blank": ["city"]})
    assert released["request"]["state"] == "fulfilled"
    assert released["request"]["outcome"]["reference"] == seen["id"]
    again = ask("POST", f"{path}/release", {})["secret"]
    packages = line.services.erasure_desk.packages
    with pytest.raises(NotFound):
        packages.fetch(released["secret"], someone)
    told = packages.fetch(again, someone)
    assert next(one for one in told["fields"] if one["field"] == "city")["values"][0]["value"] is None
    with pytest.raises(NotFound):
        packages.fetch(again, someone)


def test_a_refused_request_leaves_no_package(line: Line, ask: Ask) -> None:
    """What was made goes with the request that is refused, and nothing of it can be released."""
    path = approved(line, ask, 13, "access")
    ask("POST", f"{path}/execute", {})
    ask("POST", f"{path}/deny", {"ground": "rights_of_others"})
    ask("GET", f"{path}/package", status=404)
    ask("POST", f"{path}/release", {}, 409)
    assert line.scalar("SELECT count(*) FROM access_packages WHERE request_id = :id", id=path[1:]) == 0


def test_a_request_to_know_gets_no_values(line: Line, ask: Ask) -> None:
    """11 CCR 7062(b): the package tells kinds of data, purposes, sources and recipients, and no value."""
    path, someone = approved(line, ask, 18, "know", place="US-CA"), person(line, 18)
    assert ask("POST", f"{path}/execute", {})["state"] == "in_progress"
    seen = ask("GET", f"{path}/package")
    assert (seen["kind"], seen["document"]["fields"]) == ("know", [])
    email = next(one for one in seen["document"]["kinds"] if one["category"] == "user.contact.email")
    assert email["purposes"]
    assert email["recipients"]
    released = ask("POST", f"{path}/release", {})
    assert released["request"]["state"] == "fulfilled"
    told = line.services.erasure_desk.packages.fetch(released["secret"], someone)
    files = files_of(told, line.services.preferences.words["en"], "Shop")
    assert sorted(files) == ["data.csv", "data.json", "report.html", "schema.json"]
    for column in ("email", "phone", "last_name", "street"):
        value = str(line.store(f"SELECT {column} FROM customers WHERE customer_id = 18"))
        assert not any(value.encode() in one for one in files.values()), column


def test_a_restriction_closes_every_kind_of_read_at_once(line: Line, ask: Ask) -> None:
    """GDPR Art. 18: when its request is answered, read, decision and send list close, at once."""
    someone = person(line, 19)
    caller = line.caller("order_fulfilment", "customer_support", "legal_tax", recipients="company tax_office")
    read = ReadQuery(PersonRef(data_subject=someone), "order_fulfilment", ("street",))
    assert line.services.gateway.read(caller, read).record
    email = line.store("SELECT email FROM customers WHERE customer_id = 19")
    asked = {"identifier": {"kind": "email", "value": email}, "right": "restrict", "jurisdiction": "DE", "via": "post"}
    assert ask("POST", "", asked, 201)["state"] == "fulfilled"
    assert line.services.gateway.read(caller, read).record == {}
    support = ReadQuery(PersonRef(data_subject=someone), "customer_support", ("street", "first_name"))
    assert line.services.gateway.read(caller, support).record == {}
    decided = line.services.gateway.decide(caller, DecideQuery(PersonRef(data_subject=someone), "order_fulfilment"))
    assert {one.reason.value for one in decided.verdicts.values()} == {"restriction"}
    batch = line.services.gateway.decide_batch(
        caller, BatchQuery((PersonRef(data_subject=someone),), "order_fulfilment")
    )
    assert not any(one.is_open for one in batch.results[0].verdicts.values())


def test_who_is_shredded_leaves_no_package(line: Line, ask: Ask) -> None:
    """The act that destroys the keys deletes what was made for the person too."""
    path, someone = approved(line, ask, 17, "access"), person(line, 17)
    ask("POST", f"{path}/execute", {})
    line.services.shredding.shred(someone, reference="case-17", by="operator")
    assert line.scalar("SELECT count(*) FROM access_packages WHERE data_subject = :who", who=someone) == 0
    ask("GET", f"{path}/package", status=404)
    ask("POST", f"{path}/release", {}, 404)


def test_an_erasure_that_leaves_nothing_fulfils_its_request(line: Line, ask: Ask) -> None:
    """Asked for longer ago than it can be taken back, it is done at once; the certificate is of this request."""
    someone = without_orders(line, 41)
    path = approved(line, ask, 41, "delete", days_ago=5)
    done = ask("POST", f"{path}/execute", {})
    assert (done["state"], done["outcome"]["leftovers"]) == ("fulfilled", [])
    erasure = line.services.erasure_desk.erasing.find(done["outcome"]["reference"])
    assert (erasure.state, erasure.data_subject, erasure.request_id) == (State.ERASED, someone, path[1:])
    assert erasure.certificate is not None
    assert line.store("SELECT count(*) FROM customers WHERE customer_id = 41") == 0
    ask("POST", f"{path}/execute", {}, 409)


def test_what_a_law_keeps_is_named_and_can_be_asked_again(line: Line, ask: Ask) -> None:
    """Too early it is refused and stays open; waived it is done in part, says what is kept, and repeats as it was."""
    path = approved(line, ask, 14, "delete")
    ask("POST", f"{path}/execute", {}, 409)
    assert ask("GET", path)["state"] == "in_progress"
    done = ask("POST", f"{path}/execute", {"waived": True})
    assert done["state"] == "partially_fulfilled"
    assert "orders.total_cents" in done["outcome"]["leftovers"]
    again = ask("POST", f"{path}/execute", {})
    assert (again["state"], again["outcome"]) == ("partially_fulfilled", done["outcome"])


def test_an_erasure_is_taken_back_with_its_request_until_it_begins(line: Line, ask: Ask) -> None:
    """Cancelled in time, the erasure can never run and reads open; begun, the request can no longer be withdrawn."""
    path, someone = approved(line, ask, 15, "delete"), person(line, 15)
    ask("POST", f"{path}/execute", {}, 409)
    erasing = line.services.erasure_desk.erasing
    planned = erasing.plan(someone, request_id=path[1:], by="officer")
    assert planned.state is State.PLANNED
    assert ask("POST", f"{path}/cancel")["state"] == "cancelled"
    with pytest.raises(Conflict):
        erasing.execute(planned.erasure_id, by="officer", at_once=True)
    assert not line.scalar("SELECT erasure_pending FROM person_state WHERE data_subject = :who", who=someone)
    path = approved(line, ask, 16, "delete")
    begun = erasing.plan(person(line, 16), request_id=path[1:], by="officer")
    erasing.execute(begun.erasure_id, by="officer", at_once=True)
    ask("POST", f"{path}/cancel", status=409)
    ask("POST", f"{path}/deny", {"ground": "abusive"}, 409)
    assert ask("POST", f"{path}/execute", {})["state"] == "partially_fulfilled"


def test_an_operator_works_on_a_letter_by_commands(line: Line) -> None:
    """Entered, proved, extended, approved, executed and released by commands; none prints a value of the person."""
    services = SimpleNamespace(rights=line.services.rights, close=lambda: None)
    email = str(line.store("SELECT email FROM customers WHERE customer_id = 19"))
    printed: list[str] = []

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        done = CliRunner().invoke(rights, ["request", *words, "--json"], obj=lambda: services)
        assert (done.exit_code, isinstance(done.exception, GatewayError | SystemExit | None)) == (code, True), words
        printed.append(done.output)
        return json.loads(done.output) if code == 0 else {}

    day = (line.services.clock.now() - timedelta(days=2)).date().isoformat()
    told = run("enter", "--right", "access", "--place", "DE", "--email", email, "--received", day, "--language", "de")
    request_id, someone = told["id"], person(line, 19)
    assert (told["state"], told["data_subject"]) == ("identity_pending", someone)
    run("approve", request_id, code=1)
    assert run("prove", request_id, "--reference", "seen-19")["state"] == "in_progress"
    run("acknowledge", request_id)
    assert run("hold", request_id, "--ground", "internal")["ground"] == "internal"
    assert run("approve", request_id)["state"] == "in_progress"
    assert run("extend", request_id, "--reason", "complexity")["state"] == "extended"
    run("approve", request_id)
    assert run("execute", request_id)["outcome"]["reference"].startswith("pkg_")
    released = run("release", request_id, "--blank", "city")
    assert released["state"] == "fulfilled"
    assert line.services.erasure_desk.packages.fetch(released["secret"], someone)["language"] == "de"
    other = run("enter", "--right", "delete", "--person", person(line, 20), "--received", day)["id"]
    assert run("deny", other, "--ground", "legal_claims")["state"] == "denied"
    withdrawn = run("enter", "--right", "delete", "--person", person(line, 20), "--received", day)["id"]
    assert run("cancel", withdrawn)["state"] == "cancelled"
    assert run("show", other)["ground"] == "legal_claims"
    run("enter", "--right", "access", "--received", day, code=1)
    run("enter", "--right", "access", "--place", "DE", "--email", email, "--received", "yesterday", code=1)
    assert email not in "".join(printed)
