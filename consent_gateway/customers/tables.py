"""Tables of the customers' room: sessions, the two kinds of link, sign-ins under way, queued mail, counted requests."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

CUSTOMER_SESSIONS = sa.Table(
    "customer_sessions",
    METADATA,
    sa.Column("token_hash", sa.String(64), primary_key=True),  # HMAC-SHA256 in hex, as every hash here
    sa.Column("session_id", sa.String(32), nullable=False, unique=True),
    sa.Column("data_subject", sa.String(32), nullable=False, index=True),
    sa.Column("assurance", sa.String(8), nullable=False),  # account | link | scoped
    sa.Column("purpose", sa.String(64)),  # of a scoped session; null for every purpose
    sa.Column("signed_in_at", sa.BigInteger, nullable=False),
    sa.Column("idle_ends_at", sa.BigInteger, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
)

CUSTOMER_LINKS = sa.Table(
    "customer_links",
    METADATA,
    sa.Column("token_hash", sa.String(64), primary_key=True),
    sa.Column("browser_hash", sa.String(64), nullable=False),  # of the cookie of the browser that asked
    # Null for an address that is nobody's: the row is made all the same, so that asking costs the same.
    sa.Column("data_subject", sa.String(32), index=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

UNSUBSCRIBE_LINKS = sa.Table(
    "unsubscribe_links",
    METADATA,
    sa.Column("token_hash", sa.String(64), primary_key=True),
    sa.Column("link_id", sa.String(32), nullable=False, unique=True),
    sa.Column("data_subject", sa.String(32), nullable=False, index=True),
    sa.Column("purpose", sa.String(64), nullable=False),
    sa.Column("channel", sa.String(64), nullable=False),
    sa.Column("client_id", sa.String(64), nullable=False),  # who asked for it, and may end it
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("revoked_at", sa.BigInteger),
)

CUSTOMER_HANDSHAKES = sa.Table(
    "customer_handshakes",
    METADATA,
    sa.Column("state_hash", sa.String(64), primary_key=True),
    sa.Column("browser_hash", sa.String(64), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

CUSTOMER_MAIL = sa.Table(
    "customer_mail",
    METADATA,
    sa.Column("mail_id", sa.String(32), primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),  # AES-256-GCM over recipient, subject and text
    sa.Column("decoy", sa.Boolean, nullable=False),  # asked for an address that is nobody's: dropped, never sent
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)

CUSTOMER_REQUESTS = sa.Table(
    "customer_requests",
    METADATA,
    sa.Column("asker_hash", sa.String(64), primary_key=True),  # of an address, or of a network address
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),  # hours since 1970 UTC
    sa.Column("taken", sa.Integer, nullable=False),
)

CONFIRMATIONS = sa.Table(
    "confirmations",
    METADATA,
    sa.Column("confirmation_id", sa.String(32), primary_key=True),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("part", sa.String(8), nullable=False),  # own | parent
    sa.Column("data_subject", sa.String(32), nullable=False, index=True),  # the child, where a parent answers
    sa.Column("purpose", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),  # of the event that the link's use records
    sa.Column("channel", sa.String(64), nullable=False),
    sa.Column("client_id", sa.String(64), nullable=False),
    sa.Column("notice", sa.String(64), nullable=False),
    sa.Column("notice_version", sa.String(32), nullable=False),
    sa.Column("language", sa.String(35), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),  # AES-256-GCM over the address
    sa.Column("sent", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("used_at", sa.BigInteger),
    sa.Column("revoke_hash", sa.String(64), unique=True),  # of a parent's yes; null until there is one
    sa.Column("revoke_until", sa.BigInteger),
)
