"""What keys and algorithms there are, counted for operators and auditors; sees no key, wrapped or not."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import from_micros
from consent_gateway.ports import KeyProvider, KeyProviderCapabilities
from consent_gateway.protection.tables import EPOCHS, NAMED_KEYS, PERSON_KEYS, SHARD_KEYS

ALGORITHMS: tuple[tuple[str, str, str], ...] = (
    ("AES-256-GCM", "sealed fields; both layers of random tokens; root wrap of every provider", "NIST SP 800-38D"),
    ("AES-256-KW", "keys of people under their shard, of shards under their epoch", "RFC 3394"),
    ("HKDF-SHA-256 (expand)", "wrapping keys bound to tenant, person or shard, and epoch; keys of one use", "RFC 5869"),
    ("HMAC-SHA-256", "pseudonyms, alias addresses, date shifts, blind indexes, fingerprints", "RFC 2104"),
    ("AES-256-SIV", "stable tokens; determinism is the point, an exception to ASVS 5.0: ADR 9", "RFC 5297"),
    (
        "FF1 (AES-256)",
        "texts of the same form; the form is the point, an exception to ASVS 5.0: ADR 9",
        "NIST SP 800-38G",
    ),
    ("SHA-256", "check characters of tokens, choice of shard, context told to KMS: no secret", "FIPS 180-4"),
)
"""Algorithm, what it is used for here, where it is specified (ASVS 5.0, 11.1.2)."""


@dataclass(frozen=True, slots=True)
class EpochCount:
    """One epoch: its times, its shard keys, and the people whose keys are wrapped under it."""

    epoch: int
    created_at: datetime
    closed_at: datetime | None
    shards: int
    people: int
    destroyed: int


@dataclass(frozen=True, slots=True)
class NamedKeyEntry:
    """One version of a domain, token, index or service key. `name` is a JSON array, such as [purpose, recipient]."""

    kind: str
    name: str
    version: int
    key_id: str
    created_at: datetime
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyInventory:
    """Everything in the key database, without a key.

    What is wrapped under a root version that was retired can be read by nobody after `provider.destruction_delay_days`,
    the erasure horizon. `root_versions` still unwrap; the last is the present one.
    """

    tenant: str
    provider: KeyProviderCapabilities
    root_versions: tuple[int, ...]
    epochs: tuple[EpochCount, ...]
    named: tuple[NamedKeyEntry, ...]
    algorithms: tuple[tuple[str, str, str], ...] = ALGORITHMS


def take_inventory(connection: Connection, tenant: str, provider: KeyProvider) -> KeyInventory:
    """Count what the key database holds; two scans of the table of people, so not for a request's path."""
    shards = _count_by_epoch(connection, SHARD_KEYS.c.epoch)
    people = _count_by_epoch(connection, PERSON_KEYS.c.epoch, PERSON_KEYS.c.wrapped.is_not(None))
    destroyed = _count_by_epoch(connection, PERSON_KEYS.c.epoch, PERSON_KEYS.c.wrapped.is_(None))
    rows = connection.execute(
        sa.select(EPOCHS.c.epoch, EPOCHS.c.created_at, EPOCHS.c.closed_at).order_by(EPOCHS.c.epoch)
    )
    epochs = tuple(
        EpochCount(
            epoch=row.epoch,
            created_at=from_micros(row.created_at),
            closed_at=None if row.closed_at is None else from_micros(row.closed_at),
            shards=shards.get(row.epoch, 0),
            people=people.get(row.epoch, 0),
            destroyed=destroyed.get(row.epoch, 0),
        )
        for row in rows
    )
    n = NAMED_KEYS.c
    every = sa.select(n.kind, n.name, n.version, n.key_id, n.created_at, n.retired_at)
    named = tuple(
        NamedKeyEntry(
            kind=row.kind,
            name=row.name,
            version=row.version,
            key_id=row.key_id,
            created_at=from_micros(row.created_at),
            retired_at=None if row.retired_at is None else from_micros(row.retired_at),
        )
        for row in connection.execute(every.order_by(n.kind, n.name, n.version))
    )
    return KeyInventory(
        tenant=tenant,
        provider=provider.describe(),
        root_versions=tuple(provider.versions()),
        epochs=epochs,
        named=named,
    )


def _count_by_epoch(
    connection: Connection, column: sa.Column[int], *conditions: sa.ColumnElement[bool]
) -> dict[int, int]:
    statement = sa.select(column, sa.func.count()).where(*conditions).group_by(column)
    return {row[0]: row[1] for row in connection.execute(statement)}
