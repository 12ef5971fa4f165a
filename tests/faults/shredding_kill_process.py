"""Run as a script: forks children that each erase one person and are killed with SIGKILL at a named step.

Standard input is a JSON document of the settings' variables and of a person for each step; standard output tells the
signal that ended each child.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn

from consent_gateway.people.suppression import SuppressionTags
from consent_gateway.settings import read_settings
from consent_gateway.shredding import Shredding
from consent_gateway.wiring import open_services


def shred(variables: Mapping[str, str], data_subject: str, step: str) -> NoReturn:
    """The child: begin the act and die at the step."""

    def at(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = read_settings(variables)
    services = open_services(settings)
    tags = SuppressionTags(services.keyring.service_key("suppression"), settings.phone_region)
    Shredding(
        engine=services.engine,
        keyring=services.keyring,
        tags=tags,
        clock=services.clock,
        announce_in=services.outward.outbox.announce_in,
        at=at,
    ).shred(data_subject, reference="dsr-kill", by="operator")
    os._exit(1)  # the step was never reached


def main() -> None:
    """Kill one child a step."""
    given = json.load(sys.stdin)
    ended = {}
    for step, data_subject in given["people"].items():
        child = os.fork()
        if child == 0:
            shred(given["variables"], data_subject, step)
        ended[step] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    json.dump(ended, sys.stdout)


if __name__ == "__main__":
    main()
