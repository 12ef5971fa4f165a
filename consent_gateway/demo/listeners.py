"""The demo's channels as they listen: each takes signed webhooks at an address of its own and shows when it heard.

They stand outside the gateway: of what comes they believe only what verifies under the secret they were given.
"""

import hmac
import json
import threading
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from consent_gateway.ports import Clock
from consent_gateway.propagation.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign_v1

_MOST_BYTES = 64 * 1024
_FRESH_SECONDS = 300
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Heard:
    """One change as a channel heard it. `after` is in seconds since the commit, None where the time told is coarse."""

    client_id: str
    event_id: str
    kind: str
    purpose: str | None
    person: str
    at: datetime
    after: float | None

    @property
    def line(self) -> str:
        """The change on one line."""
        about = "everything" if self.purpose is None else self.purpose
        after = "" if self.after is None else f", {self.after:.2f} s after the commit"
        return f"{self.at:%H:%M:%S} {self.client_id:12} heard `{self.kind}` of {about} for {self.person}{after}"


class Listeners:
    """One small server for each channel, on this machine alone. `tell` gets each change as a line, as it comes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._servers: dict[str, ThreadingHTTPServer] = {}
        self._secrets: dict[str, bytes] = {}
        self._heard: list[Heard] = []
        self._ids: set[tuple[str, str]] = set()
        self._news = threading.Condition()
        self.tell: Callable[[str], None] = lambda _line: None

    def open(self, client_id: str) -> str:
        """Begin to listen for a channel; its address. The page at `/` shows what it heard."""
        if client_id not in self._servers:
            server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, client_id))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
            self._servers[client_id] = server
        return f"http://127.0.0.1:{self._servers[client_id].server_address[1]}/"

    def trust(self, client_id: str, secret: str) -> None:
        """From now on believe what is signed under this secret."""
        self._secrets[client_id] = b64decode(secret.removeprefix("whsec_"))

    def so_far(self) -> int:
        """How many changes were heard; a place to look from."""
        with self._news:
            return len(self._heard)

    def first(self, client_id: str, kind: str, since: int, seconds: float) -> Heard | None:
        """The first change of a kind that a channel heard since then, waiting for it so long; None if it did not."""

        def found() -> Heard | None:
            return next((h for h in self._heard[since:] if (h.client_id, h.kind) == (client_id, kind)), None)

        with self._news:
            return self._news.wait_for(found, seconds)

    def of(self, client_id: str) -> list[Heard]:
        """What a channel heard last, the newest first."""
        with self._news:
            return [each for each in reversed(self._heard) if each.client_id == client_id][:_SHOWN]

    def take(self, client_id: str, headers: dict[str, str], body: bytes) -> bool:
        """Keep a message that verifies and is fresh, once; whether it did."""
        message_id, stamp = headers.get(ID_HEADER, ""), headers.get(TIMESTAMP_HEADER, "")
        secret, now = self._secrets.get(client_id), self._clock.now()
        if secret is None or not stamp.isdecimal() or abs(now.timestamp() - int(stamp)) > _FRESH_SECONDS:
            return False
        expected = sign_v1(secret, message_id, int(stamp), body)
        if not any(hmac.compare_digest(expected, each) for each in headers.get(SIGNATURE_HEADER, "").split()):
            return False
        heard = _read(client_id, json.loads(body), now)
        with self._news:
            if (client_id, heard.event_id) in self._ids:
                return True  # a repetition
            self._ids.add((client_id, heard.event_id))
            self._heard.append(heard)
            self._news.notify_all()
        self.tell(heard.line)
        return True

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
        self._servers.clear()


def _read(client_id: str, document: dict[str, object], now: datetime) -> Heard:
    data = document["data"]
    if not isinstance(data, dict):
        raise TypeError("the data of a change is an object")
    is_exact = "position" in data  # what goes outside the company tells the minute alone
    committed = datetime.fromisoformat(str(document["time"]))
    after = max(0.0, (now - committed).total_seconds()) if is_exact else None
    purpose = None if data["purpose"] is None else str(data["purpose"])
    return Heard(client_id, str(document["id"]), str(data["kind"]), purpose, str(data["person"]), now, after)


def _handler(listeners: Listeners, client_id: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            taken = False
            if length.isdecimal() and int(length) <= _MOST_BYTES:
                named = {name.lower(): value for name, value in self.headers.items()}
                taken = listeners.take(client_id, named, self.rfile.read(int(length)))
            self.send_response(204 if taken else 400)
            self.end_headers()

        def do_GET(self) -> None:
            lines = [f"{client_id} listens here. What it heard, the newest first:", ""]
            body = "\n".join([*lines, *(each.line for each in listeners.of(client_id)), ""]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the library's
            """Nothing: what was heard is told by the line of it."""

    return Handler
