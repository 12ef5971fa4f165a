"""What commands share of a terminal: a value that is not to be seen, and progress; decides nothing."""

import sys
from collections.abc import Callable

import click

Progress = Callable[[int, int], None]


def hidden_line(prompt: str) -> str:
    """A value asked for at a terminal without showing it, or the first line of what is piped in."""
    if sys.stdin.isatty():
        typed: str = click.prompt(prompt, hide_input=True, prompt_suffix=": ", err=True)
        return typed
    line = sys.stdin.readline().strip("\r\n")
    if not line:
        raise click.UsageError(f"no {prompt} came on standard input: write it as the first line")
    return line


def progress(told: str, *, every: int = 1, silent: bool = False) -> Progress:
    """Progress on standard error, `told` with `{done}` and `{total}`: a line that changes on a terminal only.

    Elsewhere one plain line at the end.
    """
    live = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        ended = done >= total
        if silent or not (ended or (live and done % every == 0)):
            return
        text = told.format(done=done, total=total)
        click.echo(f"\r{text}" if live else text, nl=ended, err=True)

    return show
