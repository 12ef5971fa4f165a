"""The table of requests to turn pseudonyms back: what was asked for and how far it has come; never what was told."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

REIDENTIFICATIONS = sa.Table(
    "reidentifications",
    METADATA,
    sa.Column("request_id", sa.String(32), primary_key=True),
    sa.Column("requester", sa.String(32), nullable=False),
    sa.Column("asked_at", sa.BigInteger, nullable=False),
    sa.Column("canonical", sa.Text, nullable=False),  # what an approver signs; holds digests, no token and no text
    sa.Column("sealed", sa.LargeBinary),  # tokens, text and salt, encrypted; null once the request is over
    sa.Column("state", sa.String(16), nullable=False),  # open | approved | denied | told | refused
    sa.Column("until", sa.BigInteger, nullable=False, index=True),  # end of waiting, or of the grant
    sa.Column("decided_by", sa.String(32)),
    sa.Column("decided_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    sa.Index("ix_reidentifications_requester_asked_at", "requester", "asked_at"),
)
