"""Tables of the audit room: entries waiting to be sealed, the sealed log, its tree and its signed checkpoints.

Everything but `audit_writers` is append-only, kept so by the triggers of `append_only`.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from consent_gateway.audit.append_only import append_only_ddl
from consent_gateway.database import METADATA

AUDIT_QUEUE = sa.Table(
    "audit_queue",
    METADATA,
    sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("entry_id", sa.String(32), nullable=False, unique=True),
    sa.Column("entry", sa.LargeBinary, nullable=False),  # canonical JSON: the leaf itself
    # PostgreSQL: the writing transaction, so that a late commit can never slip in behind a sealed row.
    sa.Column("txid", sa.BigInteger, nullable=False, default=0),
    sa.Index("ix_audit_queue_txid_n", "txid", "n"),
)

AUDIT_LOG = sa.Table(
    "audit_log",
    METADATA,
    sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
    # The next five are read out of the entry for searching; verification holds them against it.
    # Not unique: an id that somebody used twice must show in the log, not stop it.
    sa.Column("entry_id", sa.String(32), nullable=False, index=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("recorded_at", sa.BigInteger, nullable=False),
    sa.Column("caller", sa.String(128)),
    sa.Column("data_subject", sa.String(32)),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    # One for each thing a listing filters by, in the order in which it lists (`log.page_statement`).
    sa.Index("ix_audit_log_newest", "recorded_at", "leaf_index"),
    sa.Index("ix_audit_log_kind_newest", "kind", "recorded_at", "leaf_index"),
    sa.Index("ix_audit_log_caller_newest", "caller", "recorded_at", "leaf_index"),
    sa.Index("ix_audit_log_data_subject_newest", "data_subject", "recorded_at", "leaf_index"),
)

AUDIT_NODES = sa.Table(
    "audit_nodes",
    METADATA,
    # Full subtrees of 256, 65,536, … leaves (levels 8, 16, …); smaller ones are hashed again from the leaves.
    sa.Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)

AUDIT_CHECKPOINTS = sa.Table(
    "audit_checkpoints",
    METADATA,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("issued_at", sa.BigInteger, nullable=False),
    sa.Column("note", sa.Text, nullable=False),  # C2SP signed note
)

AUDIT_WRITERS = sa.Table(
    "audit_writers",
    METADATA,
    # SQLite profile: how far each writer's file has been sealed. Not evidence, only a bookmark.
    sa.Column("writer", sa.String(32), primary_key=True),
    sa.Column("sealed", sa.BigInteger, nullable=False),
)

AUDIT_COSIGNATURES = sa.Table(
    "audit_cosignatures",
    METADATA,
    # What witnesses put under checkpoints. Each line proves itself, so nothing guards the table.
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("witness", sa.String(255), primary_key=True),
    sa.Column("line", sa.Text, nullable=False),  # C2SP tlog-cosignature
)

AUDIT_VERIFICATION = sa.Table(
    "audit_verification",
    METADATA,
    # How far the worker has verified the log. Not evidence: each whole pass begins at the first entry again.
    sa.Column("name", sa.String(8), primary_key=True),  # one row, `log`
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("begun_at", sa.BigInteger, nullable=False),  # of the present pass
    sa.Column("verified_at", sa.BigInteger),  # null until something was verified
    sa.Column("whole_size", sa.BigInteger),  # of the last pass over the whole log
    sa.Column("whole_at", sa.BigInteger),
    sa.Column("failure", sa.Text),  # the findings as JSON; null while the log verifies
    sa.Column("failed_at", sa.BigInteger),
)

AUDIT_EXPORTS = sa.Table(
    "audit_exports",
    METADATA,
    sa.Column("export_id", sa.String(32), primary_key=True),  # also the id of the audit entry of the request
    sa.Column("requested_by", sa.String(64), nullable=False),
    sa.Column("requested_at", sa.BigInteger, nullable=False),
    sa.Column("query", sa.Text, nullable=False),  # JSON
    sa.Column("state", sa.String(8), nullable=False, index=True),  # queued | running | done | failed
    sa.Column("read", sa.BigInteger, nullable=False),  # entries looked at so far, of `total`
    sa.Column("total", sa.BigInteger),
    sa.Column("seen_at", sa.BigInteger, nullable=False),  # last sign of life of whoever writes it
    sa.Column("ends_at", sa.BigInteger),  # when the finished package is deleted
    sa.Column("summary", sa.Text),  # JSON: what the package holds, or why there is none
)

AUDIT_STREAMS = sa.Table(
    "audit_streams",
    METADATA,
    # How far each SIEM was told of the log. Not evidence, only a bookmark: going back sends entries again.
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),  # the index of the next entry to send
    sa.Column("sent_at", sa.BigInteger, nullable=False),
)


_AUDIT_TABLES = frozenset({AUDIT_QUEUE, AUDIT_LOG, AUDIT_NODES, AUDIT_CHECKPOINTS, AUDIT_WRITERS})


def _guard(
    _target: sa.MetaData, connection: sa.Connection, tables: Sequence[sa.Table] = (), **_options: object
) -> None:
    if set(tables) >= _AUDIT_TABLES:  # not where a test creates other rooms' tables alone
        for statement in append_only_ddl(connection.dialect.name):
            connection.exec_driver_sql(statement)


sa.event.listen(METADATA, "after_create", _guard)
