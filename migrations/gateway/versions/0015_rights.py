"""Requests of people, and the one-time codes by which they prove who they are."""

import sqlalchemy as sa
from alembic import op

revision = "0015_rights"
down_revision = "0014_page"


def upgrade() -> None:
    op.create_table(
        "rights_requests",
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("right", sa.String(length=32), nullable=False),
        sa.Column("regime", sa.String(length=32), nullable=False),
        sa.Column("jurisdiction", sa.String(length=8), nullable=False),
        sa.Column("calendar", sa.String(length=16), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("via", sa.String(length=20), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("recorded_by", sa.String(length=64), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=True),
        sa.Column("person_key", sa.String(length=80), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("language", sa.String(length=35), nullable=True),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("agent_permission", sa.String(length=128), nullable=True),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("proved", sa.Boolean(), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("running", sa.Boolean(), nullable=False),
        sa.Column("ground", sa.String(length=32), nullable=True),
        sa.Column("pauses", sa.Text(), nullable=False),
        sa.Column("extension_reason", sa.String(length=32), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("codes", sa.Integer(), nullable=False),
        sa.Column("prove_until", sa.String(length=10), nullable=True),
        sa.Column("next_by", sa.String(length=10), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("joined_to", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_rights_requests")),
    )
    for columns in (("data_subject",), ("joined_to",), ("person_key", "right"), ("state", "next_by")):
        op.create_index(f"ix_rights_requests_{'_'.join(columns)}", "rights_requests", list(columns), unique=False)
    op.create_table(
        "rights_codes",
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_rights_codes")),
    )
    op.create_index(op.f("ix_rights_codes_expires_at"), "rights_codes", ["expires_at"], unique=False)


def downgrade() -> None:
    for table in ("rights_codes", "rights_requests"):
        op.drop_table(table)
