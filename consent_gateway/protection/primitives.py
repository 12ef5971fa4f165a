"""The few cryptographic calls this room is made of; composes `cryptography` and the standard library, invents nothing.

Each wrapper fixes the algorithm and the shape of its bytes, and is proved with the vectors published for it
(tests/vectors). Nothing here knows what a key is for or draws anything at random: keys, nonces and contexts come in.
"""

import hmac
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from ffx import FF1

from consent_gateway.errors import KeysUnavailable, ProtectionRefused

try:
    from fastfpe import ff1 as fast_ff1  # the extra `fpe`: the same function in Rust, five times as fast
except ImportError:
    fast_ff1 = None

KEY_BYTES = 32
NONCE_BYTES = 12
FF1_LEAST = 1_000_000
"""The fewest texts FF1 may choose from (NIST SP 800-38G revision 1, second draft, section 5)."""


def bind(*parts: str | int | bytes) -> bytes:
    """One byte string of several parts, each preceded by its length, so that no two lists give the same bytes."""
    out = bytearray()
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        out += len(raw).to_bytes(4, "big")
        out += raw
    return bytes(out)


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104, vectors RFC 4231): 32 bytes."""
    return hmac.digest(key, message, "sha256")


def expand(key: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869 2.3). `key` must be uniformly random already, so nothing is extracted."""
    return HKDFExpand(algorithm=SHA256(), length=length, info=info).derive(key)


def wrap_key(wrapping_key: bytes, key: bytes) -> bytes:
    """AES key wrap (RFC 3394) under a 256-bit key: eight bytes longer than `key`."""
    return aes_key_wrap(wrapping_key, key)


def unwrap_key(wrapping_key: bytes, wrapped: bytes) -> bytes:
    """Undo `wrap_key`; raises `KeysUnavailable` where the wrapping key is another or a byte was changed."""
    try:
        return aes_key_unwrap(wrapping_key, wrapped)
    except InvalidUnwrap as error:
        raise KeysUnavailable("a wrapped key does not open under this key: restore the key database") from error


def gcm_encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """AES-256-GCM (NIST SP 800-38D): nonce, ciphertext, 16 bytes of tag. `nonce` is 12 fresh random bytes."""
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


def gcm_decrypt(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Undo `gcm_encrypt`; raises `KeysUnavailable` for another key, other associated data or a changed byte."""
    if len(sealed) < NONCE_BYTES + 16:
        raise KeysUnavailable("a sealed value is too short to be one")
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except InvalidTag as error:
        raise KeysUnavailable("a sealed value does not open here: it was altered, moved, or its key is gone") from error


def siv_encrypt(key: bytes, plaintext: bytes, associated: Sequence[bytes]) -> bytes:
    """AES-SIV (RFC 5297), deterministic: 16 bytes of synthetic IV, then the ciphertext. `key` is 32 or 64 bytes."""
    return AESSIV(key).encrypt(plaintext, list(associated))


def siv_decrypt(key: bytes, sealed: bytes, associated: Sequence[bytes]) -> bytes:
    """Undo `siv_encrypt`; raises `KeysUnavailable` for another key, other associated data or a changed byte."""
    try:
        return AESSIV(key).decrypt(sealed, list(associated))
    except InvalidTag as error:
        raise KeysUnavailable("a token does not open here: it was altered, moved, or its key is gone") from error


def ff1_encrypt(key: bytes, tweak: bytes, alphabet: str, text: str) -> str:
    """FF1 (NIST SP 800-38G) with AES: another text of the same length over the same alphabet.

    Raises `ProtectionRefused` where there are under a million texts of this length, or a character is not of the
    alphabet.
    """
    _ff1_check(alphabet, text)
    if fast_ff1 is not None:
        return str(fast_ff1.encrypt(key.hex(), tweak.hex(), alphabet, text))
    return str(FF1(key, alphabet=alphabet).encrypt(text, tweak=tweak))


def ff1_decrypt(key: bytes, tweak: bytes, alphabet: str, text: str) -> str:
    """Undo `ff1_encrypt`. Nothing is authenticated: under another key or tweak another text comes out, no error."""
    _ff1_check(alphabet, text)
    if fast_ff1 is not None:
        return str(fast_ff1.decrypt(key.hex(), tweak.hex(), alphabet, text))
    return str(FF1(key, alphabet=alphabet).decrypt(text, tweak=tweak))


def _ff1_check(alphabet: str, text: str) -> None:
    if len(alphabet) ** len(text) < FF1_LEAST:
        raise ProtectionRefused("a text this short has too few others of its form: FF1 needs a million (SP 800-38G)")
    if not set(text) <= set(alphabet):
        raise ProtectionRefused("a text holds a character that is not of its alphabet")
