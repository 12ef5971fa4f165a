"""Run as a script: forks children that each carry out a correction and are killed with SIGKILL at a named step.

Standard input is a JSON document of the settings' variables and, for each child, its person and the step with the
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
from consent_gateway.wiring import open_services
from consent_gateway.wiring import parts as parts_of_a_process
from consent_gateway.wiring.corrections import open_correcting
from consent_gateway.wiring.parts import SystemClock, open_parts


def carry_out(variables: Mapping[str, str], person: str, step: str, coming: int) -> NoReturn:
    """The child: propose and execute the correction and die at the step."""
    left = coming

    def at(reached: str) -> None:
        nonlocal left
        left -= reached == step
        if reached == step and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = read_settings(variables)
    services = open_services(settings)
    parts = open_parts(settings, SystemClock())
    correcting = open_correcting(parts, settings, services.erasure_desk, services.enrolment, services.writes, at)
    correcting.propose(person, new_values(person), request_id=f"dsr-{person}", by="officer")
    correcting.execute(f"dsr-{person}", by="officer")
    os._exit(1)  # the step was never reached


def new_values(person: str) -> dict[str, object]:
    """What is to stand in the record of a person."""
    return {"email": f"{person.replace('_', '.')}@mended.example", "service_note": f"Mended for {person}"}


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
