"""The shipped laws, and the rights room over a database of each kind with a few people who are known."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.chain import opened
from consent_gateway.audit.recorder import record_in
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.consent.choices import Choices
from consent_gateway.consent.facts import FactsReader
from consent_gateway.consent.notices import Notices
from consent_gateway.database import HeldConnections
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.directory import NewPerson, PersonRef, enrol
from consent_gateway.people.moving import carry_nothing
from consent_gateway.people.suppression import SuppressionTags
from consent_gateway.policy import Policies
from consent_gateway.propagation.outbox import Outbox
from consent_gateway.rights.intake import NewRequest
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.requests import By, Request, Via
from consent_gateway.rights.room import RightsRoom
from consent_gateway.vocabulary import Facts, Identifier
from tests.conftest import FixedIndexKeys, NoNames, StillClock
from tests.rights_world import ADA_POINTS, KEY, KeptWork, SmallStore, open_room, shipped_policies
from tests.steps import shipped_steps

SHOP = By(client="web-shop", channel="web_shop")
OFFICER = By(officer="ofc_1", channel="privacy_desk")
ADA, FAMILY, NOBODY = "ada@example.com", "family@example.com", "nobody@example.com"


@pytest.fixture(scope="session")
def shipped() -> Policies:
    """The policy as it ships."""
    return shipped_policies()


@pytest.fixture(scope="session")
def laws(shipped: Policies) -> Laws:
    """The laws of the policy as it ships."""
    return Laws(shipped.documents.packs)


@dataclass
class Rights:
    """The room, and what tests look at beside it."""

    room: RightsRoom
    engine: sa.Engine
    clock: StillClock
    facts: FactsReader
    store: SmallStore
    work: KeptWork
    ids: dict[str, str] = field(default_factory=dict)

    def ask(self, right: str, address: str = ADA, place: str = "DE", by: By = SHOP, **more: Any) -> Request:
        """Take in a request by mail address."""
        person = more.pop("person", None) or PersonRef(identifier=Identifier("email", address))
        given = {"via": Via.API, "received_at": self.clock.now(), "channel": "web_shop", **more}
        return self.room.intake.receive(NewRequest(right=right, person=person, jurisdiction=place, **given), by)

    def proved(self, right: str, address: str = ADA, place: str = "DE", **more: Any) -> Request:
        """Take in a request and let an officer say whose it is."""
        asked = self.ask(right, address, place, **more)
        done = self.room.proofs.by_officer(asked.request_id, "seen-1", None, OFFICER)
        self.room.proofs.close_reads(done)
        return done

    def read(self, request: Request) -> Request:
        """The request as it stands."""
        return self.room.handling.read(request.request_id)

    def of(self, address: str) -> Facts:
        """The facts about a person."""
        known = self.facts.by_id(self.ids[address])
        assert known is not None
        return known.facts

    def entries(self, request: Request | None = None) -> list[dict[str, Any]]:
        """The audit entries about requests, or about one, in order."""
        with self.engine.connect() as connection:
            queued = connection.execute(sa.select(AUDIT_QUEUE.c.entry).order_by(AUDIT_QUEUE.c.n)).scalars()
            read = [opened(bytes(leaf)) for leaf in queued]
        return [
            one
            for one in read
            if one["kind"] == "rights_request" and (request is None or one["reference"] == request.request_id)
        ]

    def acts(self, request: Request) -> list[str]:
        """What was done to a request, as its audit entries say."""
        return [one["action"] for one in self.entries(request)]

    def pass_by(self, **time: float) -> None:
        """Move the clock."""
        self.clock.moment += timedelta(**time)

    def everything(self) -> str:
        """All that the database holds, as text."""
        with self.engine.connect() as connection:
            names = sa.inspect(connection).get_table_names()
            return "\n".join(str(connection.execute(sa.text(f'SELECT * FROM "{name}"')).all()) for name in names)


@pytest.fixture
def rights(gateway_engine: sa.Engine, clock: StillClock) -> Iterator[Rights]:
    """The room: Ada of Germany is known by her address, two people share one, and nobody has the third."""
    with opened_rights(gateway_engine, clock) as opened_:
        yield opened_


@contextmanager
def opened_rights(gateway_engine: sa.Engine, clock: StillClock, **more: Any) -> Iterator[Rights]:
    """The room and its people; `more` as `open_room` takes it."""
    held = HeldConnections(gateway_engine)
    indexes, tags = BlindIndex(FixedIndexKeys(), "DE"), SuppressionTags(KEY, "DE")
    facts = FactsReader(held)
    policies = shipped_policies()
    choices = Choices(
        engine=gateway_engine,
        facts=facts,
        indexes=indexes,
        tags=tags,
        record_in=record_in,
        announce_in=Outbox(NoNames(), (), clock).announce_in,
        clock=clock,
        purposes=tuple(policies.purposes),
        purposes_for_any=tuple(key for key, one in policies.purposes.items() if "choice" in one.groups),
        notices=Notices(policies.documents.notices, clock),
        steps=shipped_steps(),
    )
    store, work = SmallStore({"1": ADA_POINTS}), KeptWork()
    room = open_room(
        gateway_engine, held, clock, choices, store=store, executors={"delete": work, "access": work}, **more
    )
    ids = {}
    with gateway_engine.begin() as connection:
        for key, address, place in (("1", ADA, "DE"), ("2", FAMILY, "US-CA"), ("3", FAMILY, "US-CA")):
            index = ("email", indexes.of(Identifier("email", address)))
            person = NewPerson(key, place, identifiers=(index,), tags={index: tags.of(Identifier("email", address))})
            ids[address] = enrol(connection, person, now=clock.now(), carry=carry_nothing)
    yield Rights(room, gateway_engine, clock, facts, store, work, ids)
    held.close()
