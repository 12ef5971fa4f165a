"""Checkpoints as C2SP tlog-checkpoint bodies in C2SP signed notes (Ed25519); pure, and imports nothing of ours.

A checkpoint says: the log `origin` has `size` entries and this root hash. Whoever holds the log's vkey can
check it, and whoever keeps an old one can tell a log that was rolled back or rewritten since.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"  # signature types of C2SP signed-note
COSIGNATURE = b"\x04"
MAX_NOTE_BYTES = 100_000
_KEY_ID_BYTES = 4
_DASH = "\u2014 "


class NoteInvalid(ValueError):
    """A note, vkey or checkpoint is malformed, or bears no valid signature of a known key."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One tree head: the log's name, its number of entries, its root hash (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a note key: `name+keyid+base64(type || public key)`. `kind` is the type, a byte."""

    name: str
    public_key: bytes
    kind: bytes = ED25519

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256 over name, newline, type and public key."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.kind + self.public_key).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self.kind + self.public_key).decode()}"


def well_formed_name(name: str) -> bool:
    """Whether a key name may stand in a note: not empty, no space, no plus, no control character."""
    return bool(name) and name.isprintable() and "+" not in name and not any(sign.isspace() for sign in name)


def read_vkey(text: str, kind: bytes = ED25519) -> VerifierKey:
    """The key of this kind that a vkey line stands for. Raises `NoteInvalid`."""
    name, key_id, encoded = [*text.strip().split("+", 2), "", ""][:3]
    material = _decoded(encoded)
    if not well_formed_name(name) or material[:1] != kind or len(material) != 33:
        raise NoteInvalid("not an Ed25519 vkey of its kind: expected `name+keyid+base64`")
    key = VerifierKey(name, material[1:], kind)
    if key.key_id.hex() != key_id:
        raise NoteInvalid("the vkey's id does not fit its name and key: copy it again")
    return key


def sign_note(text: str, name: str, *keys: Ed25519PrivateKey) -> str:
    """The text with a signature line of each key. It must end in a newline and hold no other control character."""
    if not text.endswith("\n") or any(ord(sign) < 32 and sign != "\n" for sign in text):
        raise NoteInvalid("the text of a note ends in a newline and holds no other control character")
    ids = [VerifierKey(name, key.public_key().public_bytes_raw()).key_id for key in keys]
    lines = [signature_line(name, key_id + key.sign(text.encode())) for key_id, key in zip(ids, keys, strict=True)]
    return f"{text}\n{''.join(lines)}"


def signature_line(name: str, signed: bytes) -> str:
    """A line that stands under a note."""
    return f"{_DASH}{name} {base64.b64encode(signed).decode()}\n"


def signatures(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The note's text, and of each line under it the name and what it signed with. Raises `NoteInvalid`."""
    text, lines = _parts(note)
    read = []
    for line in lines:
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        signed = _decoded(encoded)
        if not line.startswith(_DASH) or not well_formed_name(name) or len(signed) <= _KEY_ID_BYTES:
            raise NoteInvalid("the note has a malformed signature line")
        read.append((name, signed))
    return text, read


def open_note(note: str, keys: Iterable[VerifierKey]) -> str:
    """The text of a note that at least one of the keys signed. Raises `NoteInvalid`.

    Signatures of other keys are ignored; a wrong signature under a known key's name and id refuses the note.
    """
    text, signed_by = signatures(note)
    known = {(key.name, key.key_id): key for key in keys}
    verified = False
    for name, signed in signed_by:
        key = known.get((name, signed[:_KEY_ID_BYTES]))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public_key).verify(signed[_KEY_ID_BYTES:], text.encode())
        except (InvalidSignature, ValueError) as error:
            raise NoteInvalid(f"the signature of `{name}` does not fit the note") from error
        verified = True
    if not verified:
        raise NoteInvalid("no known key signed the note")
    return text


def read_checkpoint(note: str, *keys: VerifierKey) -> Checkpoint:
    """The checkpoint in a note that one of the log's keys signed; its origin is their name. Raises `NoteInvalid`."""
    checkpoint = read_body(open_note(note, keys))
    if checkpoint.origin != keys[0].name:
        raise NoteInvalid(f"the checkpoint is of the log `{checkpoint.origin}`, not of `{keys[0].name}`")
    return checkpoint


def read_body(text: str) -> Checkpoint:
    """The checkpoint that a note's text tells; says nothing of who signed it. Raises `NoteInvalid`."""
    lines = text.split("\n")
    if len(lines) < 4 or "" in lines[:-1]:
        raise NoteInvalid("a checkpoint has an origin, a size and a root hash, a line each")
    origin, size, encoded = lines[:3]
    root = _decoded(encoded)
    if not size.isascii() or not size.isdigit() or str(int(size)) != size or len(root) != 32:
        raise NoteInvalid("the checkpoint's size or root hash is malformed")
    return Checkpoint(origin, int(size), root)


def _parts(note: str) -> tuple[str, list[str]]:
    if len(note) > MAX_NOTE_BYTES or not note.endswith("\n") or any(ord(sign) < 32 and sign != "\n" for sign in note):
        raise NoteInvalid("not a signed note")
    text, separator, signatures = note.rpartition("\n\n")
    if not separator:
        raise NoteInvalid("the note has no signature")
    return text + "\n", signatures.split("\n")[:-1]


def _decoded(encoded: str) -> bytes:
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteInvalid("the base64 is malformed") from error
    if base64.b64encode(decoded).decode() != encoded:  # spare bits: two texts for one value
        raise NoteInvalid("the base64 is not canonical")
    return decoded
