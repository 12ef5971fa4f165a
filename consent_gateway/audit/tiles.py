"""The log as tiles of C2SP tlog-tiles: names, contents, and a copy in a folder; writes nothing into the database."""

import re
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.columns import raw
from consent_gateway.audit.tables import AUDIT_LOG
from consent_gateway.audit.tree import STORED_LEVELS, TILE, stored_hashes
from consent_gateway.errors import LogDamaged, NotFound

ENTRIES = "entries"
_MOST_LEVEL = 7  # 2**64 entries end there
_NAME = re.compile(r"((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_LEVEL = re.compile(r"0|[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: hashes of a level, or a bundle of entries where `level` is None. A partial one is narrower than 256."""

    level: int | None
    index: int
    width: int = TILE

    @property
    def path(self) -> str:
        """Where it is served, below the log's prefix."""
        digits = str(self.index)
        digits = "0" * (-len(digits) % 3) + digits
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = ENTRIES if self.level is None else str(self.level)
        return f"tile/{level}/{place}" + ("" if self.width == TILE else f".p/{self.width}")


def read_tile(level: str, name: str) -> Tile:
    """The tile of this path. Raises `NotFound` for one that no log has."""
    found = _NAME.fullmatch(name) if len(name) <= 64 else None
    known = level == ENTRIES or _LEVEL.fullmatch(level) is not None
    if found is None or not known or int(found[3] or 1) >= TILE:
        raise NotFound("no tile has this name: see c2sp.org/tlog-tiles")
    tile = Tile(
        None if level == ENTRIES else int(level),
        int((found[1] + found[2]).replace("x", "").replace("/", "")),
        int(found[3] or TILE),
    )
    if tile.path != f"tile/{level}/{name}" or (tile.level or 0) > _MOST_LEVEL:
        raise NotFound("no tile has this name: see c2sp.org/tlog-tiles")
    return tile


def tile_bytes(connection: sa.Connection, tile: Tile, size: int) -> bytes:
    """What the tile holds. Raises `NotFound` where the tree of `size` leaves has no such tile."""
    stored = STORED_LEVELS * (tile.level or 0)
    first = tile.index * TILE
    if first + tile.width > size >> stored:
        raise NotFound("the log has not grown to this tile yet")
    if tile.level is None:
        return _bundle(connection, first, tile.width)
    return b"".join(stored_hashes(connection, stored, first, tile.width))


def _bundle(connection: sa.Connection, first: int, width: int) -> bytes:
    log = AUDIT_LOG.c
    entries = connection.execute(
        sa.select(log.entry).where(log.leaf_index.between(first, first + width - 1)).order_by(log.leaf_index)
    ).scalars()
    leaves = [raw(entry) for entry in entries]
    if len(leaves) != width:
        raise LogDamaged("entries of this bundle are missing: verify the log", first)
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def tiles_of(size: int) -> list[Tile]:
    """Every tile of a tree of this size, bundles first, then level by level."""
    tiles = []
    for level in (None, *range(_MOST_LEVEL + 1)):
        count = size >> STORED_LEVELS * (level or 0)
        tiles += [Tile(level, index) for index in range(count // TILE)]
        if count % TILE:
            tiles.append(Tile(level, count // TILE, count % TILE))
    return tiles


def write_tiles(connection: sa.Connection, folder: Path, note: str, size: int) -> None:
    """Bring a copy of the tiles in a folder up to this checkpoint, which is written last."""
    for tile in tiles_of(size):
        path = folder / tile.path
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(tile_bytes(connection, tile, size))
        draft.replace(path)
    (folder / "checkpoint").write_text(note)
