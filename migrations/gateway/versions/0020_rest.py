"""Corrections with their steps and notices; the daily runs of retention."""

import sqlalchemy as sa
from alembic import op

revision = "0020_rest"
down_revision = "0019_streams"


def upgrade() -> None:
    op.create_table(
        "corrections",
        sa.Column("correction_id", sa.String(length=32), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("revision", sa.String(length=16), nullable=False),
        sa.Column("planned_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("leftovers", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("forget_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["data_subject"], ["people.data_subject"], name=op.f("fk_corrections_data_subject")),
        sa.PrimaryKeyConstraint("correction_id", name=op.f("pk_corrections")),
        sa.UniqueConstraint("request_id", name=op.f("uq_corrections_request_id")),
    )
    for column in ("data_subject", "state", "forget_at"):
        op.create_index(op.f(f"ix_corrections_{column}"), "corrections", [column], unique=False)
    of_correction = (["correction_id"], ["corrections.correction_id"])
    op.create_table(
        "correction_steps",
        sa.Column("correction_id", sa.String(length=32), nullable=False),
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("intent_entry", sa.String(length=32), nullable=True),
        sa.Column("outcome_entry", sa.String(length=32), nullable=True),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(*of_correction, name=op.f("fk_correction_steps_correction_id")),
        sa.PrimaryKeyConstraint("correction_id", "run", "position", name=op.f("pk_correction_steps")),
    )
    op.create_table(
        "correction_notices",
        sa.Column("correction_id", sa.String(length=32), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(*of_correction, name=op.f("fk_correction_notices_correction_id")),
        sa.PrimaryKeyConstraint("correction_id", "recipient", name=op.f("pk_correction_notices")),
    )
    op.create_table(
        "retention_runs",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("failed", sa.String(length=64), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("day", "dry_run", name=op.f("pk_retention_runs")),
    )


def downgrade() -> None:
    for table in ("retention_runs", "correction_notices", "correction_steps", "corrections"):
        op.drop_table(table)
