"""Run as a script: forks children that record or seal, kills each with SIGKILL, tells what they had acknowledged.

Forking from one small process that has everything imported makes a kill cost milliseconds. The script's
own output is one JSON document.
"""

import json
import os
import random
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder, open_recorder
from consent_gateway.audit.sealer import STEPS, Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.database import open_engine
from consent_gateway.ids import new_id

THREADS = 6


class WallClock:
    """The time of the machine."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)


class AcknowledgesEarly(Recorder):
    """The weakened recorder of the positive control: returns when an entry is queued, not when it is durable."""

    def record(self, entry: Entry) -> None:
        """Queue the entry and hope."""
        self._admit(entry.entry_id, entry.canonical())


def an_entry() -> Entry:
    """A fresh entry."""
    now = datetime.now(UTC)
    return Entry(new_id("dec", now), EntryKind.DECISION, now, caller="till", data_subject="ds_1")


def writer(url: str, state: Path, out: int, *, weak: bool) -> NoReturn:
    """The child: record from several threads for ever, writing each acknowledged id to the pipe."""
    recorder = open_recorder(open_engine(url, threads=1), state)
    if weak:
        recorder.__class__ = AcknowledgesEarly

    def work() -> None:
        while True:
            entry = an_entry()
            recorder.record(entry)
            os.write(out, f"{entry.entry_id}\n".encode())  # whole, being shorter than PIPE_BUF

    threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(1)


def kill_writer(url: str, state: Path, chance: random.Random, *, weak: bool) -> list[str]:
    """Start a child, kill it after a random number of acknowledgements, and return all of them."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        try:
            writer(url, state, writable, weak=weak)
        finally:
            os._exit(1)
    os.close(writable)
    received, enough = b"", chance.randrange(1, 120)
    while received.count(b"\n") < enough:
        block = os.read(readable, 4096)
        if not block:
            break
        received += block
    os.kill(child, signal.SIGKILL)
    while block := os.read(readable, 65536):
        received += block
    os.close(readable)
    _pid, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit("the writer ended by itself")
    return [line.decode() for line in received.split(b"\n")[:-1]]


def kill_sealer(url: str, state: Path, step: str) -> bool:
    """Start a child that seals and kills itself at a step; whether it came that far."""
    child = os.fork()
    if child == 0:

        def stop(reached: str) -> None:
            if reached == step:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            signer = open_signer(state / "audit" / "log.key", "log.example/audit")
            Sealer(open_engine(url, threads=1), state, signer, WallClock(), stop).seal_once(limit=20)
        finally:
            os._exit(0)
    _pid, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main() -> None:
    """`writers URL STATE COUNT strict|weak`, or `sealer URL STATE ROUNDS`."""
    what, url, state, count, *rest = sys.argv[1:]
    if what == "writers":
        chance = random.Random(int(os.environ.get("SEED", "0")))
        told = [kill_writer(url, Path(state), chance, weak=rest == ["weak"]) for _ in range(int(count))]
        print(json.dumps(told))  # noqa: T201 - the script's product
        return
    reached = []
    for _ in range(int(count)):
        for step in STEPS:
            recorder = None if os.fork() else open_recorder(open_engine(url, threads=1), Path(state))
            if recorder is not None:
                recorder.record_all([an_entry() for _ in range(15)])
                os._exit(0)
            os.wait()
            if kill_sealer(url, Path(state), step):
                reached.append(step)
            _tell_checkpoints(url)
    print(json.dumps(reached))  # noqa: T201 - the script's product


def _tell_checkpoints(url: str) -> None:
    """Append every checkpoint that is visible now to the file that the parent compares."""
    child = os.fork()
    if child == 0:
        try:
            engine = open_engine(url, threads=1)
            with engine.connect() as connection:
                notes = connection.exec_driver_sql("SELECT size, note FROM audit_checkpoints").all()
            with Path(os.environ["SEEN"]).open("a") as file:
                file.writelines(json.dumps([size, note]) + "\n" for size, note in notes)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
