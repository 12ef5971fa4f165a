"""A choice can be paused and its frequency told; whether a person shares an identifier is found by the person."""

import sqlalchemy as sa
from alembic import op

revision = "0014_page"
down_revision = "0013_confirmations"


def upgrade() -> None:
    op.add_column("consent_events", sa.Column("frequency", sa.String(length=16), nullable=True))
    op.add_column("purpose_state", sa.Column("paused_until", sa.BigInteger(), nullable=True))
    op.add_column("purpose_state", sa.Column("paused_at", sa.BigInteger(), nullable=True))
    op.add_column("purpose_state", sa.Column("pause_event", sa.String(length=32), nullable=True))
    op.add_column("purpose_state", sa.Column("frequency", sa.String(length=16), nullable=True))
    op.create_index(op.f("ix_shared_identifiers_data_subject"), "shared_identifiers", ["data_subject"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_shared_identifiers_data_subject"), table_name="shared_identifiers")
    for column in ("frequency", "pause_event", "paused_at", "paused_until"):
        op.drop_column("purpose_state", column)
    op.drop_column("consent_events", "frequency")
