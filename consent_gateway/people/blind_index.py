"""Turns an identifier into a keyed index by which it can be found and from which it cannot be read; stores nothing."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeVar

import sqlalchemy as sa

from consent_gateway.errors import DatabaseUnavailable, KeysUnavailable
from consent_gateway.people.index_keys import EXACT, IndexKey, Listed
from consent_gateway.people.normalise import KINDS, NORMALISATION_VERSION, normalise
from consent_gateway.people.search_parts import asked_part, part_of
from consent_gateway.vocabulary import Identifier

_INDEX_BYTES = 16  # 128 bits: no two of any number of people collide by chance
_LEAST_KEY_BYTES = 32
_ATTEMPTS = 8  # at meeting a list of keys that stands still; rotations are years apart

Normalise = Callable[[Identifier, str | None], str]
RULES: Mapping[int, Normalise] = MappingProxyType({NORMALISATION_VERSION: normalise})
"""Every normalisation rule that an index in use may be made with, by version."""

_Answer = TypeVar("_Answer")


class Keys(Protocol):
    """Where the keys come from; `index_keys.IndexKeys` is the real one."""

    def listed(self, kind: str, mode: str) -> Listed:
        """The keys of one kind and mode in use, newest first."""
        ...

    def settle(self, connection: sa.Connection) -> None:
        """Hold the list for the rest of this transaction, and know it."""
        ...

    def reload(self) -> None:
        """Read the list anew."""
        ...


@dataclass(frozen=True, slots=True)
class Indexed:
    """One identifier under every key in use, newest first, and the generation of the list of keys."""

    kind: str
    values: tuple[str, ...]
    generation: int

    @property
    def index(self) -> tuple[str, str]:
        """The index under which it is written: kind and value."""
        return self.kind, self.values[0]


class BlindIndex:
    """Blind indexes of identifiers. Safe to share between threads.

    `region` is the country in which telephone numbers without a country code are read.
    """

    def __init__(self, keys: Keys, region: str | None = None, rules: Mapping[int, Normalise] = RULES) -> None:
        self._keys = keys
        self._region = region
        self._rules = rules

    def of(self, identifier: Identifier) -> str:
        """The index under the newest key: its id, a dot, 32 hexadecimal digits. Raises as `every` does."""
        return self.every(identifier).values[0]

    def every(self, identifier: Identifier) -> Indexed:
        """HMAC-SHA256 over kind, mode, rule version and normal form, under each key in use.

        Raises `IdentifierRefused` for an identifier that is not well-formed and `KeysUnavailable` without a key.
        """
        kind = identifier.kind
        if kind not in KINDS:
            normalise(identifier, self._region)  # refuses the kind by name
        listed = self._keys.listed(kind, EXACT)
        normal: dict[int, str] = {}
        values = []
        for key in listed.keys:
            if key.rule not in normal:
                normal[key.rule] = self._rule(key)(identifier, self._region)
            values.append(_digest(key, kind, EXACT, normal[key.rule]))
        return Indexed(kind, tuple(values), listed.generation)

    def asked(self, kind: str, mode: str, value: str) -> Indexed:
        """The index of a part that a searcher gave. Raises as `asked_part` and `every` do."""
        part = asked_part(kind, mode, value)
        listed = self._keys.listed(kind, mode)
        return Indexed(kind, tuple(_digest(key, kind, mode, part) for key in listed.keys), listed.generation)

    def part(self, identifier: Identifier, mode: str) -> str | None:
        """The index of one part of an identifier under the newest key; None where it is too short to have one."""
        key = self._keys.listed(identifier.kind, mode).keys[0]
        found = part_of(mode, self._rule(key)(identifier, self._region))
        return None if found is None else _digest(key, identifier.kind, mode, found)

    def settle(self, connection: sa.Connection) -> None:
        """To be called first in a transaction that writes indexes: what is made after it is made with keys in use."""
        self._keys.settle(connection)

    def found(self, make: Callable[[], Indexed], ask: Callable[[Indexed], tuple[int, _Answer]]) -> _Answer:
        """The answer to a question by index, asked again where the list of keys changed since it was known.

        `ask` gives the present generation with its answer, out of one statement.
        """
        for _attempt in range(_ATTEMPTS):
            indexed = make()
            generation, answer = ask(indexed)
            if generation == indexed.generation:
                return answer
            self._keys.reload()
        raise DatabaseUnavailable("the list of index keys does not stand still: try again")

    def _rule(self, key: IndexKey) -> Normalise:
        rule = self._rules.get(key.rule)
        if rule is None:
            raise KeysUnavailable(f"an index key goes with normalisation {key.rule}, which this release does not know")
        return rule


def _digest(key: IndexKey, kind: str, mode: str, normal: str) -> str:
    if len(key.secret) < _LEAST_KEY_BYTES:
        raise KeysUnavailable(f"an index key has fewer than {_LEAST_KEY_BYTES} bytes: make a new one")
    context = f"consent-gateway/index/{kind}/{mode}/{key.rule}\0".encode()
    return f"{key.key_id}.{hmac.digest(key.secret, context + normal.encode(), 'sha256')[:_INDEX_BYTES].hex()}"
