"""Deliveries under load: the worker killed at random moments, a receiver that fails and lies, both databases."""

import json
import logging
import os
import random
import socket
import subprocess
import sys
import threading
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import sqlalchemy as sa

from consent_gateway.consent.choices import NewChoice
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.propagation import signing
from consent_gateway.propagation.destinations import Destination, audience_of
from consent_gateway.propagation.outbox import number
from consent_gateway.propagation.tables import CHANGES
from consent_gateway.vocabulary import Caller, EventKind
from consent_gateway.wiring import Services
from tests.deployment import Deployment
from tests.propagation.world import Receiver, ok, receiving

SOAK = bool(os.environ.get("SOAK"))
ROUNDS = int(os.environ.get("KILLS", "200" if SOAK else "6"))
CHANGES_PER_ROUND = int(os.environ.get("CHANGES_PER_KILL", "500" if SOAK else "25"))
PEOPLE_WHO_CHOOSE = 40 if SOAK else 5  # so few that another choice of theirs is always on its way when one fails
PATIENCE = 90.0  # without any progress
TIMEOUT_MS = "1000"
"""How long the worker waits for an answer here, so that one that hangs costs no more."""

_LOG = logging.getLogger(__name__)


def people(services: Services) -> list[str]:
    """Everybody of the deployment."""
    with services.engine.connect() as connection:
        return sorted(connection.execute(sa.select(PEOPLE.c.data_subject)).scalars())


def shop(services: Services) -> Caller:
    """The demo's web shop as a caller."""
    client = services.registry.get("web-shop")
    assert client is not None
    return Caller(client.client_id, client.channel, client.purposes, client.recipients, client.scopes)


def withdraw(services: Services, person: str) -> str:
    """One withdrawal of e-mail marketing; its event id."""
    choice = NewChoice(PersonRef(person), EventKind.WITHDRAW, services.clock.now(), "api", "email_marketing")
    return services.choices.record(shop(services), choice).event_ids[0]


@contextmanager
def worker(deployment: Deployment) -> Iterator[subprocess.Popen[bytes]]:
    """The real background worker as a process; killed with SIGKILL at the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_GATEWAY_")}
    with (deployment.folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "consent_gateway", "worker"],
            env={**inherited, **deployment.variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


class Moody:
    """Answers mostly well. Else it fails (503), hangs up, hangs without having heard, or lies: it has heard, and then
    gives half an answer, or its 200 after our time-out. Every message it hears must verify.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.arrived = threading.Condition()
        self.heard: list[str] = []
        self.known: set[str] = set()
        self.order: dict[str, list[int]] = {}
        self.moods: Counter[str] = Counter()
        self.secret = b""
        self.bad: list[str] = []
        self.is_well = False
        self.over = threading.Event()

    def answer(self, receiver: Receiver, handler: BaseHTTPRequestHandler, number: int) -> None:
        headers, body = receiver.requests[number - 1]
        receiver.requests[number - 1] = ({}, b"")  # a long run would else keep them all
        mood = self._mood()
        if mood == "fails":
            handler.send_response(503)
            handler.end_headers()
        elif mood == "hangs up":
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif mood == "hangs":
            self.over.wait(2 * int(TIMEOUT_MS) / 1000)
        else:
            self._hear(headers, body)
            if mood == "half an answer":
                handler.send_response(200)
                handler.send_header("Content-Length", "10")
                handler.end_headers()
                handler.wfile.write(b"half")
                handler.connection.shutdown(socket.SHUT_RDWR)
                return
            if mood == "200 too late":
                self.over.wait(2 * int(TIMEOUT_MS) / 1000)
            with suppress(OSError):  # nobody may be there to read it
                ok(handler, 0)

    def _mood(self) -> str:
        with self.arrived:
            drawn = 1.0 if self.is_well else self.random.random()
            bounds = (("fails", 0.04), ("hangs up", 0.07), ("half an answer", 0.10))
            rare = (("hangs", 0.103), ("200 too late", 0.106)) if SOAK else (("hangs", 0.12), ("200 too late", 0.14))
            mood = next((name for name, bound in bounds + rare if drawn < bound), "well")
            self.moods[mood] += 1
        return mood

    def _hear(self, headers: dict[str, str], body: bytes) -> None:
        document: dict[str, Any] = json.loads(body)
        message_id, stamp = headers["webhook-id"], int(headers["webhook-timestamp"])
        with self.arrived:
            if signing.sign_v1(self.secret, message_id, stamp, body) not in headers["webhook-signature"].split():
                self.bad.append(message_id)
            if message_id != document["id"]:
                self.bad.append(message_id)
            if message_id not in self.known:
                self.known.add(message_id)
                self.order.setdefault(document["subject"], []).append(document["data"]["position"])
            self.heard.append(message_id)
            self.arrived.notify_all()

    def wait_for(self, count: int) -> None:
        """Until it has heard so many messages, with repetitions."""
        self._until(lambda: len(self.heard) >= count)

    def wait_for_all(self, expected: Collection[str]) -> None:
        """Until it has heard each of these."""
        wanted = len(set(expected))
        self._until(lambda: len(self.known) >= wanted)

    def _until(self, done: Callable[[], bool]) -> None:
        with self.arrived:
            while not done():
                before = len(self.heard)
                moved = self.arrived.wait_for(lambda: done() or len(self.heard) > before, PATIENCE)  # noqa: B023 - used at once
                assert moved, f"nothing heard for {PATIENCE} s after {before} messages"


def open_to_loopback(deployment: Deployment) -> Services:
    """Services whose webhooks may go to this machine."""
    deployment.variables |= {
        "CONSENT_GATEWAY_WEBHOOK_HOSTS": "127.0.0.1",
        "CONSENT_GATEWAY_WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
        "CONSENT_GATEWAY_WEBHOOK_TIMEOUT_MS": TIMEOUT_MS,
    }
    return deployment.open()


def webhook(services: Services, receiver: Receiver, moody: Moody) -> Destination:
    """A webhook of the web shop for e-mail marketing, whose secret the receiver knows."""
    caller = shop(services)
    made, secret = services.outward.destinations.add_webhook(
        caller, receiver.url, audience_of(caller, ["email_marketing"], None)
    )
    moody.secret = b64decode(secret.text.removeprefix("whsec_"))
    return made


def test_nothing_is_lost_or_reordered_however_often_the_worker_is_killed(deployment: Deployment) -> None:
    """The worker is killed with SIGKILL while it delivers, over and over, to a receiver that fails, hangs, lies and is
    restarted: every change is heard, each person's first in the order of the ledger, none is given up, and each
    message verifies. With `SOAK` 100,000 changes and 200 kills; `KILLS` and `CHANGES_PER_KILL` say otherwise.
    """
    services = open_to_loopback(deployment)
    # With these seeds at least 65 answers are given before the last turn, and every mood is among the first 26.
    everyone, moody, chance = people(services)[:PEOPLE_WHO_CHOOSE], Moody(7), random.Random(11)
    expected: list[str] = []
    with receiving(lambda handler, number: moody.answer(receiver, handler, number)) as receiver:
        made = webhook(services, receiver, moody)
        for turn in range(ROUNDS):
            is_away = turn % 5 == 2
            with worker(deployment):
                aim = len(moody.heard) + chance.randrange(1, CHANGES_PER_ROUND)
                if is_away:
                    receiver.stop()
                expected += [withdraw(services, chance.choice(everyone)) for _ in range(CHANGES_PER_ROUND)]
                if is_away:
                    receiver.start()
                moody.wait_for(aim)
        with worker(deployment):
            moody.wait_for_all(expected)
        moody.over.set()
    assert services.outward.destinations.lag(made).dead == 0
    assert moody.known == set(expected)
    assert all(positions == sorted(positions) for positions in moody.order.values())
    assert moody.bad == []
    assert set(moody.moods) == {"well", "fails", "hangs up", "hangs", "half an answer", "200 too late"}
    _LOG.info("%s changes, %s kills, heard %s; %s", len(expected), ROUNDS, len(moody.heard), dict(moody.moods))
    services.close()


def test_two_workers_never_deliver_at_once_and_one_takes_over_from_the_other(deployment: Deployment) -> None:
    """With two workers each change comes once; when the one that delivers is killed the other goes on."""
    services = open_to_loopback(deployment)
    person = people(services)[0]
    moody = Moody(3)
    moody.is_well = True
    with receiving(lambda handler, number: moody.answer(receiver, handler, number)) as receiver:
        webhook(services, receiver, moody)
        with worker(deployment):
            expected = [withdraw(services, person)]
            moody.wait_for(1)  # this one delivers
            with worker(deployment):
                expected += [withdraw(services, person) for _ in range(5)]
                moody.wait_for(6)
                assert moody.heard == expected
        with worker(deployment):
            expected.append(withdraw(services, person))
            with moody.arrived:
                assert moody.arrived.wait_for(lambda: expected[-1] in moody.heard, PATIENCE)
        assert list(dict.fromkeys(moody.heard)) == expected
    services.close()


def test_every_event_of_the_ledger_is_announced_and_none_tells_a_personal_value(deployment: Deployment) -> None:
    """Imports, enrolment, choices and erasures: as many changes as events. A document to the company or to a partner
    holds no value of the store, and a partner's none of our ids.
    """
    services = deployment.open()
    everyone = people(services)
    for person in everyone[:5]:
        withdraw(services, person)
    services.shredding.shred(everyone[0], reference="dsr-1", by="officer")
    last = number(services.engine)
    with services.engine.connect() as connection:
        events = connection.execute(sa.select(sa.func.count()).select_from(CONSENT_EVENTS)).scalar_one()
        assert connection.execute(sa.select(sa.func.count()).select_from(CHANGES)).scalar_one() == events == last
    caller, feed = shop(services), services.outward.feed
    told: list[str] = []
    for audience in (audience_of(caller, None, None), audience_of(caller, ["targeted_ads"], "ad_partner")):
        page = feed.page("web-shop", audience, None, 500)
        told.append(json.dumps(page.changes))
        while page.more:
            page = feed.page("web-shop", audience, page.cursor, 500)
            told[-1] += json.dumps(page.changes)
    assert everyone[0] in told[0]
    assert "consent-gateway.choice.erased" in told[1]
    assert "ds_" not in told[1]
    assert "cev_" not in told[1]
    canaries = values_of(deployment)
    assert len(canaries) > 100
    assert not [value for value in canaries if any(value in text for text in told)]
    services.close()


def values_of(deployment: Deployment) -> set[str]:
    """Names, addresses and numbers of the store, long enough to be nobody's word."""
    engine = sa.create_engine(
        sa.make_url(deployment.retailer).set(drivername="postgresql+psycopg")
        if deployment.retailer.startswith("postgresql")
        else deployment.retailer
    )
    tables = sa.MetaData()
    tables.reflect(engine)
    found: set[str] = set()
    with engine.connect() as connection:
        for row in connection.execute(sa.select(tables.tables["customers"])).mappings():
            found |= {
                value for name, value in row.items() if name in ("email", "phone", "last_name", "street") and value
            }
    engine.dispose()
    return {value for value in found if len(value) > 4}
