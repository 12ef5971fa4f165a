"""Reads the log's Merkle tree out of the database; writes nothing.

Stored are the leaf hashes and every eighth level above; a node between is hashed from at most 128 stored ones.
"""

import sqlalchemy as sa

from consent_gateway.audit.merkle import NodeReader, node_hash
from consent_gateway.audit.tables import AUDIT_LOG, AUDIT_NODES
from consent_gateway.errors import LogDamaged

STORED_LEVELS = 8


def node_reader(connection: sa.Connection) -> NodeReader:
    """Reads complete subtrees. Raises `LogDamaged` where a stored hash is missing."""

    def node(level: int, position: int) -> bytes:
        above = level % STORED_LEVELS
        hashes = _stored(connection, level - above, position << above, 1 << above)
        while len(hashes) > 1:
            hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    return node


def _stored(connection: sa.Connection, level: int, first: int, count: int) -> list[bytes]:
    if level == 0:
        statement = (
            sa.select(AUDIT_LOG.c.leaf_hash)
            .where(AUDIT_LOG.c.leaf_index.between(first, first + count - 1))
            .order_by(AUDIT_LOG.c.leaf_index)
        )
    else:
        statement = (
            sa.select(AUDIT_NODES.c.hash)
            .where(AUDIT_NODES.c.level == level, AUDIT_NODES.c.position.between(first, first + count - 1))
            .order_by(AUDIT_NODES.c.position)
        )
    hashes = [bytes(value) for value in connection.execute(statement).scalars()]
    if len(hashes) != count:
        raise LogDamaged(
            f"the audit tree lacks {count - len(hashes)} hashes of level {level}: verify the log",
            first << level,
        )
    return hashes
