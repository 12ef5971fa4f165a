"""The whole demo at small size: built, served by real processes, told over HTTP, and told again."""

import json
import os
import re
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consent_gateway.demo.calls import Call, send
from consent_gateway.demo.clients import CLIENTS, TILL
from consent_gateway.demo.listeners import Listeners
from consent_gateway.demo.narration import Narrator
from consent_gateway.demo.outside import Outside
from consent_gateway.demo.serving import Serving
from consent_gateway.demo.setup import build
from consent_gateway.demo.state import DemoState
from consent_gateway.demo.story import Story
from consent_gateway.errors import SettingsRefused
from consent_gateway.settings import read_settings
from consent_gateway.wiring import SystemClock

CUSTOMERS = 120
POLICIES = Path(__file__).resolve().parents[3] / "policies"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoState, dict[str, str]]:
    """A finished state and the environment of its gateway, one worker small."""
    state = DemoState(tmp_path_factory.mktemp("story") / "demo")
    variables = state.variables(_free_port(), POLICIES)
    variables |= {"CONSENT_GATEWAY_WORKERS": "1", "CONSENT_GATEWAY_THREADS": "4"}
    done: dict[str, tuple[int, int]] = {}
    build(state, CUSTOMERS, read_settings(variables), lambda what, n, total: done.update({what: (n, total)}))
    assert all(n == total for n, total in done.values()), done
    assert len(done) == 5
    return state, variables


@pytest.fixture(scope="module")
def serving(built: tuple[DemoState, dict[str, str]]) -> Iterator[Serving]:
    """The gateway over the finished state, running."""
    state, variables = built
    running = Serving(variables, state.log)
    running.start()
    yield running
    running.stop()


class Silent(Listeners):
    """Channels that hear nothing, and of which nobody waits to."""

    def first(self, client_id: str, kind: str, since: int, seconds: float) -> None:
        """Nothing, at once."""


def _told(serving: Serving, built: tuple[DemoState, dict[str, str]]) -> tuple[Story, list[str]]:
    state, variables = built
    lines: list[str] = []
    narrator, listeners = Narrator(lines.append, colour=False), Listeners(SystemClock())
    outside = Outside(state, variables)
    story = Story(serving.base, state.read_secrets(), narrator, SystemClock(), outside, listeners)
    story.tell()
    listeners.close()
    return story, lines


def test_everyone_and_every_choice_came_over(built: tuple[DemoState, dict[str, str]]) -> None:
    """All customers are enrolled, all clients registered, and no sealed value is readable in the shop's database."""
    state, _ = built
    gateway = sqlite3.connect(state.gateway / "gateway.db")
    assert gateway.execute("SELECT count(*) FROM people WHERE store_key IS NOT NULL").fetchone() == (CUSTOMERS,)
    assert gateway.execute("SELECT count(*) FROM people WHERE jurisdiction IS NULL").fetchone() == (0,)
    assert gateway.execute("SELECT count(*) FROM clients").fetchone() == (len(CLIENTS),)
    (recorded,) = gateway.execute(
        "SELECT count(*) FROM consent_events WHERE recorded_by = 'old-preference-table'"
    ).fetchone()
    assert recorded >= len(state.choices.read_text(encoding="utf-8").splitlines())
    gateway.close()
    shop = sqlite3.connect(state.retailer)
    clear = "SELECT count(*) FROM customers WHERE allergies NOT LIKE 'fs2.%' OR service_note NOT LIKE 'fs2.%'"
    assert shop.execute(clear).fetchone() == (0,)
    shop.close()
    assert state.is_whole(CUSTOMERS)


def test_the_doctor_finds_a_fresh_demo_sound(built: tuple[DemoState, dict[str, str]]) -> None:
    """On a state just built the real command reads every record, names every check and exits with 0."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_GATEWAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "consent_gateway", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env={**inherited, **built[1]},
    )
    assert done.returncode == 0, done.stdout
    assert f"read {CUSTOMERS} of {CUSTOMERS} records" in done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) >= 12
    assert all(line.startswith("ok ") for line in lines)


def test_every_promise_of_the_story_is_kept_and_kept_again(
    serving: Serving, built: tuple[DemoState, dict[str, str]]
) -> None:
    """Told twice over real HTTP, every answer is the promised one both times, and no secret is printed."""
    for _ in range(2):
        story, lines = _told(serving, built)
        assert story.broken == []
        printed = "\n".join(lines)
        assert "12. The log, checked from outside" in printed
        assert re.search(r"newsletter +heard `withdraw` of email_marketing for ds_\w+, \d+\.\d\d s after", printed)
        assert re.search(r"ad-platform +heard `erased` of everything for (?!ds_)\w+", printed)
        assert re.search(r"rq_\w+ correct, execute: (partially )?fulfilled", printed)
        assert "whsec_" not in printed
        assert not [secret for secret in built[0].read_secrets().values() if secret in printed]
        assert not [token for token in story.tokens.values() if token in printed]


def test_a_promise_that_is_not_kept_is_counted_and_printed(
    serving: Serving, built: tuple[DemoState, dict[str, str]]
) -> None:
    """With wrong secrets nothing opens: the story says so for each promise and comes to its end."""
    state, variables = built
    lines: list[str] = []
    secrets = dict.fromkeys(state.read_secrets(), "gw_cs_wrong")
    narrator, outside = Narrator(lines.append, colour=False), Outside(state, variables)
    story = Story(serving.base, secrets, narrator, SystemClock(), outside, Silent(SystemClock()))
    assert not story.tell()
    assert f"`{TILL}` gets a token" in story.broken
    assert sum("promised and did not happen" in line for line in lines) == len(story.broken)


def test_the_token_script_makes_the_curl_lines_work(
    serving: Serving, built: tuple[DemoState, dict[str, str]], tmp_path: Path
) -> None:
    """After the script of tokens is read, a shell has a token for every client that the gateway takes."""
    state, variables = built
    state.write_scripts(serving.base, variables)
    assert stat.S_IMODE(state.tokens.stat().st_mode) == 0o600
    line = Call("GET", "/v1/decisions/dec_00000000000000000000000000", token_of=TILL).curl(serving.base)
    done = subprocess.run(
        ["sh", "-c", f". {state.tokens}; {line}"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert json.loads(done.stdout)["status"] == 404  # and not 401


def test_a_taken_port_is_refused_before_anything_starts(
    serving: Serving, built: tuple[DemoState, dict[str, str]]
) -> None:
    """A second gateway on the same port is refused with the mend."""
    with pytest.raises(SettingsRefused, match="--port"):
        Serving(built[1], built[0].log).start()


def test_the_command_builds_a_state_once(tmp_path: Path) -> None:
    """`demo --no-serve` builds; run again it touches nothing; a state that lost its marker is built anew."""
    state = DemoState(tmp_path / "demo")
    command = [sys.executable, "-m", "consent_gateway", "demo", "--no-serve", "--customers", "30"]
    command += ["--state", str(state.directory)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_GATEWAY_")}
    made = []
    for loses_marker in (False, False, True):
        if loses_marker:
            state.marker.unlink()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        made.append(state.retailer.stat().st_mtime_ns)
    assert made[0] == made[1] != made[2]


def test_stopping_ends_the_gateway(built: tuple[DemoState, dict[str, str]]) -> None:
    """After `stop` nobody listens any more, and stopping again does nothing."""
    state, variables = built
    port = str(_free_port())
    running = Serving({**variables, "CONSENT_GATEWAY_PORT": port}, state.log)
    running.start()
    assert send(running.base, Call("GET", "/healthz"), {}).status == 200
    running.stop()
    running.stop()
    assert running.wait() is not None
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0
