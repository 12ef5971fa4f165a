"""Turns what was handed out back into the person or the value; decides for nobody whether that may be done.

Whoever calls it has checked role, purpose and approval, and writes down that it was done. Kinds `td` and `tr` open with
the domain's key, `ps` and `ea` by computing the pseudonym of every person until one is the same, `pv` not at all.
"""

import hmac
from dataclasses import dataclass, field

from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.protection.formats import fpe_reversed
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import NamedKey
from consent_gateway.protection.pseudonyms import alias_of_person, pseudonym_of_person
from consent_gateway.protection.reversible import (
    Place,
    person_of_random_token,
    value_of_random_token,
    value_of_stable_token,
)
from consent_gateway.protection.tokens import Token, TokenKind, looks_like_token, parse
from consent_gateway.vocabulary import COMPANY, JsonValue


@dataclass(frozen=True, slots=True)
class Reversed:
    """What a token stood for; a member is None where its kind tells nothing of it."""

    data_subject: str | None
    value: JsonValue = field(default=None, repr=False)


class Reverser:
    """Reverses the tokens of one tenant. Safe to share between threads."""

    def __init__(self, keyring: KeyRing, tenant: str) -> None:
        if not tenant or tenant != keyring.tenant:
            raise ProtectionRefused("the key ring is of another tenant: give both the same name")
        self._keyring = keyring
        self._tenant = tenant

    def reverse(
        self,
        text: str,
        *,
        field: str | None,
        purpose: str,
        recipient: str | None,
        key_id: str | None = None,
        transform: str | None = None,
    ) -> Reversed:
        """Whom or what `text` stands for in the domain of `purpose` and `recipient` (None: the company).

        `field` is the catalogue's name of the field that it was handed out in; `ps` and `ea` need none. Text of
        `fpe.*` carries no mark: it is turned with the domain's present token key unless `key_id` names an older one,
        `transform` (`fpe.digits`, `fpe.alnum`) must be given where it has letters, and a wrong field, key or domain
        gives a wrong value. All else is refused with `ProtectionRefused` unless it was made in this very place, and
        with `KeysUnavailable` where the key, or the person's, is gone. A look-up of `ps` or `ea` reads the keys of
        all people, a thousand at a time.
        """
        if not purpose or recipient == "":
            raise ProtectionRefused("purpose and recipient must both be known: name those it was handed out for")
        place = Place(self._tenant, purpose, COMPANY if recipient is None else recipient, field or "")
        if not looks_like_token(text):
            key = self._key("token", place, key_id)
            return Reversed(None, fpe_reversed(text, _fielded(place), key.secret, transform))
        token = parse(text)
        if key_id not in (None, token.key_id) or transform is not None:
            raise ProtectionRefused("this token names its own key and kind: leave `key_id` and `transform` out")
        if token.kind in (TokenKind.PSEUDONYM_OF_PERSON, TokenKind.EMAIL_ALIAS):
            return Reversed(self._person(text, token, self._key("pseudonym", place, token.key_id)))
        if token.kind is TokenKind.DETERMINISTIC:
            key = self._key("token", place, token.key_id)
            return Reversed(None, value_of_stable_token(token, _fielded(place), key.secret))
        if token.kind is TokenKind.RANDOM:
            return self._random(token, _fielded(place))
        raise ProtectionRefused(f"tokens of kind `{token.kind.value}` cannot be turned back: nobody can")

    def _key(self, kind: str, place: Place, key_id: str | None) -> NamedKey:
        return self._keyring.handed_out_key(kind, place.purpose, place.recipient, key_id)

    def _person(self, text: str, token: Token, domain: NamedKey) -> str:
        alias = token.kind is TokenKind.EMAIL_ALIAS
        wanted = (text.lower() if alias else text).encode()
        name = alias_of_person if alias else pseudonym_of_person
        for person in self._keyring.everybody():
            made = name(person.seed, domain.keyed, domain.key_id, self._tenant)
            if hmac.compare_digest(made.encode(), wanted):
                return person.data_subject
        raise KeysUnavailable("no person with keys has this pseudonym: theirs were destroyed, or it was never made")

    def _random(self, token: Token, place: Place) -> Reversed:
        key = self._key("token", place, token.key_id)
        data_subject, inner = person_of_random_token(token, place, key.secret)
        person = self._keyring.person_keys(data_subject)
        own = person.hand_out_key()
        return Reversed(data_subject, value_of_random_token(token, place, own, data_subject, inner))


def _fielded(place: Place) -> Place:
    if not place.field:
        raise ProtectionRefused("this kind of token belongs to a field: name the one it was handed out in")
    return place
