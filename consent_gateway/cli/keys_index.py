"""`keys rotate index`: takes an index key out of use; prints counts and ids and never a value."""

import dataclasses
import json
from collections.abc import Callable
from typing import Protocol

import click

from consent_gateway.people.index_keys import EXACT
from consent_gateway.people.index_rotation import IndexRotation, Rotated


class Services(Protocol):
    """What this command needs of the composition root."""

    @property
    def index_rotation(self) -> IndexRotation:
        """Rotates index keys."""
        ...


@click.command("index")
@click.argument("kind")
@click.argument("mode", default=EXACT)
@click.option(
    "--no-new-key", is_flag=True, help="Only take older keys out of use, as far as nothing stands under them."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@click.pass_obj
def rotate_index(services: Callable[[], Services], kind: str, mode: str, *, no_new_key: bool, as_json: bool) -> None:
    """Give the index of KIND, or of its search MODE, a new key. Ended at any moment, it goes on when run again.

    Everybody is found throughout, also by gateways that run meanwhile.
    """

    def progress(done: int, total: int) -> None:
        if not as_json:
            click.echo(f"\rmoved {done} of {total}", nl=False, err=True)

    rotated = services().index_rotation.run(kind, mode, progress, new_key=not no_new_key)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(rotated)))
        return
    click.echo("", err=True)
    click.echo(_told(rotated))


def _told(rotated: Rotated) -> str:
    retired = f"retired {', '.join(rotated.retired)}" if rotated.retired else "no older key was retired"
    told = f"the index of `{rotated.kind}` `{rotated.mode}` is written under key {rotated.key_id}; {retired}"
    if not rotated.left:
        return told
    return (
        f"{told}\n{rotated.left} identifiers that the store does not hold stay under older keys, which stay in use:"
        " each moves when its person next appears; `--no-new-key` then ends it"
    )
