"""The customers' pages served for a browser: a real deployment over SQLite, with real sessions."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from werkzeug.serving import make_server

from consent_gateway.customers.sessions import Assurance, Proved
from consent_gateway.ids import new_id
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.preferences.forms import NewForm
from consent_gateway.preferences.visits import Visit
from consent_gateway.settings import read_settings
from consent_gateway.vocabulary import Caller
from consent_gateway.web.app import create_app
from consent_gateway.wiring import Services, open_services
from tests.deployment import Deployment, deploy

COOKIE = "visit"
FRAMING = "http://localhost:8099"
"""The one page that may show a consent form in a frame."""


@dataclass(frozen=True)
class CookieVisit:
    """A visit named by a cookie: `session.person`, or `session.person.purpose` for a scoped one."""

    session_id: str
    data_subject: str
    purpose: str | None = None


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

    def sign_in(self, person: str) -> str:
        """The token of a fresh session of this person, as if they had come by their account."""
        return self.services.customers.sessions.begin(Proved(person, Assurance.ACCOUNT)).token

    def form(self, person: str, language: str = "en", origin: str | None = FRAMING) -> str:
        """The address of a form that asks this person about offers by e-mail, below the site's base."""
        caller = Caller(
            "web-shop", "web_shop", frozenset({"email_marketing"}), frozenset(), frozenset({"consents:write"})
        )
        new = NewForm(PersonRef(data_subject=person), "email_marketing", language, origin)
        return f"/consent-form?t={self.services.preferences.forms.make(caller, new).token}"

    def newcomer(self, jurisdiction: str) -> str:
        """A person who never chose anything."""
        now = self.services.clock.now()
        data_subject = new_id("ds", now)
        with self.services.engine.begin() as connection:
            template = connection.execute(sa.select(PEOPLE).limit(1)).mappings().one()
            row = {**template, "data_subject": data_subject, "jurisdiction": jurisdiction, "store_key": None}
            connection.execute(sa.insert(PEOPLE).values(**{**row, "minor_born": None}))
        return data_subject

    def somebody(self, jurisdiction: str) -> str:
        """A person who has a record in the store."""
        with self.services.engine.connect() as connection:
            found = sa.select(PEOPLE.c.data_subject).where(
                PEOPLE.c.jurisdiction == jurisdiction, PEOPLE.c.store_key.is_not(None), PEOPLE.c.minor_born.is_(None)
            )
            return str(connection.execute(found.limit(1)).scalar_one())


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """The pages over a fresh deployment below `folder`."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    urls = {
        name: f"sqlite:///{(folder if name == 'store' else state) / name}.db" for name in ("gateway", "keys", "store")
    }
    deployment = deploy(folder, urls)
    base = f"http://127.0.0.1:{deployment.variables['CONSENT_GATEWAY_PORT']}"
    deployment.variables |= {"CONSENT_GATEWAY_ISSUER": base, "CONSENT_GATEWAY_EMBED_ORIGINS": FRAMING, "CONSENT_GATEWAY_MAIL": "outbox"}
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
        yield Site(base, services, deployment)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        services.close()
