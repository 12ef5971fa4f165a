"""Tables of the changes that go out; what a change says stands in the ledger, and here only that it must be told."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

CHANGES = sa.Table(
    "changes",
    METADATA,
    # In the order of arrival: of one person the order of commit, since their row is locked until the transaction ends.
    sa.Column("arrival", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.String(32), sa.ForeignKey("consent_events.event_id"), nullable=False, unique=True),
    # Dense from 1, given after the commit: whoever has read up to one has missed nothing before it.
    sa.Column("number", sa.BigInteger, unique=True),
    sa.Index(
        "ix_changes_unnumbered",
        "arrival",
        sqlite_where=sa.text("number IS NULL"),
        postgresql_where=sa.text("number IS NULL"),
    ),
)

DESTINATIONS = sa.Table(
    "change_destinations",
    METADATA,
    sa.Column("destination_id", sa.String(32), primary_key=True),
    sa.Column("client_id", sa.String(64), sa.ForeignKey("clients.client_id"), index=True),  # null: an operator's sink
    sa.Column("kind", sa.String(16), nullable=False),  # webhook | file | nats
    sa.Column("target", sa.Text, nullable=False),  # URL or path
    sa.Column("purposes", sa.Text, nullable=False),  # JSON array, sorted
    sa.Column("recipient", sa.String(64), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("ended_why", sa.String(32)),
    sa.Column("secret_number", sa.Integer, nullable=False),
    sa.Column("secret_before_until", sa.BigInteger),  # so long the secret before the present one signs too
    sa.Column("position", sa.BigInteger, nullable=False),  # the last number that was delivered or set aside
    sa.Column("failures", sa.Integer, nullable=False),  # in a row
    sa.Column("next_attempt_at", sa.BigInteger, nullable=False),
    sa.Column("delivered_at", sa.BigInteger),
)

SET_ASIDE = sa.Table(
    "changes_set_aside",
    METADATA,
    sa.Column("destination_id", sa.String(32), sa.ForeignKey("change_destinations.destination_id"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data_subject", sa.String(32), nullable=False),
    sa.Column("is_dead", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("first_attempt_at", sa.BigInteger, nullable=False),
    sa.Column("next_attempt_at", sa.BigInteger, nullable=False),
    sa.Column("cause", sa.String(64), nullable=False),
    sa.Index("ix_changes_set_aside_due", "destination_id", "is_dead", "next_attempt_at"),
    sa.Index("ix_changes_set_aside_person", "destination_id", "data_subject", "number"),
)

HEARD = sa.Table(
    "changes_heard",
    METADATA,
    # The latest change of each person that a destination has acknowledged, and when: one row however many there were.
    sa.Column("data_subject", sa.String(32), primary_key=True),
    sa.Column("destination_id", sa.String(32), sa.ForeignKey("change_destinations.destination_id"), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("heard_at", sa.BigInteger, nullable=False),
)

PARTING_NAMES = sa.Table(
    "change_parting_names",
    METADATA,
    # Under which name a recipient knows someone whose keys are being destroyed; needed to tell the recipient so.
    sa.Column("event_id", sa.String(32), sa.ForeignKey("consent_events.event_id"), primary_key=True),
    sa.Column("purpose", sa.String(64), primary_key=True),
    sa.Column("recipient", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)
