"""The console: sessions of officers' browsers, their accounts at a provider, counts of the sealed log."""

import sqlalchemy as sa
from alembic import op

revision = "0021_console"
down_revision = "0020_rest"


def upgrade() -> None:
    op.create_table(
        "console_sessions",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("officer_id", sa.String(length=32), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("auth_time", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_console_sessions")),
    )
    for column in ("officer_id", "expires_at"):
        op.create_index(op.f(f"ix_console_sessions_{column}"), "console_sessions", [column], unique=False)
    op.create_table(
        "officer_accounts",
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("officer_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "account", name=op.f("pk_officer_accounts")),
    )
    op.create_index(op.f("ix_officer_accounts_officer_id"), "officer_accounts", ["officer_id"], unique=False)
    op.create_table(
        "console_counts",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("word", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "what", "word", name=op.f("pk_console_counts")),
    )
    op.create_table(
        "console_counted",
        sa.Column("name", sa.String(length=8), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_console_counted")),
    )


def downgrade() -> None:
    op.drop_table("console_counted")
    op.drop_table("console_counts")
    op.drop_index(op.f("ix_officer_accounts_officer_id"), table_name="officer_accounts")
    op.drop_table("officer_accounts")
    for column in ("expires_at", "officer_id"):
        op.drop_index(op.f(f"ix_console_sessions_{column}"), table_name="console_sessions")
    op.drop_table("console_sessions")
