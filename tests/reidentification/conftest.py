"""A deployed coffee chain with officers, once on each database; the clock's hand is the test's."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.chain import opened
from consent_gateway.audit.tables import AUDIT_LOG
from consent_gateway.demo.cast import CAST
from consent_gateway.officers.registry import Role
from consent_gateway.protection.reversible import Place, stable_token
from consent_gateway.vocabulary import COMPANY
from consent_gateway.web.app import create_app
from consent_gateway.wiring import Services, open_sealer, open_services
from tests.conftest import places
from tests.deployment import Deployment, Reply, deploy
from tests.officers import Officer, Passkey

ASKS = Role.REIDENTIFY
APPROVES = Role.APPROVE_REIDENTIFICATION


@dataclass
class MovingClock:
    """A clock whose hand the test moves; it starts at the machine's time, for the deployment was made by that."""

    moment: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(minutes=1))

    def now(self) -> datetime:
        """The moment set."""
        return self.moment

    def pass_by(self, **time: float) -> None:
        """Move the hand."""
        self.moment += timedelta(**time)


@dataclass
class House:
    """The services of one process, its application, and its officers."""

    deployment: Deployment
    services: Services
    clock: MovingClock
    count: int = 0

    def __post_init__(self) -> None:
        self.http = create_app(self.services).test_client()

    def send(self, method: str, path: str, body: Any = None, token: str | None = None) -> Reply:
        """One call over the application."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = self.http.open(path, method=method, json=body, headers=headers)
        parsed = answer.get_json(silent=True)
        return Reply(answer.status_code, parsed, {name.lower(): value for name, value in answer.headers.items()})

    def officer(self, *roles: Role, signed_in: bool = True) -> Officer:
        """A fresh officer, enrolled and, unless told otherwise, signed in."""
        self.count += 1
        _officer, code = self.services.desk.officers.add(f"officer-{self.count}", roles)
        officer = Officer(self.send, Passkey(self.services.issuer))
        assert officer.enrol(code).status == 201
        if signed_in:
            assert officer.sign_in().status == 201
        return officer

    def name_of(self, officer: Officer) -> str:
        """The name an operator knows the officer by."""
        return next(one.name for one in self.services.desk.officers.all() if one.officer_id == officer.officer_id)

    def token(
        self, value: str, purpose: str = "order_fulfilment", recipient: str = COMPANY, field: str = "email"
    ) -> str:
        """A reversible token of a value, as a read for this purpose and recipient would hand it out."""
        key = self.services.keyring.token_key(purpose, recipient)
        place = Place(self.deployment.settings.tenant, purpose, recipient, field)
        return str(stable_token(value, place, key.secret, key.key_id, 64))

    def ask(self, officer: Officer, *tokens: str, **different: Any) -> Reply:
        """Ask to turn tokens of e-mail addresses back."""
        body = {
            "tokens": [{"token": one, "field": "email"} for one in tokens],
            "purpose": "order_fulfilment",
            "reason": "fraud_investigation",
            "text": "the parcel of Ada Lovelace went astray",
            "case_id": "case-4711",
            **different,
        }
        return officer.call("POST", "/v1/reidentifications", body)

    def granted(self, requester: Officer, approver: Officer, *tokens: str, **different: Any) -> str:
        """A request that was approved; its id."""
        asked = self.ask(requester, *tokens, **different)
        assert asked.status == 201, asked.body
        approved = approver.approve(asked.body["id"])
        assert approved.status == 200, approved.body
        return str(asked.body["id"])

    def reveal(self, officer: Officer, request_id: str) -> Reply:
        """Ask to be told."""
        return officer.call("POST", f"/v1/reidentifications/{request_id}/reveal")

    def leaves(self) -> list[bytes]:
        """The sealed log."""
        open_sealer(self.deployment.settings, self.services).seal_once()
        with self.services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return [bytes(one) for one in connection.scalars(sa.select(AUDIT_LOG.c.entry).order_by("leaf_index"))]

    def entries(self, reference: str) -> list[dict[str, Any]]:
        """The log's entries about one request, in order."""
        found = map(opened, self.leaves())
        return [one for one in found if reference in (one.get("reference"), one["id"])]


def person(index: int) -> str:
    """The e-mail address of one of the demo's named people."""
    return CAST[index].email


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A deployed coffee chain, once on SQLite and once on PostgreSQL."""
    folder: Path = tmp_path_factory.mktemp("house")
    with places(request, folder) as urls:
        deployment = deploy(folder, urls)
        deployment.variables["CONSENT_GATEWAY_ISSUER"] = (
            f"http://localhost:{deployment.variables['CONSENT_GATEWAY_PORT']}"
        )
        clock = MovingClock()
        services = open_services(deployment.settings, clock)
        yield House(deployment, services, clock)
        services.close()
