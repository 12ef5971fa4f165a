"""Agents are told of each change at least once, by whoever of the workers takes it, and never of what they know."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from consent_gateway.drp import records
from consent_gateway.drp.callbacks import LEASE
from consent_gateway.drp.tables import DRP_REQUESTS
from consent_gateway.errors import Undelivered
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.states import DenialGround, HoldGround
from tests.drp.test_protocol import proved, rows
from tests.drp.world import CALLBACK, World, agent_of, directory_of, open_world
from tests.unit.rights.conftest import ADA, NOBODY, OFFICER


@pytest.fixture
def request_id(world: World) -> str:
    """A deletion whose agent wants to be told."""
    return str(world.exercise("deletion", email=ADA, regime="ccpa", status_callback=CALLBACK)["request_id"])


def statuses(world: World) -> list[str]:
    """What was told, in order."""
    return [body["status"] for _agent, _url, body in world.sent]


def test_a_change_is_told_and_told_once(world: World, request_id: str) -> None:
    """What the answer said is not told again; each change after it is, with the status as `GET` has it."""
    assert world.callbacks.round() == 0
    proved(world, request_id)
    assert world.callbacks.round() == 1
    assert world.sent == [("GOOD", CALLBACK, world.status(request_id))]
    assert world.callbacks.round() == 0
    handling = world.rights.room.handling
    handling.extend(request_id, ExtensionReason.COMPLEXITY, OFFICER)
    assert world.callbacks.round() == 1
    assert world.sent[1][2]["expected_by"] > world.sent[0][2]["expected_by"]
    handling.hold(request_id, HoldGround.INTERNAL, OFFICER)
    assert world.callbacks.round() == 0  # in the protocol's words nothing has changed
    handling.deny(request_id, DenialGround.EXCESSIVE, OFFICER)
    assert world.callbacks.round() == 1
    assert statuses(world) == ["in_progress", "in_progress", "denied"]
    (row,) = rows(world, DRP_REQUESTS)
    assert row["is_over"]


def test_who_named_no_address_is_not_told(world: World) -> None:
    """The status call is enough for them."""
    proved(world, world.exercise("deletion", email=ADA)["request_id"])
    assert world.callbacks.round() == 0
    assert world.sent == []


def test_what_time_alone_changes_is_told_too(world: World) -> None:
    """Nobody proved it in time: the status is `expired`, without anybody's doing, and the agent hears of it."""
    request_id = world.exercise("deletion", email=NOBODY, status_callback=CALLBACK)["request_id"]
    with world.rights.engine.begin() as connection:  # under the CCPA the time to prove has no end of its own
        connection.execute(sa.text("UPDATE rights_requests SET prove_until = '2026-12-01'"))
    world.rights.clock.moment = world.rights.clock.moment.replace(month=12, day=2)
    assert world.callbacks.round() == 1
    assert statuses(world) == ["expired"] == [world.status(request_id)["status"]]
    assert world.callbacks.round() == 0


def test_what_is_repeated_is_told_under_its_own_number(world: World, request_id: str) -> None:
    """The first request's steps are told to the agent of the second as well, an extension as much as the end."""
    proved(world, request_id)
    again = world.exercise("deletion", "OTHER", email=ADA, status_callback=CALLBACK)["request_id"]
    proved(world, again)
    world.callbacks.round()
    world.rights.room.handling.extend(request_id, ExtensionReason.NUMBER_OF_REQUESTS, OFFICER)
    assert world.callbacks.round() == 2
    assert {body["processing_details"] for _agent, _url, body in world.sent[-2:]} == {
        "More time is needed: many requests are being answered."
    }
    with world.rights.engine.connect() as connection:
        assert records.due(connection, world.now, 10) == []
    world.sent.clear()
    world.rights.room.handling.deny(request_id, DenialGround.UNFOUNDED, OFFICER)
    assert world.callbacks.round() == 2
    told = {(agent, body["request_id"], body["status"]) for agent, _url, body in world.sent}
    assert told == {("GOOD", request_id, "denied"), ("OTHER", again, "denied")}


def test_a_revoke_of_what_goes_on_for_others_is_told_once(world: World, request_id: str) -> None:
    """The agent that left is told `revoked` and nothing of what becomes of it later; the other is told of its end."""
    proved(world, request_id)
    again = world.exercise("deletion", "OTHER", email=ADA, status_callback=CALLBACK)["request_id"]
    proved(world, again)
    world.callbacks.round()
    world.sent.clear()
    world.revoke(request_id)
    assert world.callbacks.round() == 1
    world.rights.room.handling.deny(request_id, DenialGround.UNFOUNDED, OFFICER)
    assert world.callbacks.round() == 1
    assert [(agent, body["status"]) for agent, _url, body in world.sent] == [("GOOD", "revoked"), ("OTHER", "denied")]


def test_a_revoke_is_told_too(world: World, request_id: str) -> None:
    """The endpoint that listens may be another part of the agent than the one that revoked."""
    world.revoke(request_id)
    assert world.callbacks.round() == 1
    assert statuses(world) == ["revoked"]


def test_who_was_away_hears_the_present_state(world: World, request_id: str) -> None:
    """A failure is tried again, later each time and not before what the agent asked for; what it missed in between is
    one status.
    """
    world.failing = [Undelivered("no connection"), Undelivered("status 503", 60)]
    proved(world, request_id)
    assert world.callbacks.round() == 0
    assert world.callbacks.round() == 0  # it waits
    world.rights.pass_by(seconds=1)
    assert world.callbacks.round() == 0
    assert world.failing == []
    world.rights.pass_by(seconds=59)
    world.rights.room.handling.deny(request_id, DenialGround.UNFOUNDED, OFFICER)
    assert world.callbacks.round() == 0
    world.rights.pass_by(seconds=1)
    assert world.callbacks.round() == 1
    assert statuses(world) == ["denied"]


def test_a_worker_that_is_killed_loses_nothing(world: World, request_id: str) -> None:
    """Killed while it sends, or after it sent and before it noted it: another tells the agent after the lease."""
    proved(world, request_id)
    world.failing = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        world.callbacks.round()
    other = open_world(world.rights)
    assert other.callbacks.round() == 0
    world.rights.pass_by(seconds=LEASE.total_seconds())
    assert other.callbacks.round() == 1
    assert statuses(other) == ["in_progress"]


def test_two_workers_do_not_tell_the_same(world: World, request_id: str) -> None:
    """While one sends, the other finds nothing to do."""
    proved(world, request_id)
    other, seen = open_world(world.rights), []
    send = world.send

    def look_meanwhile(*given: object) -> None:
        seen.append(other.callbacks.round())
        send(*given)  # type: ignore[arg-type]

    world.send = look_meanwhile  # type: ignore[method-assign]
    assert world.callbacks.round() == 1
    assert (seen, other.sent) == ([0], [])


def test_of_two_workers_that_found_the_same_one_takes_it(world: World, request_id: str) -> None:
    """Both have read what is due: the second to take it is told that it was late."""
    proved(world, request_id)
    with world.rights.engine.begin() as connection:
        (found,) = records.due(connection, world.now, 10)
        taken = [records.claim(connection, found, world.now + LEASE) for _ in range(2)]
    assert taken == [True, False]


def test_an_address_that_is_gone_is_told_no_more(world: World, request_id: str) -> None:
    """410 ends it at once, five days of failing end it too; the status call still tells."""
    proved(world, request_id)
    world.failing = [Undelivered("status 410", is_gone=True)]
    assert world.callbacks.round() == 0
    world.rights.pass_by(days=1)
    assert world.callbacks.round() == 0
    assert world.sent == []
    again = world.exercise("access", email=ADA, status_callback=CALLBACK)["request_id"]
    proved(world, again)
    for _ in range(60):
        world.failing = [Undelivered("no connection")]
        world.callbacks.round()
        world.rights.pass_by(hours=4)
    world.failing = []
    assert world.callbacks.round() == 0
    assert world.sent == []
    assert world.status(again)["status"] == "in_progress"


def test_an_agent_that_left_the_directory_is_not_told(world: World, request_id: str) -> None:
    """Its addresses are not called any more; should it come back within the time, it is told then."""
    proved(world, request_id)
    without = open_world(world.rights, directory_of(agent_of("OTHER")))
    assert without.callbacks.round() == 0
    assert without.sent == []
    world.rights.pass_by(seconds=timedelta(hours=1).total_seconds())
    assert world.callbacks.round() == 1
