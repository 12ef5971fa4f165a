"""Makes the suppression list, the record of erasures, and room for each identifier's suppression tag."""

import sqlalchemy as sa
from alembic import op

revision = "0006_suppress"
down_revision = "0005_audit"


def upgrade() -> None:
    op.add_column("identifiers", sa.Column("suppression_tag", sa.String(length=32), nullable=True))
    op.create_table(
        "suppressions",
        sa.Column("tag", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("tag", name=op.f("pk_suppressions")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "shreddings",
        sa.Column("shredding_id", sa.String(length=32), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=128), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("suppressed", sa.Integer(), nullable=False),
        sa.Column("shared", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=True),
        sa.Column("shard", sa.Integer(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("destroyed_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome_entry", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["data_subject"], ["people.data_subject"], name=op.f("fk_shreddings_data_subject")),
        sa.PrimaryKeyConstraint("shredding_id", name=op.f("pk_shreddings")),
        sa.UniqueConstraint("data_subject", name=op.f("uq_shreddings_data_subject")),
    )
    op.create_index(op.f("ix_shreddings_finished_at"), "shreddings", ["finished_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_shreddings_finished_at"), table_name="shreddings")
    op.drop_table("shreddings")
    op.drop_table("suppressions")
    op.drop_column("identifiers", "suppression_tag")
