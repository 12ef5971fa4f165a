"""Tables of the consent room: append-only events, and the state projected from them in the same transaction."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

CONSENT_EVENTS = sa.Table(
    "consent_events",
    METADATA,
    sa.Column("event_id", sa.String(32), primary_key=True),
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),  # dense per person, from 1
    sa.Column("purpose", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("occurred_at", sa.BigInteger, nullable=False),
    sa.Column("recorded_at", sa.BigInteger, nullable=False),
    sa.Column("valid_until", sa.BigInteger),
    sa.Column("channel", sa.String(64), nullable=False),
    sa.Column("how", sa.String(32), nullable=False),
    sa.Column("recorded_by", sa.String(64), nullable=False),
    sa.Column("notice", sa.String(64)),
    sa.Column("notice_version", sa.String(32)),
    sa.Column("notice_sha256", sa.String(64)),  # of the text shown, in hex; null where none of ours was named
    sa.Column("language", sa.String(35)),
    sa.Column("reference", sa.String(128)),
    sa.Column("conditions", sa.Text, nullable=False),  # JSON array, sorted
    sa.Column("frequency", sa.String(16)),
    sa.UniqueConstraint("data_subject", "position"),
)

NOTICE_TEXTS = sa.Table(
    "notice_texts",
    METADATA,
    sa.Column("notice", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(32), primary_key=True),
    sa.Column("language", sa.String(35), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False, unique=True),
    sa.Column("document", sa.Text, nullable=False),  # JSON object: the text that the hash covers
    sa.Column("purposes", sa.Text, nullable=False),  # JSON array
    sa.Column("first_used_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

PERSON_STATE = sa.Table(
    "person_state",
    METADATA,
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),  # the last event folded in
    sa.Column("parental_authorisation", sa.Boolean, nullable=False),
    sa.Column("restricted", sa.Boolean, nullable=False),
    sa.Column("limited", sa.Boolean, nullable=False),
    sa.Column("gpc", sa.Boolean, nullable=False),
    sa.Column("member", sa.Boolean, nullable=False),
    sa.Column("erasure_pending", sa.Boolean, nullable=False),
    sa.Column("erased", sa.Boolean, nullable=False),
    sa.Column("legal_hold", sa.Boolean, nullable=False),
    # JSON object, flag -> micros of its latest restricting event: an older opening one recorded late lifts nothing
    sa.Column("closed_at", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

PURPOSE_STATE = sa.Table(
    "purpose_state",
    METADATA,
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), primary_key=True),
    sa.Column("purpose", sa.String(64), primary_key=True),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("given_at", sa.BigInteger),
    sa.Column("valid_until", sa.BigInteger),
    sa.Column("notice_version", sa.String(32)),
    sa.Column("objected", sa.Boolean, nullable=False),
    sa.Column("opted_out", sa.Boolean, nullable=False),
    sa.Column("opted_in_again", sa.Boolean, nullable=False),
    sa.Column("unsubscribed", sa.Boolean, nullable=False),
    sa.Column("conditions", sa.Text, nullable=False),  # JSON array, sorted
    sa.Column("closed_at", sa.BigInteger),  # the latest restricting event; an older opening one lifts nothing
    sa.Column("event_id", sa.String(32), nullable=False),
    sa.Column("paused_until", sa.BigInteger),
    sa.Column("paused_at", sa.BigInteger),
    sa.Column("pause_event", sa.String(32)),
    sa.Column("frequency", sa.String(16)),
    sqlite_with_rowid=False,
)


_SQLITE_GUARDS = (
    """CREATE TRIGGER consent_events_never_updated BEFORE UPDATE ON consent_events
BEGIN SELECT RAISE(ABORT, 'consent events are append-only'); END""",
    """CREATE TRIGGER consent_events_never_deleted BEFORE DELETE ON consent_events
BEGIN SELECT RAISE(ABORT, 'consent events are append-only'); END""",
    # INSERT OR REPLACE deletes without firing the delete trigger, so an insert over a present row is refused too.
    """CREATE TRIGGER consent_events_never_replaced BEFORE INSERT ON consent_events
WHEN EXISTS (SELECT 1 FROM consent_events WHERE event_id = NEW.event_id)
  OR EXISTS (SELECT 1 FROM consent_events WHERE data_subject = NEW.data_subject AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'consent events are append-only'); END""",
)
_POSTGRESQL_GUARDS = (
    """CREATE FUNCTION refuse_consent_event_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'consent events are append-only'; END $$""",
    """CREATE TRIGGER consent_events_never_changed BEFORE UPDATE OR DELETE ON consent_events
FOR EACH ROW EXECUTE FUNCTION refuse_consent_event_change()""",
    """CREATE TRIGGER consent_events_never_emptied BEFORE TRUNCATE ON consent_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_consent_event_change()""",
)


def append_only_ddl(dialect: str) -> tuple[str, ...]:
    """The statements that make the database itself refuse to change a consent event; for `sqlite` or `postgresql`."""
    return {"sqlite": _SQLITE_GUARDS, "postgresql": _POSTGRESQL_GUARDS}[dialect]


@sa.event.listens_for(CONSENT_EVENTS, "after_create")
def _guard_events(_table: sa.Table, connection: sa.Connection, **_options: object) -> None:
    for statement in append_only_ddl(connection.dialect.name):
        connection.exec_driver_sql(statement)
