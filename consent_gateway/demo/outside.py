"""What one sees of the demo without the gateway's help: the shop's own rows, and the log with its public key alone."""

import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from consent_gateway.audit import verify
from consent_gateway.demo.state import DemoState

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Look:
    """One look: the command to copy, what it printed, and whether it is what the story promises."""

    command: str
    output: str
    good: bool


class Outside:
    """Looks at one demo state from outside. `variables` are the settings of its gateway."""

    def __init__(self, state: DemoState, variables: Mapping[str, str]) -> None:
        self._state = state
        self._variables = variables

    def stored_allergies(self, customer_id: int) -> Look:
        """What stands in the shop's database about one customer's allergies."""
        question = f"SELECT allergies FROM customers WHERE customer_id = {customer_id}"  # noqa: S608 - a number of ours
        connection = sqlite3.connect(f"file:{self._state.retailer}?mode=ro", uri=True)
        try:
            stored = str(connection.execute(question).fetchone()[0])
        finally:
            connection.close()
        return Look(f"sqlite3 {self._state.retailer} {shlex.quote(question)}", stored[:72] + "…", len(stored) > 72)

    def log_checked(self) -> tuple[Look, Look]:
        """Export the log with our own command, then verify the folder in a process that has only the public key."""
        export, state = self._state.exported_log, self._state.gateway
        if export.exists():
            shutil.rmtree(export)
        database = f"sqlite:///{self._variables['CONSENT_GATEWAY_STATE_DIR']}/gateway.db"
        asked = ["audit", "export", str(export), "--state", str(state), "--database", database]
        exported = _ran("consent-gateway " + shlex.join(asked), ["-m", "consent_gateway", *asked])
        # -I: the verifier runs without our package on its path, as it would on an auditor's machine.
        words = ["-I", str(verify.__file__), str(export), "--vkey", str(self._state.public_key)]
        return exported, _ran("python " + shlex.join(words), words)


def _ran(command: str, words: list[str]) -> Look:
    done = subprocess.run(  # noqa: S603 - our own interpreter and files
        [sys.executable, *words], capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    return Look(command, done.stdout + done.stderr, done.returncode == 0)
