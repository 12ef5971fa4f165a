"""What a request holds of its person while it is open: identifier and words, encrypted; deleted once it is answered."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from consent_gateway.protection.primitives import NONCE_BYTES, bind, gcm_decrypt, gcm_encrypt
from consent_gateway.vocabulary import Identifier

_LABEL = "rights-request/1"
_ADDRESS_LABEL = "rights-letter/1"


@dataclass(frozen=True, slots=True)
class Details:
    """The identifier by which the person was named, and what they said: what is wrong, or what a complaint is about."""

    identifier: Identifier | None = None
    text: str | None = None

    def __repr__(self) -> str:
        return "Details(<withheld>)"


class AddressSeal:
    """Seals the mail addresses that letters go to, each bound to its request, under a service key of their own."""

    def __init__(self, key: bytes, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._key = key
        self._random = random

    def close(self, request_id: str, address: str) -> bytes:
        """The address, encrypted."""
        nonce = self._random(NONCE_BYTES)
        return gcm_encrypt(self._key, nonce, address.encode(), bind(_ADDRESS_LABEL, request_id))

    def open(self, request_id: str, sealed: bytes) -> str:
        """The address."""
        return gcm_decrypt(self._key, sealed, bind(_ADDRESS_LABEL, request_id)).decode()


class Seal:
    """Seals details under one service key, each bound to its request."""

    def __init__(self, key: bytes, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._key = key
        self._random = random

    def close(self, request_id: str, details: Details) -> bytes:
        """The details, encrypted."""
        named = details.identifier
        body = json.dumps([named and [named.kind, named.value], details.text]).encode()
        return gcm_encrypt(self._key, self._random(NONCE_BYTES), body, bind(_LABEL, request_id))

    def open(self, request_id: str, sealed: bytes | None) -> Details:
        """What was sealed; empty once it was deleted."""
        if sealed is None:
            return Details()
        named, text = json.loads(gcm_decrypt(self._key, sealed, bind(_LABEL, request_id)))
        return Details(None if named is None else Identifier(*named), text)
