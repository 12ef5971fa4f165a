"""Makes epochs, shard keys, keys of people, named keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001_keys"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "key_epochs",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_key_epochs")),
    )
    op.create_table(
        "named_keys",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(length=4), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "name", "version", name=op.f("pk_named_keys")),
        sa.UniqueConstraint("key_id", name=op.f("uq_named_keys_key_id")),
    )
    op.create_table(
        "shard_keys",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["epoch"], ["key_epochs.epoch"], name=op.f("fk_shard_keys_epoch")),
        sa.PrimaryKeyConstraint("epoch", "shard", name=op.f("pk_shard_keys")),
    )
    op.create_table(
        "person_keys",
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=4), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("destroyed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["epoch", "shard"], ["shard_keys.epoch", "shard_keys.shard"], name=op.f("fk_person_keys_epoch_shard")
        ),
        sa.PrimaryKeyConstraint("data_subject", name=op.f("pk_person_keys")),
    )
    op.create_index(op.f("ix_person_keys_epoch_shard"), "person_keys", ["epoch", "shard"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_person_keys_epoch_shard"), table_name="person_keys")
    op.drop_table("person_keys")
    op.drop_table("shard_keys")
    op.drop_table("named_keys")
    op.drop_table("key_epochs")
