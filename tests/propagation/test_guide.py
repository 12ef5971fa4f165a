"""The receiver of the guide verifies what the gateway signs and refuses anything else; the operator's commands run."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from click.testing import CliRunner

from consent_gateway.cli import cli
from consent_gateway.propagation import signing
from tests.deployment import Deployment, free_port

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "listen-to-changes.md"


def test_the_receiver_of_the_guide_takes_what_is_signed_and_nothing_else(tmp_path: Path) -> None:
    """A genuine message is told; a changed byte, another secret, another id or an old time is refused."""
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    program = tmp_path / "listener.py"
    program.write_text(found[1])
    port, secret = free_port(), signing.derive(b"k" * 32, "whk_1", 1)
    other = signing.derive(b"k" * 32, "whk_1", 2)
    listener = subprocess.Popen(
        [sys.executable, str(program), secret.text, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    body = json.dumps({"id": "cev_1", "subject": "ds_1", "data": {"kind": "withdraw", "purpose": "ads"}}).encode()
    now = int(time.time())

    def post(headers: dict[str, str], sent: bytes = body) -> int:
        for _ in range(200):
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=sent, headers=headers)
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code
            except urllib.error.URLError:
                assert listener.poll() is None
                time.sleep(0.02)  # it is still starting
        raise AssertionError("the listener does not listen")

    try:
        genuine = signing.headers([other, secret], "cev_1", now, body)
        assert post(genuine) == 204
        assert post(genuine, body + b" ") == 400
        assert post(signing.headers([other], "cev_1", now, body)) == 400
        assert post({**genuine, "webhook-id": "cev_2"}) == 400
        assert post(signing.headers([secret], "cev_1", now - 3600, body)) == 400
        assert listener.stdout
        assert listener.stdout.readline() == b"cev_1 withdraw ads ds_1\n"
    finally:
        listener.kill()
        listener.communicate()


def test_the_operators_commands_tell_and_move_destinations(deployment: Deployment, tmp_path: Path) -> None:
    """A sink is added once, seen with what it has to get, moved back and ended; what does not exist is refused."""

    def run(*words: str) -> object:
        done = CliRunner().invoke(cli, ["changes", *words, "--json"], obj=deployment.open, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.output)

    added = run("add-sink", "file", str(tmp_path / "out"), "--all")
    sink = added["destination_id"]  # type: ignore[index, call-overload]
    told = run("status")
    (row,) = told["destinations"]  # type: ignore[index, call-overload]
    assert (row["destination_id"], row["untold"]) == (sink, row["untold"])
    assert 0 < row["untold"] <= told["last"]  # type: ignore[index, call-overload]
    assert run("dead") == []
    assert run("revive", sink) == {"revived": 0}
    assert run("replay", sink, "--after", "1") == {"after": 1}
    assert run("end", sink) == {"ended": sink}
    assert run("status")["destinations"] == []  # type: ignore[index, call-overload]
