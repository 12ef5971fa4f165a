"""What keys and algorithms there are, counted for operators and auditors; sees no key, wrapped or not."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import from_micros
from consent_gateway.ports import KeyProvider, KeyProviderCapabilities
from consent_gateway.protection.hierarchy import SHARDS
from consent_gateway.protection.jobs import unfinished_job
from consent_gateway.protection.root import erased_since_closing
from consent_gateway.protection.tables import EPOCHS, KEY_BACKUPS, NAMED_KEYS, PERSON_KEYS, SHARD_KEYS

_BLOCK = 64  # shards counted by one statement, which stays short on ten million people

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
    ("SHA-256", "check characters of tokens, choice of shard, digests of back-ups, context told to KMS", "FIPS 180-4"),
)
"""Algorithm, what it is used for here, where it is specified (ASVS 5.0, 11.1.2)."""


@dataclass(frozen=True, slots=True)
class EpochCount:
    """One epoch: its times, the shard keys under it, and the people whose keys are, or were last, under these.

    No new keys go under it from `superseded_at`, and none under it open from `closed_at`. `people` and `destroyed` are
    None where nobody was counted.
    """

    epoch: int
    created_at: datetime
    superseded_at: datetime | None
    closed_at: datetime | None
    shards: int
    people: int | None
    destroyed: int | None


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
class JobEntry:
    """A piece of work on the keys that runs or was cut off, and the last step that is done."""

    work: str
    step: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class BackupEntry:
    """The last back-up of the key table that was read back from disk; `people` are those living in it."""

    file: str
    verified_at: datetime
    epoch: int
    people: int
    digest: str


@dataclass(frozen=True, slots=True)
class KeyInventory:
    """Everything in the key database, without a key.

    `erased_since_closing` people can still be read from back-ups of the key table that are older than their erasure.
    What is wrapped under a root version that was retired can be read by nobody after `provider.destruction_delay_days`,
    the erasure horizon. `root_versions` still unwrap; the last is the present one.
    """

    tenant: str
    provider: KeyProviderCapabilities
    root_versions: tuple[int, ...]
    epochs: tuple[EpochCount, ...]
    named: tuple[NamedKeyEntry, ...]
    erased_since_closing: int
    under_way: JobEntry | None
    last_backup: BackupEntry | None
    algorithms: tuple[tuple[str, str, str], ...] = ALGORITHMS


def take_inventory(connection: Connection, tenant: str, provider: KeyProvider, *, count: bool) -> KeyInventory:
    """What the key database holds; with `count` every row of the table of people is counted."""
    people, destroyed = _count_people(connection) if count else (None, None)
    counted = sa.select(SHARD_KEYS.c.under, sa.func.count()).group_by(SHARD_KEYS.c.under)
    shards = {epoch: number for epoch, number in connection.execute(counted)}  # noqa: C416 - rows are not pairs to mypy
    epochs = tuple(
        EpochCount(
            epoch=row.epoch,
            created_at=from_micros(row.created_at),
            superseded_at=_time(row.superseded_at),
            closed_at=_time(row.closed_at),
            shards=shards.get(row.epoch, 0),
            people=None if people is None else people[row.epoch],
            destroyed=None if destroyed is None else destroyed[row.epoch],
        )
        for row in connection.execute(sa.select(EPOCHS).order_by(EPOCHS.c.epoch))
    )
    job = unfinished_job(connection)
    return KeyInventory(
        tenant=tenant,
        provider=provider.describe(),
        root_versions=provider.versions(),
        epochs=epochs,
        named=_named(connection),
        erased_since_closing=erased_since_closing(connection),
        under_way=None if job is None else JobEntry(job.kind, job.step, job.started_at),
        last_backup=_last_backup(connection),
    )


def _named(connection: Connection) -> tuple[NamedKeyEntry, ...]:
    n = NAMED_KEYS.c
    every = sa.select(n.kind, n.name, n.version, n.key_id, n.created_at, n.retired_at)
    return tuple(
        NamedKeyEntry(
            kind=row.kind,
            name=row.name,
            version=row.version,
            key_id=row.key_id,
            created_at=from_micros(row.created_at),
            retired_at=_time(row.retired_at),
        )
        for row in connection.execute(every.order_by(n.kind, n.name, n.version))
    )


def _last_backup(connection: Connection) -> BackupEntry | None:
    row = connection.execute(sa.select(KEY_BACKUPS).order_by(KEY_BACKUPS.c.number.desc()).limit(1)).first()
    if row is None:
        return None
    return BackupEntry(row.file, from_micros(row.verified_at), row.epoch, row.people, row.digest)


def _count_people(connection: Connection) -> tuple[Counter[int], Counter[int]]:
    """By epoch, how many are living and how many keys are destroyed."""
    living: Counter[int] = Counter()
    destroyed: Counter[int] = Counter()
    c, s = PERSON_KEYS.c, SHARD_KEYS.c
    epoch_of = sa.case((c.wrapped.is_not(None), sa.func.coalesce(s.under, c.epoch)), else_=c.epoch)
    joined = PERSON_KEYS.outerjoin(SHARD_KEYS, sa.and_(s.epoch == c.epoch, s.shard == c.shard))
    counts = sa.select(epoch_of, sa.func.count(), sa.func.count(c.wrapped)).select_from(joined).group_by(epoch_of)
    for low in range(0, SHARDS, _BLOCK):
        for epoch, rows, wrapped in connection.execute(counts.where(c.shard >= low, c.shard < low + _BLOCK)):
            living[epoch] += wrapped
            destroyed[epoch] += rows - wrapped
    return living, destroyed


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
