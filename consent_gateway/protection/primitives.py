"""The few cryptographic calls this room is made of; composes `cryptography` and the standard library, invents nothing.

Each wrapper fixes the algorithm and the shape of its bytes, and is proved with the vectors published for it
(tests/vectors). Nothing here knows what a key is for or draws anything at random: keys, nonces and contexts come in.
"""

from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
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
_SHA256 = SHA256()
_SMALL = 256
_SIZES = tuple(size.to_bytes(4, "big") for size in range(_SMALL))  # looked up: most parts are short
FF1_LEAST = 1_000_000
"""The fewest texts FF1 may choose from (NIST SP 800-38G revision 1, second draft, section 5)."""


def bind(*parts: str | int | bytes) -> bytes:
    """One byte string of several parts, each preceded by its length, so that no two lists give the same bytes."""
    out: list[bytes] = []
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        size = len(raw)
        out += (_SIZES[size] if size < _SMALL else size.to_bytes(4, "big"), raw)
    return b"".join(out)


class Keyed:
    """HMAC-SHA-256 (RFC 2104) under one key that is used again: setting a key up costs twice what one message does."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = HMAC(key, _SHA256)

    def mac(self, message: bytes) -> bytes:
        """What `mac` gives under the key."""
        one = self._keyed.copy()
        one.update(message)
        return one.finalize()

    def expand(self, info: bytes) -> bytes:
        """What `expand` gives under the key: 32 bytes, which are one block of HKDF-Expand (RFC 5869 2.3)."""
        return self.mac(info + b"\x01")


def mac(key: bytes | Keyed, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104, vectors RFC 4231): 32 bytes."""
    if isinstance(key, Keyed):
        return key.mac(message)
    once = HMAC(key, _SHA256)
    once.update(message)
    return once.finalize()


def expand(key: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869 2.3). `key` must be uniformly random already, so nothing is extracted."""
    if length == KEY_BYTES:  # one block, which is what nearly every key is
        return mac(key, info + b"\x01")
    return HKDFExpand(algorithm=_SHA256, length=length, info=info).derive(key)


def wrap_key(wrapping_key: bytes, key: bytes) -> bytes:
    """AES key wrap (RFC 3394) under a 256-bit key: eight bytes longer than `key`."""
    return aes_key_wrap(wrapping_key, key)


def unwrap_key(wrapping_key: bytes, wrapped: bytes) -> bytes:
    """Undo `wrap_key`; raises `KeysUnavailable` where the wrapping key is another or a byte was changed."""
    try:
        return aes_key_unwrap(wrapping_key, wrapped)
    except InvalidUnwrap as error:
        raise KeysUnavailable("a wrapped key does not open under this key: restore the key database") from error


class Gcm:
    """AES-256-GCM (NIST SP 800-38D) under one key that is used again: setting a key up costs more than one opening."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Nonce, ciphertext, 16 bytes of tag. `nonce` is 12 fresh random bytes."""
        return nonce + self._cipher.encrypt(nonce, plaintext, associated)

    def decrypt(self, sealed: bytes, associated: bytes) -> bytes:
        """Undo `encrypt`; raises `KeysUnavailable` for another key, other associated data or a changed byte."""
        if len(sealed) < NONCE_BYTES + 16:
            raise KeysUnavailable("a sealed value is too short to be one")
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
        except InvalidTag as error:
            raise KeysUnavailable(
                "a sealed value does not open here: it was altered, moved, or its key is gone"
            ) from error


def gcm_encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """`Gcm.encrypt` under a key that is used once."""
    return Gcm(key).encrypt(nonce, plaintext, associated)


def gcm_decrypt(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Undo `gcm_encrypt`; raises as `Gcm.decrypt` does."""
    return Gcm(key).decrypt(sealed, associated)


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
