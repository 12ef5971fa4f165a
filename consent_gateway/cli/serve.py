"""`serve` and `worker`: run the gateway on one machine; supervises processes and does none of their work."""

import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

import click
from granian.constants import Interfaces
from granian.server import MPServer

from consent_gateway.errors import SettingsRefused
from consent_gateway.settings import Settings, prepare_directories, read_settings
from consent_gateway.web.logs import configure
from consent_gateway.wiring import open_background, refuse_without_telemetry, upgrade_databases

_RESTART_SECONDS = 1.0


@click.command()
@click.option("--web-only", is_flag=True, help="Run the web workers without the background worker.")
def serve(*, web_only: bool) -> None:
    """Run the web workers and the background worker until interrupted."""
    settings = read_settings()
    refuse_without_telemetry(settings)
    prepare_directories(settings)
    upgrade_databases(settings)
    _refuse_taken(settings)
    commands = [[sys.executable, "-m", "consent_gateway", "serve-web"]]
    if not web_only:
        commands.append([sys.executable, "-m", "consent_gateway", "worker"])
    Supervisor(commands).run()


@click.command(name="serve-web", hidden=True)
def serve_web() -> None:
    """The web server process: listens and starts one pinned worker a core."""
    settings = read_settings()
    web_server(settings).serve()


def web_server(settings: Settings) -> MPServer:
    """The WSGI server over `web_worker.application`, not yet started."""
    return MPServer(
        "consent_gateway.web_worker:application",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        blocking_threads_idle_timeout=600,
        respawn_failed_workers=True,
        respawn_interval=0.1,
        workers_kill_timeout=10,
        log_access=False,
    )


@click.command()
def worker() -> None:
    """Run the background worker: seals the audit log and cleans up what has expired."""
    configure()
    background = open_background(read_settings())
    stop = threading.Event()

    def _stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    background.run(stop)


def _refuse_taken(settings: Settings) -> None:
    """The server shares its port among its workers, and would share it with a stranger's process too."""
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingsRefused(f"port {settings.port} is taken: stop what listens there, or set another") from error


class Supervisor:
    """Keeps each command running: restarts what dies, ends all on SIGTERM or SIGINT."""

    def __init__(self, commands: list[list[str]]) -> None:
        self._commands = commands
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stop = threading.Event()

    def run(self) -> None:
        """Block until told to stop."""
        signal.signal(signal.SIGTERM, self._interrupt)
        signal.signal(signal.SIGINT, self._interrupt)
        self._processes = [_start(command) for command in self._commands]
        while not self._stop.wait(_RESTART_SECONDS):
            for index, process in enumerate(self._processes):
                if process.poll() is not None:
                    click.echo(f"process {process.args!r} ended with {process.returncode}: starting it again", err=True)
                    self._processes[index] = _start(self._commands[index])
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + 15
        for process in self._processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop.set()


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own interpreter and module
