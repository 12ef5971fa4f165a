"""`rights`: the group of commands on people's rights; each set of commands lies in a file of its own."""

import click

from consent_gateway.cli import rights_requests


@click.group()
def rights() -> None:
    """Requests of the people concerned: legal clocks, the queue."""


for _command in rights_requests.COMMANDS:
    rights.add_command(_command)
