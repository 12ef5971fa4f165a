"""How long after the commit of a choice a listening channel hears of it, through the real worker and a real webhook."""

import json
import random
import statistics
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import sqlalchemy as sa

from consent_gateway.consent.choices import NewChoice
from consent_gateway.demo.clients import WEB_SHOP
from consent_gateway.people.directory import PersonRef
from consent_gateway.propagation.destinations import audience_of
from consent_gateway.vocabulary import Caller, EventKind
from consent_gateway.wiring import Services
from tests.deployment import Deployment, running
from tests.propagation.world import ok, receiving

PURPOSE = "email_marketing"
TARGET_MS = 1000.0
"""The median we want on an idle machine."""

_LONGEST_PAUSE = 0.5  # between two choices: they must not keep step with the worker's looks
_PATIENCE = 30.0


def delivery_times(deployment: Deployment, choices: int) -> Iterator[str]:
    """Record withdrawals one at a time, and say when each arrived."""
    deployment.variables |= {
        "CONSENT_GATEWAY_WEBHOOK_HOSTS": "127.0.0.1",
        "CONSENT_GATEWAY_WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
    }
    services = deployment.open()
    arrived: dict[str, float] = {}
    news = threading.Condition()

    def hear(handler: BaseHTTPRequestHandler, number: int) -> None:
        now = time.perf_counter()
        with news:
            arrived[json.loads(receiver.requests[number - 1][1])["id"]] = now
            news.notify_all()
        ok(handler, number)

    try:
        with receiving(hear) as receiver, running(deployment):
            caller = _caller(services)
            audience = audience_of(caller, [PURPOSE], None)
            webhook, _secret = services.outward.destinations.add_webhook(caller, receiver.url, audience)
            waits = list(_waits(services, caller, arrived, news, choices))
            services.outward.destinations.end(webhook, "client")
    finally:
        services.close()
    waits.sort()
    median, tail = statistics.median(waits), waits[int(len(waits) * 0.99)]
    told = "within" if median <= TARGET_MS else "misses"
    yield (
        f"commit to delivery, {len(waits)} choices one at a time: median {median:.0f} ms, p99 {tail:.0f} ms,"
        f" longest {waits[-1]:.0f} ms; {told} the {TARGET_MS:.0f} ms we want of the median"
    )


def _waits(
    services: Services, caller: Caller, arrived: dict[str, float], news: threading.Condition, choices: int
) -> Iterator[float]:
    with services.engine.connect() as connection:
        people = list(connection.execute(sa.text("SELECT data_subject FROM people LIMIT 500")).scalars())
    chance = random.Random(5)
    for turn in range(choices + 1):
        person = PersonRef(data_subject=chance.choice(people))
        choice = NewChoice(person, EventKind.WITHDRAW, services.clock.now(), "api", PURPOSE)
        begun = time.perf_counter()  # before the commit, so that what is told is rather too long
        (event_id,) = services.choices.record(caller, choice).event_ids
        with news:
            if not news.wait_for(lambda: event_id in arrived, _PATIENCE):  # noqa: B023 - waited for at once
                raise TimeoutError("a change did not arrive")
        if turn:  # the first waits for the worker to find the webhook
            yield (arrived[event_id] - begun) * 1000
        time.sleep(chance.random() * _LONGEST_PAUSE)


def _caller(services: Services) -> Caller:
    client = services.registry.get(WEB_SHOP)
    if client is None:
        raise LookupError(WEB_SHOP)
    return Caller(client.client_id, client.channel, client.purposes, client.recipients, client.scopes)
