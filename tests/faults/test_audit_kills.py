"""kill -9 of recorders and sealers: nothing acknowledged is lost, and no size ever has two checkpoints."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.live import verify_database
from consent_gateway.audit.log import EntryFilter, every_entry
from consent_gateway.audit.sealer import STEPS, Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.verify import LogKey, Report

SCRIPT = Path(__file__).with_name("audit_kill_process.py")
SOAK = bool(os.environ.get("SOAK"))
KILLS = 1_000 if SOAK else 40


class WallClock:
    """The time of the machine."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)


def run(*arguments: str, **environment: str) -> list[list[str]]:
    """What the script told."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    told: list[list[str]] = json.loads(done.stdout)
    return told


def seal_all(engine: sa.Engine, state: Path) -> tuple[list[str], Report]:
    """Seal whatever waits; every id in the log, and the verifier's report."""
    signer = open_signer(state / "audit" / "log.key", "log.example/audit")
    sealer = Sealer(engine, state, signer, WallClock())
    while (result := sealer.seal_once()).more or result.busy:
        pass
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ids = [found.entry["id"] for found in every_entry(connection, EntryFilter())]
    return ids, verify_database(engine, LogKey(str(signer.vkey)))


def url_of(engine: sa.Engine) -> str:
    """The engine's URL, password and all."""
    return engine.url.render_as_string(hide_password=False)


def test_every_acknowledged_entry_survives_kill_nine(gateway_engine: sa.Engine, tmp_path: Path) -> None:
    """After recorders were killed at random moments, each acknowledged id is in the log once, and the log verifies."""
    told = run("writers", url_of(gateway_engine), str(tmp_path / "state"), str(KILLS), "strict", SEED="7")
    acknowledged = [entry_id for ids in told for entry_id in ids]
    assert len(told) == KILLS
    assert len(acknowledged) > KILLS
    ids, report = seal_all(gateway_engine, tmp_path / "state")
    assert set(acknowledged) - set(ids) == set()
    assert len(ids) == len(set(ids))
    assert report.findings == []
    assert len(report.writers) == KILLS


def test_a_recorder_that_acknowledges_early_fails_the_same_check(gateway_engine: sa.Engine, tmp_path: Path) -> None:
    """Positive control: were entries acknowledged before the commit, the check above would find some missing."""
    told = run("writers", url_of(gateway_engine), str(tmp_path / "state"), "10", "weak")
    ids, _report = seal_all(gateway_engine, tmp_path / "state")
    assert {entry_id for acknowledged in told for entry_id in acknowledged} - set(ids)


def test_a_sealer_killed_at_any_step_leaves_one_history(gateway_engine: sa.Engine, tmp_path: Path) -> None:
    """Killed at each step in turn, the next sealer goes on: one root for each size, every entry sealed once."""
    seen_file, rounds = tmp_path / "seen", 10 if SOAK else 2
    reached = run("sealer", url_of(gateway_engine), str(tmp_path / "state"), str(rounds), SEEN=str(seen_file))
    ids, report = seal_all(gateway_engine, tmp_path / "state")
    assert set(reached) == set(STEPS)
    assert report.findings == []
    assert len(ids) == len(set(ids)) == 15 * len(STEPS) * rounds
    roots = defaultdict(set)
    for line in seen_file.read_text().splitlines():
        size, note = json.loads(line)
        roots[size].add(note)
    assert len(roots) > 1
    assert [size for size, notes in roots.items() if len(notes) > 1] == []
