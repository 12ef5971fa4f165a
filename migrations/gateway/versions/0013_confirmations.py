"""Links by which a mailbox confirms a choice."""

import sqlalchemy as sa
from alembic import op

revision = "0013_confirmations"
down_revision = "0012_propagation"


def upgrade() -> None:
    op.create_table(
        "confirmations",
        sa.Column("confirmation_id", sa.String(length=32), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=8), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("notice", sa.String(length=64), nullable=False),
        sa.Column("notice_version", sa.String(length=32), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoke_hash", sa.String(length=64), nullable=True),
        sa.Column("revoke_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("confirmation_id", name=op.f("pk_confirmations")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_confirmations_token_hash")),
        sa.UniqueConstraint("revoke_hash", name=op.f("uq_confirmations_revoke_hash")),
    )
    op.create_index(op.f("ix_confirmations_data_subject"), "confirmations", ["data_subject"], unique=False)
    op.create_index(op.f("ix_confirmations_expires_at"), "confirmations", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_table("confirmations")
