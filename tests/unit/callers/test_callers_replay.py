"""One-time proofs pass once; a repeated write is carried out once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.callers.idempotency import KEPT, RUNNING_SECONDS, Idempotency, StoredAnswer
from consent_gateway.callers.replay import ReplayStore
from consent_gateway.callers.tables import IDEMPOTENCY_KEYS
from consent_gateway.errors import Conflict, IdempotencyMismatch

KEY = b"k" * 32
ANSWER = StoredAnswer(201, b'{"data_subject":"ds_1"}')


@pytest.fixture
def replay(gateway_engine: sa.Engine, clock: Any) -> ReplayStore:
    """An empty replay store."""
    return ReplayStore(gateway_engine, clock)


@pytest.fixture
def idempotency(gateway_engine: sa.Engine, clock: Any) -> Idempotency:
    """An empty store of keys."""
    return Idempotency(gateway_engine, clock, KEY)


def test_an_assertion_passes_once(replay: ReplayStore, clock: Any) -> None:
    """The same `jti` of the same client is refused the second time; of another client it is another."""
    end = clock.now() + timedelta(minutes=5)
    assert replay.use("till", "j1", end)
    assert not replay.use("till", "j1", end)
    assert replay.use("web-shop", "j1", end)
    assert replay.use("till", "j2" * 500, end)
    assert not replay.use("till", "j2" * 500, end)


def test_racing_assertions_let_exactly_one_in(replay: ReplayStore, clock: Any) -> None:
    """Of eight threads that use one assertion at the same time exactly one passes."""
    end = clock.now() + timedelta(minutes=5)
    with ThreadPoolExecutor(8) as pool:
        passed = list(pool.map(lambda _: replay.use("till", "j1", end), range(8)))
    assert passed.count(True) == 1


def test_a_purge_keeps_what_could_still_be_replayed(replay: ReplayStore, clock: Any) -> None:
    """Only assertions past their end are forgotten."""
    replay.use("till", "old", clock.now() - timedelta(seconds=1))
    replay.use("till", "young", clock.now() + timedelta(seconds=1))
    assert replay.purge() == 1
    assert not replay.use("till", "young", clock.now())


def test_a_repeated_call_gets_the_first_answer(idempotency: Idempotency) -> None:
    """The first call is told to go ahead, later ones get its answer, and only for the same client and request."""
    assert idempotency.begin("till", "key", b"request") is None
    idempotency.finish("till", "key", ANSWER)
    assert idempotency.begin("till", "key", b"request") == ANSWER
    assert idempotency.begin("web-shop", "key", b"request") is None
    with pytest.raises(IdempotencyMismatch):
        idempotency.begin("till", "key", b"another request")


def test_a_call_that_still_runs_is_a_conflict(idempotency: Idempotency, clock: Any) -> None:
    """While the first call runs a second one is refused; after a minute its process is dead and a retry takes over."""
    assert idempotency.begin("till", "key", b"request") is None
    with pytest.raises(Conflict):
        idempotency.begin("till", "key", b"request")
    with pytest.raises(IdempotencyMismatch):
        idempotency.begin("till", "key", b"another request")
    clock.moment += timedelta(seconds=RUNNING_SECONDS)
    assert idempotency.begin("till", "key", b"request") is None


def test_a_failed_call_frees_its_key(idempotency: Idempotency) -> None:
    """After a failure the same key may be used again, for a corrected request too; an answer is never released."""
    assert idempotency.begin("till", "key", b"request") is None
    idempotency.release("till", "key")
    assert idempotency.begin("till", "key", b"corrected") is None
    idempotency.finish("till", "key", ANSWER)
    idempotency.release("till", "key")
    assert idempotency.begin("till", "key", b"corrected") == ANSWER


def test_answers_are_kept_a_day(idempotency: Idempotency, clock: Any) -> None:
    """A key is free again after 24 hours, and a purge deletes it then and not before."""
    idempotency.begin("till", "key", b"request")
    idempotency.finish("till", "key", ANSWER)
    clock.moment += KEPT - timedelta(seconds=1)
    assert idempotency.begin("till", "key", b"request") == ANSWER
    assert idempotency.purge() == 0
    clock.moment += timedelta(seconds=1)
    assert idempotency.begin("till", "key", b"request") is None
    clock.moment += KEPT
    assert idempotency.purge() == 1


def test_racing_calls_are_carried_out_once(idempotency: Idempotency) -> None:
    """Of eight threads that begin one call at the same time exactly one goes ahead."""

    def begin(_: int) -> str:
        try:
            return "first" if idempotency.begin("till", "key", b"request") is None else "answer"
        except Conflict:
            return "conflict"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(begin, range(8)))
    assert sorted(outcomes) == ["conflict"] * 7 + ["first"]


def test_neither_key_nor_request_is_stored(idempotency: Idempotency, gateway_engine: sa.Engine) -> None:
    """The row holds keyed digests: a hash anybody can compute would give a short personal value away."""
    import hashlib

    idempotency.begin("till", "order-4711", b"ada@example.com")
    with gateway_engine.connect() as connection:
        row = str(connection.execute(sa.select(IDEMPOTENCY_KEYS)).one())
    assert "order-4711" not in row
    assert hashlib.sha256(b"ada@example.com").hexdigest() not in row
