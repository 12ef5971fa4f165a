"""Letters about requests, with their way out and the address they go to."""

import sqlalchemy as sa
from alembic import op

revision = "0018_letters"
down_revision = "0017_erasures"


def upgrade() -> None:
    op.add_column("rights_requests", sa.Column("reply_to", sa.LargeBinary(), nullable=True))
    op.create_table(
        "rights_letters",
        sa.Column("letter_id", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("template", sa.String(length=10), nullable=False),
        sa.Column("subject_line", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("mail_id", sa.String(length=32), nullable=True),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("letter_id", name=op.f("pk_rights_letters")),
        sa.UniqueConstraint("mail_id", name=op.f("uq_rights_letters_mail_id")),
        sa.UniqueConstraint("request_id", "version", name=op.f("uq_rights_letters_request_id_version")),
    )
    op.create_index("ix_rights_letters_state_settled_at", "rights_letters", ["state", "settled_at"], unique=False)


def downgrade() -> None:
    op.drop_table("rights_letters")
    op.drop_column("rights_requests", "reply_to")
