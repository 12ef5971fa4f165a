"""Maps a recipient's old tokens to those of the present keys of the same domain; tells nobody whom they stand for.

`td` and `tr` are opened by key, in each field they may have been handed out in, and made anew with the padding they
had. `ps` and `ea` are found by computing the pseudonyms of everybody once under each old key that is asked for. What
cannot be mapped is told by its place in the list and its cause, never left out in silence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import NamedKey, draw_nonce
from consent_gateway.protection.pseudonyms import alias_of_person, pseudonym_of_person
from consent_gateway.protection.reversible import (
    Place,
    person_of_random_token,
    random_token,
    stable_token,
    value_of_random_token,
    value_of_stable_token,
)
from consent_gateway.protection.tokens import Token, TokenKind, parse
from consent_gateway.vocabulary import COMPANY, JsonValue

_NAMES = {TokenKind.PSEUDONYM_OF_PERSON: pseudonym_of_person, TokenKind.EMAIL_ALIAS: alias_of_person}
_OVERHEAD = {  # bytes of a body beside the padded value: tags, nonces, the person's id
    TokenKind.DETERMINISTIC: 16,
    TokenKind.RANDOM: 2 * (12 + 16) + 32,
}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Retokened:
    """For each text of the list its new token, or None with the cause in `faults` under its place, from 0.

    `key_ids` are those of the old keys that were used.
    """

    tokens: tuple[str | None, ...]
    faults: dict[int, str]
    key_ids: frozenset[str]


class Retokener:
    """Maps tokens of one tenant. `fields` are the names of the catalogue's fields."""

    def __init__(self, keyring: KeyRing, tenant: str, fields: Sequence[str]) -> None:
        self._keyring = keyring
        self._tenant = tenant
        self._fields = tuple(fields)

    def map(self, texts: Sequence[str], purpose: str, recipient: str | None, progress: Progress) -> Retokened:
        """The tokens of these texts under the present keys of the domain; one that is of them already stays itself.

        Raises `KeysUnavailable` where the present keys, or the provider, cannot be used: then nothing is mapped.
        """
        domain = (purpose, COMPANY if recipient is None else recipient)
        found: list[str | None] = [None] * len(texts)
        faults: dict[int, str] = {}
        used: set[str] = set()
        names = _Names()
        for place, text in enumerate(texts):
            try:
                token = parse(text)
                old = self._key(token, domain, token.key_id)
                if token.kind in _NAMES:
                    names.want(text, token, old, place)
                else:
                    found[place] = self._by_key(token, domain, old)
                used.add(old.key_id)
            except (ProtectionRefused, KeysUnavailable) as error:
                faults[place] = error.message
            progress(place + 1, len(texts))
        if names.places:
            self._by_seed(names, self._keyring.domain_key(*domain), found)
        for place in (place for places in names.places.values() for place in places if found[place] is None):
            faults[place] = "no person with keys has this pseudonym: theirs were destroyed, or it was never made"
        return Retokened(tuple(found), dict(sorted(faults.items())), frozenset(used))

    def _key(self, token: Token, domain: tuple[str, str], key_id: str) -> NamedKey:
        if token.kind in _NAMES:
            return self._keyring.handed_out_key("pseudonym", *domain, key_id)
        if token.kind in _OVERHEAD:
            return self._keyring.handed_out_key("token", *domain, key_id)
        raise ProtectionRefused(f"tokens of kind `{token.kind.value}` cannot be turned back: nobody can")

    def _by_key(self, token: Token, domain: tuple[str, str], old: NamedKey) -> str:
        """Open the token in the field it belongs to and make it anew there, as long as it was."""
        new, pad = self._keyring.token_key(*domain), len(token.body) - _OVERHEAD[token.kind]
        for field in self._fields:
            place = Place(self._tenant, *domain, field)
            try:
                made = (
                    self._stable(token, place, old, new, pad)
                    if token.kind is TokenKind.DETERMINISTIC
                    else (self._random(token, place, old, new, pad))
                )
            except ProtectionRefused:
                continue  # of another field: what is authenticated with it says so
            return str(made)
        raise ProtectionRefused("this token does not open in any field of the catalogue: it was altered")

    def _stable(self, token: Token, place: Place, old: NamedKey, new: NamedKey, pad: int) -> JsonValue:
        return stable_token(value_of_stable_token(token, place, old.secret), place, new.secret, new.key_id, pad)

    def _random(self, token: Token, place: Place, old: NamedKey, new: NamedKey, pad: int) -> JsonValue:
        data_subject, inner = person_of_random_token(token, place, old.secret)
        own = self._keyring.person_keys(data_subject).hand_out_key()
        value = value_of_random_token(token, place, own, data_subject, inner)
        nonces = (draw_nonce(), draw_nonce())
        return random_token(value, place, new.secret, new.key_id, pad, data_subject, own, nonces)

    def _by_seed(self, names: "_Names", new: NamedKey, found: list[str | None]) -> None:
        """One walk over everybody: a thousand at a time from the key table, nobody kept."""
        for person in self._keyring.everybody():
            for kind, old in names.keys.items():
                name = _NAMES[kind[0]]
                for place in names.places.get(name(person.seed, old.keyed, old.key_id, self._tenant), ()):
                    found[place] = name(person.seed, new.keyed, new.key_id, self._tenant)


class _Names:
    """The pseudonyms and alias addresses of a list, and where in it each stands."""

    def __init__(self) -> None:
        self.keys: dict[tuple[TokenKind, str], NamedKey] = {}
        self.places: dict[str, list[int]] = {}

    def want(self, text: str, token: Token, old: NamedKey, place: int) -> None:
        self.keys[token.kind, token.key_id] = old
        spelled = text.lower() if token.kind is TokenKind.EMAIL_ALIAS else text
        self.places.setdefault(spelled, []).append(place)
