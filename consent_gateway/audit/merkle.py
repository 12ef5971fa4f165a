"""The Merkle tree of RFC 6962: hashes, growth, proofs and their verification; pure, and imports nothing of ours.

A node is named by its level (0 is a leaf) and its position from the left; it covers the leaves from
`position << level` to `(position + 1) << level`. Proof formats are those of RFC 6962 section 2.1, their
verification follows RFC 9162 sections 2.1.3.2 and 2.1.4.2.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()
HASH_BYTES = 32

NodeReader = Callable[[int, int], bytes]
"""(level, position) -> the hash of a complete subtree."""

OnNode = Callable[[int, int, bytes], None]


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf: SHA-256 over 0x00 and the leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256 over 0x01 and its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class CompactRange:
    """The growing edge of a tree: the roots of the complete subtrees that make up its leaves, left to right.

    `hashes` belong to `cover(0, size)`. `on_node` is told each inner node as it becomes complete.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = (), on_node: OnNode | None = None) -> None:
        levels = [level for level, _position in cover(0, size)]
        self.size = size
        self._edge = list(zip(levels, hashes, strict=True))
        self._on_node = on_node

    def append(self, subtree: bytes, level: int = 0) -> None:
        """Add a leaf hash, or the root of a complete subtree whose first leaf is the next one."""
        if self.size & ((1 << level) - 1):
            raise ValueError("a subtree must start at a multiple of its width")
        position = self.size >> level
        self.size += 1 << level
        edge = self._edge
        while edge and edge[-1][0] == level:
            subtree = node_hash(edge.pop()[1], subtree)
            level += 1
            position >>= 1
            if self._on_node is not None:
                self._on_node(level, position, subtree)
        edge.append((level, subtree))

    def root(self) -> bytes:
        """The root hash of the tree so far."""
        return folded(subtree for _level, subtree in self._edge)

    @property
    def hashes(self) -> list[bytes]:
        """The roots of `cover(0, size)`."""
        return [subtree for _level, subtree in self._edge]


def folded(subtrees: Iterable[bytes]) -> bytes:
    """The root over the complete subtrees of a left-aligned range, given left to right."""
    root: bytes | None = None
    for subtree in reversed(list(subtrees)):
        root = subtree if root is None else node_hash(subtree, root)
    return EMPTY_ROOT if root is None else root


def cover(start: int, end: int) -> list[tuple[int, int]]:
    """The fewest complete subtrees that make up the leaves `start` to `end`, as (level, position), left to right."""
    parts = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        parts.append((level, start >> level))
        start += 1 << level
    return parts


def root_at(size: int, node: NodeReader) -> bytes:
    """The root that the tree had at this size."""
    return _range_root(0, size, node)


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """The audit path of the leaf at `index` in the tree of `size` leaves, from its sibling upwards."""
    if not 0 <= index < size:
        raise ValueError("the leaf is not in the tree")
    start, end = 0, size
    path = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return [_range_root(left, right, node) for left, right in reversed(path)]


def consistency_proof(old_size: int, size: int, node: NodeReader) -> list[bytes]:
    """Proof that the tree of `size` leaves begins with the tree of `old_size` leaves."""
    if not 0 <= old_size <= size:
        raise ValueError("a tree only grows")
    if old_size in (0, size):
        return []
    start, end = 0, size
    path = []
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    if start:  # the old tree's right-most part is a subtree that the verifier cannot derive
        path.append((start, end))
    return [_range_root(left, right, node) for left, right in reversed(path)]


def inclusion_holds(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows the leaf hash at `index` in the tree of `size` leaves with this root."""
    if not 0 <= index < size or not _all_hashes([leaf, root, *proof]):
        return False
    low, high, reached = index, size - 1, leaf
    for sibling in proof:
        if high == 0:
            return False
        if low & 1 or low == high:
            reached = node_hash(sibling, reached)
            while low and not low & 1:
                low, high = low >> 1, high >> 1
        else:
            reached = node_hash(reached, sibling)
        low, high = low >> 1, high >> 1
    return high == 0 and reached == root


def consistency_holds(old_size: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> bool:
    """Whether the proof shows that the tree of `size` leaves begins with the tree of `old_size` leaves."""
    if old_size == size:
        return not proof and old_root == root
    if old_size == 0:
        return not proof and size > 0
    if not 0 < old_size < size or not _all_hashes([old_root, root, *proof]):
        return False
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    low, high = old_size - 1, size - 1
    while low & 1:
        low, high = low >> 1, high >> 1
    return bool(path) and _climb(path, low, high) == (old_root, root)


def _climb(path: list[bytes], low: int, high: int) -> tuple[bytes, bytes] | None:
    old = new = path[0]
    for sibling in path[1:]:
        if high == 0:
            return None
        if low & 1 or low == high:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while low and not low & 1:
                low, high = low >> 1, high >> 1
        else:
            new = node_hash(new, sibling)
        low, high = low >> 1, high >> 1
    return (old, new) if high == 0 else None


def _range_root(start: int, end: int, node: NodeReader) -> bytes:
    return folded(node(level, position) for level, position in cover(start, end))


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << ((width - 1).bit_length() - 1)


def _all_hashes(hashes: Iterable[bytes]) -> bool:
    return all(len(one) == HASH_BYTES for one in hashes)
