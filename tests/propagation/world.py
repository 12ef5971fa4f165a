"""What the tests of the propagation room share: people, choices, a ledger with its outbox, receivers that misbehave."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import sqlalchemy as sa

from consent_gateway.consent import ledger
from consent_gateway.database import to_micros
from consent_gateway.errors import Undelivered
from consent_gateway.people.tables import PEOPLE
from consent_gateway.ports import ChangeMessage
from consent_gateway.propagation.addresses import AllowedHosts
from consent_gateway.propagation.changes import Audience
from consent_gateway.propagation.courier import Courier
from consent_gateway.propagation.destinations import Destination, Destinations
from consent_gateway.propagation.envelope import Envelopes
from consent_gateway.propagation.outbox import Outbox
from consent_gateway.propagation.posting import Poster
from consent_gateway.vocabulary import ANY_PURPOSE, COMPANY, PERSON_WIDE, EventKind, Evidence, NewConsentEvent
from tests.conftest import NOON, StillClock

KEY = bytes(range(32))


class PlainNames:
    """Names that tell the domain, so that a test can read them."""

    def name(self, purpose: str, recipient: str, data_subject: str) -> str:
        return f"{purpose}/{recipient}/{data_subject}"

    def message_id(self, purpose: str, recipient: str, event_id: str) -> str:
        return f"{purpose}/{recipient}/{event_id}"


@dataclass
class World:
    """A ledger with its outbox over a real database, and a courier over a sink that the test writes."""

    engine: sa.Engine
    clock: StillClock
    draw: Callable[[], float] = lambda: 0.5
    domains: tuple[tuple[str, str], ...] = ()
    names: Any = field(default_factory=PlainNames)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.names, self.domains, self.clock)
        self.envelopes = Envelopes(self.engine, self.names, self.names.message_id, "https://gateway.example")
        hosts = AllowedHosts(frozenset({"127.0.0.1", "hooks.example.com"}), frozenset({"127.0.0.1"}))
        self.poster = Poster(None, hosts)  # type: ignore[arg-type] # no test of this world speaks TLS
        self.destinations = Destinations(self.engine, self.clock, KEY, self.poster)
        self.courier = Courier(
            engine=self.engine,
            destinations=self.destinations,
            message=self.envelopes.message,
            clock=self.clock,
            draw=self.draw,
        )

    def people(self, *names: str) -> None:
        rows = [{"data_subject": name, "created_at": to_micros(NOON)} for name in names]
        with self.engine.begin() as connection:
            connection.execute(sa.insert(PEOPLE), rows)

    def choose(self, *choices: tuple[str, EventKind], purpose: str = "email_marketing") -> list[str]:
        """Record choices in one transaction; their event ids."""
        with self.engine.begin() as connection:
            events = [make_event(person, kind, purpose) for person, kind in choices]
            committed = ledger.record_many(connection, events, now=self.clock.now())
            self.outbox.announce_in(connection, committed)
        return [each.event_id for each in committed]

    def sink(self, purposes: Sequence[str] = ("email_marketing",)) -> Destination:
        return self.destinations.add_sink("test", "nowhere", purposes, 0)

    def present(self, destination: Destination) -> Destination:
        found = self.destinations.living(destination.destination_id)
        assert found is not None
        return found

    def run(self, destination: Destination, sink: Any, most: int = 1000) -> None:
        """Rounds until there is nothing to do at this moment."""
        for _ in range(most):
            if not self.courier.round(self.present(destination), sink):
                return
        raise AssertionError("the courier does not come to rest")

    def wait(self, **time: float) -> None:
        self.clock.moment += timedelta(**time)


def make_event(person: str, kind: EventKind, purpose: str = "email_marketing") -> NewConsentEvent:
    evidence = Evidence("web_shop", "web_form", "shop", "privacy", "3", "de")
    return NewConsentEvent(person, ANY_PURPOSE if kind in PERSON_WIDE else purpose, kind, NOON, evidence)


COMPANY_EMAIL = Audience(frozenset({"email_marketing"}), COMPANY)


class Ear:
    """A sink in memory; `judge` may raise `Undelivered` before the message is heard, `after` once it was."""

    def __init__(
        self,
        judge: Callable[[ChangeMessage], object] = lambda _message: None,
        after: Callable[[ChangeMessage], object] = lambda _message: None,
    ) -> None:
        self.judge, self.after = judge, after
        self.heard: list[ChangeMessage] = []
        self.tried: list[str] = []

    def send(self, message: ChangeMessage) -> None:
        self.tried.append(message.message_id)
        self.judge(message)
        self.heard.append(message)
        self.after(message)

    def close(self) -> None:
        pass

    @property
    def ids(self) -> list[str]:
        return [message.message_id for message in self.heard]

    def first_heard(self) -> dict[str, list[int]]:
        """For each person the positions in the order in which they were first heard."""
        seen: set[str] = set()
        order: dict[str, list[int]] = {}
        for message in self.heard:
            if message.message_id not in seen:
                seen.add(message.message_id)
                document = json.loads(message.body)
                order.setdefault(message.person, []).append(document["data"]["position"])
        return order


def refuse(cause: str = "status 500", **more: Any) -> None:
    """Fail as a destination does."""
    raise Undelivered(cause, **more)


class Receiver:
    """A webhook receiver in a thread: `answer` writes the whole answer for each request, by its number from 1."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler, int], object]) -> None:
        self.answer = answer
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self._lock = threading.Lock()
        self._port = 0
        self._running: tuple[ThreadingHTTPServer, threading.Thread] | None = None

    @property
    def url(self) -> str:
        """Where it listens, also after a restart."""
        return f"http://127.0.0.1:{self._port}/hook"

    def start(self) -> None:
        """Listen: the first time where the machine has room, later at the same place."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver._lock:
                    receiver.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                    receiver.paths.append(self.path)
                    number = len(receiver.requests)
                receiver.answer(self, number)

            def log_message(self, *_arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        server.daemon_threads = True
        self._port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self._running = server, thread

    def stop(self) -> None:
        """Be away: whoever connects is refused."""
        assert self._running is not None
        server, thread = self._running
        server.block_on_close = False  # an answer that hangs holds nobody
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def receiving(answer: Callable[[BaseHTTPRequestHandler, int], object] | None = None) -> Iterator[Receiver]:
    """A real HTTP server on loopback."""
    receiver = Receiver(answer or ok)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def ok(handler: BaseHTTPRequestHandler, _number: int) -> None:
    """204."""
    handler.send_response(204)
    handler.end_headers()
