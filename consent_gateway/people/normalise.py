"""Brings an identifier into the one form in which it is compared; pure, and never repeats a value in an error.

The form is the input of the blind index, so a change of any rule here is a new `NORMALISATION_VERSION`: it is part
of the index key, and old and new indexes can stand side by side while one is filled.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from consent_gateway.errors import FieldFault, IdentifierRefused
from consent_gateway.vocabulary import Identifier

NORMALISATION_VERSION = 1
MAX_LENGTH = 128
"""The longest identifier other than an e-mail address, in characters."""

_MAX_ADDRESS = 254  # RFC 5321, 4.5.3.1.3
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# What nearly every address looks like. The library agrees on all of these and takes thirty times as long to say so.
_PLAIN_ADDRESS = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?!.*(?:^|[@.])..--)(?:{_LABEL}\.)+[a-z]{{2,63}}")


def normalise(identifier: Identifier, region: str | None = None) -> str:
    """The comparable form of an identifier.

    `region` is the ISO 3166 country in which a telephone number without a country code is read; None refuses such
    numbers. Raises `IdentifierRefused`, naming kind and cause, for a kind or value that is not well-formed.
    """
    rule = _RULES.get(identifier.kind)
    if rule is None:
        kinds = ", ".join(f"`{kind}`" for kind in sorted(_RULES))
        raise IdentifierRefused(f"the kind of identifier is unknown: use one of {kinds}", _fault("/identifier/kind"))
    value = unicodedata.normalize("NFC", identifier.value).strip()
    if not value:
        raise _refused(identifier.kind, "it is empty")
    if not value.isprintable() and any(unicodedata.category(character)[0] == "C" for character in value):
        raise _refused(identifier.kind, "it holds control characters")
    return rule(value, region)


def _email(value: str, _region: str | None) -> str:
    """Casefolded whole: mail systems that tell `A@` from `a@` are not met, people who type both are."""
    if len(value) > _MAX_ADDRESS:
        raise _refused("email", f"it has more than {_MAX_ADDRESS} characters")
    if _PLAIN_ADDRESS.fullmatch(plain := value.lower()):
        return plain
    try:
        # Deliverable or not, an address that a store holds must be findable for an objection.
        found = validate_email(value, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise _refused("email", "it is not an e-mail address") from None  # the cause quotes the value
    return unicodedata.normalize("NFC", f"{found.local_part}@{found.ascii_domain or found.domain}".casefold())


def _phone(value: str, region: str | None) -> str:
    if len(value) > MAX_LENGTH:
        raise _refused("phone", f"it has more than {MAX_LENGTH} characters")
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        cause = "it is not a telephone number; give it with its country code"
        raise _refused("phone", cause) from None  # the cause may quote the value
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:  # a local-only length could be anyone's
        raise _refused("phone", "no telephone number of its country has this length")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _loyalty_number(value: str, _region: str | None) -> str:
    """Upper case without spaces: as a card prints it in groups and a till types it in one."""
    return _bounded("loyalty_number", "".join(value.split()).upper())


def _device_id(value: str, _region: str | None) -> str:
    return _bounded("device_id", value.casefold())


def _external_id(value: str, _region: str | None) -> str:
    """As it is: ids of other systems may tell `a` from `A`."""
    return _bounded("external_id", value)


def _bounded(kind: str, value: str) -> str:
    if len(value) > MAX_LENGTH:
        raise _refused(kind, f"it has more than {MAX_LENGTH} characters")
    return value


_RULES: Mapping[str, Callable[[str, str | None], str]] = MappingProxyType(
    {
        "email": _email,
        "phone": _phone,
        "loyalty_number": _loyalty_number,
        "device_id": _device_id,
        "external_id": _external_id,
    }
)
KINDS = frozenset(_RULES)
"""The kinds of identifier there are."""


def _refused(kind: str, cause: str) -> IdentifierRefused:
    return IdentifierRefused(f"the `{kind}` is not well-formed: {cause}", _fault("/identifier/value", cause))


def _fault(pointer: str, message: str = "unknown kind") -> tuple[FieldFault, ...]:
    return (FieldFault(pointer, message),)
