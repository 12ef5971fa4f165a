"""One deployment per database for the tests of the whole line; they leave each other's people alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from consent_gateway.demo.cast import CAST
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import COMPANY, Caller, Identifier
from consent_gateway.wiring import Services
from tests.conftest import places
from tests.deployment import Deployment, deploy

ALL = frozenset(
    {"customers:read", "customers:write", "customers:explain", "decisions", "consents:read", "consents:write"}
)


@dataclass(frozen=True)
class Line:
    """The services of one process, and the deployment they belong to."""

    deployment: Deployment
    services: Services

    def caller(
        self, *purposes: str, recipients: str = COMPANY, scopes: frozenset[str] = ALL, client: str = "till"
    ) -> Caller:
        """A caller registered for these purposes and recipients, in the till's channel."""
        return Caller(client, "till", frozenset(purposes), frozenset(recipients.split()), scopes)

    def scalar(self, statement: str, **values: object) -> object:
        """One value from the gateway database."""
        with self.services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return connection.execute(sa.text(statement), values).scalar()

    def store(self, statement: str, **values: object) -> object:
        """One value from the retailer's database; a change is committed."""
        url = sa.make_url(self.deployment.retailer)
        engine = sa.create_engine(url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            value = result.scalar() if result.returns_rows else None
        engine.dispose()
        return value


def named(index: int) -> PersonRef:
    """One of the demo's named people, by e-mail."""
    return PersonRef(identifier=Identifier("email", CAST[index].email))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def line(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A deployed coffee chain, once on SQLite and once on PostgreSQL."""
    folder: Path = tmp_path_factory.mktemp("line")
    with places(request, folder) as urls:
        deployment = deploy(folder, urls)
        services = deployment.open()
        yield Line(deployment, services)
        services.close()
