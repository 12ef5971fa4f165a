"""Makes the indexes of search, the list of index keys in use, and the allowances of look-ups."""

import sqlalchemy as sa
from alembic import op

revision = "0008_search"
down_revision = "0007_reid"


def upgrade() -> None:
    op.create_table(
        "search_indexes",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("blind_index", sa.String(length=64), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["data_subject"], ["people.data_subject"], name=op.f("fk_search_indexes_data_subject")),
        sa.PrimaryKeyConstraint("kind", "mode", "blind_index", "data_subject", name=op.f("pk_search_indexes")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_search_indexes_data_subject"), "search_indexes", ["data_subject"], unique=False)
    op.create_table(
        "index_keys",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(length=4), nullable=False),
        sa.Column("rule", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("kind", "mode", "position", name=op.f("pk_index_keys")),
        sa.UniqueConstraint("key_id", name=op.f("uq_index_keys_key_id")),
    )
    op.create_table(
        "index_generation",
        sa.Column("name", sa.String(length=8), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_index_generation")),
    )
    op.execute("INSERT INTO index_generation (name, generation) VALUES ('index', 1)")
    op.create_table(
        "lookup_allowances",
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("counted", sa.String(length=8), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "counted", "minute", name=op.f("pk_lookup_allowances")),
    )


def downgrade() -> None:
    op.drop_table("lookup_allowances")
    op.drop_table("index_generation")
    op.drop_table("index_keys")
    op.drop_index(op.f("ix_search_indexes_data_subject"), table_name="search_indexes")
    op.drop_table("search_indexes")
