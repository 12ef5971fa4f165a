"""Shard keys outlive epochs: which epoch wraps each, and whether somebody under it was erased.

What was lost before is not known any more, so every shard there is counts as lost and gets a fresh key at the next
closing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003_shards"
down_revision = "0002_providers"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.execute(sa.text("SELECT 1 FROM key_jobs WHERE finished_at IS NULL")).first() is not None:
        raise RuntimeError("a piece of work on the keys is unfinished: finish it with the version that began it")
    # Not in a batch, which on SQLite makes the table anew: shard keys point at it.
    op.add_column("key_epochs", sa.Column("destroyed", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("shard_keys") as table:
        table.add_column(sa.Column("under", sa.Integer(), nullable=True))
        table.add_column(sa.Column("lost_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE shard_keys SET under = epoch, lost_at = created_at")
    with op.batch_alter_table("shard_keys") as table:
        table.alter_column("under", existing_type=sa.Integer(), nullable=False)
        table.create_foreign_key(op.f("fk_shard_keys_under"), "key_epochs", ["under"], ["epoch"])


def downgrade() -> None:
    outlived = sa.text("SELECT 1 FROM shard_keys WHERE under <> epoch")
    if op.get_bind().execute(outlived).first() is not None:
        raise RuntimeError("shard keys have outlived their epoch: close it with --every-shard, then downgrade")
    with op.batch_alter_table("shard_keys") as table:
        table.drop_constraint(op.f("fk_shard_keys_under"), type_="foreignkey")
        table.drop_column("lost_at")
        table.drop_column("under")
    op.drop_column("key_epochs", "destroyed")
