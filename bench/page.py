"""The preference page: what it costs the server and what travels, for a person with a thousand recorded events."""

import re
import statistics
import time
from collections.abc import Iterator
from itertools import cycle, islice

import sqlalchemy as sa
from flask.testing import FlaskClient

from consent_gateway.consent.choices import NewChoice
from consent_gateway.customer_desk import SESSION_COOKIE
from consent_gateway.customers.sessions import Assurance, Proved
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.vocabulary import Caller, EventKind
from consent_gateway.web.app import create_app
from consent_gateway.wiring import Services
from tests.deployment import Deployment

EVENTS = 1_000
KINDS = (EventKind.WITHDRAW, EventKind.OPT_OUT, EventKind.REFUSE, EventKind.OBJECT)
PURPOSES = ("email_marketing", "sms_marketing", "personalised_offers", "targeted_ads", "location_offers")
PATHS = ("/preferences", "/preferences/history", "/preferences/uses")


def page_costs(deployment: Deployment, rounds: int) -> Iterator[str]:
    """One line for each page: processor and elapsed time of the server, median, in one thread; then what travels."""
    services = deployment.open()
    try:
        person = _person(services)
        address = services.issuer.replace("http://", "https://")  # the session's cookie is Secure
        http = create_app(services).test_client()
        token = services.customers.sessions.begin(Proved(person, Assurance.ACCOUNT)).token
        http.set_cookie(SESSION_COOKIE, token, domain="127.0.0.1", secure=True)
        yield f"pages of a person with {len(services.preferences.history(person))} events, one thread, median:"
        for path in PATHS:
            processor, elapsed = _measured(http, address, path, rounds)
            yield f"   {path:22} processor {processor:5.1f} ms   elapsed {elapsed:5.1f} ms"
        sizes = [len(http.get(path, base_url=address).data) for path in _needed(http, address)]
        yield f"   /preferences travels as {len(sizes)} requests of {sum(sizes) / 1000:.1f} kB together, not compressed"
    finally:
        services.close()


def _person(services: Services) -> str:
    """An adult in Germany with so many events."""
    caller = Caller("till", "till", frozenset(), frozenset(), frozenset({"consents:write"}))
    with services.engine.connect() as connection:
        adult = (PEOPLE.c.jurisdiction == "DE", PEOPLE.c.minor_born.is_(None))
        person = str(connection.execute(sa.select(PEOPLE.c.data_subject).where(*adult)).scalar())
    reference = PersonRef(data_subject=person)
    missing = EVENTS - len(services.preferences.history(person))
    for purpose, kind in islice(zip(cycle(PURPOSES), cycle(KINDS)), missing):
        services.choices.record(caller, NewChoice(reference, kind, services.clock.now(), "spoken", purpose))
    return person


def _measured(http: FlaskClient, address: str, path: str, rounds: int) -> tuple[float, float]:
    processor, elapsed = [], []
    for _ in range(rounds):
        begun, used = time.perf_counter(), time.process_time()
        answer = http.get(path, base_url=address)
        processor.append((time.process_time() - used) * 1000)
        elapsed.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}")
    return statistics.median(processor), statistics.median(elapsed)


def _needed(http: FlaskClient, address: str) -> list[str]:
    page = http.get("/preferences", base_url=address).get_data(as_text=True)
    linked = re.findall(r'<(?:link|img|script)[^>]+(?:href|src)="([^"]+)"', page)
    return ["/preferences", *dict.fromkeys(linked)]
