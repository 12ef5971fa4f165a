"""Operator commands, one group a room; thin over the rooms, and the place where an error becomes an exit code.

Exit codes: 0 done; 1 the thing asked about is not so (a case failed, the log does not verify); 2 wrong usage;
3 refused or unavailable, with the cause and its mend on standard error.
"""

import gc
import json
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import click

from consent_gateway import __version__
from consent_gateway.errors import GatewayError, PolicyInvalid

if TYPE_CHECKING:
    from consent_gateway.wiring import Services


class Commands(click.Group):
    """The command line: groups are imported when they are called, so that each starts quickly."""

    names = (
        "audit", "changes", "clients", "consent", "db", "demo", "doctor", "keys", "officers", "people", "policy",
        "report", "rights", "serve", "serve-web", "worker",
    )  # fmt: skip

    def list_commands(self, _context: click.Context) -> list[str]:
        """All commands, in order."""
        return list(self.names)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """One command, or None."""
        if name not in self.names:
            return None
        module = "serve" if name in ("serve-web", "worker") else name
        command: click.Command = getattr(_imported(module), name.replace("-", "_"))
        return command


def _imported(name: str) -> ModuleType:
    name = f"consent_gateway.cli.{name}"
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()  # what is imported stays: looking through it again and again takes a sixth of the time
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="consent-gateway")
def cli() -> None:
    """Consent and privacy compliance gateway."""


def main() -> None:
    """Run the command line; an error of the gateway's own is told in one line."""
    try:
        cli.main(standalone_mode=False, obj=_services)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except PolicyInvalid as error:
        _tell(error, error.findings or (error.message,))
    except GatewayError as error:
        _tell(error, (error.message,))


def _services() -> "Services":
    from consent_gateway.settings import read_settings  # noqa: PLC0415 - most commands need no services
    from consent_gateway.wiring import open_services  # noqa: PLC0415 - as above

    return open_services(read_settings())


def _tell(error: GatewayError, lines: tuple[str, ...]) -> None:
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": error.code, "messages": lines}))
    else:
        for line in lines:
            click.echo(f"{error.code}: {line}", err=True)
    sys.exit(3)
