"""One process that asks to be told: `reveal_process.py SETTINGS_JSON REQUEST OFFICER START HOW`; says what came of it.

It waits for the file START, so that several begin together. HOW is `whole`, or where it kills itself: `before_commit`
of the mark or `after_commit`, which is before the answer.
"""

import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_gateway.errors import GatewayError
from consent_gateway.officers.registry import Role
from consent_gateway.officers.sessions import SignedIn
from consent_gateway.reidentification.reveals import Reveals
from consent_gateway.settings import read_settings
from consent_gateway.wiring import open_services


def die(*_: Any) -> None:
    """End without a word, as a power failure does."""
    os.kill(os.getpid(), signal.SIGKILL)


def say(word: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(variables: str, request_id: str, officer_id: str, start: str, how: str) -> None:
    """Reveal once."""
    services = open_services(read_settings(json.loads(variables)))
    if how == "before_commit":
        sa.event.listen(services.engine, "commit", die)
    if how == "after_commit":
        whole = Reveals._spend

        def spend(self: Reveals, *given: Any) -> Any:
            whole(self, *given)
            die()

        Reveals._spend = spend  # type: ignore[method-assign]
    say("ready")
    while not Path(start).exists():
        time.sleep(0.001)
    officer = SignedIn(officer_id, frozenset({Role.REIDENTIFY}), datetime.now(UTC))
    try:
        told = services.desk.reveals.reveal(officer, request_id)
        say(json.dumps([one.value for one in told.results]))
    except GatewayError as error:
        say(error.code)
    services.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
