"""Listings of the log: an index for each thing they filter by, in the order in which they list."""

from alembic import op

revision = "0024_newest"
down_revision = "0023_drp"

_FILTERS = ("kind", "caller", "data_subject")


def upgrade() -> None:
    op.create_index("ix_audit_log_newest", "audit_log", ["recorded_at", "leaf_index"], unique=False)
    for column in _FILTERS:
        op.create_index(
            f"ix_audit_log_{column}_newest", "audit_log", [column, "recorded_at", "leaf_index"], unique=False
        )
    op.drop_index(op.f("ix_audit_log_recorded_at"), table_name="audit_log")
    for column in ("caller", "data_subject"):
        op.drop_index(f"ix_audit_log_{column}_recorded_at", table_name="audit_log")


def downgrade() -> None:
    for column in ("caller", "data_subject"):
        op.create_index(f"ix_audit_log_{column}_recorded_at", "audit_log", [column, "recorded_at"], unique=False)
    op.create_index(op.f("ix_audit_log_recorded_at"), "audit_log", ["recorded_at"], unique=False)
    for column in _FILTERS:
        op.drop_index(f"ix_audit_log_{column}_newest", table_name="audit_log")
    op.drop_index("ix_audit_log_newest", table_name="audit_log")
