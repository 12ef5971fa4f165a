"""Turns a token back into what it stands for, under the keys of one purpose and recipient; asks nobody's consent."""

from dataclasses import dataclass

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.transforms import value_of_token
from consent_gateway.vocabulary import COMPANY, JsonValue


@dataclass(frozen=True, slots=True)
class Reversed:
    """What a token stands for: the person where the token tells, the value where it carries one."""

    data_subject: str | None
    value: JsonValue

    def __repr__(self) -> str:
        return "Reversed(<withheld>)"


class Reverser:
    """Turns tokens of one tenant back. Safe to share between threads."""

    def __init__(self, keyring: KeyRing, tenant: str) -> None:
        self._keyring = keyring
        self._tenant = tenant

    def reverse(
        self, text: str, *, field: str | None, purpose: str, recipient: str | None, key_id: str | None = None
    ) -> Reversed:
        """What the token stands for.

        Raises `ProtectionRefused` for a text that is no token of this domain, `KeysUnavailable` where a key is gone.
        """
        key = self._keyring.token_key(purpose, recipient)
        if field is None or key_id not in (None, key.key_id):
            raise ProtectionRefused("this token does not say its field: name the field it was made for")
        domain = (self._tenant, purpose, COMPANY if recipient is None else recipient)
        return Reversed(None, value_of_token(text, field, domain, key.secret, key.key_id))
