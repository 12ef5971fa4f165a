"""Deliveries: order per person, at least once, back-off, circuit, dead letters, replay; against a naive model too."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.database import open_engine
from consent_gateway.errors import InputRefused
from consent_gateway.propagation import backoff
from consent_gateway.propagation.changes import Audience
from consent_gateway.propagation.outbox import number
from consent_gateway.propagation.tables import CHANGES
from consent_gateway.vocabulary import COMPANY, EventKind
from tests.conftest import StillClock
from tests.databases import build_schema
from tests.propagation.world import Ear, World, make_event, refuse

GRANT, WITHDRAW = EventKind.GRANT, EventKind.WITHDRAW


def test_each_change_is_delivered_once_and_in_order_where_nothing_fails(world: World) -> None:
    """Without a failure each message comes exactly once, in the order of the ledger."""
    sink, ear = world.sink(), Ear()
    ids = [*world.choose(("ds_a", GRANT), ("ds_b", GRANT)), *world.choose(("ds_a", WITHDRAW))]
    world.run(sink, ear)
    assert ear.ids == ids
    lag = world.destinations.lag(world.present(sink))
    assert (lag.untold, lag.waiting, lag.dead) == (0, 0, 0)


def test_a_rolled_back_choice_is_never_told(world: World) -> None:
    """Outbox rows stand and fall with the transaction of the choice."""
    sink, ear = world.sink(), Ear()
    from consent_gateway.consent import ledger

    with world.engine.connect() as connection, connection.begin() as transaction:
        committed = ledger.record_many(connection, [make_event("ds_a", GRANT)], now=world.clock.now())
        world.outbox.announce_in(connection, committed)
        transaction.rollback()
    world.run(sink, ear)
    assert ear.ids == []


def test_a_person_whose_change_fails_waits_and_others_go_on(world: World) -> None:
    """After a failure the same person's next changes wait behind it; others' do not. Then all come in order."""
    sink = world.sink()
    ids = world.choose(("ds_a", GRANT), ("ds_b", GRANT), ("ds_a", WITHDRAW), ("ds_c", GRANT))
    failing = True
    ear = Ear(lambda message: refuse() if failing and message.person == "ds_a" else None)
    world.run(sink, ear)
    assert ear.ids == [ids[1], ids[3]]
    assert ear.tried.count(ids[2]) == 0
    failing = False
    world.run(sink, ear)
    assert ear.ids == [ids[1], ids[3]]  # its pause is not over
    world.wait(seconds=1)
    world.run(sink, ear)
    assert ear.ids == [ids[1], ids[3], ids[0], ids[2]]
    assert world.destinations.lag(world.present(sink)).waiting == 0


def test_what_was_heard_but_not_acknowledged_comes_again_under_the_same_id(world: World) -> None:
    """A receiver that takes a message and then fails gets it again, with the same id and body."""
    sink = world.sink()
    (only,) = world.choose(("ds_a", GRANT))
    ear = Ear(after=lambda _message: refuse("no answer in time") if len(ear.heard) == 1 else None)
    world.run(sink, ear)
    world.wait(seconds=1)
    world.run(sink, ear)
    assert ear.ids == [only, only]
    assert ear.heard[0] == ear.heard[1]


def test_a_destination_that_is_down_is_tried_one_change_at_a_time(world: World) -> None:
    """After five failures in a row one change alone is tried per pause; once it is back everything comes in order."""
    sink = world.sink()
    people = [f"ds_{n}" for n in range(20)]
    world.people(*people)
    ids = world.choose(*((person, GRANT) for person in people))
    down = True
    ear = Ear(lambda _message: refuse() if down else None)
    world.run(sink, ear)
    assert len(ear.tried) == backoff.OPENS_AFTER
    for _ in range(6):
        world.wait(hours=4)
        before = len(ear.tried)
        world.run(sink, ear)
        assert len(ear.tried) == before + 1
    down = False
    world.wait(hours=4)
    world.run(sink, ear)
    assert sorted(ear.ids) == sorted(ids)


def test_a_change_that_fails_for_days_becomes_a_dead_letter_and_lets_the_next_pass(world: World) -> None:
    """After five days a change is dead; later ones of the same person come. Revived it comes, late, by its position."""
    sink = world.sink()
    first, second = world.choose(("ds_a", GRANT), ("ds_a", WITHDRAW))
    poisoned = True
    ear = Ear(lambda message: refuse("status 400") if poisoned and message.message_id == first else None)
    for _ in range(400):
        world.run(sink, ear)
        if world.destinations.dead():
            break
        world.wait(hours=1)
    (dead,) = world.destinations.dead(sink.destination_id)
    assert (dead.cause, world.clock.now() - dead.first_attempt_at >= backoff.GIVEN_UP_AFTER) == ("status 400", True)
    world.wait(hours=4)
    world.run(sink, ear)
    assert ear.ids == [second]
    poisoned = False
    assert world.destinations.revive(world.present(sink)) == 1
    world.run(sink, ear)
    assert ear.ids == [second, first]
    assert world.destinations.dead() == ()


def test_what_a_destination_asks_for_is_heeded(world: World) -> None:
    """`Retry-After` puts off every change to this destination until then."""
    sink = world.sink()
    world.choose(("ds_a", GRANT), ("ds_b", GRANT))
    ear = Ear(lambda _message: refuse("status 429", retry_after=600) if len(ear.tried) < 2 else None)
    world.run(sink, ear)
    world.wait(seconds=599)
    tried = len(ear.tried)
    world.run(sink, ear)
    assert len(ear.tried) == tried
    world.wait(seconds=2)
    world.run(sink, ear)
    assert len(ear.heard) == 2


def test_a_destination_that_says_gone_has_ended(world: World) -> None:
    """After 410 nothing is sent any more."""
    sink = world.sink()
    world.choose(("ds_a", GRANT), ("ds_b", GRANT))
    ear = Ear(lambda _message: refuse("status 410", is_gone=True))
    world.courier.round(world.present(sink), ear)
    assert world.destinations.living(sink.destination_id) is None
    assert len(ear.tried) == 1


def test_a_replay_sends_everything_past_a_number_again(world: World) -> None:
    """From 0 everything comes again in order and under the same ids; a number that does not exist is refused."""
    sink, ear = world.sink(), Ear()
    ids = world.choose(("ds_a", GRANT), ("ds_b", GRANT), ("ds_a", WITHDRAW))
    world.run(sink, ear)
    world.destinations.replay(world.present(sink), 1)
    world.run(sink, ear)
    assert ear.ids == [*ids, *ids[1:]]
    with pytest.raises(InputRefused):
        world.destinations.replay(world.present(sink), 4)


def test_a_batch_that_was_overtaken_by_a_replay_notes_nothing(world: World) -> None:
    """A replay during a batch wins: what was delivered meanwhile comes again."""
    sink = world.sink()
    ids = world.choose(("ds_a", GRANT), ("ds_b", GRANT))
    world.run(sink, Ear())
    more = world.choose(("ds_c", GRANT))
    ear = Ear(after=lambda _m: world.destinations.replay(world.present(sink), 0) if len(ear.heard) == 1 else None)
    world.run(sink, ear)
    assert ear.ids == [*more, *ids, *more]


def test_an_audience_hears_its_purposes_and_what_concerns_the_whole_person(world: World) -> None:
    """Other purposes and legal holds are not told; restriction and erasure are."""
    sink, ear = world.sink(), Ear()
    heard = world.choose(("ds_a", GRANT))
    world.choose(("ds_a", GRANT), purpose="data_sale")
    world.choose(("ds_a", EventKind.LEGAL_HOLD))
    heard += world.choose(("ds_a", EventKind.RESTRICT))
    heard += world.choose(("ds_a", EventKind.ERASED))
    world.run(sink, ear)
    assert ear.ids == heard


def test_numbers_are_dense_and_follow_the_order_of_each_person(world: World) -> None:
    """Numbering gives 1, 2, 3 … without a gap, and each person's in the order of their positions."""
    for _ in range(3):
        world.choose(("ds_a", GRANT), ("ds_b", GRANT), ("ds_a", WITHDRAW))
        assert number(world.engine) == number(world.engine)
    with world.engine.connect() as connection:
        numbers = connection.execute(sa.select(CHANGES.c.number).order_by(CHANGES.c.arrival)).scalars().all()
    assert numbers == list(range(1, 10))


@given(failures=st.integers(1, 10_000), draw=st.floats(0, 1, exclude_max=True))
def test_the_pause_grows_within_its_bounds(failures: int, draw: float) -> None:
    """Every pause lies between half and whole of its doubled time, is never under half a second nor over four hours."""
    found, nominal = backoff.pause(failures, draw), timedelta(hours=4)
    for doubling in range(min(failures, 20)):
        nominal = min(timedelta(seconds=2**doubling), timedelta(hours=4))
    assert max(nominal / 2, timedelta(seconds=0.5)) <= found <= nominal


@given(
    choices=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=25),
    outcomes=st.lists(st.sampled_from(["ok", "lost", "heard"]), max_size=60),
    deaths=st.sets(st.integers(0, 80), max_size=8),
)
def test_whatever_fails_everything_arrives_in_order(
    choices: list[tuple[str, bool]], outcomes: list[str], deaths: set[int]
) -> None:
    """Over any failures, lies and deaths in the middle of a batch: each person's changes are first heard in the order
    of the ledger and none is missing. The naive model is the list of choices itself, one queue a person.
    """
    engine = open_engine("sqlite://", threads=1)
    engine.dispose()
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    build_schema(engine, "gateway")
    world = World(engine, StillClock())
    world.people("ds_a", "ds_b", "ds_c")
    sink = world.sink()
    plan = iter(outcomes)
    step = iter(range(10**6))

    class Killed(BaseException):
        """The worker dies here."""

    def judge(_message: object) -> None:
        if next(step) in deaths:
            raise Killed
        if (outcome := next(plan, "ok")) == "lost":
            refuse()
        ear.lies = outcome == "heard"  # type: ignore[attr-defined]

    ear = Ear(judge, lambda _message: refuse("no answer in time") if ear.lies else None)  # type: ignore[attr-defined]
    for position, (name, opens) in enumerate(choices):
        world.choose((f"ds_{name}", GRANT if opens else WITHDRAW))
        if position % 3 == 0:
            _live(world, sink, ear, Killed)
    for _ in range(200):
        _live(world, sink, ear, Killed)
        world.wait(seconds=30)
        if (
            world.destinations.lag(world.present(sink)).untold == 0
            and not world.destinations.lag(world.present(sink)).waiting
        ):
            break
    expected: dict[str, list[int]] = {}
    for name, _ in choices:
        expected.setdefault(f"ds_{name}", []).append(len(expected.get(f"ds_{name}", [])) + 1)
    assert ear.first_heard() == expected
    engine.dispose()


def _live(world: World, sink: object, ear: Ear, killed: type[BaseException]) -> None:
    try:
        world.run(sink, ear)  # type: ignore[arg-type]
    except killed:
        return


def test_an_outside_audience_has_one_domain() -> None:
    """The domain of an audience is its one purpose and its recipient."""
    assert Audience(frozenset({"targeted_ads"}), "ad_partner").domain == ("targeted_ads", "ad_partner")
    assert Audience(frozenset({"a", "b"}), COMPANY).is_company
