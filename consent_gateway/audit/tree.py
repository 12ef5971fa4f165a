"""Reads the log's Merkle tree out of the database; writes nothing.

Stored are the leaf hashes and every eighth level above, which are the tiles of C2SP tlog-tiles; a node between is
hashed from at most 128 stored ones.
"""

import sqlalchemy as sa

from consent_gateway.audit.merkle import NodeReader, node_hash
from consent_gateway.audit.tables import AUDIT_LOG, AUDIT_NODES
from consent_gateway.errors import LogDamaged

STORED_LEVELS = 8
TILE = 1 << STORED_LEVELS
_MOST_TILES = 64  # kept by one reader: the way from a leaf to the root, many times over


def node_reader(connection: sa.Connection) -> NodeReader:
    """Reads complete subtrees. Raises `LogDamaged` where a stored hash is missing."""

    def node(level: int, position: int) -> bytes:
        above = level % STORED_LEVELS
        return _over(stored_hashes(connection, level - above, position << above, 1 << above))

    return node


def tile_reader(connection: sa.Connection, size: int) -> NodeReader:
    """Reads complete subtrees of a tree of `size` leaves a tile at a time, for who reads many near each other."""
    tiles: dict[tuple[int, int], list[bytes]] = {}

    def node(level: int, position: int) -> bytes:
        above = level % STORED_LEVELS
        stored, first = level - above, position << above
        key = stored, first // TILE
        if key not in tiles:
            if len(tiles) >= _MOST_TILES:
                tiles.clear()
            width = min(TILE, (size >> stored) - key[1] * TILE)
            tiles[key] = stored_hashes(connection, stored, key[1] * TILE, width)
        return _over(tiles[key][first % TILE : first % TILE + (1 << above)])

    return node


def _over(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def stored_hashes(connection: sa.Connection, level: int, first: int, count: int) -> list[bytes]:
    """Neighbouring hashes of a stored level. Raises `LogDamaged` where one is missing."""
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
