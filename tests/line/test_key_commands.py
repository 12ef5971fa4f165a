"""The operator's commands on the keys, over a whole deployment: what they print, leave in the log, and refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.deployment import Deployment


def run(deployment: Deployment, *words: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_GATEWAY_")}
    return subprocess.run(
        [sys.executable, "-m", "consent_gateway", "keys", *words],
        env={**inherited, **deployment.variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_life_of_an_erasure(deployment: Deployment, tmp_path: Path) -> None:
    """Refused without a copy of the root; then status counts the erased, a closing ends it and is in the log once, and
    its back-up verifies and is refused onto a table with keys.
    """
    assert "root on one disk only" in run(deployment, "status").stdout
    refused = run(deployment, "close-epoch", "--json")
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["error"] == "settings_refused"
    root = Path(deployment.variables["CONSENT_GATEWAY_STATE_DIR"]) / "keys" / "root.key"
    copy = tmp_path / "copy.key"
    copy.write_bytes(root.read_bytes())
    copy.chmod(0o600)
    deployment.variables["CONSENT_GATEWAY_KEY_FILE_COPY"] = str(copy)
    services = deployment.open()
    services.keyring.create_many(["ds_gone", "ds_kept"])
    services.keyring.destroy("ds_gone")
    services.close()
    told = run(deployment, "status")
    assert told.returncode == 0, told.stderr
    assert "root version 1 is the only one that unwraps" in told.stdout
    assert "root kept twice on the same disk" in told.stdout
    assert "1 people erased since the last closing: these can still be read" in told.stdout
    closed = run(deployment, "close-epoch")
    assert closed.returncode == 0, closed.stderr
    assert "epoch 1 is closed, epoch 2 is open" in closed.stdout
    assert "re-wrap" in closed.stderr
    rotated = run(deployment, "rotate", "root", "--json")
    assert rotated.returncode == 0, rotated.stderr
    evidence = json.loads(rotated.stdout)
    assert evidence["removed"] == []
    last = json.loads(run(deployment, "status", "--json").stdout)["last_backup"]["file"]
    cleaned = run(deployment, "rotate", "root", "--remove-dead-backups")
    assert f"deleted dead back-up `{last}`" in cleaned.stdout
    assert "2 dead back-ups deleted" in cleaned.stdout
    rotated = run(deployment, "rotate", "root", "--json")
    evidence = json.loads(rotated.stdout)
    status = json.loads(run(deployment, "status", "--json").stdout)
    assert status["erased_since_closing"] == 0
    assert status["last_backup"]["digest"] == evidence["digest"]
    file = status["last_backup"]["file"]
    assert run(deployment, "restore", file, "--verify-only").returncode == 0
    again = run(deployment, "restore", file)
    assert again.returncode == 3
    assert "not empty" in again.stderr
    services = deployment.open()
    assert services.keyring.person_keys("ds_kept")
    entry = services.health._log.find(evidence["entry_id"])
    services.close()
    assert entry is not None
    detail = entry.entry["detail"]
    assert (entry.entry["kind"], entry.entry["action"]) == ("key", "rotate_root")
    assert (detail["versions_before"], detail["versions_after"]) == ("4", "5")
    assert detail["backup_digest"] == evidence["digest"]
