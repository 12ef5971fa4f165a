"""The tree and the notes against values that others published; each vector names its source."""

import base64
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_gateway.audit import merkle
from consent_gateway.audit.checkpoint import (
    NoteInvalid,
    open_note,
    read_body,
    read_vkey,
    sign_note,
    signature_line,
    signatures,
)
from consent_gateway.audit.verify import LogKey

HERE = Path(__file__).parent
TREE: dict[str, Any] = json.loads((HERE / "rfc6962.json").read_text())
NOTES: list[dict[str, str]] = json.loads((HERE / "signed_notes.json").read_text())["notes"]
LEAVES = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in TREE["leaves"]]
ROOTS = [bytes.fromhex(root) for root in TREE["roots"]]


def node(level: int, position: int) -> bytes:
    """A complete subtree over the reference leaves."""
    if level == 0:
        return LEAVES[position]
    return merkle.node_hash(node(level - 1, 2 * position), node(level - 1, 2 * position + 1))


def proof_of(vector: dict[str, Any]) -> list[bytes]:
    """The hashes of a vector's proof."""
    return [bytes.fromhex(one) for one in vector["proof"]]


def note_of(vector: dict[str, str]) -> str:
    """The signed note of a vector."""
    return f"{vector['text']}\n— {vector['vkey'].split('+')[0]} {vector['signature']}\n"


def test_growing_tree_has_the_published_roots() -> None:
    """Each size of the reference tree has its published root, the empty one included."""
    tree = merkle.CompactRange()
    assert tree.root().hex() == TREE["empty_root"]
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        tree.append(leaf)
        assert tree.root() == root


@pytest.mark.parametrize("vector", TREE["inclusion"], ids=lambda v: f"{v['index']}-of-{v['size']}")
def test_inclusion_proofs(vector: dict[str, Any]) -> None:
    """The published audit path is made, and it verifies."""
    index, size, proof = vector["index"], vector["size"], proof_of(vector)
    assert merkle.inclusion_proof(index, size, node) == proof
    assert merkle.inclusion_holds(index, size, LEAVES[index], proof, ROOTS[size - 1])


@pytest.mark.parametrize("vector", TREE["inclusion"], ids=lambda v: f"{v['index']}-of-{v['size']}")
def test_corrupted_inclusion_proofs_are_refused(vector: dict[str, Any]) -> None:
    """Wrong index, size, leaf or root, and cut, extended or altered paths do not verify."""
    index, size, proof = vector["index"], vector["size"], proof_of(vector)
    leaf, root = LEAVES[index], ROOTS[size - 1]
    wrong = [
        (index - 1, size, leaf, proof, root),
        (index + 1, size, leaf, proof, root),
        (index ^ 2, size, leaf, proof, root),
        (index, size * 2, leaf, proof, root),
        (index, size // 2, leaf, proof, root),
        (index, size, b"not the leaf", proof, root),
        (index, size, leaf, proof, bytes.fromhex(TREE["empty_root"])),
        (index, size, leaf, [*proof, b""], root),
        (index, size, leaf, [*proof, root], root),
        (index, size, leaf, [b"", *proof], root),
        (index, size, leaf, [root, *proof], root),
        *((index, size, leaf, proof[:cut], root) for cut in range(len(proof))),
        *((index, size, leaf, _flipped(proof, at), root) for at in range(len(proof))),
    ]
    assert not [one for one in wrong if merkle.inclusion_holds(*one)]


@pytest.mark.parametrize("vector", TREE["consistency"], ids=lambda v: f"{v['old']}-to-{v['size']}")
def test_consistency_proofs(vector: dict[str, Any]) -> None:
    """The published consistency proof is made, and it verifies."""
    old, size, proof = vector["old"], vector["size"], proof_of(vector)
    assert merkle.consistency_proof(old, size, node) == proof
    assert merkle.consistency_holds(old, size, proof, ROOTS[old - 1], ROOTS[size - 1])


@pytest.mark.parametrize("vector", TREE["consistency"][1:], ids=lambda v: f"{v['old']}-to-{v['size']}")
def test_corrupted_consistency_proofs_are_refused(vector: dict[str, Any]) -> None:
    """Wrong sizes or roots, and cut, extended, preceded or altered proofs do not verify."""
    old, size, proof = vector["old"], vector["size"], proof_of(vector)
    first, second = ROOTS[old - 1], ROOTS[size - 1]
    wrong = [
        (old - 1, size, proof, first, second),
        (old + 1, size, proof, first, second),
        (old ^ 2, size, proof, first, second),
        (old, size * 2, proof, first, second),
        (old, size // 2, proof, first, second),
        (old, size, proof, second, first),
        (old, size, proof, b"wrong", second),
        (old, size, proof, first, b"wrong"),
        (old, size, [*proof, b""], first, second),
        (old, size, [*proof, first], first, second),
        (old, size, [*proof, second], first, second),
        (old, size, [b"", *proof], first, second),
        (old, size, [first, *proof], first, second),
        (old, size, [second, *proof], first, second),
        (old, size, [proof[0], *proof], first, second),
        *((old, size, proof[:cut], first, second) for cut in range(len(proof))),
        *((old, size, _flipped(proof, at), first, second) for at in range(len(proof))),
    ]
    assert not [one for one in wrong if merkle.consistency_holds(*one)]


def test_trivial_consistency() -> None:
    """Equal trees need an empty proof and equal roots; the empty tree precedes every tree; no tree shrinks."""
    one, two = ROOTS[0], ROOTS[1]
    assert merkle.consistency_holds(0, 1, [], merkle.EMPTY_ROOT, one)
    assert merkle.consistency_holds(1, 1, [], one, one)
    assert not merkle.consistency_holds(1, 1, [], one, two)
    assert not merkle.consistency_holds(1, 1, [one], one, one)
    assert not merkle.consistency_holds(0, 1, [one], merkle.EMPTY_ROOT, one)
    assert not merkle.consistency_holds(2, 1, [], two, one)
    assert not merkle.consistency_holds(1, 2, [], one, two)


@pytest.mark.parametrize("vector", NOTES, ids=lambda v: v["vkey"].split("+")[0])
def test_published_notes_open(vector: dict[str, str]) -> None:
    """A note that another implementation signed opens with its vkey, which is written back byte for byte."""
    key = read_vkey(vector["vkey"])
    assert str(key) == vector["vkey"]
    assert open_note(note_of(vector), [key]) == vector["text"]


@pytest.mark.parametrize("vector", NOTES, ids=lambda v: v["vkey"].split("+")[0])
def test_altered_notes_do_not_open(vector: dict[str, str]) -> None:
    """No single altered letter of the text, and no cut, leaves a note that opens."""
    key, note = read_vkey(vector["vkey"]), note_of(vector)
    for at in range(len(vector["text"])):
        altered = note[:at] + chr(ord(note[at]) ^ 1) + note[at + 1 :]
        with pytest.raises(NoteInvalid):
            open_note(altered, [key])
    for cut in range(len(note)):
        with pytest.raises(NoteInvalid):
            open_note(note[:cut], [key])


def test_the_published_private_key_signs_the_published_note() -> None:
    """Ed25519 is deterministic: signing the published text gives the published note, byte for byte."""
    vector = NOTES[0]
    name, _key_id, encoded = vector["skey"].removeprefix("PRIVATE+KEY+").split("+", 2)
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(encoded)[1:])
    assert sign_note(vector["text"], name, key) == note_of(vector)


def test_two_signatures_under_one_note() -> None:
    """A note with two signatures opens with either key, and a wrong signature under a known key refuses it."""
    first, second = NOTES[0], NOTES[1]
    line = note_of(second).rpartition("\n\n")[2]
    both = note_of(first) + line
    for vector in (first, second):
        assert open_note(both, [read_vkey(vector["vkey"])]) == first["text"]
    forged = both.replace(second["signature"][10:20], second["signature"][10:20].swapcase())
    assert open_note(forged, [read_vkey(first["vkey"])]) == first["text"]
    with pytest.raises(NoteInvalid):
        open_note(forged, [read_vkey(second["vkey"])])


def test_the_published_cosigned_checkpoint_is_read() -> None:
    """Head, lines and time of the specification's example are read; its lines are written back byte for byte."""
    given = json.loads((HERE / "signed_notes.json").read_text())["cosigned"]
    text, lines = signatures(given["note"])
    assert [name for name, _signed in lines] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert [len(signed) for _name, signed in lines] == [4 + 64, 4 + 8 + 64]
    assert int.from_bytes(lines[1][1][4:12], "big") == given["seconds"]
    head = read_body(text)
    assert (head.origin, head.size, head.body()) == ("example.com/behind-the-sofa", 20_852_163, text)
    assert text + "\n" + "".join(signature_line(*line) for line in lines) == given["note"]


def test_malformed_vkeys_are_refused() -> None:
    """Every proper part of a vkey, and a changed id, name or key, is refused."""
    vkey = NOTES[2]["vkey"]
    bad = [vkey[:cut] for cut in range(len(vkey))] + [vkey.replace("530d903a", "530d903b"), vkey.upper(), f"x{vkey}"]
    for one in bad:
        with pytest.raises(NoteInvalid):
            read_vkey(one)


def test_the_lifted_out_verifier_reads_the_same_vkeys() -> None:
    """The stand-alone verifier, which shares no code with the log, accepts the published vkeys too."""
    assert [LogKey(vector["vkey"]).name for vector in NOTES] == [vector["vkey"].split("+")[0] for vector in NOTES]


def test_the_roots_are_distinct() -> None:
    """The vectors themselves are sound: no two neighbouring roots are equal."""
    assert all(left != right for left, right in pairwise(ROOTS))


def _flipped(proof: list[bytes], at: int) -> list[bytes]:
    return [bytes([one[0] ^ 8, *one[1:]]) if i == at else one for i, one in enumerate(proof)]
