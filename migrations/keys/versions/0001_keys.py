"""Makes epochs, shard keys, keys of people, named keys, marks, jobs and the list of back-ups."""

import sqlalchemy as sa
from alembic import op

revision = "0001_keys"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "key_epochs",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("superseded_at", sa.BigInteger(), nullable=True),
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
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=4), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("destroyed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("shard", "data_subject", name=op.f("pk_person_keys")),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "key_marks",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_key_marks")),
    )
    op.create_table(
        "key_jobs",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("step", sa.String(length=16), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_key_jobs")),
    )
    op.create_table(
        "key_backups",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("people", sa.BigInteger(), nullable=False),
        sa.Column("destroyed", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_epoch", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_key_backups")),
    )


def downgrade() -> None:
    for table in ("key_backups", "key_jobs", "key_marks", "person_keys", "shard_keys", "named_keys", "key_epochs"):
        op.drop_table(table)
