"""A closing or a rotation killed at any moment loses nobody and brings nobody back; running it again finishes it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("work", ["close", "rotate"])
def test_a_kill_at_any_step_loses_nobody(key_database: str, tmp_path: Path, work: str) -> None:
    """Killed with SIGKILL at each of its steps, before and after it is noted, the work leaves 10,000 people (500 on
    PostgreSQL) readable at that moment and after it is run again; those erased before, during and after stay erased.
    """
    people = "10000" if key_database.startswith("sqlite") else "500"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.closing_process", key_database, str(tmp_path), work, people, "16"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["results"]) == (21 if work == "close" else 16)
    for result in found["results"]:
        assert result["killed"], result
        assert result["finished"], (result, done.stderr)
        assert result["between"] == {"lost": 0, "resurrected": 0}, result
        assert (result["lost"], result["resurrected"]) == (0, 0), result
    assert "Error" not in done.stderr
    # Killed between the account and its note, the run is accounted again under the same id; killed after the last
    # note, the second run finds the job unfinished and adds nothing. So every piece of work has one id of its own.
    assert found["accounts"] == len(found["results"])
