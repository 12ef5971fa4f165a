"""What closing an epoch of the key table costs, a step at a time, per person and for ten million.

Twice: of a table in which as many were erased as in a night of ten million people, and with a fresh key for every
shard, which is the most that a closing can have to do.
"""

import itertools
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from consent_gateway.database import open_engine
from consent_gateway.migrate import upgrade
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.hierarchy import SHARDS
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.rows import lose
from consent_gateway.protection.upkeep import KeyUpkeep

FULL_SHARD = 10_000_000 / SHARDS
TARGET_SECONDS = 120.0  # of one core, for ten million people
ERASED_OF = 30_000  # one person of so many: of ten million 330 a night, 120,000 a year


class WallClock:
    """The time of the machine."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)


def closing_costs(kind: str, url: str, people: int) -> Iterator[str]:
    """Fill a fresh key database, close its epoch twice, and say what each step cost this process, and in all."""
    engine = open_engine(url, threads=2, statement_seconds=600)
    upgrade(engine, "keys")
    with tempfile.TemporaryDirectory(prefix="cg-keys-") as folder:
        place = Path(folder)
        provider = FileKeyProvider.create(place / "root.key", place / "copy.key")
        ring = KeyRing(provider, engine, "bench", WallClock())
        ring.create("ds_first")
        shards = _fill(ring, people)
        ring.close()
        upkeep = KeyUpkeep(provider, engine, "bench", WallClock(), lambda _evidence: None)
        lost = min(shards, round(people / ERASED_OF))
        with engine.begin() as connection:
            for shard in range(lost):
                lose(connection, shard, 1, 1)
        yield from _timed(f"{kind}, {lost} of {shards} shards lost somebody", upkeep, place, people)
        yield from _timed(f"{kind}, every shard", upkeep, place, people, every_shard=True)
        upkeep.close()
    engine.dispose()


def _fill(ring: KeyRing, people: int) -> int:
    """Everybody in so few shards that each is as full as the 4,096 of ten million are; how many shards."""
    shards = max(1, round(people / FULL_SHARD))
    everybody = sorted((number % shards, f"ds_{number:026d}") for number in range(people))
    for low in range(0, people, 1000):
        ring._maker._create_chunk(everybody[low : low + 1000])  # noqa: SLF001 - which shard a person is in cannot be asked for
    return shards


def _timed(kind: str, upkeep: KeyUpkeep, folder: Path, people: int, *, every_shard: bool = False) -> Iterator[str]:
    marks: list[tuple[str, float, float]] = [("", time.process_time(), time.perf_counter())]

    def at(step: str) -> None:
        if step in ("opened", "re-wrapped", "backed-up", "accounted"):
            marks.append((step, time.process_time(), time.perf_counter()))

    upkeep.close_epoch(folder, lambda _what, _done, _total: None, every_shard=every_shard, at=at)
    cpu, wall = (marks[-1][place] - marks[0][place] for place in (1, 2))
    shares = ", ".join(
        f"{'the rest' if step == 'accounted' else step} {(cpu_at - before[1]) / people * 1e6:.1f}"
        for before, (step, cpu_at, _wall) in itertools.pairwise(marks)
    )
    whole = cpu / people * 10e6
    told = "within" if whole <= TARGET_SECONDS else "misses"
    yield (
        f"{kind}: closing an epoch of {people:,} people: {cpu:.1f} s of this process's CPU, {wall:.1f} s in all;"
        f" a person {cpu / people * 1e6:.1f} µs ({shares})"
    )
    yield f"   ten million: {whole:.0f} s of CPU here, {told} the {TARGET_SECONDS:.0f} s we want"
