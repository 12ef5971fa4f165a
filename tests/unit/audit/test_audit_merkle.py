"""The tree against a naive recursive oracle written from the text of RFC 6962."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.audit import merkle

LEAVES = [hashlib.sha256(b"\x00" + str(n).encode()).digest() for n in range(600)]


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = naive_split(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_split(n: int) -> int:
    """The largest power of two below n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = naive_split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: list[bytes], *, complete: bool) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if m == len(leaves):
        return [] if complete else [naive_root(leaves)]
    k = naive_split(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], complete=complete), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], complete=False), naive_root(leaves[:k])]


def node(level: int, position: int) -> bytes:
    """A complete subtree over the test leaves."""
    return naive_root(LEAVES[position << level : (position + 1) << level])


sizes = st.integers(0, 300)


@given(sizes)
def test_roots(size: int) -> None:
    """A tree grown leaf by leaf, and one read from complete subtrees, have the naive root."""
    tree = merkle.CompactRange()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    assert tree.root() == naive_root(LEAVES[:size]) == merkle.root_at(size, node)
    assert tree.hashes == [node(level, position) for level, position in merkle.cover(0, size)]


@given(st.integers(1, 300), st.data())
def test_inclusion(size: int, data: st.DataObject) -> None:
    """Every audit path is the naive one, verifies, and verifies nowhere else."""
    index = data.draw(st.integers(0, size - 1))
    proof, root = merkle.inclusion_proof(index, size, node), naive_root(LEAVES[:size])
    assert proof == naive_path(index, LEAVES[:size])
    assert merkle.inclusion_holds(index, size, LEAVES[index], proof, root)
    other = data.draw(st.integers(0, size + 3))
    assert merkle.inclusion_holds(other, size, LEAVES[index], proof, root) is (other == index)
    assert not merkle.inclusion_holds(index, size, LEAVES[size], proof, root)


@given(st.integers(1, 300), st.data())
def test_consistency(size: int, data: st.DataObject) -> None:
    """Every consistency proof is the naive one, verifies, and does not verify for another old tree."""
    old = data.draw(st.integers(1, size))
    proof = merkle.consistency_proof(old, size, node)
    old_root, root = naive_root(LEAVES[:old]), naive_root(LEAVES[:size])
    assert proof == naive_subproof(old, LEAVES[:size], complete=True)
    assert merkle.consistency_holds(old, size, proof, old_root, root)
    forked = [*LEAVES[: old - 1], LEAVES[599]]
    assert not merkle.consistency_holds(old, size, proof, naive_root(forked), root)


@given(sizes, sizes)
def test_growing_by_whole_subtrees(first: int, more: int) -> None:
    """Appending the subtrees of a range gives the same tree as appending its leaves."""
    end = first + more
    tree = merkle.CompactRange(first, [node(*part) for part in merkle.cover(0, first)])
    for level, position in merkle.cover(first, end):
        tree.append(node(level, position), level)
    assert tree.size == end
    assert tree.root() == naive_root(LEAVES[:end])


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_a_cover_is_an_unbroken_run_of_aligned_subtrees(one: int, two: int) -> None:
    """The parts of a range follow one another from its start to its end, few even for huge ranges."""
    start, end = sorted((one, two))
    parts = merkle.cover(start, end)
    spans = [(position << level, (position + 1) << level) for level, position in parts]
    assert all(left[1] == right[0] for left, right in pairwise(spans))
    assert (spans[0][0], spans[-1][1]) == (start, end) if spans else start == end
    assert len(parts) <= 82


def test_each_inner_node_is_told_once() -> None:
    """Growth reports every complete inner node, with its place and its naive hash."""
    told: dict[tuple[int, int], bytes] = {}

    def keep(level: int, position: int, subtree: bytes) -> None:
        assert told.setdefault((level, position), subtree) is subtree

    tree = merkle.CompactRange(on_node=keep)
    for leaf in LEAVES[:300]:
        tree.append(leaf)
    assert told == {(level, p): node(level, p) for level in range(1, 9) for p in range(300 >> level)}


def test_misuse_is_refused() -> None:
    """A misaligned subtree, a leaf outside the tree and a shrinking tree are refused."""
    tree = merkle.CompactRange()
    tree.append(LEAVES[0])
    with pytest.raises(ValueError, match="multiple of its width"):
        tree.append(LEAVES[1], 1)
    with pytest.raises(ValueError, match="not in the tree"):
        merkle.inclusion_proof(3, 3, node)
    with pytest.raises(ValueError, match="only grows"):
        merkle.consistency_proof(4, 3, node)
    assert merkle.consistency_proof(0, 3, node) == merkle.consistency_proof(3, 3, node) == []
