"""Identifiers: what counts as the same, what is refused, and that a refusal tells no value."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.errors import IdentifierRefused
from consent_gateway.people.normalise import KINDS, normalise
from consent_gateway.vocabulary import Identifier


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("email", "Anna.Meier@Example.COM", " anna.meier@example.com "),
        ("email", "käthe@bücher.example", "KÄTHE@xn--bcher-kva.example"),
        ("email", "Ka\u0308the@example.com", "k\u00e4the@example.com"),
        ("email", "o'neil+shop@mail.example.co", "O'NEIL+SHOP@mail.example.co"),
        ("phone", "030 1234567", "+49 (30) 123-4567"),
        ("phone", "0049301234567", "+49301234567"),
        ("phone", "+1 202 555 0143", "+12025550143"),
        ("loyalty_number", "ab 1234 5678", "AB12345678"),
        ("device_id", "6F9619FF-8B86", "6f9619ff-8b86"),
    ],
)
def test_two_spellings_are_one_identifier(kind: str, one: str, other: str) -> None:
    """Spellings that people and machines use for one identifier have one normal form."""
    assert normalise(Identifier(kind, one), "DE") == normalise(Identifier(kind, other), "DE")


def test_external_ids_keep_their_case() -> None:
    """Ids of other systems that differ by case alone are different."""
    assert normalise(Identifier("external_id", "aB")) != normalise(Identifier("external_id", "AB"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "anna.example.com"),
        ("email", "anna@@example.com"),
        ("email", "anna@example..com"),
        ("email", "anna@" + "a" * 250 + ".com"),
        ("email", "a\u202enna@example.com"),
        ("phone", "hello world"),
        ("phone", "+1 555 12"),
        ("phone", "+49 30 " + "1" * 200),
        ("loyalty_number", "  "),
        ("loyalty_number", "L1\x00"),
        ("device_id", "d" * 129),
        ("external_id", "id\u200b1"),
        ("passport", "C01X00T47"),
    ],
)
def test_a_refusal_names_the_cause_and_never_the_value(kind: str, value: str) -> None:
    """What is not well-formed is refused, and neither message nor cause nor faults repeat it."""
    with pytest.raises(IdentifierRefused) as refused:
        normalise(Identifier(kind, value), "DE")
    error = refused.value
    told = " ".join([str(error), repr(error.faults), repr(error.__cause__)])
    assert error.__suppress_context__ or error.__context__ is None
    for part in value.strip().split("@"):
        assert len(part) < 4 or part not in told
    assert error.message == error.message.lower() or "`" in error.message


def test_a_number_without_country_needs_a_region() -> None:
    """A national telephone number is refused where no region is configured."""
    with pytest.raises(IdentifierRefused):
        normalise(Identifier("phone", "030 1234567"), None)


@given(
    st.from_regex(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~@-]{1,40}@[A-Za-z0-9.-]{1,40}", fullmatch=True)
    | st.from_regex(r"[a-z.]{1,9}@([a-z0-9-]{1,5}\.){1,3}[a-z0-9-]{1,4}", fullmatch=True)
)
def test_the_short_way_agrees_with_the_library(value: str) -> None:
    """Addresses that skip the library's parser are those it accepts, in the form it gives them."""
    try:
        found = validate_email(value, check_deliverability=False, globally_deliverable=False)
        expected = f"{found.local_part}@{found.ascii_domain}".casefold()
    except EmailNotValidError:
        expected = None
    try:
        assert normalise(Identifier("email", value)) == expected
    except IdentifierRefused:
        assert expected is None


@given(st.sampled_from(sorted(KINDS)), st.text(max_size=40))
def test_normal_forms_are_stable(kind: str, value: str) -> None:
    """Whatever is typed, it is refused or has a normal form whose normal form is itself."""
    try:
        once = normalise(Identifier(kind, value), "DE")
    except IdentifierRefused:
        return
    assert normalise(Identifier(kind, once), "DE") == once
