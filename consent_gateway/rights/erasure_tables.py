"""Tables of erasures, each with its plan sealed and its steps; and of access packages."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

ERASURES = sa.Table(
    "erasures",
    METADATA,
    sa.Column("erasure_id", sa.String(32), primary_key=True),
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), nullable=False, index=True),
    sa.Column("request_id", sa.String(128), nullable=False, unique=True),  # of the request it answers
    sa.Column("requested_by", sa.String(64), nullable=False),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("run", sa.Integer, nullable=False),  # from 1; the next after something was left
    sa.Column("revision", sa.String(16), nullable=False),  # of the policy it was planned by
    sa.Column("planned_at", sa.BigInteger, nullable=False),
    sa.Column("not_before", sa.BigInteger, nullable=False),  # until then the person may take it back
    sa.Column("begun_at", sa.BigInteger),
    sa.Column("finished_at", sa.BigInteger),
    sa.Column("fields", sa.Text, nullable=False),  # JSON: what becomes of each field; no value
    sa.Column("leftovers", sa.Text, nullable=False),  # JSON: what is left, where and why; no value
    # AES-256-GCM: the store's key, identifiers, rows and the values to look for. Gone when nothing is left to do.
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("forget_at", sa.BigInteger, index=True),  # when what is sealed goes in any case
    sa.Column("certificate", sa.LargeBinary),
)

ERASURE_STEPS = sa.Table(
    "erasure_steps",
    METADATA,
    sa.Column("erasure_id", sa.String(32), sa.ForeignKey("erasures.erasure_id"), primary_key=True),
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(160), nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("intent_entry", sa.String(32)),  # the audit entry before the store is touched
    sa.Column("outcome_entry", sa.String(32)),  # and after it
    sa.Column("refused", sa.Text),  # JSON: column -> the store's code
)

ACCESS_PACKAGES = sa.Table(
    "access_packages",
    METADATA,
    sa.Column("package_id", sa.String(32), primary_key=True),
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), nullable=False, index=True),
    sa.Column("request_id", sa.String(128), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),  # access | portability
    sa.Column("state", sa.String(16), nullable=False),  # to_review | released
    sa.Column("revision", sa.String(16), nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("released_at", sa.BigInteger),
    sa.Column("link_hash", sa.String(64), unique=True),  # of the single-use link; null once it is used
    sa.Column("sealed", sa.LargeBinary, nullable=False),  # AES-256-GCM under a key derived from the person's
)
