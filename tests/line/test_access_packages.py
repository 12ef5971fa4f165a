"""Access packages of the coffee chain: what the law asks for is in them, what it forbids is not; they leave once."""

import csv
import io
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.errors import NotFound
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.rights.access_document import PORTABILITY
from consent_gateway.rights.access_report import SCHEMA, files_of
from consent_gateway.rights.erasure_tables import ACCESS_PACKAGES
from tests.line.conftest import Line


def person(line: Line, key: int) -> str:
    """The id of a customer by the store's key."""
    return str(line.scalar("SELECT data_subject FROM people WHERE store_key = :key", key=str(key)))


def document(line: Line, key: int, request: str, kind: str = "access", language: str = "en") -> dict[str, Any]:
    """What a package of a customer holds."""
    packages = line.services.erasure_desk.packages
    made = packages.make(person(line, key), request_id=request, by="officer", kind=kind, language=language)
    return packages.review(made.package_id, by="officer")


def by_field(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields of a document by name."""
    return {one["field"]: one for one in told["fields"]}


def test_a_package_holds_all_that_article_15_asks_for(line: Line) -> None:
    """Purposes, categories, recipients by name, time kept, rights, complaint, source, machine decisions, safeguards."""
    someone = person(line, 1)
    caller = line.caller("service_messages", recipients="company email_tool")
    query = ReadQuery(PersonRef(data_subject=someone), "service_messages", ("email",), recipient="email_tool")
    line.services.gateway.read(caller, query)
    told = document(line, 1, "acc-1", language="de")
    fields = by_field(told)
    email = fields["email"]
    assert email["values"] == [{"value": "anna.berger@example.com"}]
    used = {one["purpose"]: one["basis"] for one in email["uses"] if one["used"]}
    assert used["email_marketing"] == "consent"
    assert used["service_messages"] == "contract"
    assert [one["name"] for one in email["categories"]] == ["User Contact Email"]
    assert {"recipient": "email_tool", "name": "Lerchenpost e-mail service", "received": True} in email["recipients"]
    assert email["sources"][0]["source"]
    assert fields["orders.total_cents"]["kept"]["until"].endswith("-12-31")
    assert fields["orders.total_cents"]["kept"]["criteria"][0]["source"].startswith("HGB")
    assert fields["service_note"]["values"] == [{"value": "calls back after six only"}]  # sealed in the store
    tool = next(one for one in told["recipients"] if one["recipient"] == "analytics_tool")
    assert (tool["country"], tool["safeguard"]) == ("US", "scc")
    assert {one["event"] for one in told["choices"]}
    assert any(one["recipient"] == "email_tool" and one["fields"] == ["email"] for one in told["accesses"])
    assert "Datenschutzaufsicht" in told["complaint"]
    assert "Bundeslandes" in told["complaint"]
    assert told["automated_decisions"]
    assert told["rights"]
    answering = {one["who"]: (one["name"], one["email"], one["place"]) for one in told["responsible"]}
    assert answering["controller"] == ("Morgenrot Coffee GmbH", "privacy@morgenrot.example", None)
    assert answering["representative"][2] == "GB"
    assert answering["data_protection_officer"][1] == "dpo@morgenrot.example"


def test_what_may_not_be_sent_is_told_to_be_held(line: Line) -> None:
    """11 CCR 7024(d): a Californian's card digits are named and not given; a German's are given."""
    for key, order in ((2, 4711), (1, 4712)):
        row = line.store("SELECT min(order_id) FROM orders WHERE customer_id = :key", key=key)
        line.store("UPDATE orders SET card_last4 = :digits WHERE order_id = :row", digits=str(order), row=row)
    told = by_field(document(line, 2, "acc-2"))["orders.card_last4"]["values"]
    assert told
    assert all(one["value"] is None and one["not_told"] == "withheld" for one in told)
    package = json.dumps(document(line, 2, "acc-2"))
    assert "4711" not in package
    assert {"value": "4712"} in by_field(document(line, 1, "acc-1b"))["orders.card_last4"]["values"]


def test_other_people_in_free_text_are_blanked_and_named_for_review(line: Line) -> None:
    """Addresses and numbers of others in a note are blanked, the person's own are not; the field is to be reviewed."""
    note = line.store("SELECT min(note_id) FROM support_notes WHERE customer_id = 3")
    if note is None:
        line.store(
            "INSERT INTO support_notes (note_id, customer_id, written_at, agent, note)"
            " VALUES (99001, 3, '2026-01-02', 'AB', 'x')"
        )
        note = 99001
    text = "mother paul.other@example.org, tel +49 170 5556677, child mia.schneider@example.net"
    line.store("UPDATE support_notes SET note = :text WHERE note_id = :id", text=text, id=note)
    told = document(line, 3, "acc-3")
    values = [one["value"] for one in by_field(told)["support_notes.note"]["values"]]
    assert "mother […], tel […], child mia.schneider@example.net" in values
    assert "support_notes.note" in told["review"]


def test_portability_is_what_the_person_gave_by_consent_or_contract(line: Line) -> None:
    """GDPR Art. 20: nothing that rests on another basis alone, no copy of a choice, no log, no page."""
    told = document(line, 1, "port-1", PORTABILITY)
    fields = by_field(told)
    assert "email" in fields
    assert "orders.product" not in fields
    assert "marketing_opt_in" not in fields
    for one in told["fields"]:
        assert any(use["used"] and use["basis"] in {"consent", "explicit_consent", "contract"} for use in one["uses"])
    assert "accesses" not in told
    files = files_of(told, line.services.preferences.words["en"], "Shop")
    assert set(files) == {"data.json", "data.csv", "schema.json"}


def test_a_package_lies_encrypted_and_leaves_once(line: Line) -> None:
    """At rest it is ciphertext; the link opens it for its person once, and for nobody else; over, it is gone."""
    someone, packages = person(line, 4), line.services.erasure_desk.packages
    made = packages.make(someone, request_id="acc-4", by="officer")
    assert packages.make(someone, request_id="acc-4", by="officer") == made
    with line.services.engine.connect() as connection:
        row = connection.execute(sa.select(ACCESS_PACKAGES).where(ACCESS_PACKAGES.c.request_id == "acc-4")).one()
    assert b"claire" not in bytes(row.sealed).lower()
    with pytest.raises(NotFound):
        packages.fetch("guessed", someone)
    old = packages.release(made.package_id, by="officer")
    secret = packages.release(made.package_id, by="officer", blank=("street",))
    for wrong in ((old, someone), (secret, person(line, 5))):
        with pytest.raises(NotFound):
            packages.fetch(*wrong)
    told = packages.fetch(secret, someone)
    assert "claire" in json.dumps(told).lower()
    assert "12 rue Mercière" not in json.dumps(told, ensure_ascii=False)
    with pytest.raises(NotFound):
        packages.fetch(secret, someone)
    with line.services.engine.begin() as connection:
        connection.execute(sa.update(ACCESS_PACKAGES).values(expires_at=1))
    with pytest.raises(NotFound):
        packages.find(made.package_id)
    assert packages.purge() >= 1


def test_the_files_say_the_same_and_carry_nothing_foreign(line: Line) -> None:
    """The page loads nothing and runs nothing; the table has one line a value and no formula; JSON fits its schema."""
    told = document(line, 6, "acc-6")
    told["fields"][0]["values"][0]["value"] = "=cmd|' /C calc'!A0 <script>"
    files = files_of(told, line.services.preferences.words["en"], "Shop")
    page = files["report.html"].decode()
    assert "<script" not in page
    assert re.search(r"(src|href)=", page) is None
    assert "Who answers for your data" in page
    assert "Representative (United Kingdom)" in page
    lines = list(csv.reader(io.StringIO(files["data.csv"].decode())))
    assert len(lines) == 1 + sum(len(one["values"]) for one in told["fields"])
    assert not [cell for line_ in lines for cell in line_ if cell[:1] in {"=", "+", "@"}]
    assert json.loads(files["data.json"]) == told
    assert set(SCHEMA["required"]) <= set(told)
    for one in told["fields"]:
        assert set(SCHEMA["properties"]["fields"]["items"]["required"]) <= set(one)


def test_cut_short_at_each_step_a_package_is_made_once(line: Line) -> None:
    """Stopped before the commit nothing was made, after it all was; asked again there is one package and one entry."""
    packages = line.services.erasure_desk.packages

    class Stopped(Exception):
        pass

    for step, made_by_then in (("making", 0), ("made", 1)):
        request = f"acc-cut-{step}"

        def stop(reached: str, step: str = step) -> None:
            if reached == step:
                raise Stopped

        packages._at = stop
        with pytest.raises(Stopped):
            packages.make(person(line, 7), request_id=request, by="officer")
        packages._at = lambda _step: None
        with line.services.engine.connect() as connection:
            of_request = ACCESS_PACKAGES.c.request_id == request
            counted = sa.select(sa.func.count()).select_from(ACCESS_PACKAGES).where(of_request)
            assert connection.execute(counted).scalar_one() == made_by_then
        made = packages.make(person(line, 7), request_id=request, by="officer")
        log = line.services.erasure_desk.packages._log.about(person(line, 7))
        assert [one["outcome"] for one in log if one.get("reference") == made.package_id] == ["made"]


def test_schedules_erase_what_has_passed_and_a_dry_run_says_it_before(line: Line) -> None:
    """A dry run changes nothing and counts what the run then erases; the next finds nothing; a hold keeps its own."""
    retention = line.services.erasure_desk.retention
    old = (line.services.clock.now() - timedelta(days=800)).date().isoformat()
    line.store("UPDATE visits SET visited_at = :old WHERE customer_id IN (8, 9)", old=old)
    line.store("UPDATE orders SET ordered_at = :old, card_last4 = '1234' WHERE customer_id IN (8, 9)", old=old)
    with line.services.engine.begin() as connection:
        held = {"person": person(line, 9)}
        state = "UPDATE person_state SET legal_hold = true WHERE data_subject = :person"
        if not connection.execute(sa.text(state), held).rowcount:
            pytest.fail("the person has no state yet")
    before = {table: line.store(f"SELECT count(*) FROM {table}") for table in ("visits", "orders")}
    dry = {one.schedule: one for one in retention.run(by="operator", dry_run=True).passed}
    assert {table: line.store(f"SELECT count(*) FROM {table}") for table in before} == before
    done = {one.schedule: one for one in retention.run(by="operator", dry_run=False).passed}
    assert done == dry
    assert dry["visits"].held
    assert line.store("SELECT count(*) FROM visits WHERE customer_id = 8") == 0
    assert line.store("SELECT count(*) FROM visits WHERE customer_id = 9")
    assert line.store("SELECT count(*) FROM orders WHERE customer_id = 8 AND card_last4 IS NOT NULL") == 0
    assert line.store("SELECT count(*) FROM orders") == before["orders"]
    again = retention.run(by="operator", dry_run=True).passed
    assert not [one for one in again if one.deleted or one.emptied]
