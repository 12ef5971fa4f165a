"""Tables of the callers' room: registered clients, tokens, one-time proofs used up, idempotency keys, allowances."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

CLIENTS = sa.Table(
    "clients",
    METADATA,
    sa.Column("client_id", sa.String(64), primary_key=True),
    sa.Column("channel", sa.String(64), nullable=False),
    sa.Column("purposes", sa.Text, nullable=False),  # JSON array of purpose keys
    sa.Column("recipients", sa.Text, nullable=False),  # JSON array of recipient keys
    sa.Column("scopes", sa.Text, nullable=False),  # JSON array
    sa.Column("auth_method", sa.String(32), nullable=False),  # client_secret_basic | private_key_jwt | outside_issuer
    sa.Column("secret_hash", sa.String(64)),  # HMAC-SHA256 in hex; null for private_key_jwt
    sa.Column("jwks", sa.Text),  # public keys only
    sa.Column("issuer", sa.String(256)),  # of the client's tokens; null where they are ours
    sa.Column("external_id", sa.String(256)),  # what that issuer calls the client
    sa.Column("bound", sa.String(16)),  # dpop | certificate: what its tokens must be bound to; null for free
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)
sa.Index(
    "uq_clients_issuer_external_id",
    CLIENTS.c.issuer,
    CLIENTS.c.external_id,
    unique=True,
    sqlite_where=CLIENTS.c.revoked_at.is_(None),
    postgresql_where=CLIENTS.c.revoked_at.is_(None),
)

ACCESS_TOKENS = sa.Table(
    "access_tokens",
    METADATA,
    sa.Column("token_hash", sa.String(64), primary_key=True),  # HMAC-SHA256 in hex
    sa.Column("client_id", sa.String(64), nullable=False, index=True),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("issued_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("key_thumbprint", sa.String(43)),  # RFC 7638 in base64url: a DPoP proof by this key is needed
    sa.Column("certificate_thumbprint", sa.String(43)),  # SHA-256 in base64url: this certificate must be shown
)

USED_PROOFS = sa.Table(
    "used_proofs",
    METADATA,
    sa.Column("signer", sa.String(64), primary_key=True),  # a client id, or `dpop:` and a key's thumbprint
    sa.Column("jti", sa.String(128), primary_key=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

IDEMPOTENCY_KEYS = sa.Table(
    "idempotency_keys",
    METADATA,
    sa.Column("client_id", sa.String(64), primary_key=True),
    sa.Column("key_hash", sa.String(64), primary_key=True),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer),  # null while the first call is still running
    sa.Column("answer", sa.LargeBinary),
    sa.Column("created_at", sa.BigInteger, nullable=False, index=True),
)

LOOKUP_ALLOWANCES = sa.Table(
    "lookup_allowances",
    METADATA,
    sa.Column("client_id", sa.String(64), primary_key=True),
    sa.Column("counted", sa.String(8), primary_key=True),  # lookups | misses
    sa.Column("minute", sa.BigInteger, primary_key=True, autoincrement=False),  # minutes since 1970 UTC
    sa.Column("taken", sa.Integer, nullable=False),  # what processes have taken of this minute's allowance
)
