"""A gateway's own databases for erasures over generated stores, made once and used for many of them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from consent_gateway.audit.log import AuditLog
from consent_gateway.connectors.erasing import SqlErasing
from consent_gateway.database import open_engine, to_micros
from consent_gateway.people.suppression import SuppressionTags
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy import Policies, load_policies
from consent_gateway.policy.catalogue import read_catalogue
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.retention import read_retention
from consent_gateway.policy.source import parse
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.keys import KeyRing
from consent_gateway.rights import certificate, erasure_records
from consent_gateway.rights.certificate import Certificates
from consent_gateway.rights.erasure import Erasing
from consent_gateway.rights.erasure_closing import Closing, Tell, tell_nobody
from consent_gateway.rights.erasure_records import Sealer
from consent_gateway.rights.scan import Scan
from consent_gateway.shredding import Shredding
from consent_gateway.vocabulary import ConsentEvent
from tests.databases import build_schema
from tests.erasing.shops import Shop

ROOT = Path(__file__).resolve().parents[2]
TERMS = {"effective_from": "2020-01-01", "source": "test", "undo": "P0D"}


class Still:
    """A clock that stands."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 25, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """The moment it stands at."""
        return self.moment


@dataclass
class World:
    """The gateway's part."""

    folder: Path
    url: str
    clock: Still = field(default_factory=Still)

    def __post_init__(self) -> None:
        self.engine = open_engine(self.url, threads=8)
        build_schema(self.engine, "gateway")
        self.key_engine = open_engine(f"sqlite:///{self.folder / 'keys.db'}", threads=4)
        build_schema(self.key_engine, "keys")
        provider = FileKeyProvider.create(self.folder / "root.key")
        self.keyring = KeyRing(provider, self.key_engine, "test", self.clock)
        (self.folder / "audit").mkdir(exist_ok=True)
        self.certificates = Certificates(
            issuer="https://gateway.example",
            company="test",
            seed=self.keyring.service_key(certificate.KEY),
            provider="file",
            horizon_days=0,
        )
        self.gateway = SqlErasing(self.engine, timeout=60)
        self.log = AuditLog(self.engine, self.folder)

    def person(self, data_subject: str, store_key: str | None, jurisdiction: str = "DE") -> str:
        """Put a person into the directory."""
        row = {"data_subject": data_subject, "store_key": store_key, "jurisdiction": jurisdiction}
        with self.engine.begin() as connection:  # the one before, in another store, has the same key
            connection.execute(sa.update(PEOPLE).where(PEOPLE.c.store_key == store_key).values(store_key=None))
            connection.execute(sa.insert(PEOPLE), [{**row, "created_at": to_micros(self.clock.now())}])
        self.keyring.create(data_subject)
        return data_subject

    def erasing(
        self,
        store: SqlErasing,
        policies: Policies,
        *,
        folders: tuple[Path, ...] = (),
        tell: Tell = tell_nobody,
        at: Callable[[str], None] = lambda _step: None,
    ) -> tuple[Erasing, Closing]:
        """The service over a store."""
        tags = SuppressionTags(self.keyring.service_key("suppression"), "DE")
        closing = Closing(
            engine=self.engine,
            scan=Scan(store, self.gateway, folders),
            shredding=Shredding(
                engine=self.engine, keyring=self.keyring, tags=tags, clock=self.clock, announce_in=to_nobody
            ),
            certificates=self.certificates,
            retention=policies.documents.retention,
            log=self.log,
            clock=self.clock,
            tell=tell,
        )
        erasing = Erasing(
            engine=self.engine,
            store=store,
            policies=policies,
            sealer=Sealer(self.keyring.service_key(erasure_records.KEY)),
            closing=closing,
            clock=self.clock,
            announce_in=to_nobody,
            region="DE",
            at=at,
        )
        return erasing, closing

    def entries(self, data_subject: str) -> list[dict[str, Any]]:
        """The audit entries about a person that are of erasures, in order."""
        return [one for one in self.log.about(data_subject) if one["kind"] == "erasure"]

    def close(self) -> None:
        """Let go of everything."""
        self.keyring.close()
        self.engine.dispose()
        self.key_engine.dispose()


def to_nobody(_connection: sa.Connection, _committed: Sequence[ConsentEvent]) -> None:
    """Nobody asked to be told of choices."""


SHIPPED = load_policies(ROOT / "policies")


def policy_of(catalogue: Mapping[str, Any], retention: Mapping[str, Any]) -> Policies:
    """The shipped policy with another catalogue and other schedules; what is not about fields is not compiled anew."""
    findings: list[Finding] = []
    read = read_catalogue(parse("catalogue.yaml", _yaml(catalogue), findings), findings)
    terms = read_retention(parse("retention.yaml", _yaml(retention), findings), findings)
    assert not findings, findings
    assert read is not None
    return replace(SHIPPED, documents=replace(SHIPPED.documents, catalogue=read, retention=terms))


def _yaml(document: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(json.loads(json.dumps(document, default=str)), sort_keys=False)
    return re.sub(r"'(\d{4}-\d\d-\d\d)'", r"\1", text)  # dates are dates


def policy_of_shop(shop: Shop) -> Policies:
    """The policy of a generated shop."""
    return policy_of(shop.catalogue(), {"version": "1", "schedules": shop.schedules, "terms": [TERMS]})


def remains(engine: sa.Engine, canaries: Mapping[str, str]) -> dict[str, set[str]]:
    """Where canaries still stand in a database: `table.column`, and which."""
    tables = sa.MetaData()
    tables.reflect(engine)
    found: dict[str, set[str]] = {}
    with engine.connect() as connection:
        for table in tables.tables.values():
            raw = [sa.type_coerce(column, sa.types.NullType()) for column in table.columns]
            for row in connection.execute(sa.select(*raw)):
                for column, value in zip(table.columns, row, strict=True):
                    text = bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    plain = re.sub(r"[^0-9]", "", text)
                    for canary in canaries:
                        if canary.lower() in text.lower() or (canary.isdigit() and canary in plain):
                            found.setdefault(f"{table.name}.{column.name}", set()).add(canary)
    return found
