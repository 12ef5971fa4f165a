"""`db`: the gateway's own databases; holds no schema."""

import click

from consent_gateway.settings import read_settings
from consent_gateway.wiring import upgrade_databases


@click.group()
def db() -> None:
    """The gateway's own databases."""


@db.command()
def upgrade() -> None:
    """Bring the gateway database and the key table to the newest schema."""
    upgrade_databases(read_settings())
    click.echo("both databases are at the newest schema")
