"""The published vectors of every algorithm, through the gateway's own wrappers."""

import json
import string
from pathlib import Path
from typing import Any

import pytest

from consent_gateway.audit.signer import Signer
from consent_gateway.errors import KeysUnavailable
from consent_gateway.protection import primitives
from consent_gateway.protection.primitives import (
    expand,
    ff1_decrypt,
    ff1_encrypt,
    gcm_decrypt,
    gcm_encrypt,
    mac,
    siv_decrypt,
    siv_encrypt,
    unwrap_key,
    wrap_key,
)

Vector = dict[str, Any]


def cases(name: str) -> Any:
    """One parametrised case per vector of a file, named after its section."""
    document = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
    vectors = document["vectors"]
    return pytest.mark.parametrize("vector", vectors, ids=[f"{name} {vector['section']}" for vector in vectors])


def raw(vector: Vector, name: str) -> bytes:
    """The bytes of a hexadecimal member."""
    return bytes.fromhex(vector[name])


def flipped(content: bytes, at: int) -> bytes:
    """The same bytes with one bit changed."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@cases("rfc5297")
def test_siv(vector: Vector) -> None:
    """AES-SIV gives and opens the RFC's output, and opens nothing with one bit changed."""
    associated = [bytes.fromhex(one) for one in vector["associated"]]
    assert siv_encrypt(raw(vector, "key"), raw(vector, "plaintext"), associated) == raw(vector, "output")
    assert siv_decrypt(raw(vector, "key"), raw(vector, "output"), associated) == raw(vector, "plaintext")
    for at in range(len(raw(vector, "output"))):
        with pytest.raises(KeysUnavailable):
            siv_decrypt(raw(vector, "key"), flipped(raw(vector, "output"), at), associated)


@cases("rfc4231")
def test_hmac(vector: Vector) -> None:
    """HMAC-SHA-256 gives the RFC's output."""
    given = mac(raw(vector, "key"), raw(vector, "message"))
    assert given[: len(raw(vector, "output"))] == raw(vector, "output")


@cases("rfc5869")
def test_hkdf(vector: Vector) -> None:
    """HMAC under the salt extracts the RFC's key, and expand makes the RFC's output of it."""
    assert mac(raw(vector, "salt"), raw(vector, "ikm")) == raw(vector, "prk")
    assert expand(raw(vector, "prk"), raw(vector, "info"), vector["length"]) == raw(vector, "okm")


@cases("rfc3394")
def test_key_wrap(vector: Vector) -> None:
    """AES key wrap gives and opens the RFC's output, and opens nothing with one bit changed."""
    assert wrap_key(raw(vector, "kek"), raw(vector, "key")) == raw(vector, "output")
    assert unwrap_key(raw(vector, "kek"), raw(vector, "output")) == raw(vector, "key")
    for at in range(len(raw(vector, "output"))):
        with pytest.raises(KeysUnavailable):
            unwrap_key(raw(vector, "kek"), flipped(raw(vector, "output"), at))


@cases("gcm_spec")
def test_gcm(vector: Vector) -> None:
    """AES-256-GCM gives and opens the specification's output, and opens nothing with one bit changed."""
    key, iv, associated = raw(vector, "key"), raw(vector, "iv"), raw(vector, "associated")
    assert gcm_encrypt(key, iv, raw(vector, "plaintext"), associated) == iv + raw(vector, "output")
    assert gcm_decrypt(key, iv + raw(vector, "output"), associated) == raw(vector, "plaintext")
    for at in range(len(iv + raw(vector, "output"))):
        with pytest.raises(KeysUnavailable):
            gcm_decrypt(key, flipped(iv + raw(vector, "output"), at), associated)


def test_a_short_sealed_value_is_refused() -> None:
    """Bytes too few to hold a nonce and a tag are refused by name and not by the library."""
    with pytest.raises(KeysUnavailable, match="too short"):
        gcm_decrypt(bytes(32), bytes(27), b"")


FF1_LIBRARIES = pytest.mark.parametrize("fast", [True, False], ids=["fastfpe", "libffx"])


@FF1_LIBRARIES
@cases("sp80038g")
def test_ff1(vector: Vector, monkeypatch: pytest.MonkeyPatch, *, fast: bool) -> None:
    """FF1 gives and turns back NIST's samples, all nine, by either library."""
    assert primitives.fast_ff1 is not None
    if not fast:
        monkeypatch.setattr(primitives, "fast_ff1", None)
    alphabet = (string.digits + string.ascii_lowercase)[: vector["radix"]]
    key, tweak = raw(vector, "key"), raw(vector, "tweak")
    assert ff1_encrypt(key, tweak, alphabet, vector["plaintext"]) == vector["ciphertext"]
    assert ff1_decrypt(key, tweak, alphabet, vector["ciphertext"]) == vector["plaintext"]


@cases("rfc8032")
def test_ed25519(vector: Vector) -> None:
    """The audit log's signer has the RFC's public key for its seed, and its key gives the RFC's signature."""
    signer = Signer("log.example", raw(vector, "seed"))
    assert signer.vkey.public_key == raw(vector, "public_key")
    (key,) = signer._keys
    assert key.sign(raw(vector, "message")) == raw(vector, "signature")


@cases("wycheproof_gcm")
def test_gcm_against_wycheproof(vector: Vector) -> None:
    """AES-256-GCM opens Wycheproof's valid cases and makes them, and refuses every other."""
    key, iv, associated = raw(vector, "key"), raw(vector, "iv"), raw(vector, "associated")
    sealed = iv + raw(vector, "ciphertext") + raw(vector, "tag")
    if vector["type"] == "valid":
        assert gcm_encrypt(key, iv, raw(vector, "plaintext"), associated) == sealed
        assert gcm_decrypt(key, sealed, associated) == raw(vector, "plaintext")
    else:
        with pytest.raises(KeysUnavailable):
            gcm_decrypt(key, sealed, associated)


@cases("wycheproof_hmac")
def test_hmac_against_wycheproof(vector: Vector) -> None:
    """HMAC-SHA-256, cut to the length given, is Wycheproof's valid tag and none of its invalid ones."""
    made = mac(raw(vector, "key"), raw(vector, "message"))[: len(raw(vector, "output"))]
    assert (made == raw(vector, "output")) is (vector["type"] == "valid")
