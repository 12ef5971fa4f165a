"""A worker killed at any moment: no answer without its entry, no acknowledged choice lost, the log verifies."""

import os
import random
import signal
import sqlite3
import threading
import time
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.live import verify_database
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.verify import LogKey
from consent_gateway.database import open_engine
from consent_gateway.demo.cast import CAST
from consent_gateway.demo.clients import CALL_CENTRE, TILL
from consent_gateway.wiring import open_sealer
from tests.deployment import Deployment, Running, running

KILLS = 12 if os.environ.get("SOAK") is None else 500
EMAILS = [person.email for person in CAST[:8]]


class Load:
    """Threads that read and choose through HTTP, and remember what was answered."""

    def __init__(self, served: Running) -> None:
        self._served = served
        self._stop = threading.Event()
        self.answered: list[str] = []  # decision ids of answers that carried customer data
        self.acknowledged: list[str] = []  # ids of consent events
        self.failures = 0
        self._reader = served.token(TILL)
        self._writer = served.token(CALL_CENTRE)
        self._threads = [threading.Thread(target=self._read, args=(n,)) for n in range(6)]
        self._threads += [threading.Thread(target=self._choose, args=(n,)) for n in range(2)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait until every call has ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, number: int) -> None:
        turn = random.Random(number)
        while not self._stop.is_set():
            body = {"identifier": {"kind": "email", "value": turn.choice(EMAILS)}, "purpose": "order_fulfilment"}
            try:
                reply = self._served.call("POST", "/v1/customers/lookup", body, self._reader, timeout=5)
            except OSError:
                self.failures += 1
                continue
            if reply.status == 200 and reply.body["record"]:
                self.answered.append(reply.body["decision_id"])

    def _choose(self, number: int) -> None:
        turn = random.Random(100 + number)
        while not self._stop.is_set():
            body = {
                "identifier": {"kind": "email", "value": turn.choice(EMAILS)},
                "purpose": "email_marketing",
                "kind": turn.choice(["withdraw", "object", "refuse"]),
                "evidence": {"how": "spoken", "reference": "kill"},
            }
            try:
                reply = self._served.call("POST", "/v1/consents", body, self._writer, timeout=5)
            except OSError:
                self.failures += 1
                continue
            if reply.status == 201:
                self.acknowledged += reply.body["event_ids"]


def entries(deployment: Deployment) -> set[str]:
    """Ids of every audit entry that is durable, sealed or not."""
    engine = open_engine(deployment.variables["CONSENT_GATEWAY_DATABASE_URL"], threads=1)
    with engine.connect() as connection:
        found = set(connection.execute(sa.text("SELECT entry_id FROM audit_log")).scalars())
        found |= set(connection.execute(sa.text("SELECT entry_id FROM audit_queue")).scalars())
    engine.dispose()
    for path in Path(deployment.folder, "state", "audit").glob("*.db"):
        with sqlite3.connect(path) as file:
            found |= {row[0] for row in file.execute("SELECT entry_id FROM leaves")}
    return found


def events(deployment: Deployment) -> set[str]:
    """Ids of every committed consent event."""
    engine = open_engine(deployment.variables["CONSENT_GATEWAY_DATABASE_URL"], threads=1)
    with engine.connect() as connection:
        found = set(connection.execute(sa.text("SELECT event_id FROM consent_events")).scalars())
    engine.dispose()
    return found


def test_killed_workers_lose_nothing(deployment: Deployment) -> None:
    """Workers killed with SIGKILL under load: 0 answers without an entry, 0 acknowledged choices lost, a whole log."""
    turn = random.Random(7)
    with running(deployment) as served:
        load = Load(served)
        load.start()
        killed = 0
        deadline = time.monotonic() + 60 + 8 * KILLS
        while killed < KILLS:
            assert time.monotonic() < deadline, f"only {killed} kills"
            time.sleep(turn.uniform(0.0, 0.3))
            workers = served.workers()
            if not workers or len(load.answered) < 3 * killed:  # it must be answering again before the next kill
                continue
            os.kill(turn.choice(workers), signal.SIGKILL)
            killed += 1
        served.wait_ready()
        load.stop()
    assert len(load.answered) > 2 * KILLS
    assert len(load.acknowledged) > 10
    assert set(load.answered) <= entries(deployment)
    assert set(load.acknowledged) <= events(deployment)
    services = deployment.open()
    sealer = open_sealer(deployment.settings, services)
    while sealer.seal_once().sealed:
        pass
    signer = open_signer(deployment.settings.log_key_file, deployment.settings.log_origin)
    report = verify_database(services.engine, LogKey(str(signer.vkey)))
    services.close()
    assert report.ok, report
