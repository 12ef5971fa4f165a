"""Verifies a receipt without the gateway; pure, needs the standard library and `cryptography`, imports nothing of ours.

A receipt file is one line of canonical JSON, `{"jws": …, "receipt": …}`: the signed receipt, and the same receipt in
the clear. The whole file must be what the signature makes of it, byte for byte, so no changed byte goes unseen. Other
signed documents of the gateway have the same form under another name; see `Form`.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "EdDSA"
TYPE = "consent-receipt+jws"
LONGEST = 64_000  # bytes of a file


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of signed file: what it is called, the type its signature names, and the most bytes it may have."""

    member: str = "receipt"
    type: str = TYPE
    longest: int = LONGEST


RECEIPT = Form()


class ReceiptInvalid(ValueError):
    """The file is no receipt that one of the keys signed, or it was changed since; the message says which."""


class ReceiptExpired(ReceiptInvalid):
    """The receipt is genuine, and what it tells of has ended by itself since."""


def canonical(value: Any) -> bytes:
    """JSON with keys in order, no spaces, in UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def public_jwk(public: bytes) -> dict[str, str]:
    """The JWK of a public Ed25519 key; its `kid` is the thumbprint of RFC 7638."""
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": _text(public)}
    return {**jwk, "kid": _text(hashlib.sha256(canonical(jwk)).digest()), "alg": ALGORITHM, "use": "sig"}


def signed_file(receipt: Mapping[str, Any], key: Ed25519PrivateKey, form: Form = RECEIPT) -> bytes:
    """The receipt file: signed with this key. The same receipt and key give the same bytes (RFC 8032)."""
    kid = public_jwk(key.public_key().public_bytes_raw())["kid"]
    header = {"alg": ALGORITHM, "kid": kid, "typ": form.type}
    signed = f"{_text(canonical(header))}.{_text(canonical(receipt))}"
    return canonical({"jws": f"{signed}.{_text(key.sign(signed.encode()))}", form.member: receipt})


def verify_receipt(file: bytes, jwks: Mapping[str, Any], at: datetime | None = None) -> dict[str, Any]:
    """The receipt of a file that one of the keys of this JWK set signed. Raises `ReceiptInvalid`.

    With `at`, raises `ReceiptExpired` for a genuine one whose choice was given for a time that is over by then.
    """
    receipt = genuine(file, jwks, RECEIPT)
    until = receipt.get("dct:valid")
    if at is not None and until is not None and datetime.fromisoformat(str(until)) <= at:
        raise ReceiptExpired(f"it is genuine, but what it tells of ended at {until}")
    return receipt


def genuine(file: bytes, jwks: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """What a file of this form holds that one of the keys of this JWK set signed. Raises `ReceiptInvalid`."""
    if len(file) > form.longest:
        raise ReceiptInvalid(f"the file is longer than any {form.member}")
    try:
        given = json.loads(file)
        head, payload, signature = str(given["jws"]).split(".")
        header, receipt = json.loads(_bytes(head)), json.loads(_bytes(payload))
        made = canonical({"jws": given["jws"], form.member: receipt})
        sign = _bytes(signature)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReceiptInvalid(f"the file is no {form.member}") from error
    if not isinstance(receipt, dict) or made != file:
        raise ReceiptInvalid("the file is not the one that was issued: it was changed")
    if not isinstance(header, dict) or set(header) != {"alg", "kid", "typ"}:
        raise ReceiptInvalid(f"its signature has a header that no {form.member} has")
    if header["alg"] != ALGORITHM or header["typ"] != form.type:
        raise ReceiptInvalid(f"it is signed in another way than {form.member}s are")
    try:
        _key(jwks, header["kid"]).verify(sign, f"{head}.{payload}".encode())
    except InvalidSignature as error:
        raise ReceiptInvalid(f"the signature is not by this key: the {form.member} was changed or forged") from error
    return receipt


def _key(jwks: Mapping[str, Any], kid: object) -> Ed25519PublicKey:
    keys = jwks.get("keys")
    for jwk in keys if isinstance(keys, list) else ():
        if isinstance(jwk, dict) and jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519" and jwk.get("kid") == kid:
            try:
                return Ed25519PublicKey.from_public_bytes(_bytes(str(jwk.get("x"))))
            except ValueError as error:
                raise ReceiptInvalid("the set's key is no Ed25519 key") from error
    raise ReceiptInvalid("none of the keys signed it: get the key set of the company that issued it")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _text(data) != text:  # two spellings of one value would let a byte change unseen
        raise ValueError("not the one spelling of base64url")
    return data
