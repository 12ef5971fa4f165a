"""Tables of the console: sessions of officers' browsers, their accounts at a provider, and counts of the sealed log."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

CONSOLE_SESSIONS = sa.Table(
    "console_sessions",
    METADATA,
    sa.Column("token_hash", sa.String(64), primary_key=True),  # HMAC-SHA256 in hex
    sa.Column("officer_id", sa.String(32), nullable=False, index=True),
    sa.Column("way", sa.String(16), nullable=False),  # one of `Way`
    sa.Column("auth_time", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

OFFICER_ACCOUNTS = sa.Table(
    "officer_accounts",
    METADATA,
    # Which account at which OpenID provider is which officer. The account is the provider's `sub`, never a name.
    sa.Column("issuer", sa.String(255), primary_key=True),
    sa.Column("account", sa.String(255), primary_key=True),
    sa.Column("officer_id", sa.String(32), nullable=False, index=True),
)

CONSOLE_COUNTS = sa.Table(
    "console_counts",
    METADATA,
    # Numbers of sealed entries. Not evidence: they can be counted again from the log at any time.
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("what", sa.String(16), primary_key=True),
    sa.Column("word", sa.String(64), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
)

CONSOLE_COUNTED = sa.Table(
    "console_counted",
    METADATA,
    sa.Column("name", sa.String(8), primary_key=True),  # one row, `log`
    sa.Column("position", sa.BigInteger, nullable=False),
)
