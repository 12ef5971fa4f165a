"""Run as a script: kills a closing or a rotation of the root at each of its steps, and tells who could be read then.

Each piece of work is done by a forked child, as a command does it in a process of its own. At one moment of its steps
the child kills itself with SIGKILL; then everybody is read by another process, somebody is erased, a third runs the
same command again, and everybody is read once more. The script's own output is one JSON document.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from consent_gateway.protection.hierarchy import SHARDS, shard_of
from consent_gateway.protection.upkeep import KeyEvidence
from tests.keys_world import KeyWorld, file_provider, readable

STEPS = {
    "close": ["rotated", "opened", "re-wrapped", "named", "backed-up", "retired", "dropped", "removed", "accounted"],
    "rotate": ["rotated", "epoch", "named", "backed-up", "retired", "listed", "removed", "accounted"],
}


class WallClock:
    """The time of the machine."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)


class Trial:
    """One key table, its people, and those erased so far."""

    def __init__(self, url: str, folder: Path, work: str, people: int, shards: int) -> None:
        self._url, self._folder, self._work = url, folder, work
        names = (f"ds_{n}" for n in count())
        some = (name for name in names if shard_of(name) % (SHARDS // shards) == 0)
        self.people = [next(some) for _ in range(people)]
        self.erased: set[str] = set()
        self.accounts = folder / "accounts.jsonl"

    def world(self) -> KeyWorld:
        """The key table as a fresh process opens it, with evidence going to a file."""
        return KeyWorld(self._url, self._folder, WallClock(), file_provider(self._folder))

    def fill(self) -> None:
        """Everybody, and a key of a domain."""
        world = self.world()
        ring = world.ring()
        ring.create_many(self.people)
        ring.domain_key("ads", "partner")

    def erase(self) -> None:
        """One more person."""
        one = next(name for name in self.people if name not in self.erased)
        in_child(lambda: self.world().ring().destroy(one) and None)
        self.erased.add(one)

    def run(self, kill_at: str | None, nth: int = 1, *, every_shard: bool = False) -> int:
        """Run the work in a child that kills itself at this moment; its wait status."""

        def work() -> None:
            world = self.world()
            left = nth

            def at(step: str) -> None:
                nonlocal left
                if step == kill_at:
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            upkeep = world.upkeep()
            upkeep._account = self._account
            if self._work == "close":
                upkeep.close_epoch(world.backups, lambda _what, _done, _total: None, every_shard=every_shard, at=at)
            else:
                upkeep.rotate_root(world.backups, lambda _what, _done, _total: None, at=at)

        return in_child(work)

    def _account(self, evidence: KeyEvidence) -> None:
        with self.accounts.open("a") as file:
            file.write(evidence.entry_id + "\n")

    def look(self) -> dict[str, int]:
        """How many living people do not open, and how many erased ones do; read in a process of its own."""
        out = self._folder / "look.json"

        def looked() -> None:
            world = self.world()
            ring = world.ring()
            open_ = readable(ring, self.people)
            ring.check()
            living = set(self.people) - self.erased
            out.write_text(json.dumps({"lost": len(living - open_), "resurrected": len(self.erased & open_)}))

        assert in_child(looked) == 0
        found: dict[str, int] = json.loads(out.read_text())
        return found


def in_child(work: Callable[[], object]) -> int:
    """Do it in a forked child; its wait status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)  # noqa: T201 - what a child says when it fails
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def main(url: str, folder: Path, work: str, people: int, shards: int) -> None:
    """Every step, once done and not noted, once noted; and in the middle of the shards.

    Closings move by turns the shards that lost somebody and every shard; the second that is run goes on with the first.
    """
    trial = Trial(url, folder, work, people, shards)
    assert in_child(trial.fill) == 0
    moments = [(name, 1) for step in STEPS[work] for name in (step, f"{step} noted")]
    if work == "close":
        moments += [("shard", 1), ("shard", 1), ("shard", shards // 2)]
    results = []
    for turn, (moment, nth) in enumerate(moments):
        trial.erase()
        every_shard = nth > 1 or turn % 4 in (1, 2)
        killed = trial.run(moment, nth, every_shard=every_shard) == signal.SIGKILL
        between = trial.look()
        trial.erase()
        finished = trial.run(None) == 0
        results.append({"moment": moment, "killed": killed, "finished": finished, **trial.look(), "between": between})
    accounts = trial.accounts.read_text().split()
    print(json.dumps({"results": results, "accounts": len(set(accounts))}))  # noqa: T201 - the script's answer


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
