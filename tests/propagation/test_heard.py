"""Who has heard of a person's latest change, and when: what a page may tell the person."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from consent_gateway.callers.registry import NewClient, Registry
from consent_gateway.propagation.changes import Audience
from consent_gateway.propagation.destinations import audience_of
from consent_gateway.propagation.heard import Heard, Stage, who_heard
from consent_gateway.propagation.tables import HEARD
from consent_gateway.vocabulary import COMPANY, Caller, EventKind
from tests.propagation.world import KEY, Ear, World, refuse

GRANT, WITHDRAW = EventKind.GRANT, EventKind.WITHDRAW


@pytest.fixture
def asked(world: World) -> Callable[[str], tuple[Heard, ...]]:
    """Who has heard, by person."""
    return lambda person: who_heard(world.engine, world.destinations, person)


def test_each_destination_is_told_with_its_stage_and_time(
    world: World, asked: Callable[[str], tuple[Heard, ...]]
) -> None:
    """A change is on its way until acknowledged; then the moment is told, and a later change begins anew."""
    Registry(world.engine, world.clock, KEY).add(
        NewClient(
            "shop", "web_shop", frozenset({"email_marketing"}), frozenset({COMPANY}), frozenset({"changes:subscribe"})
        )
    )
    caller = Caller(
        "shop", "web_shop", frozenset({"email_marketing"}), frozenset({COMPANY}), frozenset({"changes:subscribe"})
    )
    hook, _ = world.destinations.add_webhook(caller, "https://127.0.0.1/hook", audience_of(caller, None, None))
    world.wait(seconds=1)
    sink = world.sink()
    assert asked("ds_a") == ()
    (event_id,) = world.choose(("ds_a", GRANT))
    told = asked("ds_a")
    assert [(each.destination_id, each.client_id, each.channel, each.stage) for each in told] == [
        (hook.destination_id, "shop", "web_shop", Stage.ON_ITS_WAY),
        (sink.destination_id, None, None, Stage.ON_ITS_WAY),
    ]
    world.wait(seconds=3)
    world.run(hook, Ear())
    told = asked("ds_a")
    assert [(each.event_id, each.stage, each.heard_at) for each in told] == [
        (event_id, Stage.HEARD, world.clock.now()),
        (event_id, Stage.ON_ITS_WAY, None),
    ]
    world.choose(("ds_a", WITHDRAW), ("ds_b", GRANT))
    assert {each.stage for each in asked("ds_a")} == {Stage.ON_ITS_WAY}
    world.wait(seconds=3)
    for each in (hook, sink):
        world.run(each, Ear())
    assert {(each.stage, each.heard_at) for each in asked("ds_a")} == {(Stage.HEARD, world.clock.now())}
    with world.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(HEARD)).scalar_one() == 4


def test_a_failure_is_on_its_way_and_then_given_up(world: World, asked: Callable[[str], tuple[Heard, ...]]) -> None:
    """While it is tried again it is on its way; as a dead letter it is given up, and heard once revived."""
    sink, ear = world.sink(), Ear(lambda _message: refuse())
    world.choose(("ds_a", GRANT))
    world.run(sink, ear)
    assert [each.stage for each in asked("ds_a")] == [Stage.ON_ITS_WAY]
    world.wait(days=6)
    world.run(sink, ear)
    assert [(each.stage, each.heard_at) for each in asked("ds_a")] == [(Stage.GIVEN_UP, None)]
    world.destinations.revive(world.present(sink))
    world.wait(days=1)
    world.run(sink, Ear())
    assert [each.stage for each in asked("ds_a")] == [Stage.HEARD]


def test_a_dead_letter_that_comes_late_takes_nothing_back(
    world: World, asked: Callable[[str], tuple[Heard, ...]]
) -> None:
    """After the grant was given up and the withdrawal heard, the revived grant does not become the latest heard."""
    sink, ids = world.sink(), world.choose(("ds_a", GRANT))
    world.run(sink, Ear(lambda _message: refuse()))
    world.wait(days=6)
    world.run(sink, Ear(lambda _message: refuse()))
    withdrawal = world.choose(("ds_a", WITHDRAW))
    world.run(sink, Ear())
    world.wait(days=1)
    world.run(sink, Ear())
    before = asked("ds_a")
    assert [(each.event_id, each.stage) for each in before] == [(withdrawal[0], Stage.HEARD)]
    world.destinations.revive(world.present(sink))
    world.wait(days=1)
    late = Ear()
    world.run(sink, late)
    assert late.ids == ids
    assert asked("ds_a") == before


def test_who_is_not_to_hear_is_left_out(world: World, asked: Callable[[str], tuple[Heard, ...]]) -> None:
    """A destination for other purposes, one that came after the change, and one that has ended are not told of."""
    other = world.destinations.add_sink("test", "elsewhere", ["sms_marketing"], 0)
    world.choose(("ds_a", GRANT))
    later = world.destinations.add_sink("test", "later", ["email_marketing"], 1)
    ended = world.sink()
    world.destinations.end(ended, "operator")
    for each in (other, later):
        world.run(each, Ear())
    assert asked("ds_a") == ()
    assert Audience(frozenset({"sms_marketing"}), COMPANY) == other.audience
