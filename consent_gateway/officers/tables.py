"""Tables of the officers' room: officers, their passkeys, one-time enrolment codes, sessions, used challenges."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

OFFICERS = sa.Table(
    "officers",
    METADATA,
    sa.Column("officer_id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("roles", sa.Text, nullable=False),  # JSON array of `Role` words
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("alarm_at", sa.BigInteger),  # set by a burst of re-identifications, emptied by an operator
    sa.Column("alarm_cleared_at", sa.BigInteger),  # what was asked for before counts no more
)

OFFICER_PASSKEYS = sa.Table(
    "officer_passkeys",
    METADATA,
    sa.Column("credential_hash", sa.String(64), primary_key=True),  # SHA-256 of the credential id in hex
    sa.Column("officer_id", sa.String(32), nullable=False, index=True),
    sa.Column("credential_id", sa.LargeBinary, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),  # COSE
    sa.Column("sign_count", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

OFFICER_CODES = sa.Table(
    "officer_codes",
    METADATA,
    sa.Column("code_hash", sa.String(64), primary_key=True),  # HMAC-SHA256 in hex
    sa.Column("officer_id", sa.String(32), nullable=False, index=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

OFFICER_SESSIONS = sa.Table(
    "officer_sessions",
    METADATA,
    sa.Column("token_hash", sa.String(64), primary_key=True),  # HMAC-SHA256 in hex
    sa.Column("officer_id", sa.String(32), nullable=False, index=True),
    sa.Column("auth_time", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

OFFICER_CHALLENGES = sa.Table(
    "officer_challenges",
    METADATA,
    # Only challenges that a valid assertion has answered: nobody without a passkey can make a row here.
    sa.Column("challenge_hash", sa.String(64), primary_key=True),  # SHA-256 in hex
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)
