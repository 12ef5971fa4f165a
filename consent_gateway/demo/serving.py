"""Runs the demo's gateway as a process of its own, `consent-gateway serve`, and ends it again; builds nothing."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from consent_gateway.demo.calls import Call, NoAnswer, send
from consent_gateway.errors import GatewayError, SettingsRefused

_READY_SECONDS = 60
_STOP_SECONDS = 20


class DemoFailed(GatewayError):
    """The demo's gateway does not run."""

    code = "demo_failed"


class Serving:
    """One running gateway. `variables` are its settings; what it prints goes to `log`."""

    def __init__(self, variables: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._port = int(variables["CONSENT_GATEWAY_PORT"])
        self.base = f"http://127.0.0.1:{self._port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_GATEWAY_")}
        self._environment = {**inherited, **variables}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises `SettingsRefused` for a taken port and `DemoFailed`."""
        _refuse_taken(self._port)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "consent_gateway", "serve"],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the demo first, which then ends the gateway in order
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None:
                raise DemoFailed(f"the gateway ended with code {self._process.returncode}: see `{self._log}`")
            if time.monotonic() > deadline:
                self.stop()
                raise DemoFailed(f"the gateway was not ready within {_READY_SECONDS} seconds: see `{self._log}`")
            time.sleep(0.1)

    def wait(self) -> int:
        """Block until the gateway ends by itself; its exit code."""
        return 0 if self._process is None else self._process.wait()

    def stop(self) -> None:
        """End the gateway, by force where it does not end by itself."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        try:
            return send(self.base, Call("GET", "/readyz"), {}).status == 200
        except NoAnswer:
            return False


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SettingsRefused(f"port {port} is taken: stop what listens there, or give another --port") from error
