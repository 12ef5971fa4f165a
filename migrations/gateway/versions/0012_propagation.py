"""The outbox of changes, the destinations they go to, what each has heard and what is set aside for it; every event so far is told."""

import sqlalchemy as sa
from alembic import op

revision = "0012_propagation"
down_revision = "0011_signin_customers"


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("arrival", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["consent_events.event_id"], name=op.f("fk_changes_event_id")),
        sa.PrimaryKeyConstraint("arrival", name=op.f("pk_changes")),
        sa.UniqueConstraint("event_id", name=op.f("uq_changes_event_id")),
        sa.UniqueConstraint("number", name=op.f("uq_changes_number")),
    )
    op.create_index(
        "ix_changes_unnumbered",
        "changes",
        ["arrival"],
        sqlite_where=sa.text("number IS NULL"),
        postgresql_where=sa.text("number IS NULL"),
    )
    op.execute(
        "INSERT INTO changes (event_id) SELECT event_id FROM consent_events ORDER BY recorded_at, data_subject, position"
    )
    op.create_table(
        "change_destinations",
        sa.Column("destination_id", sa.String(length=32), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_why", sa.String(length=32), nullable=True),
        sa.Column("secret_number", sa.Integer(), nullable=False),
        sa.Column("secret_before_until", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_change_destinations_client_id")),
        sa.PrimaryKeyConstraint("destination_id", name=op.f("pk_change_destinations")),
    )
    op.create_index(op.f("ix_change_destinations_client_id"), "change_destinations", ["client_id"])
    op.create_table(
        "changes_set_aside",
        sa.Column("destination_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("is_dead", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["destination_id"],
            ["change_destinations.destination_id"],
            name=op.f("fk_changes_set_aside_destination_id"),
        ),
        sa.PrimaryKeyConstraint("destination_id", "number", name=op.f("pk_changes_set_aside")),
    )
    op.create_index("ix_changes_set_aside_due", "changes_set_aside", ["destination_id", "is_dead", "next_attempt_at"])
    op.create_index("ix_changes_set_aside_person", "changes_set_aside", ["destination_id", "data_subject", "number"])
    op.create_table(
        "changes_heard",
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("destination_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["destination_id"], ["change_destinations.destination_id"], name=op.f("fk_changes_heard_destination_id")
        ),
        sa.PrimaryKeyConstraint("data_subject", "destination_id", name=op.f("pk_changes_heard")),
    )
    op.create_table(
        "change_parting_names",
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["consent_events.event_id"], name=op.f("fk_change_parting_names_event_id")
        ),
        sa.PrimaryKeyConstraint("event_id", "purpose", "recipient", name=op.f("pk_change_parting_names")),
    )
    op.create_index(op.f("ix_change_parting_names_expires_at"), "change_parting_names", ["expires_at"])


def downgrade() -> None:
    op.drop_table("change_parting_names")
    op.drop_table("changes_heard")
    op.drop_table("changes_set_aside")
    op.drop_table("change_destinations")
    op.drop_table("changes")
