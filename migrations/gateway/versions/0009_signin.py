"""Binds clients to outside issuers and tokens to keys and certificates; used assertions become used proofs."""

import sqlalchemy as sa
from alembic import op

revision = "0009_signin"
down_revision = "0008_search"


def upgrade() -> None:
    op.add_column("clients", sa.Column("issuer", sa.String(length=256), nullable=True))
    op.add_column("clients", sa.Column("external_id", sa.String(length=256), nullable=True))
    op.add_column("clients", sa.Column("bound", sa.String(length=16), nullable=True))
    op.create_index(
        "uq_clients_issuer_external_id",
        "clients",
        ["issuer", "external_id"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.add_column("access_tokens", sa.Column("key_thumbprint", sa.String(length=43), nullable=True))
    op.add_column("access_tokens", sa.Column("certificate_thumbprint", sa.String(length=43), nullable=True))
    op.create_table(
        "used_proofs",
        sa.Column("signer", sa.String(length=64), nullable=False),
        sa.Column("jti", sa.String(length=128), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("signer", "jti", name=op.f("pk_used_proofs")),
    )
    op.create_index(op.f("ix_used_proofs_expires_at"), "used_proofs", ["expires_at"], unique=False)
    # carried over, since an assertion used a minute ago must not pass again after an upgrade
    op.execute(
        "INSERT INTO used_proofs (signer, jti, expires_at) SELECT client_id, jti, expires_at FROM used_assertions"
    )
    op.drop_index(op.f("ix_used_assertions_expires_at"), table_name="used_assertions")
    op.drop_table("used_assertions")


def downgrade() -> None:
    op.create_table(
        "used_assertions",
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("jti", sa.String(length=128), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "jti", name=op.f("pk_used_assertions")),
    )
    op.create_index(op.f("ix_used_assertions_expires_at"), "used_assertions", ["expires_at"], unique=False)
    op.execute(
        "INSERT INTO used_assertions (client_id, jti, expires_at) SELECT signer, jti, expires_at FROM used_proofs"
    )
    op.drop_index(op.f("ix_used_proofs_expires_at"), table_name="used_proofs")
    op.drop_table("used_proofs")
    op.drop_column("access_tokens", "certificate_thumbprint")
    op.drop_column("access_tokens", "key_thumbprint")
    op.drop_index("uq_clients_issuer_external_id", table_name="clients")
    op.drop_column("clients", "bound")
    op.drop_column("clients", "external_id")
    op.drop_column("clients", "issuer")
