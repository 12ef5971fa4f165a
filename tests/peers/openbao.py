"""A real OpenBao server on loopback for tests: dev mode, everything in memory, a Transit engine that is empty."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deployment import free_port

_READY_SECONDS = 60


@dataclass
class Server:
    """A running server; `token` may do everything. What it held is gone once it is stopped."""

    address: str
    token: str
    process: subprocess.Popen[bytes]
    log: Path

    def call(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        """One call of its HTTP API below `/v1/`; the parsed answer, or None where there is none."""
        request = urllib.request.Request(
            f"{self.address}/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": token or self.token},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None

    def write_token(self, path: Path, token: str | None = None) -> Path:
        """Write a token file as an agent does, by default with the token that may do everything."""
        path.touch(mode=0o600)
        path.write_text(token or self.token, encoding="ascii")
        return path

    def stop(self) -> None:
        """End the server; its keys die with it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(folder: Path, port: int | None = None) -> Server:
    """Start a server, its log in `folder`, and wait until it answers and has its Transit engine."""
    port = port or free_port()
    token = "the-root-token-of-a-test"
    log = folder / f"openbao-{port}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).parent / "bao"),
                "server",
                "-dev",
                f"-dev-root-token-id={token}",
                f"-dev-listen-address=127.0.0.1:{port}",
                "-dev-no-store-token",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        )
    server = Server(f"http://127.0.0.1:{port}", token, process, log)
    deadline = time.monotonic() + _READY_SECONDS
    while not _ready(server):
        if process.poll() is not None or time.monotonic() > deadline:
            server.stop()
            raise AssertionError(log.read_text(errors="replace"))
        time.sleep(0.05)
    return server


def _ready(server: Server) -> bool:
    try:
        server.call("GET", "sys/health")
        server.call("POST", "sys/mounts/transit", {"type": "transit"})
    except OSError:  # refused connections, and answers before it is unsealed, are both of this kind
        return False
    return True
