"""Tables of the people room: people, identifiers as blind indexes, parts to search by, provenance, who was erased."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

PEOPLE = sa.Table(
    "people",
    METADATA,
    sa.Column("data_subject", sa.String(32), primary_key=True),  # `ds_…`, random
    sa.Column("store_key", sa.String(128), unique=True),  # the store's own key; null before a record exists
    sa.Column("jurisdiction", sa.String(8)),  # ISO 3166, null if unknown
    sa.Column("minor_born", sa.String(10)),  # ISO date, kept for people who may be minors only
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

IDENTIFIERS = sa.Table(
    "identifiers",
    METADATA,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("blind_index", sa.String(64), primary_key=True),  # `<key id>.<keyed digest>`, never the value
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), nullable=False, index=True),
    sa.Column("shared", sa.Boolean, nullable=False, default=False),  # more than one person uses it
    # What stands on the suppression list once the person is erased: at that time nobody has the value any more.
    sa.Column("suppression_tag", sa.String(32)),
    sqlite_with_rowid=False,
)

SHARED_IDENTIFIERS = sa.Table(
    "shared_identifiers",
    METADATA,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("blind_index", sa.String(64), primary_key=True),
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

FIELD_PROVENANCE = sa.Table(
    "field_provenance",
    METADATA,
    sa.Column("entry_id", sa.String(32), primary_key=True),  # the decision that let the value in
    sa.Column("field", sa.String(128), primary_key=True),
    sa.Column("data_subject", sa.String(32), nullable=False, index=True),
    sa.Column("source", sa.String(128), nullable=False),  # where the value came from, in the caller's words
    sa.Column("channel", sa.String(64), nullable=False),
    sa.Column("client_id", sa.String(64), nullable=False),
    sa.Column("purpose", sa.String(64), nullable=False),
    sa.Column("recorded_at", sa.BigInteger, nullable=False),
)

SUPPRESSIONS = sa.Table(
    "suppressions",
    METADATA,
    sa.Column("tag", sa.String(32), primary_key=True),  # keyed, covers the kind; see `suppression`
    sa.Column("kind", sa.String(32), nullable=False),  # of identifier, or `store_key`
    # No person and no time: with either, whoever knows the address could find the erased person's ledger by it.
    sqlite_with_rowid=False,
)

SHREDDINGS = sa.Table(
    "shreddings",
    METADATA,
    sa.Column("shredding_id", sa.String(32), primary_key=True),  # also the id of the audit entry of the intent
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), nullable=False, unique=True),
    sa.Column("reference", sa.String(128), nullable=False),  # to the request it answers
    sa.Column("requested_by", sa.String(64), nullable=False),
    sa.Column("begun_at", sa.BigInteger, nullable=False),
    sa.Column("suppressed", sa.Integer, nullable=False),  # identifiers and store key put on the suppression list
    sa.Column("shared", sa.Integer, nullable=False),  # identifiers that others use, and so are not on it
    sa.Column("fingerprint", sa.String(32)),  # this and the rest: null until the keys are destroyed and it is recorded
    sa.Column("shard", sa.Integer),
    sa.Column("epoch", sa.Integer),
    sa.Column("destroyed_at", sa.BigInteger),
    sa.Column("finished_at", sa.BigInteger, index=True),
    sa.Column("outcome_entry", sa.String(32)),
)

SEARCH_INDEXES = sa.Table(
    "search_indexes",
    METADATA,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("mode", sa.String(16), primary_key=True),  # last4 | prefix3 | email_domain
    sa.Column("blind_index", sa.String(64), primary_key=True),  # of a part of the identifier; many people have it
    sa.Column("data_subject", sa.String(32), sa.ForeignKey("people.data_subject"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

INDEX_KEYS = sa.Table(
    "index_keys",
    METADATA,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("mode", sa.String(16), primary_key=True),  # exact, or a mode of search
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),  # the highest is written, all are read
    sa.Column("key_id", sa.String(4), nullable=False, unique=True),
    sa.Column("rule", sa.Integer, nullable=False),  # version of the normalisation the key goes with
    sa.Column("state", sa.String(8), nullable=False),  # filling | filled | dropped
)

INDEX_GENERATION = sa.Table(
    "index_generation",
    METADATA,
    sa.Column("name", sa.String(8), primary_key=True),  # one row, `index`
    sa.Column("generation", sa.Integer, nullable=False),  # goes up whenever `index_keys` loses or gains a key
)


@sa.event.listens_for(INDEX_GENERATION, "after_create")
def _first_generation(table: sa.Table, connection: sa.Connection, **_rest: object) -> None:
    connection.execute(sa.insert(table).values(name="index", generation=1))
