"""Run as a script: forks children that each carry out an erasure and are killed with SIGKILL at a named step.

Standard input is a JSON document of the settings' variables and, for each child, its erasure and the step with the
number of its coming at which it dies; standard output tells the signal that ended each.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn

from consent_gateway.policy import load_policies
from consent_gateway.settings import read_settings
from consent_gateway.wiring import parts as parts_of_a_process
from consent_gateway.wiring.outward import open_outward
from consent_gateway.wiring.parts import SystemClock, open_parts
from consent_gateway.wiring.requests import open_recipient_notices
from consent_gateway.wiring.rights import open_erasure_desk


def carry_out(variables: Mapping[str, str], person: str, step: str, coming: int) -> NoReturn:
    """The child: plan and execute the erasure and die at the step."""
    left = coming

    def at(reached: str) -> None:
        nonlocal left
        left -= reached == step
        if reached == step and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = read_settings(variables)
    parts = open_parts(settings, SystemClock())
    erasing = open_erasure_desk(
        parts, settings, open_outward(parts, settings).outbox.announce_in, open_recipient_notices(parts, settings), at
    ).erasing
    planned = erasing.plan(person, request_id=f"dsr-{person}", by="officer")
    erasing.execute(planned.erasure_id, by="officer", at_once=True)
    os._exit(1)  # the step was never reached


def main() -> None:
    """Kill one child for each."""
    given = json.load(sys.stdin)
    policies = load_policies(read_settings(given["variables"]).policies)
    parts_of_a_process.load_policies = lambda _folder: policies  # read once: it takes a second, and children inherit it
    ended = []
    for person, step, coming in given["people"]:
        child = os.fork()
        if child == 0:
            carry_out(given["variables"], person, step, coming)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    json.dump(ended, sys.stdout)


if __name__ == "__main__":
    main()
