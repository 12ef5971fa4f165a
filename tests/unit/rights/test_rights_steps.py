"""`rights work` takes requests through their steps, and stops at the first that is refused."""

import json
from types import SimpleNamespace

from click.testing import CliRunner, Result

from consent_gateway.cli.rights import rights as rights_command
from consent_gateway.errors import Conflict
from consent_gateway.rights.states import State
from tests.unit.rights.conftest import Rights


def work(rights: Rights, *words: str) -> Result:
    """Run the command over the room."""
    services = SimpleNamespace(rights=rights.room, close=lambda: None)
    return CliRunner().invoke(rights_command, ["work", *words], obj=lambda: services)


def test_several_requests_go_through_their_steps(rights: Rights) -> None:
    """Each id is followed by its acts; one line an act, or JSON, and the same room decides as for an officer."""
    first, second = rights.ask("access").request_id, rights.ask("portability").request_id
    done = work(rights, first, "seen", "approve", "execute", second, "deny:unfounded", "--reference", "desk-1")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-2:] == [
        f"{first} access, execute: fulfilled",
        f"{second} portability, deny:unfounded: denied",
    ]
    third = rights.ask("know", place="US-CA").request_id
    told = json.loads(work(rights, third, "seen", "hold:internal", "--reference", "desk-2", "--json").output)
    assert told[1] == {"id": third, "right": "know", "act": "hold:internal", "state": "on_hold"}


def test_what_cannot_be_done_ends_it(rights: Rights) -> None:
    """A step out of order, an act or ground that is none, proof without its reference: nothing after it is done."""
    request = rights.ask("access")
    refused = work(rights, request.request_id, "execute", "cancel")
    assert isinstance(refused.exception, Conflict)
    for words in (("approve",), (request.request_id, "frown"), (request.request_id, "deny:whim"),
                  (request.request_id, "seen"), (request.request_id, "correct")):  # fmt: skip
        assert work(rights, *words).exit_code == 2
    assert rights.read(request).state is State.IDENTITY_PENDING
