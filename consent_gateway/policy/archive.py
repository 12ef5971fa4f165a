"""Keeps every policy revision that ever decided, so that any past decision can be explained and replayed."""

import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from consent_gateway.database import METADATA, to_micros
from consent_gateway.errors import NotFound
from consent_gateway.policy.loading import Policies

POLICY_REVISIONS = sa.Table(
    "policy_revisions",
    METADATA,
    sa.Column("revision", sa.String(64), primary_key=True),
    sa.Column("documents", sa.LargeBinary, nullable=False),  # zlib-compressed JSON: path -> text
    sa.Column("first_used_at", sa.BigInteger, nullable=False),
)


def save(connection: sa.Connection, policies: Policies, now: datetime) -> None:
    """Keep a revision; one that is kept already stays as it is, with the time of its first use."""
    text = json.dumps(dict(policies.sources), sort_keys=True, ensure_ascii=False)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(POLICY_REVISIONS).values(
        revision=policies.revision, documents=zlib.compress(text.encode(), 9), first_used_at=to_micros(now)
    )
    connection.execute(statement.on_conflict_do_nothing(index_elements=["revision"]))


def load(connection: sa.Connection, revision: str) -> Mapping[str, str]:
    """The documents of a revision, path to text, as `policies_from` takes them. Raises `NotFound`."""
    query = sa.select(POLICY_REVISIONS.c.documents).where(POLICY_REVISIONS.c.revision == revision)
    packed = connection.execute(query).scalar_one_or_none()
    if packed is None:
        raise NotFound(f"no policy revision `{revision}` is kept")
    return MappingProxyType(json.loads(zlib.decompress(packed).decode()))
