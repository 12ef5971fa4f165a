"""Starts and ends the yardstick's server process."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bare_server(port: int, store_url: str) -> Iterator[None]:
    """The bare endpoint under granian with two workers of eight threads."""
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "--workers", "2",
        "--blocking-threads", "8", "--host", "127.0.0.1", "--port", str(port), "--no-log", "bench.bare:application",
    ]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, "BENCH_STORE_URL": store_url})  # noqa: S603
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/customers/1", timeout=2).close()
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)
