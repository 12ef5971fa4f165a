"""Notices to recipients in one table, with how far each is, in the place of two that kept only whom they concerned."""

import sqlalchemy as sa
from alembic import op

revision = "0022_recipient_notices"
down_revision = "0021_console"

# Ids are made of the act's and the recipient's: what was told before has a state of its own and no mail.
_MOVED = """
INSERT INTO recipient_notices
    (notice_id, kind, act_id, request_id, data_subject, recipient, fields, state, queued_at, confirmed_at)
SELECT 'rn_' || substr({table}.{act}, 5) || '_' || row_number() OVER (PARTITION BY {table}.{act} ORDER BY recipient),
    '{kind}', {table}.{act}, {acts}.request_id, {acts}.data_subject, recipient, '[]', 'to_tell', queued_at,
    acknowledged_at
FROM {table} JOIN {acts} ON {acts}.{act} = {table}.{act}
"""
_OLD = (("erasure", "erasures"), ("correction", "corrections"))


def upgrade() -> None:
    op.create_table(
        "recipient_notices",
        sa.Column("notice_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("act_id", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("mail_id", sa.String(length=32), nullable=True),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["data_subject"], ["people.data_subject"], name=op.f("fk_recipient_notices_data_subject")
        ),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_recipient_notices")),
        sa.UniqueConstraint("act_id", "recipient", name=op.f("uq_recipient_notices_act_id_recipient")),
        sa.UniqueConstraint("mail_id", name=op.f("uq_recipient_notices_mail_id")),
    )
    op.create_index(op.f("ix_recipient_notices_request_id"), "recipient_notices", ["request_id"], unique=False)
    for kind, acts in _OLD:
        op.execute(_MOVED.format(table=f"{kind}_notices", act=f"{kind}_id", acts=acts, kind=kind))
        op.drop_table(f"{kind}_notices")


def downgrade() -> None:
    for kind, acts in reversed(_OLD):
        act = f"{kind}_id"
        op.create_table(
            f"{kind}_notices",
            sa.Column(act, sa.String(length=32), nullable=False),
            sa.Column("recipient", sa.String(length=64), nullable=False),
            sa.Column("queued_at", sa.BigInteger(), nullable=False),
            sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
            sa.ForeignKeyConstraint([act], [f"{acts}.{act}"], name=op.f(f"fk_{kind}_notices_{act}")),
            sa.PrimaryKeyConstraint(act, "recipient", name=op.f(f"pk_{kind}_notices")),
        )
        op.execute(
            f"INSERT INTO {kind}_notices ({act}, recipient, queued_at, acknowledged_at) "  # noqa: S608 - our own words
            f"SELECT act_id, recipient, queued_at, confirmed_at FROM recipient_notices WHERE kind = '{kind}'"
        )
    op.drop_table("recipient_notices")
