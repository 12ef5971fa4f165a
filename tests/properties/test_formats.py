"""What format-preserving encryption promises for every text: its form stays, it turns back, too little is refused."""

import re
import string
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection import primitives
from consent_gateway.protection.formats import ALNUM, DIGITS, fpe, fpe_reversed
from consent_gateway.protection.primitives import ff1_decrypt, ff1_encrypt
from consent_gateway.protection.reversible import Place

KEYS = st.binary(min_size=32, max_size=32)
HOME = Place("acme", "analytics", "ad_partner", "card")
TEXTS = st.text(alphabet=string.digits + "ab XY-.", max_size=30) | st.from_regex(r"[0-9]{6,19}", fullmatch=True)
PHONES = st.from_regex(r"\+[1-9]([ ()-]?[0-9]){6,14}", fullmatch=True)


def form(text: str) -> str:
    """The text with each digit as 0 and each letter as a or A."""
    return re.sub("[A-Z]", "A", re.sub("[a-z]", "a", re.sub("[0-9]", "0", text)))


@given(TEXTS, KEYS, st.sampled_from([DIGITS, ALNUM]))
def test_the_form_stays_and_the_value_comes_back(text: str, key: bytes, transform: str) -> None:
    """Each character that changes stays of its class and in its place, and the key turns the text back."""
    made = fpe(text, HOME, key, transform)
    digits = sum(letter in string.digits for letter in text)
    if made is None:
        assert digits < 6
        return
    assert isinstance(made, str)
    assert form(made) == form(text.strip())
    if transform == DIGITS:
        kept = [(one, other) for one, other in zip(text.strip(), made, strict=True) if not one.isdigit()]
        assert all(one == other for one, other in kept)
    assert fpe_reversed(made, HOME, key, transform) == text.strip()


@given(PHONES, KEYS)
def test_a_telephone_token_is_nobodys_number(text: str, key: bytes) -> None:
    """An international number goes out behind +999, its own country code hidden, and comes back whole."""
    made = fpe(text, HOME, key, DIGITS, "phone")
    assert isinstance(made, str)
    assert made.startswith("+999")
    assert form(made.removeprefix("+999")) == form(text.removeprefix("+"))
    assert fpe_reversed(made, HOME, key, None) == text
    assert fpe(text, HOME, key, DIGITS) is None
    assert fpe(text.removeprefix("+"), HOME, key, DIGITS, "phone") is None


@given(st.from_regex(r"[0-9]{6,20}", fullmatch=True), KEYS)
def test_both_make_the_same_of_digits_alone(text: str, key: bytes) -> None:
    """Text without letters need not say which of the two made it."""
    assert fpe(text, HOME, key, DIGITS) == fpe(text, HOME, key, ALNUM)


@given(st.from_regex(r"[A-Z]{2}[0-9]{8}[a-z]", fullmatch=True), KEYS, st.sampled_from([DIGITS, ALNUM]))
def test_another_place_gives_another_text(text: str, key: bytes, transform: str) -> None:
    """The same value under the same key differs between tenants, purposes, recipients and fields, but for chance.

    Chance is one in a hundred million for each pair at most, so that two of five agree about once in ten million runs.
    """
    places = [
        HOME,
        Place("other", "analytics", "ad_partner", "card"),
        Place("acme", "ads", "ad_partner", "card"),
        Place("acme", "analytics", "agency", "card"),
        Place("acme", "analytics", "ad_partner", "iban"),
    ]
    assert len({fpe(text, place, key, transform) for place in places}) == 5


@given(
    st.sampled_from([string.digits, "01", string.digits + string.ascii_lowercase]),
    st.data(),
    KEYS,
    st.binary(max_size=80),
)
def test_both_libraries_give_the_same(alphabet: str, data: st.DataObject, key: bytes, tweak: bytes) -> None:
    """Fastfpe and libffx give the same text for every key, tweak, alphabet and length, and turn it back."""
    text = data.draw(st.text(alphabet=alphabet, min_size=20, max_size=120) | st.text(alphabet=alphabet, max_size=19))
    assume(len(alphabet) ** len(text) >= primitives.FF1_LEAST)
    fast, made = primitives.fast_ff1, ff1_encrypt(key, tweak, alphabet, text)
    assert fast is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(primitives, "fast_ff1", None)
        assert ff1_encrypt(key, tweak, alphabet, text) == made
        assert ff1_decrypt(key, tweak, alphabet, made) == text
    assert ff1_decrypt(key, tweak, alphabet, made) == text


@pytest.mark.parametrize(("alphabet", "text"), [("0123456789", "12345"), ("01", "0" * 19), ("0123456789", "12345x7")])
def test_too_few_texts_are_refused(alphabet: str, text: str) -> None:
    """Under a million texts of a form, and a character of another alphabet, are refused by name, unquoted."""
    for turn in (ff1_encrypt, ff1_decrypt):
        with pytest.raises(ProtectionRefused) as caught:
            turn(bytes(32), b"", alphabet, text)
        assert text not in caught.value.message


@pytest.mark.parametrize(
    ("value", "transform", "why"),
    [
        ("12-345", DIGITS, "under a million texts of the form"),
        ("Ab-12", ALNUM, "67,600 texts of the form"),
        (1234567, DIGITS, "a number, which could lose a leading zero"),
        (None, DIGITS, "nothing"),
        (True, ALNUM, "no text"),
        (["1234567"], ALNUM, "no text"),
        ("١٢٣٤٥٦٧8901234", DIGITS, "digits that would stay in the clear"),
        ("Müller1234567", ALNUM, "a letter that would stay in the clear"),
        ("1" * 257, DIGITS, "longer than any number or code"),
    ],
)
def test_what_cannot_be_protected_becomes_null(value: Any, transform: str, why: str) -> None:
    """A value that would be guessed, or would stay partly in the clear, goes out as null."""
    assert fpe(value, HOME, bytes(32), transform) is None, why


def test_letters_of_another_script_stay_where_only_digits_change() -> None:
    """`fpe.digits` keeps letters whatever they are: choose it only where they may be seen."""
    made = fpe("Müller 1234567", HOME, bytes(32), DIGITS)
    assert isinstance(made, str)
    assert made.startswith("Müller ")
