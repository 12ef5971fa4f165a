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
    sa.Column("wrapped", sa.LargeBinary, nullable=False),  # by the provider
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("closed_at", sa.BigInteger),  # null while new keys are still wrapped under it
)

SHARD_KEYS = sa.Table(
    "shard_keys",
    KEY_METADATA,
    sa.Column("epoch", sa.Integer, sa.ForeignKey("key_epochs.epoch"), primary_key=True, autoincrement=False),
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),  # 0 to 4095
    sa.Column("wrapped", sa.LargeBinary, nullable=False),  # AES-KW under a key derived from the epoch's
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

PERSON_KEYS = sa.Table(
    "person_keys",
    KEY_METADATA,
    sa.Column("data_subject", sa.String(32), primary_key=True),
    sa.Column("shard", sa.Integer, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("key_id", sa.String(4), nullable=False),  # random; written in every value sealed under the data key
    sa.Column("fingerprint", sa.String(32), nullable=False),  # one-way mark of the data key, for certificates
    sa.Column("wrapped", sa.LargeBinary),  # AES-KW of data key and seed; null once destroyed
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("destroyed_at", sa.BigInteger),  # the row stays, empty, so that no later write makes the person new keys
    sa.ForeignKeyConstraint(["epoch", "shard"], ["shard_keys.epoch", "shard_keys.shard"]),
    sa.Index(None, "epoch", "shard"),  # an epoch is closed shard by shard
)

NAMED_KEYS = sa.Table(
    "named_keys",
    KEY_METADATA,
    sa.Column("kind", sa.String(16), primary_key=True),  # pseudonym | token | index | service
    sa.Column("name", sa.String(200), primary_key=True),  # JSON array: [purpose, recipient], [kind, mode, rule]
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.String(4), nullable=False, unique=True),  # random, so that ids tell nothing of recipients
    sa.Column("wrapped", sa.LargeBinary, nullable=False),  # by the provider
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("retired_at", sa.BigInteger),
)
