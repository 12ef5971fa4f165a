"""The writer chain: envelopes each entry of one process with its writer, a dense number and the hash before it.

Until an entry is sealed into the tree, the chain is what shows that one was removed or altered. It holds no
secret: whoever can rewrite a whole chain is found by the signed checkpoints, not by this.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

NO_PREVIOUS = "0" * 64
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Position:
    """Where a chain stands: the number of its last leaf (0 before the first) and that leaf's SHA-256 in hex."""

    seq: int
    prev: str


class WriterChain:
    """Numbers and links the leaves of one writer. Owned by one thread."""

    def __init__(self, writer: str) -> None:
        self.writer = writer
        self.position = Position(0, NO_PREVIOUS)

    def extend(self, bodies: Sequence[bytes]) -> list[bytes]:
        """The leaves of these canonical entries, in order; moves `position`, which the caller may set back."""
        seq, prev = self.position.seq, self.position.prev
        leaves = []
        for body in bodies:
            seq += 1
            leaf = b'{"entry":%b,"format":%d,"prev":"%b","seq":%d,"writer":"%b"}' % (
                body,
                FORMAT,
                prev.encode(),
                seq,
                self.writer.encode(),
            )
            prev = hashlib.sha256(leaf).hexdigest()
            leaves.append(leaf)
        self.position = Position(seq, prev)
        return leaves


def unchained(body: bytes) -> bytes:
    """The leaf of an entry that is written inside a change's own transaction."""
    return b'{"entry":%b,"format":%d}' % (body, FORMAT)


def opened(leaf: bytes) -> dict[str, Any]:
    """The entry's members out of a leaf, chained or not. Raises ValueError if it is not a leaf."""
    document = orjson.loads(leaf)
    entry = document.get("entry") if isinstance(document, dict) else None
    if isinstance(entry, dict):
        return entry
    raise ValueError("not an audit leaf")
