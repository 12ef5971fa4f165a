"""Allowances of look-ups: an exact bound across processes, on both databases; a minute, a client, a miss."""

import multiprocessing
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.callers.limits import BLOCKS, Limits
from consent_gateway.callers.tables import LOOKUP_ALLOWANCES
from consent_gateway.database import open_engine
from consent_gateway.errors import DatabaseUnavailable, TooManyRequests
from tests.conftest import StillClock

LOOKUPS, MISSES = 160, 32


def limits(engine: sa.Engine, clock: StillClock, lookups: int = LOOKUPS, misses: int = MISSES) -> Limits:
    """The allowances as one process sees them."""
    return Limits(engine, clock, lookups_per_minute=lookups, misses_per_minute=misses)


def spend(of: Limits, times: int, *, client: str = "till", missed: int = 0, count: int = 1) -> int:
    """How many of so many calls were let through to their answer."""
    passed = 0
    for _ in range(times):
        try:
            with of.look_up(client, count) as lookup:
                lookup.missed(missed)
        except TooManyRequests:
            continue
        passed += 1
    return passed


def test_a_minute_gives_what_is_allowed_and_the_next_gives_it_again(
    gateway_engine: sa.Engine, clock: StillClock
) -> None:
    """Exactly the allowance passes, then 429 with the seconds that are left; a new minute opens again."""
    of = limits(gateway_engine, clock)
    clock.moment += timedelta(seconds=13, microseconds=1)
    assert spend(of, LOOKUPS + 20) == LOOKUPS
    with pytest.raises(TooManyRequests) as refused, of.look_up("till"):
        raise AssertionError
    assert refused.value.retry_after == 47
    clock.moment += timedelta(seconds=47)
    assert spend(of, LOOKUPS + 20) == LOOKUPS


def test_misses_are_few_and_end_every_look_up(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """After as many misses as allowed no look-up is begun, also none that would have found somebody."""
    of = limits(gateway_engine, clock)
    assert spend(of, 40, missed=0) == 40
    assert spend(of, MISSES + 5, missed=1) == MISSES
    assert spend(of, 5, missed=0) == 0


def test_a_call_with_too_many_misses_is_not_answered_and_takes_the_rest(
    gateway_engine: sa.Engine, clock: StillClock
) -> None:
    """A list with more misses than are left gets no answer, nor do its halves: who was missed stays unknown."""
    of, other = limits(gateway_engine, clock), limits(gateway_engine, clock)
    assert spend(of, 1, count=100, missed=MISSES + 1) == 0
    assert spend(of, 2, count=10, missed=1) == 0
    assert spend(other, 2, count=10, missed=1) == 0
    assert spend(of, 1, client="app", count=100, missed=MISSES) == 1


def test_more_than_is_left_is_refused_whole_and_less_still_passes(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """A list larger than what is left costs nothing, and a shorter one is answered."""
    of = limits(gateway_engine, clock)
    assert spend(of, 1, count=100) == 1
    assert spend(of, 1, count=61) == 0
    assert spend(of, 1, count=60) == 1
    assert spend(of, 1) == 0


def test_one_client_does_not_eat_anothers(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """Each client has the whole allowance."""
    of = limits(gateway_engine, clock)
    assert [spend(of, LOOKUPS + 1, client=client) for client in ("till", "app")] == [LOOKUPS, LOOKUPS]


def test_most_calls_cost_no_statement(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """All look-ups of a minute, and as many refusals, cost a handful of transactions a block."""
    begun = []
    sa.event.listen(gateway_engine, "begin", lambda _connection: begun.append(1))
    of = limits(gateway_engine, clock, lookups=16_000, misses=16)
    assert spend(of, 32_000) == 16_000
    assert len(begun) <= BLOCKS + 2


def test_an_exception_gives_the_miss_back_and_keeps_the_look_up(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """A call that failed told nothing of anybody: only the look-up is spent."""
    of = limits(gateway_engine, clock)
    for _ in range(MISSES + 1):
        with pytest.raises(ZeroDivisionError), of.look_up("till"):
            raise ZeroDivisionError
    assert spend(of, LOOKUPS) == LOOKUPS - MISSES - 1


def test_a_table_that_is_away_lets_nobody_look(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """Without the table there is no allowance: the call ends as unavailable before anything is looked up."""
    of = limits(gateway_engine, clock)
    LOOKUP_ALLOWANCES.drop(gateway_engine)
    with pytest.raises(DatabaseUnavailable), of.look_up("till"):
        raise AssertionError


def test_old_minutes_are_purged(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """What is over is deleted; the present minute and the one before stay."""
    of = limits(gateway_engine, clock)
    for _ in range(4):
        spend(of, 1)
        clock.moment += timedelta(minutes=1)
    assert of.purge() == 2 * 3
    assert spend(of, LOOKUPS + 1) == LOOKUPS


MINUTES = 8


def _hammer(url: str, together: Any, found: Any, missed: Any) -> None:
    engine, clock = open_engine(url, threads=1), StillClock()
    of = limits(engine, clock)
    for minute in range(MINUTES):
        together.wait(60)
        hits = spend(of, LOOKUPS // 2)
        misses = spend(of, MISSES, client="app", missed=1)
        for counter, count in ((found, hits), (missed, misses)):
            with counter.get_lock():
                counter[minute] += count
        clock.moment += timedelta(minutes=1)
    engine.dispose()


def test_four_processes_share_one_allowance(gateway_engine: sa.Engine) -> None:
    """Four processes that ask for more than their part get, together and each minute, never more than is allowed."""
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(4)
    found, missed = spawn.Array("l", MINUTES), spawn.Array("l", MINUTES)
    url = gateway_engine.url.render_as_string(hide_password=False)
    workers = [spawn.Process(target=_hammer, args=(url, together, found, missed)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert all(LOOKUPS // 2 <= count <= LOOKUPS for count in found), list(found)
    assert all(0 < count <= MISSES for count in missed), list(missed)
