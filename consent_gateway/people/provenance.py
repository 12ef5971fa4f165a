"""Keeps where a field's value came from, so that it can be told (GDPR Art. 15(1)(g)); holds no value."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.people.tables import FIELD_PROVENANCE

_MAX_SOURCE = 128


@dataclass(frozen=True, slots=True)
class Provenance:
    """One write of one field: `source` is the caller's word for where the value came from."""

    entry_id: str
    field: str
    source: str
    channel: str
    client_id: str
    purpose: str
    recorded_at: datetime


def record(
    connection: sa.Connection,
    *,
    entry_id: str,
    data_subject: str,
    fields: Sequence[str],
    source: str,
    channel: str,
    client_id: str,
    purpose: str,
    now: datetime,
) -> None:
    """Note the source of these fields' values; `entry_id` is the decision that let them in.

    Raises `InputRefused` for a source that is empty, longer than 128 characters or not printable.
    """
    if not source.strip() or len(source) > _MAX_SOURCE or not source.isprintable():
        message = f"name the source in at most {_MAX_SOURCE} printable characters"
        raise InputRefused(f"the source is not well-formed: {message}", (FieldFault("/source", message),))
    rows = [
        {
            "entry_id": entry_id,
            "field": name,
            "data_subject": data_subject,
            "source": source,
            "channel": channel,
            "client_id": client_id,
            "purpose": purpose,
            "recorded_at": to_micros(now),
        }
        for name in dict.fromkeys(fields)
    ]
    if rows:
        connection.execute(sa.insert(FIELD_PROVENANCE), rows)


def lookup(connection: sa.Connection, data_subject: str) -> dict[str, tuple[Provenance, ...]]:
    """All that is known of one person's fields: by field, the latest write first."""
    columns = FIELD_PROVENANCE.c
    query = (
        sa.select(FIELD_PROVENANCE)
        .where(columns.data_subject == data_subject)
        .order_by(columns.recorded_at.desc(), columns.entry_id.desc())
    )
    found: dict[str, tuple[Provenance, ...]] = {}
    for row in connection.execute(query):
        written = Provenance(
            entry_id=row.entry_id,
            field=row.field,
            source=row.source,
            channel=row.channel,
            client_id=row.client_id,
            purpose=row.purpose,
            recorded_at=from_micros(row.recorded_at),
        )
        found[row.field] = (*found.get(row.field, ()), written)
    return found
