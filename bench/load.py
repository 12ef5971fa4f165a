"""A bounded closed-loop HTTP load over loopback: wrk where it is installed, else a small client of our own."""

import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Load:
    """What a load found: requests a second, median and 99th percentile in milliseconds, answers that were not 200."""

    rate: float
    median_ms: float
    p99_ms: float
    bad: int


def run(port: int, paths: Sequence[str], token: str | None, *, connections: int, seconds: float) -> Load:
    """GET the paths in turn over `connections` kept-open connections for `seconds`."""
    if shutil.which("wrk"):
        return _wrk(port, paths, token, connections, seconds)
    return _own(port, paths, token, connections, seconds)


def _wrk(port: int, paths: Sequence[str], token: str | None, connections: int, seconds: float) -> Load:
    listed = ",".join(f'"{path}"' for path in paths)
    header = f'wrk.headers["Authorization"] = "Bearer {token}"' if token else ""
    script = (
        f"{header}\nlocal paths = {{{listed}}}\nlocal n = math.random(#paths)\n"
        "request = function() n = n % #paths + 1 return wrk.format('GET', paths[n]) end\n"
        "done = function(s, l) io.write(string.format('R %d %d %f %f %d\\n', s.requests, s.duration,"
        " l:percentile(50), l:percentile(99), s.errors.status)) end\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        lua = Path(folder) / "paths.lua"
        lua.write_text(script, encoding="utf-8")
        command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{round(seconds)}s", "-s", str(lua)]
        printed = subprocess.run(  # noqa: S603
            [*command, f"http://127.0.0.1:{port}"], check=True, capture_output=True, text=True
        ).stdout
    found = re.search(r"^R (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)$", printed, re.MULTILINE)
    assert found, printed
    requests, micros, median, p99, bad = found.groups()
    return Load(int(requests) / (int(micros) / 1e6), float(median) / 1e3, float(p99) / 1e3, int(bad))


def _own(port: int, paths: Sequence[str], token: str | None, connections: int, seconds: float) -> Load:
    waits: list[float] = []
    bad: list[int] = []
    deadline = time.perf_counter() + seconds
    head = f"Authorization: Bearer {token}\r\n" if token else ""

    def loop(start: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            reader = connection.makefile("rb")
            number = start
            while time.perf_counter() < deadline:
                path = paths[number % len(paths)]
                number += connections
                begun = time.perf_counter()
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
                status = int(reader.readline().split()[1])
                length = 0
                while (line := reader.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                reader.read(length)
                waits.append(time.perf_counter() - begun)
                if status != 200:
                    bad.append(status)

    threads = [threading.Thread(target=loop, args=(start,)) for start in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ordered = sorted(waits)
    return Load(
        len(ordered) / seconds,
        statistics.median(ordered) * 1e3,
        ordered[int(len(ordered) * 0.99)] * 1e3,
        len(bad),
    )
