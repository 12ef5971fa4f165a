"""Tables of corrections: each with its values sealed, and its steps."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

CORRECTIONS = sa.Table(
    "corrections",
    METADATA,
    sa.Column("correction_id", sa.String(32), primary_key=True),
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), nullable=False, index=True),
    sa.Column("request_id", sa.String(128), nullable=False, unique=True),  # of the request it answers
    sa.Column("requested_by", sa.String(64), nullable=False),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("run", sa.Integer, nullable=False),  # from 1; the next after something was refused or left
    sa.Column("revision", sa.String(16), nullable=False),
    sa.Column("planned_at", sa.BigInteger, nullable=False),
    sa.Column("finished_at", sa.BigInteger),
    sa.Column("names", sa.Text, nullable=False),  # JSON: the fields that were named
    sa.Column("fields", sa.Text, nullable=False),  # JSON: what becomes of each field and its copies; no value
    sa.Column("leftovers", sa.Text, nullable=False),  # JSON: where the old value is left, and why; no value
    sa.Column("sealed", sa.LargeBinary),  # AES-256-GCM: the new values and the plan; gone at the end
    sa.Column("forget_at", sa.BigInteger, index=True),  # when what is sealed goes in any case
)

CORRECTION_STEPS = sa.Table(
    "correction_steps",
    METADATA,
    sa.Column("correction_id", sa.String(32), sa.ForeignKey("corrections.correction_id"), primary_key=True),
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(160), nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("intent_entry", sa.String(32)),
    sa.Column("outcome_entry", sa.String(32)),
    sa.Column("refused", sa.Text),  # JSON: column -> the store's code
)
