"""Deliveries under load: the worker killed at random moments, a receiver that fails and lies, both databases."""

import json
import os
import random
import socket
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
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

ROUNDS = int(os.environ.get("KILLS", "6"))
CHANGES_PER_ROUND = int(os.environ.get("CHANGES_PER_KILL", "25"))
PATIENCE = 90.0


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
    """Answers mostly well; else 503, half an answer, a closed connection, or 200 for what it then calls a failure."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.arrived = threading.Condition()
        self.heard: list[str] = []
        self.order: dict[str, list[int]] = {}
        self.is_well = False

    def answer(self, receiver: Receiver, handler: BaseHTTPRequestHandler) -> None:
        mood = 1.0 if self.is_well else self.random.random()
        if mood < 0.05:
            handler.send_response(503)
            handler.end_headers()
        elif mood < 0.08:
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._hear(json.loads(receiver.requests[-1][1]))
            if mood < 0.12:  # it took the message, but its answer is cut: the message must come again
                handler.send_response(200)
                handler.send_header("Content-Length", "10")
                handler.end_headers()
                handler.wfile.write(b"half")
                handler.connection.shutdown(socket.SHUT_RDWR)
            else:
                ok(handler, 0)

    def _hear(self, document: dict[str, Any]) -> None:
        with self.arrived:
            if document["id"] not in self.heard:
                self.order.setdefault(document["subject"], []).append(document["data"]["position"])
            self.heard.append(document["id"])
            self.arrived.notify_all()

    def wait_for(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.heard) >= count, PATIENCE), (len(self.heard), count)


def webhook(deployment: Deployment, services: Services, receiver: Receiver) -> Destination:
    """A webhook of the web shop for e-mail marketing."""
    caller = shop(services)
    made, secret = services.outward.destinations.add_webhook(
        caller, receiver.url, audience_of(caller, ["email_marketing"], None)
    )
    assert secret.text.startswith("whsec_")
    return made


def test_nothing_is_lost_or_reordered_however_often_the_worker_is_killed(deployment: Deployment) -> None:
    """The worker is killed with SIGKILL while it delivers, over and over, to a receiver that fails and lies: every
    change is heard, each person's first in the order of the ledger, and each message verifies. `KILLS` and
    `CHANGES_PER_KILL` make the run longer.
    """
    deployment.variables["CONSENT_GATEWAY_WEBHOOK_HOSTS"] = "127.0.0.1"
    deployment.variables["CONSENT_GATEWAY_WEBHOOK_PRIVATE_HOSTS"] = "127.0.0.1"
    services = deployment.open()
    everyone = people(services)
    moody, chance = Moody(7), random.Random(11)
    expected: list[str] = []
    with receiving(lambda handler, _number: moody.answer(receiver, handler)) as receiver:
        made = webhook(deployment, services, receiver)
        for _ in range(ROUNDS):
            with worker(deployment):
                aim = len(moody.heard) + chance.randrange(1, CHANGES_PER_ROUND)
                expected += [withdraw(services, chance.choice(everyone[:10])) for _ in range(CHANGES_PER_ROUND)]
                moody.wait_for(aim)
        moody.is_well = True
        with worker(deployment), moody.arrived:
            done = moody.arrived.wait_for(lambda: set(moody.heard) >= set(expected), PATIENCE)
        assert done, len(set(expected) - set(moody.heard))
        lag = services.outward.destinations.lag(services.outward.destinations.of_client("web-shop")[0])
        assert lag.dead == 0
        assert all(positions == sorted(positions) for positions in moody.order.values())
        assert set(moody.heard) == set(expected)
        (secret,) = services.outward.destinations.secrets(made)
        for headers, body in receiver.requests:
            stamp = int(headers["webhook-timestamp"])
            assert headers["webhook-id"] == json.loads(body)["id"]
            shared = b64decode(secret.text.removeprefix("whsec_"))
            assert signing.sign_v1(shared, headers["webhook-id"], stamp, body) in headers["webhook-signature"].split()
    services.close()


def test_two_workers_never_deliver_at_once_and_one_takes_over_from_the_other(deployment: Deployment) -> None:
    """With two workers each change comes once; when the one that delivers is killed the other goes on."""
    deployment.variables["CONSENT_GATEWAY_WEBHOOK_HOSTS"] = "127.0.0.1"
    deployment.variables["CONSENT_GATEWAY_WEBHOOK_PRIVATE_HOSTS"] = "127.0.0.1"
    services = deployment.open()
    person = people(services)[0]
    moody = Moody(3)
    moody.is_well = True
    with receiving(lambda handler, _number: moody.answer(receiver, handler)) as receiver:
        webhook(deployment, services, receiver)
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
