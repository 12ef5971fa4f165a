"""Makes people, their identifiers as blind indexes, and where their fields came from."""

import sqlalchemy as sa
from alembic import op

revision = "0001_people"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "field_provenance",
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("field", sa.String(length=128), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "field", name=op.f("pk_field_provenance")),
    )
    op.create_index(op.f("ix_field_provenance_data_subject"), "field_provenance", ["data_subject"], unique=False)
    op.create_table(
        "people",
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("store_key", sa.String(length=128), nullable=True),
        sa.Column("jurisdiction", sa.String(length=8), nullable=True),
        sa.Column("minor_born", sa.String(length=10), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("data_subject", name=op.f("pk_people")),
        sa.UniqueConstraint("store_key", name=op.f("uq_people_store_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "identifiers",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("blind_index", sa.String(length=64), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["data_subject"], ["people.data_subject"], name=op.f("fk_identifiers_data_subject")),
        sa.PrimaryKeyConstraint("kind", "blind_index", name=op.f("pk_identifiers")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_identifiers_data_subject"), "identifiers", ["data_subject"], unique=False)
    op.create_table(
        "shared_identifiers",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("blind_index", sa.String(length=64), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["data_subject"], ["people.data_subject"], name=op.f("fk_shared_identifiers_data_subject")
        ),
        sa.PrimaryKeyConstraint("kind", "blind_index", "data_subject", name=op.f("pk_shared_identifiers")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("shared_identifiers")
    op.drop_index(op.f("ix_identifiers_data_subject"), table_name="identifiers")
    op.drop_table("identifiers")
    op.drop_table("people")
    op.drop_index(op.f("ix_field_provenance_data_subject"), table_name="field_provenance")
    op.drop_table("field_provenance")
