"""Format-preserving encryption of text: what changes keeps its place and its class, the rest stays; pure.

Digits become digits and letters letters of the same case; separators, and what is not ASCII, stay where they are. The
holder of the domain's token key can turn it back; nothing in the text says that it is a token, and nothing is
authenticated. A text with fewer than a million others of its form becomes null.
"""

import math
import string
from collections.abc import Callable

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection.primitives import FF1_LEAST, bind, expand, ff1_decrypt, ff1_encrypt
from consent_gateway.protection.reversible import Place
from consent_gateway.vocabulary import JsonValue

DIGITS, ALNUM = "fpe.digits", "fpe.alnum"
UNASSIGNED = "+999"
"""A country code that ITU-T E.164 assigns to nobody: what begins with it is no one's telephone number."""
_CLASSES = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
_BITS = "01"
_LONGEST = 256  # characters; a longer text is no number or code

_Turn = Callable[[bytes, bytes, str, str], str]


def fpe(value: JsonValue, place: Place, token_key: bytes, transform: str, style: str = "plain") -> JsonValue:
    """The token of a text: `transform` is `fpe.digits` or `fpe.alnum`, `style` `plain` or, of digits, `phone`.

    In style `phone` a number in international form, country code included, is encrypted whole and put behind +999. In
    style `plain` such a number becomes null, for its token could be someone's number.
    """
    if not isinstance(value, str) or _unreadable(value, transform):
        return None
    text = value.strip()
    international = text.startswith("+")
    if international is not (style == "phone") or any(letter.isalpha() for letter in text if international):
        return None
    try:
        turned = _turned(text, place, token_key, style, _mutable(transform), ff1_encrypt)
    except ProtectionRefused:
        return None
    return UNASSIGNED + turned.removeprefix("+") if international else turned


def fpe_reversed(text: str, place: Place, token_key: bytes, transform: str | None) -> str:
    """Undo `fpe`. `transform` may be None where the text has no letters: both make the same of digits alone.

    Raises `ProtectionRefused` for text that neither could have made; text that another key, field, purpose or
    recipient made gives a wrong value, for there is nothing to tell by.
    """
    lettered = any(letter in string.ascii_letters for letter in text)
    if transform not in (DIGITS, ALNUM) and (lettered or transform is not None):
        raise ProtectionRefused("this text does not say what made it: name fpe.digits or fpe.alnum")
    transform = transform or DIGITS
    international = text.startswith(UNASSIGNED)
    unplaced = text != text.strip() or (text.startswith("+") and not international) or (international and lettered)
    if unplaced or _unreadable(text, transform):
        raise ProtectionRefused("this text is no token of format-preserving encryption: send it as it was handed out")
    bare = text.removeprefix(UNASSIGNED)
    style = "phone" if international else "plain"
    turned = _turned(bare, place, token_key, style, _mutable(transform), ff1_decrypt)
    return "+" + turned if international else turned


def _unreadable(text: str, transform: str) -> bool:
    """True where a digit, or for `fpe.alnum` a letter, is not ASCII, for it would be left in the clear; or too long."""
    if len(text) > _LONGEST:
        return True
    left = str.isalnum if transform == ALNUM else str.isnumeric
    return any(left(letter) and not letter.isascii() for letter in text)


def _mutable(transform: str) -> str:
    return string.digits if transform == DIGITS else string.digits + string.ascii_letters


def _turned(text: str, place: Place, token_key: bytes, style: str, mutable: str, turn: _Turn) -> str:
    at = [index for index, letter in enumerate(text) if letter in mutable]
    chosen = "".join(text[index] for index in at)
    key = expand(token_key, b"fpe/1")
    tweak = bind("fpe/1", style, place.tenant, place.purpose, place.recipient, place.field)
    if all(letter in string.digits for letter in chosen):
        replaced = turn(key, tweak, string.digits, chosen)
    else:
        replaced = _classes_turned(chosen, key, tweak, turn)
    letters = list(text)
    for index, letter in zip(at, replaced, strict=True):
        letters[index] = letter
    return "".join(letters)


def _classes_turned(text: str, key: bytes, tweak: bytes, turn: _Turn) -> str:
    """Each letter by one of its own class: the text as a number of mixed radix, walked until it is in range again.

    The number is turned as a string of bits, of which fewer than half the strings are out of range (SP 800-38G gives
    FF1 for radix 2; cycle walking: Black and Rogaway 2002). The classes at their places are part of the tweak, so that
    texts of another form are under another permutation.
    """
    classes = [next(known for known in _CLASSES if letter in known) for letter in text]
    count = math.prod(len(known) for known in classes)
    if count < FF1_LEAST:
        raise ProtectionRefused("a text this short has too few others of its form: FF1 needs a million (SP 800-38G)")
    number = 0
    for letter, known in zip(text, classes, strict=True):
        number = number * len(known) + known.index(letter)
    width = (count - 1).bit_length()
    within = bind(tweak, "".join(str(_CLASSES.index(known)) for known in classes))
    while True:
        number = int(turn(key, within, _BITS, f"{number:0{width}b}"), 2)
        if number < count:
            break
    replaced = []
    for known in reversed(classes):
        number, index = divmod(number, len(known))
        replaced.append(known[index])
    return "".join(reversed(replaced))
