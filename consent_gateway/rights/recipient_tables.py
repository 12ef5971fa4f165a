"""The table of notices to recipients: of which erasure or correction, how far each is, and who confirmed."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

RECIPIENT_NOTICES = sa.Table(
    "recipient_notices",
    METADATA,
    # What the recipient calls the person is not kept: it is found when the notice is written, and dies with the keys.
    sa.Column("notice_id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),  # erasure | correction
    sa.Column("act_id", sa.String(32), nullable=False),  # of the erasure or the correction
    sa.Column("request_id", sa.String(128), nullable=False, index=True),  # of the request that it answers
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), nullable=False),
    sa.Column("recipient", sa.String(64), nullable=False),
    sa.Column("fields", sa.Text, nullable=False),  # JSON: their names
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("mail_id", sa.String(32), unique=True),
    sa.Column("queued_at", sa.BigInteger, nullable=False),
    sa.Column("settled_at", sa.BigInteger),
    sa.Column("confirmed_at", sa.BigInteger),
    sa.UniqueConstraint("act_id", "recipient"),
)
