"""Turns an identifier into a keyed index by which it can be found and from which it cannot be read; stores nothing."""

import hmac
from collections.abc import Callable

from consent_gateway.errors import KeysUnavailable
from consent_gateway.people.normalise import NORMALISATION_VERSION, normalise
from consent_gateway.vocabulary import Identifier

_INDEX_BYTES = 16  # 128 bits: no two of any number of people collide by chance
_LEAST_KEY_BYTES = 32


class BlindIndex:
    """Blind indexes of identifiers. Safe to share between threads.

    `index_key(kind, version)` gives the key of one kind of identifier under one version of its normalisation, and
    is asked each time: its owner decides how long a key stays in memory. `region` is the country in which telephone
    numbers without a country code are read.
    """

    def __init__(self, index_key: Callable[[str, int], bytes], region: str | None = None) -> None:
        self._index_key = index_key
        self._region = region

    def of(self, identifier: Identifier) -> str:
        """32 hexadecimal digits of HMAC-SHA256 over kind, version and normal form.

        Raises `IdentifierRefused` for an identifier that is not well-formed and `KeysUnavailable` without a key.
        """
        normal = normalise(identifier, self._region)
        key = self._index_key(identifier.kind, NORMALISATION_VERSION)
        if len(key) < _LEAST_KEY_BYTES:
            raise KeysUnavailable(f"an index key has fewer than {_LEAST_KEY_BYTES} bytes: make a new one")
        context = f"consent-gateway/index/{identifier.kind}/{NORMALISATION_VERSION}\0".encode()
        return hmac.digest(key, context + normal.encode(), "sha256")[:_INDEX_BYTES].hex()
