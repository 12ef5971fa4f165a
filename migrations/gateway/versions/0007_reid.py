"""Makes officers, their passkeys, codes, sessions and used challenges, and requests of re-identification."""

import sqlalchemy as sa
from alembic import op

revision = "0007_reid"
down_revision = "0006_suppress"

_TABLES = (
    "reidentifications",
    "officer_challenges",
    "officer_sessions",
    "officer_codes",
    "officer_passkeys",
    "officers",
)


def upgrade() -> None:
    op.create_table(
        "officers",
        sa.Column("officer_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("alarm_at", sa.BigInteger(), nullable=True),
        sa.Column("alarm_cleared_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("officer_id", name=op.f("pk_officers")),
        sa.UniqueConstraint("name", name=op.f("uq_officers_name")),
    )
    op.create_table(
        "officer_passkeys",
        sa.Column("credential_hash", sa.String(length=64), nullable=False),
        sa.Column("officer_id", sa.String(length=32), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("credential_hash", name=op.f("pk_officer_passkeys")),
    )
    op.create_index(op.f("ix_officer_passkeys_officer_id"), "officer_passkeys", ["officer_id"], unique=False)
    op.create_table(
        "officer_codes",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("officer_id", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_officer_codes")),
    )
    op.create_table(
        "officer_sessions",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("officer_id", sa.String(length=32), nullable=False),
        sa.Column("auth_time", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_officer_sessions")),
    )
    for table in ("officer_codes", "officer_sessions"):
        for column in ("officer_id", "expires_at"):
            op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)
    op.create_table(
        "officer_challenges",
        sa.Column("challenge_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("challenge_hash", name=op.f("pk_officer_challenges")),
    )
    op.create_index(op.f("ix_officer_challenges_expires_at"), "officer_challenges", ["expires_at"], unique=False)
    op.create_table(
        "reidentifications",
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("requester", sa.String(length=32), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(length=32), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_reidentifications")),
    )
    op.create_index(op.f("ix_reidentifications_until"), "reidentifications", ["until"], unique=False)
    op.create_index(
        "ix_reidentifications_requester_asked_at", "reidentifications", ["requester", "asked_at"], unique=False
    )


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
