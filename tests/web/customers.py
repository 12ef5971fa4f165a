"""A customers' desk for tests: the real one, over a small directory of two people, with mail that is kept."""

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from consent_gateway.consent.facts import FactsReader
from consent_gateway.customer_desk import CustomerDesk, open_customer_desk
from consent_gateway.customers.mail import Mail
from consent_gateway.customers.post import Post
from consent_gateway.database import HeldConnections
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.tables import IDENTIFIERS, PEOPLE, SHARED_IDENTIFIERS
from consent_gateway.ports import Clock
from consent_gateway.settings import read_settings
from consent_gateway.vocabulary import Identifier
from tests.conftest import FixedIndexKeys

ADA = "ds_01jd80000000000000000000ad"
BEN = "ds_01jd80000000000000000000be"
ADA_EMAIL = "ada@example.com"
FAMILY_EMAIL = "family@example.com"
ADA_ACCOUNT = "account-of-ada"
VARIABLES = {
    "CONSENT_GATEWAY_STORE_URL": "sqlite:///shop.db",
    "CONSENT_GATEWAY_ISSUER": "https://gateway.example",
    "CONSENT_GATEWAY_MAIL": "smtp",
    "CONSENT_GATEWAY_SMTP_HOST": "127.0.0.1",
    "CONSENT_GATEWAY_MAIL_FROM": "privacy@gateway.example",
    "CONSENT_GATEWAY_MAIL_NAME": "Coffee & Co",
}


@dataclass
class KeptMail:
    """A mailer that keeps what it is handed; what is in `failing` is raised first, one for each mail."""

    sent: list[Mail] = field(default_factory=list)
    failing: list[Exception] = field(default_factory=list)

    def send(self, mail: Mail) -> None:
        """As `Mailer.send`."""
        if self.failing:
            raise self.failing.pop(0)
        self.sent.append(mail)


@cache
def authorities() -> ssl.SSLContext:
    """What this machine trusts, read once for a test process."""
    return ssl.create_default_context()


def service_key(name: str) -> bytes:
    """A key that is the same at every start, as a key ring's is."""
    return hashlib.sha256(name.encode()).digest()


def open_desk_for_tests(
    engine: sa.Engine, held: HeldConnections, clock: Clock, mailer: KeptMail, variables: Mapping[str, str] = VARIABLES
) -> CustomerDesk:
    """The desk over an empty database, which gets its two people here."""
    indexes = BlindIndex(FixedIndexKeys(), "DE")
    keyring: Any = SimpleNamespace(service_key=service_key)
    desk = open_customer_desk(
        engine, clock, keyring, FactsReader(held), indexes, read_settings(variables), authorities()
    )
    _enrol(engine, indexes)
    return replace(desk, post=Post(engine, clock, service_key("customer-mail"), mailer))


def outbox_variables(folder: Path) -> dict[str, str]:
    """Settings of a demo, whose mail lands in a folder."""
    names = ("MAIL_FROM", "SMTP_HOST")
    kept = {name: value for name, value in VARIABLES.items() if not name.endswith(names)}
    return {**kept, "CONSENT_GATEWAY_MAIL": "outbox", "CONSENT_GATEWAY_STATE_DIR": str(folder)}


def _enrol(engine: sa.Engine, indexes: BlindIndex) -> None:
    own = [Identifier("email", ADA_EMAIL), Identifier("external_id", ADA_ACCOUNT)]
    family = Identifier("email", FAMILY_EMAIL)
    with engine.begin() as connection:
        if connection.execute(sa.select(PEOPLE.c.data_subject)).first() is not None:
            return  # another process of this test was first
        connection.execute(
            sa.insert(PEOPLE), [{"data_subject": one, "store_key": one[-2:], "created_at": 0} for one in (ADA, BEN)]
        )
        connection.execute(
            sa.insert(IDENTIFIERS),
            [
                {"kind": one.kind, "blind_index": indexes.of(one), "data_subject": ADA, "shared": one is family}
                for one in (*own, family)
            ],
        )
        shared = {"kind": family.kind, "blind_index": indexes.of(family)}
        connection.execute(sa.insert(SHARED_IDENTIFIERS), [{**shared, "data_subject": one} for one in (ADA, BEN)])
