"""The Data Rights Protocol: agents' tokens, and what is theirs of the requests they brought."""

import sqlalchemy as sa
from alembic import op

revision = "0023_drp"
down_revision = "0022_recipient_notices"


def upgrade() -> None:
    op.create_table(
        "drp_tokens",
        sa.Column("agent_id", sa.String(length=32), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_drp_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_drp_tokens_token_hash")),
    )
    op.create_table(
        "drp_requests",
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("agent_id", sa.String(length=32), nullable=False),
        sa.Column("agent_request_id", sa.String(length=128), nullable=True),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("message_hash", sa.String(length=64), nullable=False),
        sa.Column("expected_by", sa.String(length=10), nullable=True),
        sa.Column("is_left", sa.Boolean(), nullable=False),
        sa.Column("callback", sa.Text(), nullable=True),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("told_hash", sa.String(length=64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_drp_requests")),
    )
    op.create_index("ix_drp_requests_due", "drp_requests", ["is_over", "next_attempt_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_drp_requests_due", table_name="drp_requests")
    op.drop_table("drp_requests")
    op.drop_table("drp_tokens")
