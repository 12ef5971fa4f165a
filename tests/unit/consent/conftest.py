"""What the consent tests share: people to choose, events to record and the service over a real database."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.recorder import record_in
from consent_gateway.consent.choices import Choices
from consent_gateway.consent.facts import FactsReader
from consent_gateway.consent.notices import Notices
from consent_gateway.database import HeldConnections
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.suppression import SuppressionTags
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.notices import Notice, read_notices
from consent_gateway.policy.source import parse
from consent_gateway.propagation.outbox import Outbox
from consent_gateway.vocabulary import ANY_PURPOSE, PERSON_WIDE, Caller, EventKind, Evidence, NewConsentEvent
from tests.conftest import NOON, FixedIndexKeys, NoNames, StillClock
from tests.steps import shipped_steps

PURPOSES = ("email_marketing", "sms_marketing", "data_sale")

PRIVACY = """\
notice: privacy
kind: choice
purposes: [email_marketing, sms_marketing, data_sale]
versions:
  - {version: "3", meaning: 1, effective_from: 2025-01-01, texts: {de: {title: T, what: W, off: O, kept: K}}}
  - version: "4"
    meaning: 1
    effective_from: 2026-06-01
    texts: {de: {title: T, what: "W,", off: O, kept: K}, en: {title: t, what: w, off: o, kept: k}}
  - {version: "5", meaning: 2, effective_from: 2027-01-01, texts: {de: {title: T, what: new, off: O, kept: K}}}
"""

Event = Callable[..., NewConsentEvent]


def notices_of(text: str) -> Mapping[str, Notice]:
    """The notices of one file, which must stand."""
    findings: list[Finding] = []
    read = read_notices([parse("notices/privacy.yaml", text, findings)], findings)
    assert findings == []
    return read


@pytest.fixture
def event() -> Event:
    """Makes an event with full evidence: `event("ds_1", kind, purpose, at)`."""

    def make(
        person: str, kind: EventKind, purpose: str = "email_marketing", at: datetime = NOON, **given: Any
    ) -> NewConsentEvent:
        evidence = Evidence("web_shop", "web_form", "shop", "privacy", "3", "de")
        if kind is EventKind.PAUSE:
            given.setdefault("valid_until", at + timedelta(days=30))
        if kind is EventKind.FREQUENCY:
            given.setdefault("frequency", "weekly")
        return NewConsentEvent(
            person, ANY_PURPOSE if kind in PERSON_WIDE else purpose, kind, at, given.pop("evidence", evidence), **given
        )

    return make


@pytest.fixture
def people(gateway_engine: sa.Engine) -> list[str]:
    """Nine people in the directory, `ds_0` to `ds_8`."""
    ids = [f"ds_{n}" for n in range(9)]
    with gateway_engine.begin() as connection:
        rows = [{"data_subject": each, "store_key": each[3:], "jurisdiction": "FR", "created_at": 0} for each in ids]
        connection.execute(sa.insert(PEOPLE), rows)
    return ids


@pytest.fixture
def indexes() -> BlindIndex:
    """Blind indexes under fixed keys, for German telephone numbers."""
    return BlindIndex(FixedIndexKeys(), "DE")


@pytest.fixture
def reader(gateway_engine: sa.Engine) -> Iterator[FactsReader]:
    """The reader of facts."""
    held = HeldConnections(gateway_engine)
    yield FactsReader(held)
    held.close()


@pytest.fixture
def notices(clock: StillClock) -> Notices:
    """The notice `privacy`: version 3 asks for every purpose, version 4 means the same, version 5 comes next year."""
    return Notices(notices_of(PRIVACY), clock)


@pytest.fixture
def choices(
    gateway_engine: sa.Engine, reader: FactsReader, indexes: BlindIndex, clock: StillClock, notices: Notices
) -> Choices:
    """The service, with the real audit queue."""
    return Choices(
        engine=gateway_engine,
        facts=reader,
        indexes=indexes,
        tags=SuppressionTags(bytes(range(32)), "DE"),
        record_in=record_in,
        announce_in=Outbox(NoNames(), (), clock).announce_in,
        clock=clock,
        purposes=PURPOSES,
        purposes_for_any=PURPOSES,
        notices=notices,
        steps=shipped_steps(),
    )


@pytest.fixture
def caller() -> Caller:
    """A web shop that may ask for e-mail marketing."""
    return Caller("shop", "web_shop", frozenset({"email_marketing"}), frozenset(), frozenset({"consents:write"}))
