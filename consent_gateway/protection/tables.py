"""Tables of the key database, which lives apart from every other so that it has a back-up policy of its own.

Nothing here opens without the key provider: epochs and named keys are wrapped by it, shard keys by their
epoch, the keys of people by their shard.
"""

import sqlalchemy as sa

from consent_gateway.database import KEY_METADATA

EPOCHS = sa.Table(
    "key_epochs",
    KEY_METADATA,
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("wrapped", sa.LargeBinary),  # by the provider; null once closed
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("superseded_at", sa.BigInteger),  # from here on nothing new is wrapped under it
    sa.Column("closed_at", sa.BigInteger),  # from here on nothing opens under it
    # The mark `destroyed` when it was opened: once every epoch before is closed, no back-up opens any of these.
    sa.Column("destroyed", sa.BigInteger, nullable=False, server_default="0"),
)

SHARD_KEYS = sa.Table(
    "shard_keys",
    KEY_METADATA,
    # The epoch it was drawn in; it goes on through later ones as long as nobody under it is erased.
    sa.Column("epoch", sa.Integer, sa.ForeignKey("key_epochs.epoch"), primary_key=True, autoincrement=False),
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),  # 0 to 4095
    sa.Column("under", sa.Integer, sa.ForeignKey("key_epochs.epoch"), nullable=False),  # the epoch that wraps it now
    sa.Column("wrapped", sa.LargeBinary, nullable=False),  # AES-KW under a key derived from that epoch's
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("lost_at", sa.BigInteger),  # somebody under it was erased: the next closing draws another in its place
)

# The shard leads the key, so that the people of one shard are neighbours on disk and a closing goes through the table
# once, page by page. No other index: each would be written again for every person at every closing.
PERSON_KEYS = sa.Table(
    "person_keys",
    KEY_METADATA,
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data_subject", sa.String(32), primary_key=True),
    # That of the shard key it is wrapped under; of a destroyed key the epoch at whose closing old back-ups lose it.
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("key_id", sa.String(4), nullable=False),  # random; written in every value sealed under the data key
    sa.Column("fingerprint", sa.String(32), nullable=False),  # one-way mark of the data key, for certificates
    sa.Column("wrapped", sa.LargeBinary),  # AES-KW of data key and seed; null once destroyed
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("destroyed_at", sa.BigInteger),  # the row stays, empty, so that no later write makes the person new keys
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": 50},  # room in each page for its rows' next version
)

NAMED_KEYS = sa.Table(
    "named_keys",
    KEY_METADATA,
    sa.Column("kind", sa.String(16), primary_key=True),  # pseudonym | token | index | service
    sa.Column("name", sa.String(200), primary_key=True),  # JSON array: [purpose, recipient], [kind, mode, rule]
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.String(4), nullable=False, unique=True),  # random, so that ids tell nothing of recipients
    sa.Column("wrapped", sa.LargeBinary),  # by the provider; null once retired
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("retired_at", sa.BigInteger),  # the row stays, empty, so that neither number nor id is used again
    sa.CheckConstraint("(wrapped IS NULL) = (retired_at IS NOT NULL)", name="empty_once_retired"),
)

# Small numbers that every process looks at: `destroyed` and `closed` go up with each destruction and each closing,
# `wrapping` is a row to hold while something is wrapped by the provider and written down.
KEY_MARKS = sa.Table(
    "key_marks",
    KEY_METADATA,
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

KEY_JOBS = sa.Table(
    "key_jobs",
    KEY_METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(16), nullable=False),  # close-epoch | rotate-root
    sa.Column("step", sa.String(16), nullable=False),  # the last one that is done
    sa.Column("state", sa.Text, nullable=False),  # JSON: what the steps came to
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("finished_at", sa.BigInteger),
)

KEY_BACKUPS = sa.Table(
    "key_backups",
    KEY_METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),  # SHA-256 over its rows
    sa.Column("epoch", sa.Integer, nullable=False),  # the present one then
    sa.Column("people", sa.BigInteger, nullable=False),  # living
    sa.Column("destroyed", sa.BigInteger, nullable=False),  # the mark `destroyed` then
    sa.Column("verified_at", sa.BigInteger, nullable=False),
    sa.Column("ends_epoch", sa.Integer),  # the epoch that was closed on the strength of it
)

KEPT = (EPOCHS, SHARD_KEYS, NAMED_KEYS, KEY_MARKS, KEY_BACKUPS)
"""What a back-up holds beside the keys of people."""
