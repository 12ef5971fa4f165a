"""Opaque versions of the columns a caller has seen; compares nothing and reads nothing.

A version is `<columns>.<digest>`: which root columns it covers (a bit set over the catalogue's order, hexadecimal) and
a keyed hash of their names and values and of the record's key. It covers what was read and no other column: a version
of withheld columns would have to be read from the store without need, and would tell a caller that something it may not
see has changed. The key keeps a caller from guessing values it was given masked.
"""

import hmac
from collections.abc import Mapping, Sequence

import orjson

from consent_gateway.errors import SettingsRefused
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.vocabulary import JsonValue

_DIGEST_BYTES = 16
_LEAST_KEY_BYTES = 16


class Versions:
    """Makes versions of one catalogue's root record. `key` is secret and the same in every process."""

    def __init__(self, key: bytes, catalogue: Catalogue) -> None:
        if len(key) < _LEAST_KEY_BYTES:
            raise SettingsRefused(f"the version key has {len(key)} bytes: give it at least {_LEAST_KEY_BYTES}")
        self._key = key
        self._names = tuple(field.name for field in catalogue.root.fields)
        self._bits = {name: 1 << place for place, name in enumerate(self._names)}

    def ordered(self, names: Sequence[str] | frozenset[str]) -> tuple[str, ...]:
        """The names in the catalogue's order, each once: the order in which `of` hashes them."""
        return tuple(name for name in self._names if name in names)

    def of(self, store_key: str, values: Mapping[str, JsonValue]) -> str:
        """The version of these columns of this record; the names come in the order of `ordered`."""
        columns = f"{sum(map(self._bits.__getitem__, values)):x}"
        covered = orjson.dumps([store_key, list(values.items())], option=orjson.OPT_SORT_KEYS)
        return f"{columns}.{hmac.digest(self._key, covered, 'sha256')[:_DIGEST_BYTES].hex()}"

    def covered(self, version: str) -> tuple[str, ...] | None:
        """Names of the columns a version covers; None for a text that is not a version of this catalogue."""
        columns, point, _digest = version.partition(".")
        try:
            bits = int(columns, 16)
        except ValueError:
            return None
        if not point or not 0 <= bits < 1 << len(self._names) or columns != f"{bits:x}":
            return None
        return tuple(name for name in self._names if bits & self._bits[name])
