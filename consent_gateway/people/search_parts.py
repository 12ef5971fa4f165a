"""The part of an identifier that a mode of search is about; pure, and never repeats a value in an error.

Each mode tells more than an exact index does: rows with equal parts have equal indexes, so who reads the table sees
how many people share a part. The catalogue must therefore ask for each of them by name.
"""

import re

from consent_gateway.errors import FieldFault, IdentifierRefused
from consent_gateway.people.normalise import normalise
from consent_gateway.vocabulary import SEARCH_MODES, Identifier

_LENGTHS = {"last4": 4, "prefix3": 3}
_DIGITS = re.compile(r"[0-9]{4}")
_AT = "a@"  # makes an address of a domain, so that both meet the same rule


def part_of(mode: str, normal: str) -> str | None:
    """The part of a normal form; None of one that is shorter than twice the part, of which it would be most."""
    if mode == "email_domain":
        return normal.rpartition("@")[2]
    length = _LENGTHS[mode]
    if len(normal) < 2 * length:
        return None
    return normal[-length:] if mode == "last4" else normal[:length]


def asked_part(kind: str, mode: str, value: str) -> str:
    """The part that a searcher gave, in the form it is compared in.

    Raises `IdentifierRefused` for a mode that the kind does not have and for a value that is no such part.
    """
    if mode not in SEARCH_MODES.get(kind, ()):
        fits = ", ".join(f"`{each}`" for each in sorted(SEARCH_MODES.get(kind, ()))) or "no mode"
        fault = (FieldFault("/identifier/mode", "unknown mode"),)
        raise IdentifierRefused(f"this kind of identifier is not searched this way: it has {fits}", fault)
    if kind == "phone":
        digits = "".join(value.split())
        if not _DIGITS.fullmatch(digits):
            raise _refused(mode, "give the last four digits")
        return digits
    if kind == "email":
        return normalise(Identifier("email", _AT + value.strip().removeprefix("@"))).rpartition("@")[2]
    part, length = normalise(Identifier(kind, value)), _LENGTHS[mode]
    if len(part) != length:
        raise _refused(mode, f"give exactly {length} characters")
    return part


def _refused(mode: str, cause: str) -> IdentifierRefused:
    return IdentifierRefused(
        f"the part for `{mode}` is not well-formed: {cause}", (FieldFault("/identifier/value", cause),)
    )
