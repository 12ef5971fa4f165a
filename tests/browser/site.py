"""The customers' pages served for a browser: a real deployment over SQLite, with real sessions."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from werkzeug.serving import make_server

from consent_gateway.customers.confirming import Wish
from consent_gateway.customers.sessions import Assurance, Proved
from consent_gateway.ids import new_id
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.preferences.forms import NewForm
from consent_gateway.preferences.visits import Visit
from consent_gateway.settings import read_settings
from consent_gateway.vocabulary import Caller, EventKind
from consent_gateway.web.app import create_app
from consent_gateway.wiring import Services, open_services
from tests.deployment import Deployment, deploy, free_port

COOKIE = "visit"


class Shop:
    """Another site: it serves `body` at every address. What a test fulfils itself may frame nothing that is local."""

    def __init__(self) -> None:
        self.body = ""
        port = free_port()
        self.origin = f"http://localhost:{port}"
        self._server = make_server("localhost", port, self._answer, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _answer(self, _environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [f"<!doctype html><title>Shop</title><h1>Shop</h1>{self.body}".encode()]

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass(frozen=True)
class CookieVisit:
    """A visit named by a cookie: `session.person`, or `session.person.purpose` for a scoped one."""

    session_id: str
    data_subject: str
    purpose: str | None = None
    assurance: Assurance = Assurance.ACCOUNT
    signed_in_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class CookieVisits:
    """Takes the cookie at its word; the real sessions are the sign-in's business."""

    def current(self, cookies: Mapping[str, str]) -> Visit | None:
        """The visit the cookie names."""
        parts = cookies.get(COOKIE, "").split(".")
        return CookieVisit(parts[0], parts[1], parts[2] if len(parts) > 2 else None) if len(parts) > 1 else None


@dataclass
class Site:
    """The pages as served. `deployment` is what other processes open."""

    base: str
    services: Services
    deployment: Deployment
    shop: Shop  # whose pages may show a consent form in a frame
    foreign: Shop

    def sign_in(self, person: str) -> str:
        """The token of a fresh session of this person, as if they had come by their account."""
        return self.services.customers.sessions.begin(Proved(person, Assurance.ACCOUNT)).token

    def form(self, person: str, language: str = "en", *, framed: bool = True) -> str:
        """The address of a form that asks this person about offers by e-mail, below the site's base."""
        origin = self.shop.origin if framed else None
        caller = _shop()
        new = NewForm(PersonRef(data_subject=person), "email_marketing", language, origin)
        return f"/consent-form?t={self.services.preferences.forms.make(caller, new).token}"

    def parents_link(self, language: str) -> str:
        """The address of the page that asks a parent for a child's choice, as the mail to them has it."""
        child = self.newcomer("DE", date(2012, 5, 1))
        wish = Wish(
            PersonRef(data_subject=child), "email_marketing", EventKind.GRANT, "web_form", "messages", "5", language
        )
        self.services.choosing.confirming.ask_parent(_shop(), wish, f"{child}@example.net")
        return self._mailed("/confirm")

    def take_back_link(self, language: str) -> str:
        """The address of the page by which a parent takes that yes back."""
        token = self.parents_link(language).partition("?t=")[2]
        confirming = self.services.choosing.confirming
        confirming.confirm(token, confirming.look(token).shown.sha256)
        return self._mailed("/take-back")

    def _mailed(self, path: str) -> str:
        while self.services.customers.post.send_due():
            pass
        outbox = self.services.customers.outbox
        assert outbox is not None
        found = re.search(re.escape(path) + r"\?t=[A-Za-z0-9_-]{43}", outbox.newest()[0].text)
        assert found is not None
        return found[0]

    def newcomer(self, jurisdiction: str, born: date | None = None) -> str:
        """A person who never chose anything; a minor where the day of birth is given."""
        now = self.services.clock.now()
        data_subject = new_id("ds", now)
        with self.services.engine.begin() as connection:
            template = connection.execute(sa.select(PEOPLE).limit(1)).mappings().one()
            row = {**template, "data_subject": data_subject, "jurisdiction": jurisdiction, "store_key": None}
            told = None if born is None else born.isoformat()
            connection.execute(sa.insert(PEOPLE).values(**{**row, "minor_born": told}))
        return data_subject

    def somebody(self, jurisdiction: str) -> str:
        """A person who has a record in the store."""
        with self.services.engine.connect() as connection:
            found = sa.select(PEOPLE.c.data_subject).where(
                PEOPLE.c.jurisdiction == jurisdiction, PEOPLE.c.store_key.is_not(None), PEOPLE.c.minor_born.is_(None)
            )
            return str(connection.execute(found.limit(1)).scalar_one())


def _shop() -> Caller:
    return Caller("web-shop", "web_shop", frozenset({"email_marketing"}), frozenset(), frozenset({"consents:write"}))


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """The pages over a fresh deployment below `folder`."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    urls = {
        name: f"sqlite:///{(folder if name == 'store' else state) / name}.db" for name in ("gateway", "keys", "store")
    }
    deployment, shop, foreign = deploy(folder, urls), Shop(), Shop()
    base = f"http://127.0.0.1:{deployment.variables['CONSENT_GATEWAY_PORT']}"
    deployment.variables |= {
        "CONSENT_GATEWAY_ISSUER": base,
        "CONSENT_GATEWAY_EMBED_ORIGINS": shop.origin,
        "CONSENT_GATEWAY_MAIL": "outbox",
    }
    services = open_services(read_settings(deployment.variables))
    server = make_server(
        "127.0.0.1",
        int(deployment.variables["CONSENT_GATEWAY_PORT"]),
        create_app(services),
        threaded=True,
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Site(base, services, deployment, shop, foreign)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        shop.close()
        foreign.close()
        services.close()
