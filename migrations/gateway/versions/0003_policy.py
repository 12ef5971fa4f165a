"""Makes every policy revision that ever decided."""

import sqlalchemy as sa
from alembic import op

revision = "0003_policy"
down_revision = "0002_consent"


def upgrade() -> None:
    op.create_table(
        "policy_revisions",
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("documents", sa.LargeBinary(), nullable=False),
        sa.Column("first_used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_policy_revisions")),
    )


def downgrade() -> None:
    op.drop_table("policy_revisions")
