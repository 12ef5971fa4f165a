"""Cosignatures of witnesses as C2SP tlog-cosignature has them (Ed25519, type 0x04); pure, and reads no clock.

A witness says: of the log `origin` this is the largest tree that I have seen, it contains every smaller one that
I have seen, and it was so at this second.
"""

import struct
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent_gateway.audit.checkpoint import COSIGNATURE, NoteInvalid, VerifierKey, signature_line, signatures

_HEADER = "cosignature/v1"
_BEFORE = 4 + 8  # key id and time


def witness_key(name: str, key: Ed25519PrivateKey) -> VerifierKey:
    """The public half of a witness."""
    return VerifierKey(name, key.public_key().public_bytes_raw(), COSIGNATURE)


def cosignature_line(text: str, name: str, key: Ed25519PrivateKey, seconds: int) -> str:
    """The line that a witness puts under the checkpoint with this text."""
    signed = witness_key(name, key).key_id + struct.pack(">Q", seconds) + key.sign(_message(text, seconds))
    return signature_line(name, signed)


def cosigned_at(note: str, key: VerifierKey) -> int | None:
    """When the witness cosigned the note, in seconds since 1970; None if it did not. Raises `NoteInvalid`."""
    text, signed_by = signatures(note)
    for name, signed in signed_by:
        if (name, signed[:4]) == (key.name, key.key_id):
            return _checked(text, signed, key)
    return None


def taken_from(note: str, answer: str, keys: Iterable[VerifierKey]) -> list[tuple[VerifierKey, str]]:
    """Of the lines that a witness answered, those that known keys really signed, once for each key."""
    found = []
    text, signed_by = signatures(note.partition("\n\n")[0] + "\n\n" + answer)
    for key in keys:
        line = next((signed for name, signed in signed_by if (name, signed[:4]) == (key.name, key.key_id)), None)
        if line is not None:
            _checked(text, line, key)
            found.append((key, signature_line(key.name, line)))
    return found


def _checked(text: str, signed: bytes, key: VerifierKey) -> int:
    if len(signed) != _BEFORE + 64:
        raise NoteInvalid(f"the cosignature of `{key.name}` has another length than it must")
    seconds = int(struct.unpack(">Q", signed[4:_BEFORE])[0])
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signed[_BEFORE:], _message(text, seconds))
    except (InvalidSignature, ValueError) as error:
        raise NoteInvalid(f"the cosignature of `{key.name}` does not fit the checkpoint") from error
    return seconds


def _message(text: str, seconds: int) -> bytes:
    return f"{_HEADER}\ntime {seconds}\n{text}".encode()
