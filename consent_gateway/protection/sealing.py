"""Opens and seals the catalogue's sealed fields of a whole record; touches no other field and no store.

Each sealed field lies under the key of its class. Which classes a call may open comes in with it as a `KeyGrant`; a
record with a field of another class is refused whole, whatever was decided about the field.
"""

from collections.abc import Callable, Mapping

from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.protection.fields import open_sealed, seal
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import ClassKey, KeyGrant, PersonKeys
from consent_gateway.vocabulary import JsonValue

_Turn = Callable[[JsonValue, str, str, ClassKey], JsonValue]


class Sealing:
    """Field encryption; `key_classes` maps each sealed field to its class by catalogue name (`orders.note`)."""

    def __init__(self, keyring: KeyRing, key_classes: Mapping[str, str]) -> None:
        self._keyring = keyring
        self._classes = dict(key_classes)
        self._collections = {name.rpartition(".")[0] for name in self._classes} - {""}

    def opened(self, values: Mapping[str, JsonValue], data_subject: str, grant: KeyGrant) -> dict[str, JsonValue]:
        """The record with its sealed fields in the clear; null stays null.

        Child collections are lists of rows. Raises `ProtectionRefused` for a sealed field whose class the grant does
        not hold, null or not, and `KeysUnavailable` where a value does not open: one that stands there unsealed is
        refused too, for nobody vouches for it.
        """
        return self._turned(values, data_subject, grant, _open, self._keyring.person_keys)

    def sealed(self, values: Mapping[str, JsonValue], data_subject: str, grant: KeyGrant) -> dict[str, JsonValue]:
        """The record as it is to be kept: sealed fields as token text, whatever they look like; null stays null.

        A person who never had keys gets some; one whose keys were destroyed is refused, and so is a field whose class
        the grant does not hold.
        """
        return self._turned(values, data_subject, grant, seal, self._keyring.create)

    def _turned(
        self,
        values: Mapping[str, JsonValue],
        data_subject: str,
        grant: KeyGrant,
        turn: _Turn,
        fetch: Callable[[str], PersonKeys],
    ) -> dict[str, JsonValue]:
        turned = dict(values)
        one = _Turning(data_subject, grant, turn, fetch)
        for name, value in values.items():
            key_class = self._classes.get(name)
            if key_class is not None:
                turned[name] = one.value(value, name, key_class)
            elif isinstance(value, list) and name in self._collections:
                turned[name] = [self._row(name, row, one) for row in value]
        return turned

    def _row(self, collection: str, row: JsonValue, one: "_Turning") -> JsonValue:
        if not isinstance(row, dict):
            return row
        turned = dict(row)
        for column, value in row.items():
            name = f"{collection}.{column}"
            key_class = self._classes.get(name)
            if key_class is not None:
                turned[column] = one.value(value, name, key_class)
        return turned


class _Turning:
    """The keys for one record: the person's are fetched and each class key derived once, where a value needs it."""

    def __init__(self, data_subject: str, grant: KeyGrant, turn: _Turn, fetch: Callable[[str], PersonKeys]) -> None:
        self._data_subject = data_subject
        self._grant = grant
        self._turn = turn
        self._fetch = fetch
        self._person: PersonKeys | None = None
        self._keys: dict[str, ClassKey] = {}

    def value(self, value: JsonValue, field: str, key_class: str) -> JsonValue:
        if key_class not in self._grant.classes:  # before null is looked at: a refusal must not tell what is empty
            raise ProtectionRefused(
                f"`{field}` lies under the key class `{key_class}`, which this purpose does not open:"
                " ask for it with a purpose that has the class in `key_classes`, or leave the field out"
            )
        return None if value is None else self._turn(value, field, self._data_subject, self._key(key_class))

    def _key(self, key_class: str) -> ClassKey:
        key = self._keys.get(key_class)
        if key is None:
            if self._person is None:
                self._person = self._fetch(self._data_subject)
            key = self._keys[key_class] = self._person.class_key(key_class, self._grant)
        return key


def _open(text: JsonValue, field: str, data_subject: str, key: ClassKey) -> JsonValue:
    if not isinstance(text, str):
        raise KeysUnavailable(f"what is kept in `{field}` is not a sealed value: restore or seal it again")
    return open_sealed(text, field, data_subject, key)
