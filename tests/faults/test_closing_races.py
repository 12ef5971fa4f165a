"""People are enrolled and erased while an epoch is closed: nobody is lost, nobody comes back."""

import threading
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import pytest

from consent_gateway.errors import DatabaseUnavailable
from consent_gateway.protection.hierarchy import shard_of
from consent_gateway.protection.material import NamedKey
from tests.conftest import StillClock
from tests.keys_world import KeyWorld, file_provider, readable

CLOSINGS = 2
EVERY = 128  # people of every 128th shard only, so that a closing is 32 short transactions


def named(prefix: str) -> Iterator[str]:
    """People of few shards."""
    return (one for n in count() if shard_of(one := f"{prefix}{n}") % EVERY == 0)


OLD = tuple(islice(named("ds_old"), 300))


@pytest.fixture
def world(key_database: str, tmp_path: Path, clock: StillClock) -> Iterator[KeyWorld]:
    """A key table with three hundred people."""
    made = KeyWorld(key_database, tmp_path, clock, file_provider(tmp_path))
    ring = made.ring()
    ring.create_many(OLD)
    ring.close()
    yield made
    made.dispose()


def insisting(work: Callable[[], object]) -> None:
    """Do it again while the database is too busy, as a caller does who got a 503, and an operator whose closing did."""
    while True:
        try:
            work()
        except DatabaseUnavailable:
            continue
        return


class Busy:
    """Two who enrol and one who erases, until they are told that it is over."""

    def __init__(self, world: KeyWorld) -> None:
        self._world = world
        self._over = threading.Event()
        self._did = threading.Condition()
        self.failures: list[BaseException] = []
        self.created: list[list[str]] = [[], []]
        self.erased: set[str] = set()
        work = (lambda: self._enrol(0), lambda: self._enrol(1), self._erase)
        self._threads = [threading.Thread(target=self._guarded, args=(each,)) for each in work]
        for thread in self._threads:
            thread.start()

    def await_some(self) -> None:
        """Wait until more than five were enrolled and more than five erased, or one of the three failed."""
        with self._did:
            assert self._did.wait_for(
                lambda: bool(self.failures) or (len(self.created[0]) > 5 and len(self.erased) > 5), timeout=60
            )

    def stop(self) -> None:
        """Wait until all three have ended."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            with self._did:
                self.failures.append(error)
                self._did.notify_all()

    def _enrol(self, which: int) -> None:
        ring, names = self._world.ring(), named(f"ds_new{which}_")
        while not self._over.wait(0.002):  # an enrolment has more to do than keys
            some = list(islice(names, 5))
            insisting(lambda some=some: ring.create_many(some))
            with self._did:
                self.created[which] += some
                self._did.notify_all()

    def _erase(self) -> None:
        ring = self._world.ring()
        for n in range(300):
            if self._over.wait(0.002):
                return
            fresh = self.created[n % 2]
            one = fresh[n // 2] if n % 3 == 0 and len(fresh) > n // 2 else OLD[n]
            insisting(lambda one=one: ring.destroy(one))
            with self._did:
                self.erased.add(one)
                self._did.notify_all()


def test_nobody_is_lost_and_nobody_comes_back(world: KeyWorld) -> None:
    """Two who enrol and one who erases go on through three closings: at the end exactly the living open, all of them
    under the last epoch, and everybody erased is refused.
    """
    busy = Busy(world)
    try:
        for _ in range(CLOSINGS - 1):
            insisting(world.close_epoch)
        busy.await_some()  # on a slow machine the closings could be over before the others have done much
        insisting(world.close_epoch)
    finally:
        busy.stop()
    assert not busy.failures
    everybody = {*OLD, *busy.created[0], *busy.created[1]}
    assert len(busy.erased) > 5
    assert len(busy.created[0]) > 5
    assert readable(world.ring(), everybody) == everybody - busy.erased
    assert world.under() == {CLOSINGS + 1}
    world.close_epoch()
    assert readable(world.ring(), everybody) == everybody - busy.erased


def test_an_erasure_between_reading_and_writing_a_shard_stands(
    world: KeyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People erased after the closing has read their shard and before it writes it are not written back."""
    from consent_gateway.protection import epochs

    gone: list[str] = []
    eraser = world.ring()
    reading = epochs.living_of_shard

    def read_then_erase(connection: object, shard: int, epoch: int) -> list[tuple[object, ...]]:
        rows = reading(connection, shard, epoch)  # type: ignore[arg-type]
        if len(gone) < 10:
            for row in rows:
                eraser.destroy(row[0])
                gone.append(row[0])
        return rows

    monkeypatch.setattr(epochs, "living_of_shard", read_then_erase)
    world.close_epoch(every_shard=True)
    everybody = set(OLD)
    assert len(gone) >= 10
    assert readable(world.ring(), everybody) == everybody - set(gone)


def test_a_named_key_made_during_a_rotation_survives_it(world: KeyWorld) -> None:
    """Keys of domains that others make at every step of a rotation and of a closing open when it is over."""
    ring = world.ring()
    made: list[NamedKey] = []

    def at(_step: str) -> None:
        made.append(ring.domain_key("ads", f"r-{len(made)}"))

    world.rotate_root(at)
    world.close_epoch(at)
    fresh = world.ring()
    fresh.check()
    assert [fresh.domain_key("ads", f"r-{n}") for n in range(len(made))] == made


@pytest.mark.only_on("postgresql", "on SQLite whoever writes holds the whole file")
def test_whoever_has_wrapped_is_waited_for(world: KeyWorld) -> None:
    """A key wrapped under the old root version and not yet written down holds a rotation up until it is."""
    ring = world.ring()
    inside, go_on, reached = threading.Event(), threading.Event(), threading.Event()
    real = ring._provider.wrap

    class Slow:
        """The provider of one process, which answers when it is told to."""

        def wrap(self, key: bytes, context: bytes) -> bytes:
            wrapped = real(key, context)
            inside.set()
            go_on.wait(30)
            return wrapped

        def __getattr__(self, name: str) -> object:
            return getattr(world.provider, name)

    ring._named._provider = Slow()  # type: ignore[assignment]
    keys = []
    maker = threading.Thread(target=lambda: keys.append(ring.domain_key("slow", None)))
    maker.start()
    assert inside.wait(30)

    def at(step: str) -> None:
        if step == "rotated":
            go_on.set()
        if step == "epoch":
            reached.set()

    world.rotate_root(at)
    maker.join()
    assert reached.is_set()
    assert world.ring().domain_key("slow", None) == keys[0]
