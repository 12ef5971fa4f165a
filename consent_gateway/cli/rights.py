"""`rights`: the group of commands on people's rights; each set of commands lies in a file of its own."""

import click

from consent_gateway.cli import (
    rights_access,
    rights_erasure,
    rights_letters,
    rights_recipients,
    rights_requests,
    rights_steps,
    rights_work,
)


@click.group()
def rights() -> None:
    """Requests of the people concerned: legal clocks, the queue, access, erasure, retention."""


for _command in (
    *rights_requests.COMMANDS,
    *rights_work.COMMANDS,
    *rights_steps.COMMANDS,
    *rights_letters.COMMANDS,
    *rights_recipients.COMMANDS,
    *rights_erasure.COMMANDS,
    *rights_access.COMMANDS,
):
    rights.add_command(_command)
