"""Lets a retired named key be empty: its row stays, what it wrapped goes."""

import sqlalchemy as sa
from alembic import op

revision = "0002_providers"
down_revision = "0001_keys"


def upgrade() -> None:
    with op.batch_alter_table("named_keys") as table:
        table.alter_column("wrapped", existing_type=sa.LargeBinary(), nullable=True)
        table.create_check_constraint(
            op.f("ck_named_keys_empty_once_retired"), "(wrapped IS NULL) = (retired_at IS NOT NULL)"
        )


def downgrade() -> None:
    with op.batch_alter_table("named_keys") as table:
        table.drop_constraint(op.f("ck_named_keys_empty_once_retired"), type_="check")
        table.alter_column("wrapped", existing_type=sa.LargeBinary(), nullable=False)
