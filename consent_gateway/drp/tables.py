"""Tables of the protocol: the agents' tokens, and what is theirs of the requests that they brought."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

DRP_TOKENS = sa.Table(
    "drp_tokens",
    METADATA,
    sa.Column("agent_id", sa.String(32), primary_key=True),  # an agent has one token, the last that it set up
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),  # HMAC-SHA256 in hex
    sa.Column("key_hash", sa.String(64), nullable=False),  # SHA-256 of the key it was set up with
    sa.Column("issued_at", sa.BigInteger, nullable=False),
)

DRP_REQUESTS = sa.Table(
    "drp_requests",
    METADATA,
    sa.Column("request_id", sa.String(32), primary_key=True),  # that of the request itself
    sa.Column("agent_id", sa.String(32), nullable=False),
    sa.Column("agent_request_id", sa.String(128)),  # what the agent calls it
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("message_hash", sa.String(64), nullable=False),  # SHA-256 of what was signed
    sa.Column("expected_by", sa.String(10)),  # as the agent was told first
    sa.Column("is_left", sa.Boolean, nullable=False),  # revoked by the agent while it goes on for others
    sa.Column("callback", sa.Text),  # where the agent wants to be told; null for nowhere
    sa.Column("seen", sa.Integer, nullable=False),  # version of the request that the agent knows of
    sa.Column("told_hash", sa.String(64), nullable=False),  # SHA-256 of the status that the agent knows
    sa.Column("attempts", sa.Integer, nullable=False),  # to tell it the next, that failed
    sa.Column("first_attempt_at", sa.BigInteger, nullable=False),  # of these
    sa.Column("next_attempt_at", sa.BigInteger, nullable=False),
    sa.Column("is_over", sa.Boolean, nullable=False),  # nothing more is to be told
    sa.Index("ix_drp_requests_due", "is_over", "next_attempt_at"),
)
