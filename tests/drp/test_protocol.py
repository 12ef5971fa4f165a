"""The protocol's calls over a real database: tokens, replays, whose request is whose, and what each call changes."""

import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_gateway.audit.chain import opened
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.drp.exercise import ACTIONS
from consent_gateway.drp.tables import DRP_REQUESTS, DRP_TOKENS
from consent_gateway.errors import CallerNotPermitted, Conflict, DatabaseUnavailable, GatewayError, InputRefused
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.requests import By
from consent_gateway.rights.states import DenialGround
from consent_gateway.rights.tables import RIGHTS_REQUESTS
from tests.drp.world import CALLBACK, KEYS, PAGE, World, agent_of, body_of, directory_of, envelope, open_world
from tests.unit.rights.conftest import ADA, FAMILY, NOBODY, OFFICER


def rows(world: World, table: sa.Table) -> list[Any]:
    """Everything in a table."""
    with world.rights.engine.connect() as connection:
        return list(connection.execute(sa.select(table)).mappings())


def entries(world: World) -> list[dict[str, Any]]:
    """Every audit entry, in order."""
    with world.rights.engine.connect() as connection:
        queued = connection.execute(sa.select(AUDIT_QUEUE.c.entry).order_by(AUDIT_QUEUE.c.n)).scalars()
        return [opened(bytes(leaf)) for leaf in queued]


def proved(world: World, request_id: str, address: str = ADA) -> None:
    """An officer says whose request it is."""
    done = world.rights.room.proofs.by_officer(request_id, "seen-1", world.rights.ids[address], OFFICER)
    world.rights.room.proofs.close_reads(done)


# -- tokens


def test_a_token_is_given_for_a_signed_message_and_stored_as_a_digest(world: World) -> None:
    """It resolves to its agent, in another process too; the database holds no part of it; the log says that it was."""
    token = world.protocol.set_up("GOOD", body_of(envelope(world.now)))
    assert token.startswith("gw_drp_")
    assert len(token) >= 50
    for process in (world, open_world(world.rights)):
        agent = process.protocol.agent(token)
        assert agent is not None
        assert agent.agent_id == "GOOD"
    assert token[7:] not in world.rights.everything()
    (entry,) = [one for one in entries(world) if one["action"] == "agent_token"]
    assert (entry["kind"], entry["caller"]) == ("client", "drp:GOOD")
    assert world.protocol.agent("gw_drp_" + "x" * 43) is None
    assert world.protocol.agent("gw_at_x") is None


def test_an_agent_has_one_token(world: World) -> None:
    """The next set-up ends the one before; another agent's goes on."""
    first = world.protocol.set_up("GOOD", body_of(envelope(world.now)))
    other = world.protocol.set_up("OTHER", body_of(envelope(world.now, **{"agent-id": "OTHER"}), KEYS["OTHER"]))
    second = world.protocol.set_up("GOOD", body_of(envelope(world.now, again=1)))
    assert world.protocol.agent(first) is None
    assert world.protocol.agent(second) is not None
    assert world.protocol.agent(other) is not None
    assert len(rows(world, DRP_TOKENS)) == 2


def test_a_token_is_over_with_its_key_or_its_agent(world: World) -> None:
    """Where the directory has another key, or no such agent, the token opens nothing any more."""
    token = world.protocol.set_up("GOOD", body_of(envelope(world.now)))
    renewed = agent_of("GOOD", Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32))
    for directory in (directory_of(renewed), directory_of(agent_of("OTHER"))):
        assert open_world(world.rights, directory).protocol.agent(token) is None


def test_nobody_gets_a_token_for_another_agent(world: World) -> None:
    """By another key, with another id in the path or in the message, for another business, unknown or twice."""
    for agent_id, message, key in (
        ("GOOD", envelope(world.now), "OTHER"),
        ("OTHER", envelope(world.now), "GOOD"),
        ("GOOD", envelope(world.now, **{"agent-id": "OTHER"}), "GOOD"),
        ("GOOD", envelope(world.now, **{"business-id": "ELSE"}), "GOOD"),
        ("NOBODY", envelope(world.now, **{"agent-id": "NOBODY"}), "GOOD"),
    ):
        with pytest.raises(CallerNotPermitted):
            world.protocol.set_up(agent_id, body_of(message, KEYS[key]))
    body = body_of(envelope(world.now))
    world.protocol.set_up("GOOD", body)
    with pytest.raises(Conflict, match="used already"):
        world.protocol.set_up("GOOD", body)
    assert len(rows(world, DRP_TOKENS)) == 1


# -- replays


def test_a_message_is_taken_once(world: World) -> None:
    """The same body is refused while it is good, after a restart too, and when it is signed anew; a day later it has
    expired, and is forgotten.
    """
    message = world.message("deletion", email=ADA)
    body = body_of(message)
    world.protocol.exercise(agent_of("GOOD"), body)
    restarted = open_world(world.rights)
    for process in (world, restarted):
        with pytest.raises(Conflict, match="used already: if it had no answer, sign a new one"):
            process.protocol.exercise(agent_of("GOOD"), body)
    with pytest.raises(Conflict):
        world.protocol.set_up("GOOD", body)  # nor does it pass as another call's
    world.rights.pass_by(minutes=9, seconds=59)
    with pytest.raises(Conflict):
        world.protocol.exercise(agent_of("GOOD"), body)
    world.rights.pass_by(days=1)
    with pytest.raises(InputRefused, match="expired"):
        world.protocol.exercise(agent_of("GOOD"), body)
    assert len(rows(world, RIGHTS_REQUESTS)) == 1


def test_of_many_at_once_one_is_taken(world: World) -> None:
    """Eight threads send the same body: one request comes of it, seven are told that it was used."""
    body, agent = body_of(world.message("sale:opt-out", email=ADA)), agent_of("GOOD")
    told: list[str] = []
    at_once = threading.Barrier(8)

    def send() -> None:
        at_once.wait()
        try:
            told.append(world.protocol.exercise(agent, body)["status"])
        except Conflict:
            told.append("used")

    threads = [threading.Thread(target=send) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(told) == ["fulfilled", *["used"] * 7]
    assert len(rows(world, RIGHTS_REQUESTS)) == len(rows(world, DRP_REQUESTS)) == 1


def test_what_failed_may_be_sent_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was done, the same message is taken the second time."""
    body, receive = body_of(world.message("deletion", email=ADA)), world.rights.room.intake.receive
    calls: list[int] = []

    def fail_once(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise DatabaseUnavailable("away")
        return receive(*given)

    monkeypatch.setattr("consent_gateway.rights.intake.Intake.receive", lambda _self, *given: fail_once(*given))
    with pytest.raises(DatabaseUnavailable):
        world.protocol.exercise(agent_of("GOOD"), body)
    assert world.protocol.exercise(agent_of("GOOD"), body)["status"] == "in_progress"


# -- exercise


def test_an_opt_out_binds_at_once_and_needs_no_proof(world: World) -> None:
    """It is done when it is answered, by the path that every opt-out takes, and its day is told."""
    shown = world.exercise("sale:opt-out", email=ADA, regime="ccpa")
    assert (shown["status"], shown["reason"], shown["expected_by"]) == ("fulfilled", None, "2026-12-14")
    assert set(world.rights.of(ADA).choices) == {"targeted_ads", "data_sale"}
    assert all(choice.objected or choice.opted_out for choice in world.rights.of(ADA).choices.values())


def test_an_opt_out_binds_by_every_identifier_that_was_sent(world: World) -> None:
    """Whoever is found by one of them later keeps it, also where the other was theirs alone."""
    world.exercise("sale:opt-out", email=NOBODY, phone_number="+14155550100")
    events = [(row["data_subject"], row["purpose"]) for row in rows(world, CONSENT_EVENTS)]
    assert {row["kind"] for row in rows(world, CONSENT_EVENTS)} == {"opt_out"}
    assert len({person for person, _purpose in events}) == 2
    assert sorted(purpose for _person, purpose in events) == ["data_sale", "data_sale", "targeted_ads", "targeted_ads"]


def test_a_deletion_waits_for_the_person_whatever_the_agent_verified(world: World) -> None:
    """What the agent calls verified is for the officers; the person proves themself, on their own page."""
    shown = world.exercise("deletion", email=ADA, email_verified=True)
    request_id = shown["request_id"]
    assert (shown["status"], shown["reason"]) == ("in_progress", "need_user_verification")
    assert shown["user_verification_url"] == f"{PAGE}/{request_id}"
    assert shown["expected_by"] is not None
    assert world.status(request_id) == shown
    (row,) = rows(world, RIGHTS_REQUESTS)
    assert (row["via"], row["recorded_by"], row["proved"]) == ("authorised_agent", "drp:GOOD", False)
    assert row["agent_permission"].startswith("drp:GOOD:")
    proved(world, request_id)
    assert (world.status(request_id)["status"], world.status(request_id)["reason"]) == ("in_progress", None)


def test_the_answer_tells_nobody_who_is_known(world: World) -> None:
    """For a known, an unknown and a shared address it is the same but for the request's number, and so is the status
    a day later.
    """
    for action in ACTIONS:
        told = [world.exercise(action, email=one, **{"agent-request-id": None}) for one in (ADA, FAMILY, NOBODY)]
        world.rights.pass_by(days=1)
        told += [world.status(shown["request_id"]) for shown in told]
        for shown in told:
            number = shown.pop("request_id")
            assert shown.pop("user_verification_url", f"{PAGE}/{number}") == f"{PAGE}/{number}"
        assert all(shown == told[0] for shown in told), action


def test_a_request_without_a_regime_is_voluntary_and_has_a_place(world: World) -> None:
    """The directory says whose law is applied; a regime without a place is not taken."""
    assert world.exercise("deletion", email=ADA)["status"] == "in_progress"
    (row,) = rows(world, RIGHTS_REQUESTS)
    assert (row["jurisdiction"], row["regime"]) == ("US-CA", "US_CA_CCPA")
    only = directory_of()
    closed = open_world(world.rights, type(only)(only.business_id, {"ccpa": "US-CA"}, only.agents))
    body = body_of(world.message("deletion", email=ADA))
    with pytest.raises(InputRefused, match="regime"):
        closed.protocol.exercise(agent_of("GOOD"), body)


def test_a_claim_that_names_nobody_is_refused_and_nothing_is_kept(world: World) -> None:
    """And the error quotes nothing of it."""
    for claims in ({"email": "no address"}, {"phone_number": "12"}, {}):
        with pytest.raises(InputRefused) as caught:
            world.exercise("deletion", **claims)
        assert "no address" not in caught.value.message
    assert rows(world, RIGHTS_REQUESTS) == rows(world, DRP_REQUESTS) == []


def test_no_personal_value_is_kept_in_the_clear(world: World) -> None:
    """Neither in a table nor in an entry of the log: not the address, the name, the number or a claim nobody knows."""
    secret = {"name": "Adelheid Canary", "email": "canary@example.com", "phone_number": "+14155550199"}
    shown = world.exercise("deletion", **secret, address={"locality": "Canaryville"}, colour="canary-mauve")
    world.exercise("sale:opt-out", **secret)
    world.revoke(shown["request_id"], reason="because Canary says so")
    held = world.rights.everything() + str(entries(world))
    for value in ("Adelheid", "canary@example", "Canaryville", "4155550199", "canary-mauve", "says so"):
        assert value not in held
    acts = [one["action"] for one in entries(world) if one["kind"] == "rights_request"]
    assert {"receive", "ask_identity", "begin", "finish", "cancel"} <= set(acts)
    assert {one["caller"] for one in entries(world) if one["kind"] == "rights_request"} == {"drp:GOOD"}


# -- whose request is whose


def test_another_agents_request_is_as_one_that_is_not(world: World) -> None:
    """To see or revoke it is refused in the same words as a number that nobody has, and changes nothing."""
    request_id = world.exercise("deletion", email=ADA)["request_id"]
    told = set()
    for number in (request_id, "rq_01jd80000000000000000000ad"):
        for call in (world.status, world.revoke):
            with pytest.raises(CallerNotPermitted) as caught:
                call(number, "OTHER")
            told.add(caught.value.message)
    assert len(told) == 1
    assert world.status(request_id)["status"] == "in_progress"


def test_an_agents_message_does_not_pass_under_anothers_token(world: World) -> None:
    """The key is that of the token's agent, so the signature already fails."""
    body = body_of(world.message("deletion", email=ADA, **{"agent-id": "OTHER"}), KEYS["OTHER"])
    with pytest.raises(CallerNotPermitted, match="signature"):
        world.protocol.exercise(agent_of("GOOD"), body)


def test_a_request_of_a_channel_is_no_agents(world: World) -> None:
    """What did not come by the protocol cannot be seen or revoked by it."""
    asked = world.rights.ask("delete")
    for call in (world.status, world.revoke):
        with pytest.raises(CallerNotPermitted):
            call(asked.request_id)


# -- revoke


def test_a_request_is_revoked_once_and_stays_so(world: World) -> None:
    """By a body as 2.04 writes it, or by one that names its parties; what is not there to be called off is told."""
    for more in ({}, {"named": 1}):
        request_id = world.exercise("deletion", email=ADA)["request_id"]
        proved(world, request_id)
        world.rights.pass_by(seconds=2)
        message = {"reason": "no", **(envelope(world.now) if more else {})}
        shown = world.protocol.revoke(agent_of("GOOD"), request_id, body_of(message))
        assert (shown["status"], shown["reason"]) == ("revoked", None)
        assert world.revoke(request_id)["status"] == "revoked"
        assert not world.rights.of(ADA).erasure_pending
        if more:
            with pytest.raises(Conflict, match="used already"):
                world.protocol.revoke(agent_of("GOOD"), request_id, body_of(message))
    done = world.exercise("sale:opt-out", email=ADA)["request_id"]
    with pytest.raises(Conflict):
        world.revoke(done)


def test_a_revoke_that_names_its_parties_is_held_to_them(world: World) -> None:
    """One member of the envelope is enough to ask for all of them."""
    request_id = world.exercise("deletion", email=ADA)["request_id"]
    changes: tuple[dict[str, Any], ...] = (
        {"business-id": "ELSE"}, {"agent-id": "OTHER"}, {"expires-at": None}, {"issued-at": "2100-01-01T00:00Z"},
    )  # fmt: skip
    for changed in changes:
        body = body_of({"reason": "no", **envelope(world.now, **changed)})
        with pytest.raises((CallerNotPermitted, InputRefused)):
            world.protocol.revoke(agent_of("GOOD"), request_id, body)
    assert world.status(request_id)["status"] == "in_progress"


def test_a_reason_is_text(world: World) -> None:
    """Or left out, or null."""
    request_id = world.exercise("deletion", email=ADA)["request_id"]
    with pytest.raises(InputRefused):
        world.revoke(request_id, reason=["no"])
    assert world.protocol.revoke(agent_of("GOOD"), request_id, body_of({}))["status"] == "revoked"


def test_to_revoke_a_repetition_leaves_what_it_repeats(world: World) -> None:
    """The person's own request, or another agent's, goes on; so it does where that one is revoked later."""
    first = world.exercise("deletion", "OTHER", email=ADA)["request_id"]
    proved(world, first)
    again = world.exercise("deletion", email=ADA)["request_id"]
    proved(world, again)
    (row,) = [row for row in rows(world, RIGHTS_REQUESTS) if row["request_id"] == again]
    assert row["joined_to"] == first
    assert world.revoke(again)["status"] == "revoked"
    assert world.status(first, "OTHER")["status"] == "in_progress"
    assert world.rights.of(ADA).erasure_pending
    world.rights.pass_by(seconds=1)
    assert world.revoke(first, "OTHER")["status"] == "revoked"
    assert world.status(again)["status"] == "revoked"


def test_to_revoke_what_others_repeat_leaves_it_to_them(world: World) -> None:
    """An agent asked first and the person then themself: the agent is told that it is revoked, the person's goes on."""
    first = world.exercise("deletion", email=ADA)["request_id"]
    proved(world, first)
    own = world.rights.proved("delete", place="US-CA")
    world.rights.pass_by(seconds=1)
    for _ in range(2):
        shown = world.revoke(first)
        assert (shown["status"], shown["reason"], shown["processing_details"]) == ("revoked", None, None)
    assert world.status(first) == shown
    assert world.rights.read(own).standing.open
    assert world.rights.of(ADA).erasure_pending
    assert world.rights.acts(world.rights.read(own)).count("leave") == 1
    world.rights.room.handling.deny(first, DenialGround.UNFOUNDED, OFFICER)
    assert world.status(first)["status"] == "revoked"


# -- status


def test_the_status_follows_the_request_to_its_end(world: World) -> None:
    """Held, extended with its reason, denied with its ground: an agent sees it and cannot see whose it is."""
    request_id = world.exercise("deletion", email=ADA, regime="ccpa")["request_id"]
    first = world.status(request_id)["expected_by"]
    proved(world, request_id)
    handling = world.rights.room.handling
    handling.extend(request_id, ExtensionReason.COMPLEXITY, OFFICER)
    longer = world.status(request_id)
    assert longer["expected_by"] > first
    assert "More time is needed" in longer["processing_details"]
    handling.deny(request_id, DenialGround.LEGAL_CLAIMS, OFFICER)
    denied = world.status(request_id)
    assert (denied["status"], denied["reason"]) == ("denied", "claim_not_covered")
    assert world.rights.ids[ADA] not in str(denied)


def test_who_carries_a_repetition_is_told_of_the_first(world: World) -> None:
    """Two agents ask for the same erasure: both are told of its end, each under its own number."""
    numbers = [world.exercise("deletion", name, email=ADA)["request_id"] for name in ("OTHER", "GOOD")]
    for number in numbers:
        proved(world, number)
    handling = world.rights.room.handling
    handling.approve(numbers[0], OFFICER)
    handling.execute(numbers[0], OFFICER)
    for number, name in zip(numbers, ("OTHER", "GOOD"), strict=True):
        shown = world.status(number, name)
        assert (shown["request_id"], shown["status"]) == (number, "fulfilled")


def test_what_was_made_is_fetched_by_its_person(world: World) -> None:
    """An access request that is fulfilled names their page; the agent is handed nothing."""
    request_id = world.exercise("access", email=ADA)["request_id"]
    proved(world, request_id)
    world.rights.room.handling.approve(request_id, OFFICER)
    world.rights.room.handling.execute(request_id, OFFICER)
    shown = world.status(request_id)
    assert (shown["status"], shown["results_url"]) == ("fulfilled", f"{PAGE}/{request_id}")


def test_the_agents_part_goes_with_the_record(world: World) -> None:
    """Once nobody has to show the request any longer, what was the agent's is deleted with it."""
    kept = world.exercise("deletion", email=ADA, status_callback=CALLBACK)["request_id"]
    gone = world.exercise("deletion", email=NOBODY)["request_id"]
    with world.rights.engine.begin() as connection:
        connection.execute(sa.delete(RIGHTS_REQUESTS).where(RIGHTS_REQUESTS.c.request_id == gone))
    assert world.protocol.purge() == 1
    assert [row["request_id"] for row in rows(world, DRP_REQUESTS)] == [kept]
    with pytest.raises(CallerNotPermitted):
        world.status(gone)


def test_a_request_of_an_agent_stays_the_persons(world: World) -> None:
    """The person, or an officer, may end it too; the agent sees that."""
    request_id = world.exercise("deletion", email=ADA)["request_id"]
    world.rights.room.handling.cancel(request_id, By(channel="preference_page"))
    assert world.status(request_id)["status"] == "revoked"


def test_errors_of_every_kind_leave_no_trace_of_the_message(world: World) -> None:
    """A body refused at any step stores nothing: no request, no use, no entry."""
    before = (len(entries(world)), len(rows(world, RIGHTS_REQUESTS)))
    for body in (
        b"x",
        body_of(world.message("deletion", email=ADA), KEYS["OTHER"]),
        body_of(world.message("deletion", email=ADA, **{"business-id": "ELSE"})),
        body_of(world.message("deletion", email=ADA, **{"issued-at": (world.now + timedelta(1)).isoformat()})),
        body_of(world.message("sale:opt-in", email=ADA)),
    ):
        with pytest.raises(GatewayError):
            world.protocol.exercise(agent_of("GOOD"), body)
    assert (len(entries(world)), len(rows(world, RIGHTS_REQUESTS))) == before
    with world.rights.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM used_proofs")).scalar() == 0
