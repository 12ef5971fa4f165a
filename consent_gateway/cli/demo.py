"""`demo`: a coffee chain, its gateway and a story told over HTTP, from one command; wires options to the demo room."""

import json
import os
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import click

from consent_gateway.demo.clients import NEWSLETTER
from consent_gateway.demo.listeners import Listeners
from consent_gateway.demo.listening import LISTENING
from consent_gateway.demo.narration import Narrator
from consent_gateway.demo.outside import Outside
from consent_gateway.demo.serving import Serving
from consent_gateway.demo.setup import build
from consent_gateway.demo.staff import StaffProvider
from consent_gateway.demo.state import DemoState
from consent_gateway.demo.story import OLIVER, Story, look_up
from consent_gateway.migrate import bundled
from consent_gateway.settings import read_settings
from consent_gateway.web.console.signing import CALLBACK
from consent_gateway.wiring import SystemClock, open_services


@click.command()
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), default="var/demo", show_default=True)
@click.option("--customers", type=click.IntRange(20, 1_000_000), default=20_000, show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--once", is_flag=True, help="End after the story; the exit code says whether every promise was kept.")
@click.option("--no-serve", is_flag=True, help="Build the state only; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Do not narrate; print one JSON object after the story.")
def demo(*, state: Path, customers: int, port: int, once: bool, no_serve: bool, as_json: bool) -> None:
    """Build the coffee chain Morgenrot with its gateway, tell a story over HTTP, and leave the gateway running.

    The state is kept: a second run starts at once, and a damaged or half-built state is built anew.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    kept = DemoState(state)
    variables = kept.variables(port, bundled("policies"))
    serving = Serving(variables, kept.log)
    if not kept.is_whole(customers):
        with Bars() as bars:
            build(kept, customers, read_settings(variables), bars)
    kept.write_scripts(serving.base, variables)
    if no_serve:
        click.echo(f"The state is in {state}. Run it: . {kept.environment} && consent-gateway serve", err=as_json)
        return
    listeners, staff = Listeners(SystemClock()), StaffProvider(SystemClock(), f"{serving.base}{CALLBACK}")
    serving = Serving({**variables, **staff.variables}, kept.log)
    try:
        _introduce(staff, variables)
        click.echo(f"Starting the gateway at {serving.base} (its output goes to {kept.log}) …", err=as_json)
        serving.start()
        story = _tell(serving, kept, variables, listeners, silent=as_json)
        if as_json:
            kept_all = {"url": serving.base, "promises_kept": not story.broken, "broken": story.broken}
            click.echo(json.dumps({**kept_all, "clients": str(kept.clients)}))
        if once:
            sys.exit(1 if story.broken else 0)
        if not as_json:
            _leave(serving, kept, story, listeners)
        sys.exit(serving.wait())
    except KeyboardInterrupt:
        click.echo("\nStopping.", err=as_json)
    finally:
        serving.stop()
        listeners.close()
        staff.close()


def _tell(serving: Serving, kept: DemoState, variables: dict[str, str], listeners: Listeners, *, silent: bool) -> Story:
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    narrator = Narrator(_unheard if silent else click.echo, colour=colour)
    outside = Outside(kept, variables)
    story = Story(serving.base, kept.read_secrets(), narrator, SystemClock(), outside, listeners)
    if not story.tell():
        click.echo(f"\n{len(story.broken)} promise(s) of the story were not kept: see the lines marked `!`.", err=True)
    return story


def _introduce(staff: StaffProvider, variables: dict[str, str]) -> None:
    services = open_services(read_settings(variables))
    try:
        staff.introduce(services)
    finally:
        services.close()


def _unheard(_line: str) -> None:
    """Where the story is told to nobody."""


def _leave(serving: Serving, kept: DemoState, story: Story, listeners: Listeners) -> None:
    heard = "\n".join(f"                {each:12} {listeners.open(each)}" for each in LISTENING)
    call = look_up(NEWSLETTER, OLIVER, "email_marketing")
    click.echo(
        f"""
The gateway goes on running. Ctrl-C ends it.

   Preferences  {serving.base}/preferences
   Console      {serving.base}/console     (sign in with the company account; choose who you are)
   Mail         {serving.base}/demo/outbox
   API          {serving.base}/docs
   OpenAPI      {serving.base}/openapi.json
   Health       {serving.base}/readyz
   Secrets      {kept.clients}
   All tokens   . {kept.tokens}     (sets $TILL, $WEB_SHOP and the others; then every curl line above works)
   Commands     . {kept.environment} && {_own_path()} --help

   One token, good for ten minutes, and something to ask with it:

   NEWSLETTER={story.tokens[NEWSLETTER]}
   {call.curl(serving.base)}

   What each channel has heard of changed choices; every new one shows below as well:

{heard}
"""
    )
    listeners.tell = lambda line: click.echo(f"   {line}")


def _own_path() -> str:
    """The command as one can type it, whether or not its virtual environment is active."""
    return "consent-gateway" if shutil.which("consent-gateway") else os.path.relpath(sys.argv[0])


class Bars:
    """Progress bars one after another, a new one for each thing that is being done."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._what: str | None = None
        self._done = 0
        self._bar: Any = None

    def __enter__(self) -> "Bars":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show `done` of `total`."""
        if what != self._what:
            self._open.close()
            self._bar = self._open.enter_context(click.progressbar(length=total, label=f"{what:32}"))
            self._what, self._done = what, 0
        self._bar.update(done - self._done)
        self._done = done


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
