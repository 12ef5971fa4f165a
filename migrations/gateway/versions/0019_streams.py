"""Streams: how far each SIEM was told of the log."""

import sqlalchemy as sa
from alembic import op

revision = "0019_streams"
down_revision = "0018_letters"


def upgrade() -> None:
    op.create_table(
        "audit_streams",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_audit_streams")),
    )


def downgrade() -> None:
    op.drop_table("audit_streams")
