"""Makes the queue, the sealed log, its tree and checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0005_audit"
down_revision = "0004_callers"

# Written out, not imported: a migration must stay what it was.
TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER IF NOT EXISTS audit_log_never_update BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_log_never_delete BEFORE DELETE ON audit_log BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_nodes_never_update BEFORE UPDATE ON audit_nodes BEGIN SELECT RAISE(ABORT, 'audit_nodes is append-only'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_nodes_never_delete BEFORE DELETE ON audit_nodes BEGIN SELECT RAISE(ABORT, 'audit_nodes is append-only'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_checkpoints_never_update BEFORE UPDATE ON audit_checkpoints BEGIN SELECT RAISE(ABORT, 'audit_checkpoints is append-only'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_checkpoints_never_delete BEFORE DELETE ON audit_checkpoints BEGIN SELECT RAISE(ABORT, 'audit_checkpoints is append-only'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_log_never_replace BEFORE INSERT ON audit_log WHEN EXISTS (SELECT 1 FROM audit_log WHERE leaf_index = NEW.leaf_index) BEGIN SELECT RAISE(ABORT, 'audit_log has this row already'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_nodes_never_replace BEFORE INSERT ON audit_nodes WHEN EXISTS (SELECT 1 FROM audit_nodes WHERE level = NEW.level AND position = NEW.position) BEGIN SELECT RAISE(ABORT, 'audit_nodes has this row already'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_checkpoints_never_replace BEFORE INSERT ON audit_checkpoints WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE size = NEW.size) BEGIN SELECT RAISE(ABORT, 'audit_checkpoints has this row already'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_queue_never_replace BEFORE INSERT ON audit_queue WHEN EXISTS (SELECT 1 FROM audit_queue WHERE n = NEW.n OR entry_id = NEW.entry_id) BEGIN SELECT RAISE(ABORT, 'audit_queue has this row already'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_log_dense BEFORE INSERT ON audit_log WHEN NEW.leaf_index <> (SELECT coalesce(max(leaf_index) + 1, 0) FROM audit_log) BEGIN SELECT RAISE(ABORT, 'audit_log has no gaps'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_checkpoints_grow BEFORE INSERT ON audit_checkpoints WHEN NEW.size <= (SELECT coalesce(max(size), -1) FROM audit_checkpoints) BEGIN SELECT RAISE(ABORT, 'audit_checkpoints only grow'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_queue_never_update BEFORE UPDATE ON audit_queue BEGIN SELECT RAISE(ABORT, 'audit_queue is never updated'); END",
        "CREATE TRIGGER IF NOT EXISTS audit_queue_delete_sealed BEFORE DELETE ON audit_queue WHEN NOT EXISTS (SELECT 1 FROM audit_log WHERE entry_id = OLD.entry_id AND entry = OLD.entry) BEGIN SELECT RAISE(ABORT, 'audit_queue row is not sealed'); END",
    ),
    "postgresql": (
        """CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only'; END $$""",
        """CREATE OR REPLACE FUNCTION audit_refuse_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NOT EXISTS (SELECT 1 FROM audit_log WHERE entry_id = OLD.entry_id AND entry = OLD.entry) THEN
            RAISE EXCEPTION 'audit_queue row is not sealed';
          END IF;
          RETURN OLD;
        END $$""",
        """CREATE OR REPLACE FUNCTION audit_refuse_smaller() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NEW.size <= (SELECT max(size) FROM audit_checkpoints) THEN
            RAISE EXCEPTION 'audit_checkpoints only grow';
          END IF;
          RETURN NEW;
        END $$""",
        """CREATE OR REPLACE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
            FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
        """CREATE OR REPLACE TRIGGER audit_nodes_append_only BEFORE UPDATE OR DELETE ON audit_nodes
            FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
        """CREATE OR REPLACE TRIGGER audit_checkpoints_append_only BEFORE UPDATE OR DELETE ON audit_checkpoints
            FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
        """CREATE OR REPLACE TRIGGER audit_queue_append_only BEFORE UPDATE ON audit_queue
            FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
        """CREATE OR REPLACE TRIGGER audit_log_never_truncate BEFORE TRUNCATE ON audit_log
            FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
        """CREATE OR REPLACE TRIGGER audit_nodes_never_truncate BEFORE TRUNCATE ON audit_nodes
            FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
        """CREATE OR REPLACE TRIGGER audit_checkpoints_never_truncate BEFORE TRUNCATE ON audit_checkpoints
            FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
        """CREATE OR REPLACE TRIGGER audit_queue_never_truncate BEFORE TRUNCATE ON audit_queue
            FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
        """CREATE OR REPLACE TRIGGER audit_queue_delete_sealed BEFORE DELETE ON audit_queue
        FOR EACH ROW EXECUTE FUNCTION audit_refuse_unsealed()""",
        """CREATE OR REPLACE TRIGGER audit_checkpoints_grow BEFORE INSERT ON audit_checkpoints
        FOR EACH ROW EXECUTE FUNCTION audit_refuse_smaller()""",
    ),
}

DROPS = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS audit_log_never_update",
        "DROP TRIGGER IF EXISTS audit_log_never_delete",
        "DROP TRIGGER IF EXISTS audit_nodes_never_update",
        "DROP TRIGGER IF EXISTS audit_nodes_never_delete",
        "DROP TRIGGER IF EXISTS audit_checkpoints_never_update",
        "DROP TRIGGER IF EXISTS audit_checkpoints_never_delete",
        "DROP TRIGGER IF EXISTS audit_log_never_replace",
        "DROP TRIGGER IF EXISTS audit_nodes_never_replace",
        "DROP TRIGGER IF EXISTS audit_checkpoints_never_replace",
        "DROP TRIGGER IF EXISTS audit_queue_never_replace",
        "DROP TRIGGER IF EXISTS audit_log_dense",
        "DROP TRIGGER IF EXISTS audit_checkpoints_grow",
        "DROP TRIGGER IF EXISTS audit_queue_never_update",
        "DROP TRIGGER IF EXISTS audit_queue_delete_sealed",
    ),
    "postgresql": (
        "DROP TRIGGER IF EXISTS audit_log_append_only ON audit_log",
        "DROP TRIGGER IF EXISTS audit_nodes_append_only ON audit_nodes",
        "DROP TRIGGER IF EXISTS audit_checkpoints_append_only ON audit_checkpoints",
        "DROP TRIGGER IF EXISTS audit_queue_append_only ON audit_queue",
        "DROP TRIGGER IF EXISTS audit_log_never_truncate ON audit_log",
        "DROP TRIGGER IF EXISTS audit_nodes_never_truncate ON audit_nodes",
        "DROP TRIGGER IF EXISTS audit_checkpoints_never_truncate ON audit_checkpoints",
        "DROP TRIGGER IF EXISTS audit_queue_never_truncate ON audit_queue",
        "DROP TRIGGER IF EXISTS audit_queue_delete_sealed ON audit_queue",
        "DROP TRIGGER IF EXISTS audit_checkpoints_grow ON audit_checkpoints",
        "DROP FUNCTION IF EXISTS audit_refuse()",
        "DROP FUNCTION IF EXISTS audit_refuse_unsealed()",
        "DROP FUNCTION IF EXISTS audit_refuse_smaller()",
    ),
}


def upgrade() -> None:
    op.create_table(
        "audit_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_audit_checkpoints")),
    )
    op.create_table(
        "audit_log",
        sa.Column("leaf_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("caller", sa.String(length=128), nullable=True),
        sa.Column("data_subject", sa.String(length=32), nullable=True),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_caller_recorded_at", "audit_log", ["caller", "recorded_at"], unique=False)
    op.create_index("ix_audit_log_data_subject_recorded_at", "audit_log", ["data_subject", "recorded_at"], unique=False)
    op.create_index(op.f("ix_audit_log_entry_id"), "audit_log", ["entry_id"], unique=False)
    op.create_index(op.f("ix_audit_log_recorded_at"), "audit_log", ["recorded_at"], unique=False)
    op.create_table(
        "audit_nodes",
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "position", name=op.f("pk_audit_nodes")),
    )
    op.create_table(
        "audit_queue",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("txid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_audit_queue")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_audit_queue_entry_id")),
    )
    op.create_index("ix_audit_queue_txid_n", "audit_queue", ["txid", "n"], unique=False)
    op.create_table(
        "audit_writers",
        sa.Column("writer", sa.String(length=32), nullable=False),
        sa.Column("sealed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("writer", name=op.f("pk_audit_writers")),
    )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in DROPS[op.get_bind().dialect.name]:
        op.execute(statement)
    op.drop_table("audit_writers")
    op.drop_index("ix_audit_queue_txid_n", table_name="audit_queue")
    op.drop_table("audit_queue")
    op.drop_table("audit_nodes")
    op.drop_index(op.f("ix_audit_log_recorded_at"), table_name="audit_log")
    op.drop_index(op.f("ix_audit_log_entry_id"), table_name="audit_log")
    op.drop_index("ix_audit_log_data_subject_recorded_at", table_name="audit_log")
    op.drop_index("ix_audit_log_caller_recorded_at", table_name="audit_log")
    op.drop_table("audit_log")
    op.drop_table("audit_checkpoints")
