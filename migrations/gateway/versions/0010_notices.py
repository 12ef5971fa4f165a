"""Keeps every text of a notice for good, and its hash in each consent event that names it."""

import sqlalchemy as sa
from alembic import op

revision = "0010_notices"
down_revision = "0009_signin"


def upgrade() -> None:
    op.add_column("consent_events", sa.Column("notice_sha256", sa.String(length=64), nullable=True))
    op.create_table(
        "notice_texts",
        sa.Column("notice", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("first_used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("notice", "version", "language", name=op.f("pk_notice_texts")),
        sa.UniqueConstraint("sha256", name=op.f("uq_notice_texts_sha256")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("notice_texts")
    op.drop_column("consent_events", "notice_sha256")
