"""What one web worker process does at its start: take a core, build the services, hand the server the application.

The server calls `application` once in each worker process, before it starts its threads, so the threads
inherit the core. Nothing here is reached during a request.
"""

import atexit
import fcntl
import gc
import os
from pathlib import Path

from flask import Flask

from consent_gateway.settings import Settings, read_settings
from consent_gateway.web.app import create_app
from consent_gateway.web.logs import configure
from consent_gateway.wiring import open_services, open_telemetry


def application() -> Flask:
    """The WSGI application of this worker, built from the environment."""
    configure()
    settings = read_settings()
    take_core(settings)
    tracer = open_telemetry(settings)
    atexit.register(tracer.close)  # runs after the one below: what closing traces is sent too
    services = open_services(settings, tracer=tracer)
    atexit.register(services.close)
    app = create_app(services, tracer)
    gc.collect()
    gc.freeze()  # all of this stays, and looking through it again would hold every thread up in the middle of requests
    return app


def take_core(settings: Settings) -> int | None:
    """Pin this process to the first core no other worker holds; None where workers outnumber the cores.

    Waking a thread on another core costs several times what it costs on the same one, and every request waits
    for the audit thread once (`make bench` shows both arrangements). The lock dies with the process.
    """
    cores = sorted(os.sched_getaffinity(0))
    if settings.workers > len(cores):
        return None
    directory = settings.state_dir / "run"
    directory.mkdir(mode=0o700, exist_ok=True)
    for core in cores:
        if _hold(directory / f"core-{core}.lock"):
            os.sched_setaffinity(0, {core})
            return core
    return None


def _hold(path: Path) -> bool:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    return True  # the descriptor stays open as long as the process lives, and the lock with it
