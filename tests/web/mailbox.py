"""Real services with mail that is kept and a clock that the test moves: a channel asks, a mailbox answers."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from consent_gateway.callers.registry import NewClient, Scope
from consent_gateway.customers.mail import Mail
from consent_gateway.customers.post import Post
from consent_gateway.ids import random_id
from consent_gateway.line import DecideQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import IDENTIFIERS, PEOPLE
from consent_gateway.settings import read_settings
from consent_gateway.vocabulary import COMPANY, Caller, EventKind, Identifier, Reason
from consent_gateway.web.app import create_app
from consent_gateway.wiring import Services, open_services
from tests.conftest import NOON
from tests.deployment import deploy
from tests.web.customers import KeptMail
from tests.web.standins import StillClock

ISSUER = "https://gateway.example"
OURS = {"Origin": ISSUER, "Sec-Fetch-Site": "same-origin"}
SHOP = "mail-shop"
MAIL = {
    "CONSENT_GATEWAY_ISSUER": ISSUER,
    "CONSENT_GATEWAY_MAIL": "smtp",
    "CONSENT_GATEWAY_SMTP_HOST": "127.0.0.1",
    "CONSENT_GATEWAY_MAIL_FROM": "privacy@gateway.example",
    "CONSENT_GATEWAY_MAIL_NAME": "Coffee & Co",
}
NOTICES = {"email_marketing": "messages", "targeted_ads": "advertising", "data_sale": "sale"}
"""The purposes that the shop is registered for, each with its notice."""


@dataclass
class Mailbox:
    """A served installation, as a channel, a person's browser and their mailbox see it."""

    services: Services
    clock: StillClock
    mailer: KeptMail
    application: Flask

    def newcomer(self, place: str | None, email: str, born: date | None = None) -> str:
        """A person who never chose anything and is known by this address."""
        data_subject = random_id("ds")
        identifier = Identifier("email", email)
        row = {"data_subject": data_subject, "jurisdiction": place, "created_at": 0}
        row["minor_born"] = None if born is None else born.isoformat()
        index = {"kind": "email", "blind_index": self.services.customers.indexes.of(identifier), "shared": False}
        with self.services.engine.begin() as connection:
            connection.execute(sa.insert(PEOPLE).values(**row))
            connection.execute(sa.insert(IDENTIFIERS).values(**index, data_subject=data_subject))
        return data_subject

    def call(self, method: str, path: str, body: Any = None, client: str = SHOP) -> TestResponse:
        """A call of a channel."""
        found = self.services.registry.get(client)
        assert found is not None
        headers = {"Authorization": f"Bearer {self.services.tokens.issue(found).token}"}
        return self.application.test_client().open(path, method=method, json=body, headers=headers)

    def ask(self, email: str, purpose: str = "email_marketing", **different: Any) -> TestResponse:
        """A request for a confirmation."""
        return self.call(
            "POST",
            "/v1/confirmations",
            {"email": email, "purpose": purpose, "evidence": shown(purpose), **different},
        )

    def newest(self) -> Mail:
        """The newest mail, once the worker has sent what is due."""
        while self.services.customers.post.send_due():
            pass
        return self.mailer.sent[-1]

    def token(self) -> str:
        """The token in the newest mail."""
        (token,) = re.findall(r"\?t=([A-Za-z0-9_-]{43})", self.newest().text)
        return str(token)

    def open(self, path: str, token: str) -> TestResponse:
        """What a browser sees that opens the link."""
        return self.application.test_client().get(f"{path}?t={token}", base_url=ISSUER)

    def press(
        self, path: str, token: str, page_of: str | None = None, headers: Mapping[str, str] = OURS, **fields: str
    ) -> TestResponse:
        """Open a link's page in a fresh browser and press its button, with the token sent being another if told."""
        browser = self.application.test_client()
        page = browser.get(f"{path}?t={page_of or token}", base_url=ISSUER).text
        form = dict(re.findall(r'name="(form_token|shown)" value="([0-9a-f]{64})"', page))
        return browser.post(path, data={**form, "t": token, **fields}, base_url=ISSUER, headers=headers)

    def reason(self, person: str, purpose: str = "email_marketing") -> Reason:
        """Why the address is open or closed for the purpose now."""
        caller = Caller("till", "till", frozenset({purpose}), frozenset({COMPANY}), frozenset({"decisions"}))
        query = DecideQuery(PersonRef(data_subject=person), purpose, ("email",))
        return self.services.gateway.decide(caller, query).verdicts["email"].reason

    def kinds(self, person: str) -> list[EventKind]:
        """The kinds of everything the person chose."""
        return [each.event.kind for each in self.services.choices.history(PersonRef(data_subject=person))]


def shown(purpose: str, language: str = "de", how: str = "web_form") -> dict[str, str]:
    """The evidence of a text of the shipped policy."""
    return {"how": how, "notice": NOTICES[purpose], "notice_version": "5", "language": language}


@contextmanager
def mailbox(folder: Path, databases: Mapping[str, str]) -> Iterator[Mailbox]:
    """An installation below `folder`, at noon."""
    deployment = deploy(folder, databases, customers=20)
    clock, mailer = StillClock(NOON), KeptMail()
    opened = open_services(read_settings({**deployment.variables, **MAIL}), clock)
    post = Post(opened.engine, clock, opened.keyring.service_key("customer-mail"), mailer)
    services = replace(opened, customers=replace(opened.customers, post=post))
    for client, purposes in ((SHOP, frozenset(NOTICES)), ("other-shop", frozenset({"sms_marketing"}))):
        services.registry.add(NewClient(client, "web_shop", purposes, frozenset({COMPANY}), frozenset(Scope)))
    try:
        yield Mailbox(services, clock, mailer, create_app(services))
    finally:
        opened.close()
