"""Customers sign in: sessions, links, sign-ins under way, queued mail, counted requests."""

import sqlalchemy as sa
from alembic import op

revision = "0011_signin_customers"
down_revision = "0010_notices"


def upgrade() -> None:
    op.create_table(
        "customer_sessions",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("assurance", sa.String(length=8), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=True),
        sa.Column("signed_in_at", sa.BigInteger(), nullable=False),
        sa.Column("idle_ends_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_customer_sessions")),
        sa.UniqueConstraint("session_id", name=op.f("uq_customer_sessions_session_id")),
    )
    op.create_index(op.f("ix_customer_sessions_data_subject"), "customer_sessions", ["data_subject"], unique=False)
    op.create_index(op.f("ix_customer_sessions_ends_at"), "customer_sessions", ["ends_at"], unique=False)
    op.create_table(
        "customer_links",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("browser_hash", sa.String(length=64), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_customer_links")),
    )
    op.create_index(op.f("ix_customer_links_data_subject"), "customer_links", ["data_subject"], unique=False)
    op.create_index(op.f("ix_customer_links_expires_at"), "customer_links", ["expires_at"], unique=False)
    op.create_table(
        "unsubscribe_links",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("link_id", sa.String(length=32), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_unsubscribe_links")),
        sa.UniqueConstraint("link_id", name=op.f("uq_unsubscribe_links_link_id")),
    )
    op.create_index(op.f("ix_unsubscribe_links_data_subject"), "unsubscribe_links", ["data_subject"], unique=False)
    op.create_index(op.f("ix_unsubscribe_links_expires_at"), "unsubscribe_links", ["expires_at"], unique=False)
    op.create_table(
        "customer_handshakes",
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("browser_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_customer_handshakes")),
    )
    op.create_index(op.f("ix_customer_handshakes_expires_at"), "customer_handshakes", ["expires_at"], unique=False)
    op.create_table(
        "customer_mail",
        sa.Column("mail_id", sa.String(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("decoy", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mail_id", name=op.f("pk_customer_mail")),
    )
    op.create_index(op.f("ix_customer_mail_due_at"), "customer_mail", ["due_at"], unique=False)
    op.create_table(
        "customer_requests",
        sa.Column("asker_hash", sa.String(length=64), nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("asker_hash", "hour", name=op.f("pk_customer_requests")),
    )


def downgrade() -> None:
    for table in (
        "customer_requests",
        "customer_mail",
        "customer_handshakes",
        "unsubscribe_links",
        "customer_links",
        "customer_sessions",
    ):
        op.drop_table(table)
