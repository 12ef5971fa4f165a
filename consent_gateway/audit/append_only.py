"""The triggers that keep the audit tables append-only; statements only, run by `create_all` and the migration.

A database administrator can drop them: they stop mistakes and stolen application credentials. What he then
alters is found by `verify`.
"""

_GUARDED = ("audit_log", "audit_nodes", "audit_checkpoints")


def append_only_ddl(dialect: str) -> tuple[str, ...]:
    """CREATE statements for the named dialect (`sqlite` or `postgresql`), in order; each may be run again.

    They hold no percent sign and no colon, so that neither driver nor Alembic takes one for a parameter.
    """
    return _sqlite() if dialect == "sqlite" else _postgresql()


def drop_append_only_ddl(dialect: str) -> tuple[str, ...]:
    """The statements that undo `append_only_ddl`, for a downgrade."""
    if dialect == "sqlite":
        names = [f"{table}_never_{act}" for table in _GUARDED for act in ("update", "delete")]
        names += [f"{table}_never_replace" for table in (*_GUARDED, "audit_queue")]
        names += ["audit_log_dense", "audit_checkpoints_grow", "audit_queue_never_update", "audit_queue_delete_sealed"]
        return tuple(f"DROP TRIGGER IF EXISTS {name}" for name in names)
    return (
        *(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}" for table in (*_GUARDED, "audit_queue")),
        *(f"DROP TRIGGER IF EXISTS {table}_never_truncate ON {table}" for table in (*_GUARDED, "audit_queue")),
        "DROP TRIGGER IF EXISTS audit_queue_delete_sealed ON audit_queue",
        "DROP TRIGGER IF EXISTS audit_checkpoints_grow ON audit_checkpoints",
        "DROP FUNCTION IF EXISTS audit_refuse()",
        "DROP FUNCTION IF EXISTS audit_refuse_unsealed()",
        "DROP FUNCTION IF EXISTS audit_refuse_smaller()",
    )


def _sqlite() -> tuple[str, ...]:
    def trigger(name: str, when: str, condition: str, message: str) -> str:
        guard = f" WHEN {condition}" if condition else ""
        return f"CREATE TRIGGER IF NOT EXISTS {name} {when}{guard} BEGIN SELECT RAISE(ABORT, '{message}'); END"

    keys = {
        "audit_log": "leaf_index = NEW.leaf_index",
        "audit_nodes": "level = NEW.level AND position = NEW.position",
        "audit_checkpoints": "size = NEW.size",
        "audit_queue": "n = NEW.n OR entry_id = NEW.entry_id",
    }
    statements = [
        trigger(f"{table}_never_{act}", f"BEFORE {act.upper()} ON {table}", "", f"{table} is append-only")
        for table in _GUARDED
        for act in ("update", "delete")
    ]
    statements += [
        # INSERT OR REPLACE deletes the row in its way without firing the delete trigger
        trigger(
            f"{table}_never_replace",
            f"BEFORE INSERT ON {table}",
            f"EXISTS (SELECT 1 FROM {table} WHERE {key})",  # noqa: S608 - names of this file, no input
            f"{table} has this row already",
        )
        for table, key in keys.items()
    ]
    return (
        *statements,
        trigger(
            "audit_log_dense",
            "BEFORE INSERT ON audit_log",
            "NEW.leaf_index <> (SELECT coalesce(max(leaf_index) + 1, 0) FROM audit_log)",
            "audit_log has no gaps",
        ),
        trigger(
            "audit_checkpoints_grow",
            "BEFORE INSERT ON audit_checkpoints",
            "NEW.size <= (SELECT coalesce(max(size), -1) FROM audit_checkpoints)",
            "audit_checkpoints only grow",
        ),
        trigger("audit_queue_never_update", "BEFORE UPDATE ON audit_queue", "", "audit_queue is never updated"),
        trigger(
            "audit_queue_delete_sealed",
            "BEFORE DELETE ON audit_queue",
            "NOT EXISTS (SELECT 1 FROM audit_log WHERE entry_id = OLD.entry_id AND entry = OLD.entry)",
            "audit_queue row is not sealed",
        ),
    )


def _postgresql() -> tuple[str, ...]:
    return (
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
        *(
            f"""CREATE OR REPLACE TRIGGER {table}_append_only BEFORE {acts} ON {table}
            FOR EACH ROW EXECUTE FUNCTION audit_refuse()"""
            for table, acts in (*((table, "UPDATE OR DELETE") for table in _GUARDED), ("audit_queue", "UPDATE"))
        ),
        *(
            f"""CREATE OR REPLACE TRIGGER {table}_never_truncate BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"""
            for table in (*_GUARDED, "audit_queue")
        ),
        """CREATE OR REPLACE TRIGGER audit_queue_delete_sealed BEFORE DELETE ON audit_queue
        FOR EACH ROW EXECUTE FUNCTION audit_refuse_unsealed()""",
        """CREATE OR REPLACE TRIGGER audit_checkpoints_grow BEFORE INSERT ON audit_checkpoints
        FOR EACH ROW EXECUTE FUNCTION audit_refuse_smaller()""",
    )
