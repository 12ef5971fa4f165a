"""The console served for a browser: a real deployment with decisions and requests, and an officer of each role."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from flask import Flask
from werkzeug.serving import make_server

from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.verification import Verification
from consent_gateway.consent.choices import NewChoice
from consent_gateway.console.sessions import Way
from consent_gateway.demo.cast import CAST
from consent_gateway.demo.staff import StaffProvider
from consent_gateway.line import ReadQuery
from consent_gateway.officers.registry import Role
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.rights.intake import NewRequest
from consent_gateway.rights.recipients import Done, Kind
from consent_gateway.rights.requests import By, Via
from consent_gateway.settings import read_settings
from consent_gateway.vocabulary import Caller, EventKind, Identifier
from consent_gateway.web.app import create_app
from consent_gateway.web.console.signing import CALLBACK
from consent_gateway.wiring import Services, SystemClock, open_services
from consent_gateway.wiring.worker import open_sealer
from tests.deployment import Deployment, deploy

CONSOLE_ROLES = {
    "olga": (Role.OFFICER,),
    "aziz": (Role.AUDITOR,),
    "opal": (Role.OPERATOR,),
    "edda": (Role.POLICY_EDITOR,),
    "rhea": (Role.REIDENTIFY,),
    "both": (Role.OFFICER, Role.AUDITOR),
    "every": tuple(Role),
}
"""The officers of the tests, and what each may do."""


@dataclass
class World:
    """The console as served at `base`."""

    base: str
    services: Services
    deployment: Deployment
    app: Flask
    officers: dict[str, str] = field(default_factory=dict)
    decisions: list[str] = field(default_factory=list)
    requests: dict[str, str] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)

    def sign_in(self, name: str) -> str:
        """The token of a fresh session of this officer, as if their passkey had answered."""
        return self.services.console.sessions.begin(self.officers[name], Way.PASSKEY, None)

    def settle(self) -> None:
        """Let the worker seal, count and verify what there is."""
        settings = read_settings(self.deployment.variables)
        sealer = open_sealer(settings, self.services)
        while sealer.seal_once().sealed:
            pass
        self.services.console.counting.round()
        signer = open_signer(settings.log_key_file, settings.log_origin)
        verification = Verification(self.services.engine, signer.published, self.services.clock)
        while verification.round():
            pass

    def person(self, cast: int) -> str:
        """The pseudonym of a person of the demo's cast."""
        with self.services.engine.connect() as connection:
            key = str(cast + 1)
            found = sa.select(PEOPLE.c.data_subject).where(PEOPLE.c.store_key == key)
            return str(connection.execute(found).scalar_one())

    def tell_recipients(self, request_id: str, cast: int) -> None:
        """Write that two recipients must correct too: one has an address, the other none."""
        notices = self.services.rights.notices
        assert notices is not None
        done = Done(Kind.CORRECTION, f"cor_{cast}", request_id, self.person(cast))
        with self.services.engine.begin() as connection:
            notices.tell(connection, done, dict.fromkeys(("courier", "print_shop"), ("street", "city")))

    def ask(self, right: str, cast: int, *, days_ago: int = 0, text: str | None = None) -> str:
        """A request by letter of one of the cast, `days_ago`."""
        room = self.services.rights
        new = NewRequest(
            right=right,
            person=PersonRef(identifier=Identifier("email", CAST[cast].email)),
            via=Via.POST,
            received_at=self.services.clock.now() - timedelta(days=days_ago),
            channel=room.channel,
            jurisdiction="DE",
            language="en",
            text=text,
        )
        by = By(officer=self.officers.get("olga", "ofc_desk"), channel=room.channel)
        return room.intake.receive(new, by).request_id


def caller() -> Caller:
    """A channel that may read for support and for marketing."""
    return Caller(
        "call-centre",
        "call_centre",
        frozenset({"customer_support", "email_marketing"}),
        frozenset({"company"}),
        frozenset({"customers:read", "consents:write"}),
    )


@contextmanager
def serving(folder: Path) -> Iterator[World]:
    """The console over a fresh deployment below `folder`, with something on every page, and the demo's staff."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    urls = {
        name: f"sqlite:///{(folder if name == 'store' else state) / name}.db" for name in ("gateway", "keys", "store")
    }
    deployment = deploy(folder, urls)
    port = int(deployment.variables["CONSENT_GATEWAY_PORT"])
    base = f"http://localhost:{port}"  # passkeys need a name
    deployment.variables |= {"CONSENT_GATEWAY_ISSUER": base, "CONSENT_GATEWAY_MAIL": "outbox"}
    provider = StaffProvider(SystemClock(), f"{base}{CALLBACK}")
    deployment.variables |= provider.variables
    services = open_services(read_settings(deployment.variables))
    app = create_app(services)
    world = World(base, services, deployment, app)
    server = make_server("localhost", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        provider.introduce(services)
        _fill(world)
        yield world
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        services.close()
        provider.close()


def _fill(world: World) -> None:
    services = world.services
    for name, roles in CONSOLE_ROLES.items():
        officer, _code = services.desk.officers.add(name, roles)
        world.officers[name] = officer.officer_id
    for cast in range(4):
        for purpose in ("customer_support", "email_marketing"):
            query = ReadQuery(PersonRef(data_subject=world.person(cast)), purpose, ("first_name", "email", "city"))
            world.decisions.append(services.gateway.read(caller(), query).decision_id)
    person, now = PersonRef(data_subject=world.person(0)), services.clock.now()
    withdrawn = NewChoice(person, EventKind.WITHDRAW, now, "web_form", "email_marketing")
    services.choices.record(caller(), withdrawn)
    for name, right, cast, days in (
        ("late", "access", 0, 60),
        ("soon", "access", 1, 28),
        ("erase", "delete", 2, 3),
        ("correct", "correct", 3, 0),
    ):
        world.requests[name] = world.ask(right, cast, days_ago=days, text="Please answer me, yours truly")
    world.tell_recipients(world.requests["late"], 0)
    world.settle()
