"""Claims about the states of a request, for every interleaving of two officers, the person and a worker."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise

import pytest

from consent_gateway.errors import Conflict
from consent_gateway.policy.legal_clocks import LegalClock
from consent_gateway.rights.clocks import due
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.states import (
    OPEN,
    TABLE,
    Act,
    DenialGround,
    HoldGround,
    Standing,
    State,
    step,
)

START = date(2027, 3, 5)
LAST_DAY = 1
OFFICER = (
    (Act.ASK_IDENTITY, None),
    (Act.BEGIN, None),
    (Act.PROVE, None),
    (Act.HOLD, HoldGround.CLARIFICATION),
    (Act.HOLD, HoldGround.LEGAL_HOLD),
    (Act.RESUME, None),
    (Act.EXTEND, None),
    (Act.APPROVE, None),
    (Act.START, None),
    (Act.DENY, DenialGround.UNFOUNDED),
)
PERSON = ((Act.PROVE, None), (Act.CANCEL, None))
WORKER = tuple((act, None) for act in (Act.FINISH, Act.FINISH_PARTLY, Act.PRESENT, Act.FAIL, Act.EXPIRE))
ACTORS = {"officer one": OFFICER, "officer two": OFFICER, "person": PERSON, "worker": WORKER}
ANYTHING = tuple(dict.fromkeys((*OFFICER, *PERSON, *WORKER)))


@dataclass(frozen=True)
class World:
    """The row as stored, the day, and for each actor whether it has read, and is behind since (None: not read)."""

    standing: Standing
    day: int
    seen: tuple[bool | None, ...]


def legal(standing: Standing, act: Act, day: int, ground: str | None) -> Standing | None:
    """What the act leads to; None where it is refused."""
    try:
        return step(standing, act, START + timedelta(days=day), ground)
    except Conflict:
        return None


def taken(world: World, acts: tuple[tuple[Act, str | None], ...], limit: int) -> Iterator[tuple[Act, Standing]]:
    """What an actor who is not behind can write."""
    for act, ground in acts:
        after = legal(world.standing, act, world.day, ground)
        if after is not None and len(after.pauses) <= limit:
            yield act, after


def explore(limit_pauses: int = 2) -> tuple[set[Standing], list[tuple[Standing, Act, Standing, int]], int]:
    """Every standing and step that any interleaving reaches: an actor reads, others act, it writes or is refused.

    A write is refused where the version is not the one read: an actor is behind or it is not, and that is all that is
    kept, so that the worlds are finite. The two officers may do the same, so worlds that differ in their names are one.
    """
    worlds: set[World] = set()
    waiting: deque[World] = deque()
    standings = {Standing(), Standing(proved=True)}
    steps: dict[tuple[Standing, Act, Standing, int], None] = {}
    refused = 0

    def reach(world: World) -> None:
        world = replace(world, seen=(*sorted(world.seen[:2], key=str), *world.seen[2:]))
        if world not in worlds:
            worlds.add(world)
            waiting.append(world)

    for standing in sorted(standings, key=str):
        reach(World(standing, 0, (None,) * len(ACTORS)))
    while waiting:
        world = waiting.popleft()
        if world.day < LAST_DAY:
            reach(replace(world, day=world.day + 1))
        for at, acts in enumerate(ACTORS.values()):
            if world.seen[at] is None:
                reach(replace(world, seen=(*world.seen[:at], False, *world.seen[at + 1 :])))
                continue
            after_read = (*world.seen[:at], None, *world.seen[at + 1 :])
            if world.seen[at]:  # someone wrote since: whatever this actor writes is refused as stale
                refused += 1
                reach(replace(world, seen=after_read))
                continue
            for act, after in taken(world, acts, limit_pauses):
                steps[(world.standing, act, after, world.day)] = None
                standings.add(after)
                behind = tuple(None if each is None else True for each in after_read)
                reach(replace(world, standing=after, seen=behind))
    return standings, list(steps), refused


@pytest.fixture(scope="module")
def explored() -> tuple[set[Standing], list[tuple[Standing, Act, Standing, int]], int]:
    """The whole model, once."""
    return explore()


def test_no_step_leaves_the_table(explored: tuple[set[Standing], list, int]) -> None:  # type: ignore[type-arg]
    """Every step of every interleaving is one that the table names; each state and each act of it is reached."""
    standings, steps, refused = explored
    assert all(after.state in TABLE[before.state][act] for before, act, after, _day in steps)
    assert {standing.state for standing in standings} == set(State)
    assert {act for _before, act, _after, _day in steps} == set(Act)
    named = {(state, act, end) for state, acts in TABLE.items() for act, ends in acts.items() for end in ends}
    assert named == {(before.state, act, after.state) for before, act, after, _day in steps}
    assert refused > 100


def test_there_is_no_dead_end(explored: tuple[set[Standing], list, int]) -> None:  # type: ignore[type-arg]
    """From everything reachable a closed state can be reached, and by the officers and the worker alone."""
    standings, steps, _refused = explored
    closed = {each for each in standings if not each.open and not each.running}
    ends = set(closed)
    back: dict[Standing, set[Standing]] = {}
    for before, act, after, _day in steps:
        if act is not Act.CANCEL:
            back.setdefault(after, set()).add(before)
    waiting = list(closed)
    while waiting:
        for before in back.get(waiting.pop(), ()):
            if before not in ends:
                ends.add(before)
                waiting.append(before)
    assert standings == ends


def test_no_clock_is_lost(explored: tuple[set[Standing], list, int], laws: Laws) -> None:  # type: ignore[type-arg]
    """The clock stands still exactly while the person is asked, starts again after it, and no pause is ever forgotten.

    So in every open state there is a due date, and nothing moves it but an answer of the person or the one extension.
    """
    standings, steps, _refused = explored
    clock = laws.find("EU_GDPR", "delete", START).clock
    for each in standings:
        awaited = each.state is State.IDENTITY_PENDING or (
            each.state is State.ON_HOLD and each.ground == HoldGround.CLARIFICATION
        )
        assert each.waits is awaited
        assert all(pause.end is not None for pause in each.pauses[:-1])
        assert all(one.begin <= other.begin for one, other in pairwise(each.pauses))
        assert due(clock, START, pauses=each.pauses).respond_by is not None
    for before, act, after, _day in steps:
        assert after.pauses[: len(before.pauses) - before.waits] == before.pauses[: len(before.pauses) - before.waits]
        assert len(after.pauses) >= len(before.pauses)
        assert after.extended >= before.extended
        assert after.proved >= before.proved
        if act not in (Act.PROVE, Act.RESUME, Act.DENY, Act.CANCEL, Act.EXPIRE, Act.EXTEND):
            assert deadline(clock, after) == deadline(clock, before)
        else:
            assert deadline(clock, after) >= deadline(clock, before)


def deadline(clock: LegalClock, standing: Standing) -> date:
    """When the answer is due."""
    found = due(clock, START, pauses=standing.pauses)
    end = found.extended_respond_by if standing.extended else found.respond_by
    assert end is not None
    return end


def test_nothing_is_done_that_may_not_be(explored: tuple[set[Standing], list, int]) -> None:  # type: ignore[type-arg]
    """No work without proof and approval, no second actor while it runs, no way back from closed, extended once."""
    _standings, steps, _refused = explored
    for before, act, after, _day in steps:
        if act is Act.START:
            assert before.proved
            assert before.approved
        if before.running:
            assert act in (Act.FINISH, Act.FINISH_PARTLY, Act.PRESENT, Act.FAIL)
        if act is Act.PRESENT:
            assert after.open is before.open
        if act is Act.EXTEND:
            assert not before.extended
        if before.state not in OPEN:
            assert before.state is State.PARTIALLY_FULFILLED
            assert after.state in (State.PARTIALLY_FULFILLED, State.FULFILLED)
        if after.state is State.DENIED:
            assert after.ground in set(DenialGround)
    assert not any(TABLE[state] for state in (State.FULFILLED, State.DENIED, State.CANCELLED, State.EXPIRED))


@pytest.mark.parametrize("state", list(State))
def test_whatever_is_not_in_the_table_is_refused(state: State) -> None:
    """An act that the table does not name for a state raises, whatever else the request says."""
    for proved in (True, False):
        for running in (True, False):
            standing = Standing(state, proved=proved, begun=True, approved=True, running=running)
            for act, ground in ANYTHING:
                after = legal(standing, act, 0, ground)
                assert after is None or (act in TABLE[state] and after.state in TABLE[state][act])
                if after is not None and running:
                    assert not after.running
