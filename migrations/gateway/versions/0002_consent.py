"""Makes the append-only ledger of choices and the state projected from it."""

import sqlalchemy as sa
from alembic import op

revision = "0002_consent"
down_revision = "0001_people"

# Written out, not imported: a migration must stay what it was.
TRIGGERS = {
    "sqlite": (
        """CREATE TRIGGER consent_events_never_updated BEFORE UPDATE ON consent_events
BEGIN SELECT RAISE(ABORT, 'consent events are append-only'); END""",
        """CREATE TRIGGER consent_events_never_deleted BEFORE DELETE ON consent_events
BEGIN SELECT RAISE(ABORT, 'consent events are append-only'); END""",
        """CREATE TRIGGER consent_events_never_replaced BEFORE INSERT ON consent_events
WHEN EXISTS (SELECT 1 FROM consent_events WHERE event_id = NEW.event_id)
  OR EXISTS (SELECT 1 FROM consent_events WHERE data_subject = NEW.data_subject AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'consent events are append-only'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION refuse_consent_event_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'consent events are append-only'; END $$""",
        """CREATE TRIGGER consent_events_never_changed BEFORE UPDATE OR DELETE ON consent_events
FOR EACH ROW EXECUTE FUNCTION refuse_consent_event_change()""",
        """CREATE TRIGGER consent_events_never_emptied BEFORE TRUNCATE ON consent_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_consent_event_change()""",
    ),
}


def upgrade() -> None:
    op.create_table(
        "consent_events",
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("how", sa.String(length=32), nullable=False),
        sa.Column("recorded_by", sa.String(length=64), nullable=False),
        sa.Column("notice", sa.String(length=64), nullable=True),
        sa.Column("notice_version", sa.String(length=32), nullable=True),
        sa.Column("language", sa.String(length=35), nullable=True),
        sa.Column("reference", sa.String(length=128), nullable=True),
        sa.Column("conditions", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["data_subject"], ["people.data_subject"], name=op.f("fk_consent_events_data_subject")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_consent_events")),
        sa.UniqueConstraint("data_subject", "position", name=op.f("uq_consent_events_data_subject_position")),
    )
    op.create_table(
        "person_state",
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parental_authorisation", sa.Boolean(), nullable=False),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.Column("limited", sa.Boolean(), nullable=False),
        sa.Column("gpc", sa.Boolean(), nullable=False),
        sa.Column("member", sa.Boolean(), nullable=False),
        sa.Column("erasure_pending", sa.Boolean(), nullable=False),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.Column("legal_hold", sa.Boolean(), nullable=False),
        sa.Column("closed_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["data_subject"], ["people.data_subject"], name=op.f("fk_person_state_data_subject")),
        sa.PrimaryKeyConstraint("data_subject", name=op.f("pk_person_state")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "purpose_state",
        sa.Column("data_subject", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=True),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("notice_version", sa.String(length=32), nullable=True),
        sa.Column("objected", sa.Boolean(), nullable=False),
        sa.Column("opted_out", sa.Boolean(), nullable=False),
        sa.Column("opted_in_again", sa.Boolean(), nullable=False),
        sa.Column("unsubscribed", sa.Boolean(), nullable=False),
        sa.Column("conditions", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["data_subject"], ["people.data_subject"], name=op.f("fk_purpose_state_data_subject")),
        sa.PrimaryKeyConstraint("data_subject", "purpose", name=op.f("pk_purpose_state")),
        sqlite_with_rowid=False,
    )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("purpose_state")
    op.drop_table("person_state")
    op.drop_table("consent_events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_consent_event_change()")
