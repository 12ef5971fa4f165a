"""What one sees of the demo without the gateway's help: the shop's own rows, and the log with its public key alone."""

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consent_gateway.audit import verify
from consent_gateway.demo.cast import CAST
from consent_gateway.demo.state import DemoState

_SECONDS = 60
_SEALED = "fs2."  # what a sealed value begins with


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

    def stored(self, column: str, customer_id: int) -> Look:
        """What stands in a sealed column of the shop's database about one customer."""
        question = f"SELECT {column} FROM customers WHERE customer_id = {customer_id}"  # noqa: S608 - names of ours
        connection = sqlite3.connect(f"file:{self._state.retailer}?mode=ro", uri=True)
        try:
            stored = str(connection.execute(question).fetchone()[0])
        finally:
            connection.close()
        return Look(f"sqlite3 {self._state.retailer} {shlex.quote(question)}", stored, stored.startswith(_SEALED))

    def commanded(self, *words: str) -> Look:
        """What an operator's command prints, beside the running gateway."""
        return _ran("consent-gateway " + shlex.join(words), ["-m", "consent_gateway", *words], self._variables)

    def correction(self) -> Path:
        """A file of what is to stand in a record, as an officer writes it for `rights work`."""
        file = self._state.directory / "correction.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"last_name": "Morgenstern"}), encoding="utf-8")
        return file

    def next_customer(self, place: str | None = None) -> str:
        """The id of the first customer, of a place if one is named, who has no part in the story and is not erased."""
        database = f"file:{self._variables['CONSENT_GATEWAY_STATE_DIR']}/gateway.db?mode=ro"
        connection = sqlite3.connect(database, uri=True)
        try:
            question = (
                "SELECT data_subject FROM people WHERE CAST(store_key AS INTEGER) > ? AND coalesce(?, jurisdiction) ="
                " jurisdiction ORDER BY store_key LIMIT 1"
            )
            found = connection.execute(question, (len(CAST), place)).fetchone()
        finally:
            connection.close()
        return str(found[0])

    def log_checked(self, decision_id: str) -> tuple[Look, ...]:
        """Export the log, verify the folder with the public key alone, and find one decision in it."""
        export, key = self._state.exported_log, self._state.public_key
        if export.exists():
            shutil.rmtree(export)
        state = self._variables["CONSENT_GATEWAY_STATE_DIR"]
        asked = ["audit", "export", str(export), "--state", state, "--database", f"sqlite:///{state}/gateway.db"]
        exported = _ran("consent-gateway " + shlex.join(asked), ["-m", "consent_gateway", *asked])
        # The verifier is one file that imports nothing of ours: an auditor may bring a copy from elsewhere.
        verifier = Path(str(verify.__file__))
        shown = verifier.relative_to(Path.cwd()) if verifier.is_relative_to(Path.cwd()) else verifier
        words = [str(export), "--vkey", str(key)]
        verified = _ran(shlex.join(["python", str(shown), *words]), ["-I", str(verifier), *words])
        return exported, verified, self._found(decision_id)

    def _found(self, decision_id: str) -> Look:
        entries = self._state.exported_log / "entries.ndjson"
        command = f"grep {decision_id} {entries}"
        if not entries.exists():
            return Look(command, "", good=False)
        with entries.open(encoding="utf-8") as file:
            line = next((line for line in file if decision_id in line), "")
        return Look(command, line.strip(), bool(line))


def _ran(command: str, words: list[str], variables: Mapping[str, str] | None = None) -> Look:
    environment = None if variables is None else {**os.environ, **variables}
    done = subprocess.run(  # noqa: S603 - our own interpreter and files
        [sys.executable, *words], capture_output=True, text=True, timeout=_SECONDS, check=False, env=environment
    )
    return Look(command, done.stdout + done.stderr, done.returncode == 0)
