"""Turning tokens back over HTTP: asked, signed by a second person, told once; every other way is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consent_gateway.audit.export import export
from consent_gateway.audit.reidentification_proof import prove
from consent_gateway.audit.signer import open_signer
from consent_gateway.cli.audit import audit
from consent_gateway.consent.choices import NewChoice
from consent_gateway.officers.registry import Role
from consent_gateway.people.directory import PersonRef
from consent_gateway.protection.pseudonyms import pseudonym_of_value
from consent_gateway.reidentification.canonical import canonical, commitment
from consent_gateway.vocabulary import Caller, EventKind, Identifier
from tests.reidentification.conftest import APPROVES, ASKS, House, person


def test_a_token_is_turned_back_once_after_a_second_person_signed(house: House) -> None:
    """The whole way: the requester is told person and value, once, in an answer nobody may keep; the log proves it."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    request_id = house.granted(requester, approver, house.token(person(0)))
    told = house.reveal(requester, request_id)
    assert told.status == 200, told.body
    assert told.headers["cache-control"] == "no-store"
    (result,) = told.body["results"]
    assert result["value"] == person(0)
    assert result["data_subject"].startswith("ds_")
    again = house.reveal(requester, request_id)
    assert (again.status, again.body["code"]) == (409, "conflict")
    proof = prove(house.leaves(), house.services.issuer)
    assert proof.findings == []
    assert proof.reveals >= 1
    actions = [one["action"] for one in house.entries(request_id)]
    assert actions == ["request", "approve", "decide", "reveal"]
    assert house.entries(request_id)[2]["data_subject"] == result["data_subject"]


def test_no_token_value_or_text_stands_in_the_log_or_the_database(house: House) -> None:
    """Neither the token, nor what it stood for, nor the free text is in any leaf or in the request's own row."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    token = house.token(person(1))
    request_id = house.granted(requester, approver, token)
    assert "Lovelace" in requester.call("GET", f"/v1/reidentifications/{request_id}").body["text"]
    with house.services.engine.connect() as connection:
        kept = str(connection.exec_driver_sql("SELECT * FROM reidentifications").fetchall())
    house.reveal(requester, request_id)
    everything = kept + b"\n".join(house.leaves()).decode()
    for planted in (token, person(1), "Lovelace"):
        assert planted not in everything


@pytest.mark.parametrize("roles", [(), (Role.OFFICER, APPROVES), (Role.AUDITOR,)])
def test_only_the_role_reidentify_may_ask(house: House, roles: tuple[Role, ...]) -> None:
    """An officer without the role is refused by name of the role."""
    officer = house.officer(*(roles or (Role.OPERATOR,)))
    refused = house.ask(officer, house.token(person(0)))
    assert (refused.status, refused.body["code"]) == (403, "officer_not_permitted")


def test_a_stale_sign_in_may_neither_ask_nor_sign_nor_be_told(house: House) -> None:
    """After five minutes each of the three calls wants a new sign-in; after fifteen the token is over."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    request_id = house.granted(requester, approver, house.token(person(0)))
    house.clock.pass_by(minutes=5, seconds=1)
    waiting = [
        house.ask(requester, house.token(person(0))),
        house.reveal(requester, request_id),
        approver.call("POST", f"/v1/reidentifications/{request_id}/approve/options"),
    ]
    for refused in waiting:
        assert (refused.status, refused.body["code"]) == (401, "sign_in_stale")
        assert 'max_age="300"' in refused.headers["www-authenticate"]
    assert requester.call("GET", f"/v1/reidentifications/{request_id}").status == 200
    house.clock.pass_by(minutes=10)
    assert requester.call("GET", f"/v1/reidentifications/{request_id}").status == 401


def test_nobody_approves_their_own_request(house: House) -> None:
    """Not even an officer who holds both roles."""
    both = house.officer(ASKS, APPROVES)
    request_id = house.ask(both, house.token(person(0))).body["id"]
    refused = both.approve(request_id)
    assert (refused.status, refused.body["code"]) == (403, "officer_not_permitted")
    assert house.reveal(both, request_id).status == 409
    stranger = house.officer(ASKS)
    assert stranger.approve(request_id).status == 404


def test_where_the_policy_lets_one_act_alone_the_requester_signs(house: House) -> None:
    """For customer support the requester's own passkey is enough, and another's is not taken."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    token = house.token(person(0), "customer_support")
    request_id = house.ask(requester, token, purpose="customer_support").body["id"]
    assert approver.approve(request_id).status == 403
    assert house.reveal(requester, request_id).status == 409
    assert requester.approve(request_id).status == 200
    assert house.reveal(requester, request_id).status == 200
    assert prove(house.leaves(), house.services.issuer).findings == []


@pytest.mark.parametrize(
    "different",
    [
        {"challenge": "AAAA"},
        {"origin": "https://elsewhere.example"},
        {"rp_id": "elsewhere.example"},
        {"count": 1},
    ],
    ids=["challenge", "origin", "relying-party", "count"],
)
def test_an_assertion_that_is_not_right_approves_nothing(house: House, different: dict[str, Any]) -> None:
    """Another challenge, origin or relying party, or a count that does not grow, is refused alike."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    request_id = house.ask(requester, house.token(person(0))).body["id"]
    refused = approver.approve(request_id, **different)
    assert (refused.status, refused.body["code"]) == (403, "assertion_refused")
    assert requester.call("GET", f"/v1/reidentifications/{request_id}").body["state"] == "open"


def test_an_assertion_without_user_verification_approves_nothing(house: House) -> None:
    """A touch alone is not enough."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    request_id = house.ask(requester, house.token(person(0))).body["id"]
    approver.passkey.verifies = False
    assert approver.approve(request_id).body["code"] == "assertion_refused"


def test_an_assertion_is_good_for_one_request_and_one_officer(house: House) -> None:
    """Replayed on another request, sent by another approver or sent twice, it approves nothing more."""
    requester, approver, other = house.officer(ASKS), house.officer(APPROVES), house.officer(APPROVES)
    first, second = (house.ask(requester, house.token(person(0))).body["id"] for _ in range(2))
    path = "/v1/reidentifications/{}/approve"
    options = approver.call("POST", path.format(first) + "/options").body["publicKey"]
    signed = {"credential": approver.passkey.get(options)}
    assert approver.call("POST", path.format(second), signed).body["code"] == "assertion_refused"
    assert other.call("POST", path.format(first), signed).body["code"] == "assertion_refused"
    assert approver.call("POST", path.format(first), signed).status == 200
    assert approver.call("POST", path.format(first), signed).status == 409


def test_a_grant_ends_with_its_minutes(house: House) -> None:
    """Fifteen minutes after the approval there is nothing to be told; the tokens are gone from the database."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    request_id = house.granted(requester, approver, house.token(person(0)))
    house.clock.pass_by(minutes=15)
    requester.sign_in()
    over = house.reveal(requester, request_id)
    assert (over.status, "expired" in over.body["detail"]) == (409, True)
    shown = requester.call("GET", f"/v1/reidentifications/{request_id}").body
    assert (shown["state"], shown["text"]) == ("expired", None)
    assert house.services.desk.requests.purge() >= 1


def test_only_the_requester_is_told(house: House) -> None:
    """The approver and a third officer learn not even that the grant exists."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES, ASKS)
    request_id = house.granted(requester, approver, house.token(person(0)))
    assert house.reveal(approver, request_id).status == 404
    assert house.reveal(house.officer(ASKS), request_id).status == 404
    assert house.reveal(requester, request_id).status == 200


def test_a_denied_request_stays_denied(house: House) -> None:
    """A grant may be taken back before it is used; what was denied can neither be approved nor told."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    request_id = house.granted(requester, approver, house.token(person(0)))
    assert approver.call("POST", f"/v1/reidentifications/{request_id}/deny").body["state"] == "denied"
    assert house.reveal(requester, request_id).status == 409
    assert approver.approve(request_id).status == 409
    assert approver.call("POST", f"/v1/reidentifications/{request_id}/deny").status == 409


def test_a_revoked_officer_ends_at_once(house: House) -> None:
    """Their session is over, their passkey signs nobody in, and a grant of theirs tells nothing."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    request_id = house.granted(requester, approver, house.token(person(0)))
    house.services.desk.officers.revoke(house.name_of(requester))
    assert house.reveal(requester, request_id).status == 401
    assert requester.sign_in().body["code"] == "assertion_refused"


def refusals(house: House, requester: Any, approver: Any, *tokens: str, **different: Any) -> tuple[int, dict[str, Any]]:
    """Status and body, without its request id, of a grant that is refused."""
    answer = house.reveal(requester, house.granted(requester, approver, *tokens, **different))
    return answer.status, {name: value for name, value in answer.body.items() if name != "request_id"}


def test_an_unknown_token_and_a_refused_person_look_alike(house: House) -> None:
    """A forged token, one of another purpose, of a stranger and of a person whose choice closes it: one answer."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    purpose = "email_marketing"
    known = house.token(person(0), purpose)
    seen = [
        refusals(house, requester, approver, known[:-8] + "AAAAAAAA", purpose=purpose),
        refusals(house, requester, approver, house.token(person(0), "order_fulfilment"), purpose=purpose),
        refusals(house, requester, approver, house.token("nobody@example.com", purpose), purpose=purpose),
        refusals(house, requester, approver, house.token(withdrawn(house, purpose), purpose), purpose=purpose),
    ]
    assert seen[0][0] == 403
    assert seen[0][1]["code"] == "reidentification_refused"
    assert all(one == seen[0] for one in seen)


def withdrawn(house: House, purpose: str) -> str:
    """The address of a person who takes consent to the purpose back now."""
    caller = Caller("till", "till", frozenset({purpose}), frozenset({"company"}), frozenset({"consents:write"}))
    who = PersonRef(identifier=Identifier("email", person(2)))
    house.services.choices.record(
        caller, NewChoice(who, EventKind.WITHDRAW, house.clock.now(), how="api", purpose=purpose)
    )
    return person(2)


def test_consent_is_asked_when_it_is_told(house: House) -> None:
    """A choice made after the approval closes what was granted; the log names the person and the reason."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    token = house.token(person(2), "email_marketing")
    request_id = house.granted(requester, approver, token, purpose="email_marketing")
    withdrawn(house, "email_marketing")
    assert house.reveal(requester, request_id).body["code"] == "reidentification_refused"
    decided, reveal = house.entries(request_id)[2:]
    assert decided["outcome"] == "withheld"
    assert decided["data_subject"].startswith("ds_")
    assert reveal["outcome"] == "refused"
    assert house.reveal(requester, request_id).status == 409


def test_of_several_tokens_each_is_told_or_not_by_itself(house: House) -> None:
    """What stands for nothing is null beside what is told."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    tokens = (house.token(person(0)), house.token("nobody@example.com"), house.token(person(1)))
    told = house.reveal(requester, house.granted(requester, approver, *tokens))
    assert [one["value"] for one in told.body["results"]] == [person(0), None, person(1)]
    assert told.body["results"][1]["data_subject"] is None


@pytest.mark.parametrize(
    ("different", "code"),
    [
        ({"reason": "curiosity"}, "invalid_request"),
        ({"purpose": "gossip"}, "unknown_purpose"),
        ({"recipient": "neighbour"}, "invalid_request"),
        ({"tokens": [{"token": "x", "field": "shoe_size"}]}, "unknown_field"),
        ({"tokens": [{"token": "x"}] * 11}, "invalid_request"),
        ({"text": ""}, "invalid_request"),
        ({"case_id": "Ada Lovelace"}, "invalid_request"),
    ],
)
def test_what_cannot_stand_is_refused_when_it_is_asked(house: House, different: dict[str, Any], code: str) -> None:
    """An unknown reason, purpose, recipient or field, too many tokens, no text: refused, and nothing is kept."""
    officer = house.officer(ASKS)
    refused = house.ask(officer, house.token(person(0)), **different)
    assert (refused.status, refused.body["code"]) == (400, code)


def test_a_one_way_pseudonym_is_refused_by_what_it_is(house: House) -> None:
    """A pseudonym of a value says itself that nothing turns it back."""
    one_way = str(pseudonym_of_value("x", "email", b"k" * 32, "abcd", "default"))
    refused = house.ask(house.officer(ASKS), one_way)
    assert (refused.status, "one-way" in refused.body["detail"]) == (400, True)


def test_a_burst_halts_the_officer_until_an_operator_clears_it(house: House) -> None:
    """The twenty-first request of an hour is an alarm; asking and being told end until the alarm is cleared."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    grant = house.granted(requester, approver, house.token(person(0)))
    for _ in range(19):
        assert house.ask(requester, house.token(person(0))).status == 201
    for _ in range(2):
        halted = house.ask(requester, house.token(person(0)))
        assert (halted.status, halted.body["code"]) == (403, "officer_halted")
    assert house.reveal(requester, grant).body["code"] == "officer_halted"
    alarms = [one for one in house.leaves() if b'"action":"alarm"' in one and requester.officer_id.encode() in one]
    assert len(alarms) == 1
    house.services.desk.officers.clear_alarm(house.name_of(requester))
    house.clock.pass_by(seconds=1)
    assert house.ask(requester, house.token(person(0))).status == 201
    assert house.reveal(requester, grant).status == 200


def test_the_export_alone_proves_it_with_the_file_that_lies_in_it(house: House, tmp_path: Path) -> None:
    """The exported folder's own script verifies without this software, the command says the same; a change is found."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    assert house.reveal(requester, house.granted(requester, approver, house.token(person(0)))).status == 200
    house.leaves()
    settings, origin = house.deployment.settings, house.services.issuer
    signer = open_signer(settings.log_key_file, settings.log_origin)
    folder = tmp_path / "export"
    export(house.services.engine, folder, signer, house.clock.now())
    script = [sys.executable, "-I", "reidentification_proof.py", ".", "--origin", origin]
    alone = subprocess.run(script, cwd=folder, capture_output=True, text=True, check=False)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert alone.stdout.endswith("verified\n")
    arguments = ["verify-reidentifications", str(folder), "--origin", origin, "--vkey", str(signer.vkey)]
    told = CliRunner().invoke(audit, [*arguments, "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.output)["reidentifications"]["reveals"] >= 1
    assert CliRunner().invoke(audit, [*arguments[:3], "https://elsewhere.example", *arguments[4:]]).exit_code == 1
    entries = folder / "entries.ndjson"
    entries.write_bytes(entries.read_bytes().replace(b'"case_id":"case-4711"', b'"case_id":"case-4712"'))
    changed = subprocess.run(script, cwd=folder, capture_output=True, text=True, check=False)
    assert changed.returncode == 1
    assert "the request is not the one of its hash" in changed.stdout


def test_a_result_can_be_shown_later_to_be_the_one_in_the_log(house: House) -> None:
    """With the salt of the answer the requester can show which tokens, text and results the digests stand for."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    token = house.token(person(0))
    request_id = house.granted(requester, approver, token)
    told = house.reveal(requester, request_id).body
    salt = bytes.fromhex(told["salt"])
    asked, _approve, _decide, reveal = (one["detail"] | {"n": ""} for one in house.entries(request_id))
    assert asked["token_001"] == commitment(salt, "token", token, "email", "", "")
    assert asked["text_sha256"] == commitment(salt, "text", "the parcel of Ada Lovelace went astray")
    results = canonical([[one["data_subject"], one["value"]] for one in told["results"]])
    assert reveal["result_sha256"] == commitment(salt, "result", results)
