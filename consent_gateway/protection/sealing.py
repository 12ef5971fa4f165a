"""Opens and seals the catalogue's sealed fields of a whole record; touches no other field and no store."""

from collections.abc import Callable, Iterable, Mapping

from consent_gateway.errors import KeysUnavailable
from consent_gateway.protection.fields import open_sealed, seal
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import PersonKeys
from consent_gateway.vocabulary import JsonValue

_Fetch = Callable[[str], PersonKeys]
_Turn = Callable[[JsonValue, str, str, PersonKeys], JsonValue]


class Sealing:
    """Field encryption for the fields named in `sealed_fields`, by catalogue name (`allergies`, `orders.note`)."""

    def __init__(self, keyring: KeyRing, sealed_fields: Iterable[str]) -> None:
        self._keyring = keyring
        self._fields = frozenset(sealed_fields)

    def opened(self, values: Mapping[str, JsonValue], data_subject: str) -> dict[str, JsonValue]:
        """The record with its sealed fields in the clear; null stays null.

        Child collections are lists of rows. Raises `KeysUnavailable` where one does not open: a value that stands
        there unsealed is refused too, for nobody vouches for it.
        """
        return self._turned(values, data_subject, _open, self._keyring.person_keys)

    def sealed(self, values: Mapping[str, JsonValue], data_subject: str) -> dict[str, JsonValue]:
        """The record as it is to be kept: sealed fields as token text, whatever they look like; null stays null.

        A person who never had keys gets some; one whose keys were destroyed is refused.
        """
        return self._turned(values, data_subject, seal, self._keyring.create)

    def _turned(
        self, values: Mapping[str, JsonValue], data_subject: str, turn: _Turn, fetch: _Fetch
    ) -> dict[str, JsonValue]:
        turned = dict(values)
        if not self._fields:
            return turned
        keys: PersonKeys | None = None
        for name, value in values.items():
            if value is None or not self._concerns(name):
                continue
            keys = keys or fetch(data_subject)
            if name in self._fields:
                turned[name] = turn(value, name, data_subject, keys)
            elif isinstance(value, list):
                turned[name] = [self._row(name, row, data_subject, keys, turn) for row in value]
        return turned

    def _concerns(self, name: str) -> bool:
        return name in self._fields or any(field.startswith(name + ".") for field in self._fields)

    def _row(self, collection: str, row: JsonValue, data_subject: str, keys: PersonKeys, turn: _Turn) -> JsonValue:
        if not isinstance(row, dict):
            return row
        return {
            column: turn(value, f"{collection}.{column}", data_subject, keys)
            if value is not None and f"{collection}.{column}" in self._fields
            else value
            for column, value in row.items()
        }


def _open(text: JsonValue, field: str, data_subject: str, keys: PersonKeys) -> JsonValue:
    if not isinstance(text, str):
        raise KeysUnavailable(f"what is kept in `{field}` is not a sealed value: restore or seal it again")
    return open_sealed(text, field, data_subject, keys)
