"""Every way a choice is committed: it is announced in the same transaction, or it is not recorded."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from consent_gateway.consent.choices import NewChoice
from consent_gateway.customers.links import NewUnsubscribeLink
from consent_gateway.demo.clients import WEB_SHOP
from consent_gateway.errors import DatabaseUnavailable
from consent_gateway.people.directory import PersonRef
from consent_gateway.propagation.tables import CHANGES
from consent_gateway.vocabulary import EventKind, Identifier
from consent_gateway.web.app import create_app
from tests.browser.site import COOKIE, CookieVisits
from tests.line.conftest import Line

MARKETING = "email_marketing"
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
CUSTOMERS = iter(range(30, 60))
"""People of the store nobody else of this file uses."""

Way = Callable[[Line, FlaskClient, str], object]


def app(line: Line) -> FlaskClient:
    """The whole web room, as a browser that is taken at its word and a client with its token would reach it."""
    return create_app(replace(line.services, visits=CookieVisits())).test_client()


def token(line: Line, client_id: str) -> dict[str, str]:
    """The header of a client's token."""
    client = line.services.registry.get(client_id)
    assert client is not None
    return {"Authorization": f"Bearer {line.services.tokens.issue(client, None).token}"}


def by_api(line: Line, http: FlaskClient, person: str) -> object:
    """A channel reports it."""
    body = {
        "data_subject": person,
        "purpose": MARKETING,
        "kind": "withdraw",
        "occurred_at": line.services.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "evidence": {"how": "api"},
    }
    return http.post("/v1/consents", json=body, headers=token(line, WEB_SHOP)).status_code


def by_signal(line: Line, http: FlaskClient, person: str) -> object:
    """A channel passes a signal on."""
    body = {"person": {"data_subject": person}, "gpc": "1"}
    return http.post("/v1/signals", json=body, headers=token(line, WEB_SHOP)).status_code


def by_header(line: Line, http: FlaskClient, person: str) -> object:
    """A read carries the browser's header."""
    path = f"/v1/customers/{person}?purpose=order_fulfilment&fields=first_name"
    return http.get(path, headers={**token(line, "till"), "Sec-GPC": "1"}).status_code


def by_page(line: Line, http: FlaskClient, person: str) -> object:
    """The page's button."""
    http.set_cookie(COOKIE, f"s1.{person}", domain="localhost")
    form = {"form": line.services.preferences.form_token("s1"), "lang": "en"}
    return http.post("/preferences/none", data=form, headers=OURS).status_code


def by_page_with_gpc(line: Line, http: FlaskClient, person: str) -> object:
    """The page is opened by a browser that sends the signal."""
    http.set_cookie(COOKIE, f"s1.{person}", domain="localhost")
    return http.get("/preferences", headers={"Sec-GPC": "1"}).status_code


def by_link(line: Line, http: FlaskClient, person: str) -> object:
    """A mail program's one click."""
    new = NewUnsubscribeLink(person, MARKETING, "web_shop", WEB_SHOP)
    link = line.services.customers.unsubscribe_links.make(new)
    return http.post(f"/unsubscribe?t={link.token}", data={"List-Unsubscribe": "One-Click"}).status_code


def by_import(line: Line, _http: FlaskClient, person: str) -> object:
    """An import of another system's choices."""
    key = line.scalar("SELECT store_key FROM people WHERE data_subject = :it", it=person)
    one = {
        "store_key": key,
        "purpose": MARKETING,
        "kind": "unsubscribe",
        "occurred_at": "2026-01-05T10:00:00Z",
        "channel": "newsletter",
        "reference": f"old-{person}",
    }
    report = line.services.choices.import_choices([one], lambda _done: None)
    assert not report.refused, report
    return report


def before_joining(line: Line, _person: str) -> None:
    """Somebody of the store becomes a member there."""
    outsider = (
        "SELECT min(customer_id) FROM customers WHERE customer_id NOT IN (SELECT customer_id FROM loyalty_accounts)"
    )
    line.store(
        "INSERT INTO loyalty_accounts (loyalty_number, customer_id, tier, points, joined_on)"
        f" VALUES ('LC99887766', ({outsider}), 'green', 0, '2026-11-01')"
    )


def before_linking(line: Line, person: str) -> None:
    """Somebody objects by an address nobody has; then the store says whose it is."""
    early = Identifier("email", f"early.{person[-8:]}@example.com")
    now = line.services.clock.now()
    choice = NewChoice(PersonRef(identifier=early), EventKind.OBJECT, now, "spoken", MARKETING, reference="call-9")
    line.services.choices.record(line.caller(MARKETING), choice)
    key = line.scalar("SELECT store_key FROM people WHERE data_subject = :it", it=person)
    line.store("UPDATE customers SET email = :email WHERE customer_id = :it", email=early.value, it=int(str(key)))


def by_enrolment(line: Line, _http: FlaskClient, _person: str) -> object:
    """The store's people are read."""
    return line.services.enrolment.run(lambda _done, _total: None)


def by_erasure(line: Line, _http: FlaskClient, person: str) -> object:
    """An erasure."""
    return line.services.shredding.shred(person, reference="dsr-7", by="operator")


def nothing(_line: Line, _person: str) -> None:
    """Most ways need no preparation."""


WAYS: Mapping[str, tuple[Callable[[Line, str], None], Way]] = {
    "api": (nothing, by_api),
    "signal": (nothing, by_signal),
    "header": (nothing, by_header),
    "page": (nothing, by_page),
    "page with a signal": (nothing, by_page_with_gpc),
    "unsubscribe link": (nothing, by_link),
    "import": (nothing, by_import),
    "joined in the store": (before_joining, by_enrolment),
    "carried to whose identifier it is": (before_linking, by_enrolment),
    "erasure": (nothing, by_erasure),
}


def somebody(line: Line) -> str:
    """A person of the store whom no other test of this file has touched."""
    found = line.scalar("SELECT data_subject FROM people WHERE store_key = :key", key=str(next(CUSTOMERS)))
    assert isinstance(found, str)
    return found


def events(line: Line) -> int:
    """How many events the ledger holds."""
    return int(str(line.scalar("SELECT count(*) FROM consent_events")))


def unannounced(line: Line) -> object:
    """How many of them nobody will be told of."""
    return line.scalar("SELECT count(*) FROM consent_events WHERE event_id NOT IN (SELECT event_id FROM changes)")


@contextmanager
def outbox_away(line: Line) -> Iterator[list[str]]:
    """No row can be written to the outbox; what was tried and failed."""
    tried: list[str] = []
    opening = f"INSERT INTO {CHANGES.name} "

    def refuse(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if statement.startswith(opening):
            tried.append(statement)
            raise sa.exc.OperationalError(statement, {}, Exception("no room"))

    sa.event.listen(line.services.engine, "before_cursor_execute", refuse)
    try:
        yield tried
    finally:
        sa.event.remove(line.services.engine, "before_cursor_execute", refuse)


@pytest.mark.parametrize("way", WAYS)
def test_a_choice_is_announced_with_its_commit_or_not_recorded(line: Line, way: str) -> None:
    """Whichever way it comes, each new event has its row of the outbox; where that row cannot be written, the event
    is not committed either, nor said to be.
    """
    prepare, choose = WAYS[way]
    http, person = app(line), somebody(line)
    prepare(line, person)
    before = events(line)
    with outbox_away(line) as tried, suppress(DatabaseUnavailable):  # what the web room answers 503 to
        assert choose(line, http, person) == 503
    assert tried, "the choice went past the outbox"
    assert events(line) == before
    choose(line, http, person)
    assert events(line) > before
    assert unannounced(line) == 0
