"""A withdrawal acknowledged in one process binds the next read in every other process."""

import multiprocessing
import os
import time
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from consent_gateway.consent.choices import NewChoice
from consent_gateway.consent.witness import Witness
from consent_gateway.demo.cast import CAST
from consent_gateway.demo.clients import CALL_CENTRE, CLIENTS, NEWSLETTER, WEB_SHOP
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Caller, EventKind, Identifier
from consent_gateway.wiring import Services
from tests.deployment import Deployment

READERS = 3
READS = 20_000 if os.environ.get("SOAK") is None else 200_000
ANNA = PersonRef(identifier=Identifier("email", CAST[0].email))
OPEN, WITHDRAWN, BETWEEN = 0, 1, 2  # what has been acknowledged; `BETWEEN` while a change is on its way


def caller(client_id: str) -> Caller:
    """The caller a token of this client would give."""
    client = next(each for each in CLIENTS if each.client_id == client_id)
    return Caller(client.client_id, client.channel, client.purposes, client.recipients, client.scopes)


def choose(services: Services, kind: EventKind) -> None:
    """Record Anna's choice on the newsletter and return when it is acknowledged."""
    services.choices.record(
        caller(CALL_CENTRE if kind is EventKind.WITHDRAW else WEB_SHOP),
        NewChoice(
            person=ANNA,
            kind=kind,
            purpose="email_marketing",
            occurred_at=services.clock.now(),
            how="spoken",
            notice="messages",
            notice_version="5",
            language="de",
            reference="race",
            witness=Witness("agent-7", "script-3"),
        ),
    )


def _read(
    deployment: Deployment,
    acknowledged: "Synchronized[int]",
    version: "Synchronized[int]",
    left: "Synchronized[int]",
    stale: "Synchronized[int]",
    lost: "Synchronized[int]",
) -> None:
    services = deployment.open()
    query = ReadQuery(ANNA, "email_marketing", ("email",))
    who = caller(NEWSLETTER)
    while left.value > 0:
        before, state = version.value, acknowledged.value
        answer = services.gateway.read(who, query)
        with left.get_lock():
            left.value -= 1
        if before != version.value:  # a change came in between: both answers are right
            continue
        if state == WITHDRAWN and answer.record:
            stale.value += 1
        if state == OPEN and not answer.record:
            lost.value += 1
    services.close()


def test_no_read_after_an_acknowledged_withdrawal_is_open(deployment: Deployment) -> None:
    """Over 20,000 reads in 3 processes while a fourth grants and withdraws, no permission is stale and none is lost."""
    spawn = multiprocessing.get_context("spawn")
    shared: dict[str, Any] = {
        name: spawn.Value("l", value)
        for name, value in {"acknowledged": BETWEEN, "version": 0, "left": READS, "stale": 0, "lost": 0}.items()
    }
    readers = [spawn.Process(target=_read, args=(deployment, *shared.values())) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    services = deployment.open()
    changes, deadline = 0, time.monotonic() + 240
    while shared["left"].value > 0:
        assert time.monotonic() < deadline, "the readers did not finish"
        kind = EventKind.GRANT if changes % 2 == 0 else EventKind.WITHDRAW
        with shared["version"].get_lock():
            shared["version"].value += 1
            shared["acknowledged"].value = BETWEEN
        choose(services, kind)
        with shared["version"].get_lock():
            shared["version"].value += 1
            shared["acknowledged"].value = OPEN if kind is EventKind.GRANT else WITHDRAWN
        changes += 1
        time.sleep(0.002)  # lets reads fall into the settled time; no claim rests on it
    for reader in readers:
        reader.join(60)
        assert reader.exitcode == 0
    services.close()
    assert changes > 20
    assert (shared["stale"].value, shared["lost"].value) == (0, 0)
