"""Erasures with their plans, steps and notices; access packages."""

import sqlalchemy as sa
from alembic import op

revision = "0017_erasures"
down_revision = "0016_evidence"


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("erasure_id", sa.String(length=32), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("revision", sa.String(length=16), nullable=False),
        sa.Column("planned_at", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("leftovers", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("forget_at", sa.BigInteger(), nullable=True),
        sa.Column("certificate", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["data_subject"], ["people.data_subject"], name=op.f("fk_erasures_data_subject")),
        sa.PrimaryKeyConstraint("erasure_id", name=op.f("pk_erasures")),
        sa.UniqueConstraint("request_id", name=op.f("uq_erasures_request_id")),
    )
    for column in ("data_subject", "state", "forget_at"):
        op.create_index(op.f(f"ix_erasures_{column}"), "erasures", [column], unique=False)
    op.create_table(
        "erasure_steps",
        sa.Column("erasure_id", sa.String(length=32), nullable=False),
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("intent_entry", sa.String(length=32), nullable=True),
        sa.Column("outcome_entry", sa.String(length=32), nullable=True),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"], name=op.f("fk_erasure_steps_erasure_id")),
        sa.PrimaryKeyConstraint("erasure_id", "run", "position", name=op.f("pk_erasure_steps")),
    )
    op.create_table(
        "erasure_notices",
        sa.Column("erasure_id", sa.String(length=32), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"], name=op.f("fk_erasure_notices_erasure_id")),
        sa.PrimaryKeyConstraint("erasure_id", "recipient", name=op.f("pk_erasure_notices")),
    )
    op.create_table(
        "access_packages",
        sa.Column("package_id", sa.String(length=32), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.String(length=16), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.Column("link_hash", sa.String(length=64), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["data_subject"], ["people.data_subject"], name=op.f("fk_access_packages_data_subject")
        ),
        sa.PrimaryKeyConstraint("package_id", name=op.f("pk_access_packages")),
        sa.UniqueConstraint("link_hash", name=op.f("uq_access_packages_link_hash")),
    )
    for column in ("data_subject", "request_id", "expires_at"):
        op.create_index(op.f(f"ix_access_packages_{column}"), "access_packages", [column], unique=False)


def downgrade() -> None:
    for table in ("access_packages", "erasure_notices", "erasure_steps", "erasures"):
        op.drop_table(table)
