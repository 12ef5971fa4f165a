"""Residence, minority and membership out of the store's words."""

from datetime import date

import pytest

from consent_gateway.people.residence import Unreadable, is_member, jurisdiction, minor_born

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("country", "region", "expected"),
    [
        ("de", "BY", "DE"),
        ("US", "CA", "US-CA"),
        ("us", "us_ca", "US-CA"),
        ("CA", "QC", "CA-QC"),
        ("US", None, "US"),
        ("US", " ", "US"),
        ("UK", None, "GB"),
        (None, "CA", None),
        ("", None, None),
    ],
)
def test_residence_is_a_code(country: str | None, region: str | None, expected: str | None) -> None:
    """Country and region become the code that the policy packs use, with the region where it has law of its own."""
    assert jurisdiction(country, region) == expected


@pytest.mark.parametrize(("country", "region"), [("Germany", None), ("US", "California"), ("1", None)])
def test_an_unreadable_residence_is_not_guessed(country: str, region: str | None) -> None:
    """What is no code is an error, so that nobody falls to a milder law for a spelling."""
    with pytest.raises(Unreadable):
        jurisdiction(country, region)


def test_a_birth_date_is_kept_for_minors_alone() -> None:
    """The day of birth is kept below nineteen, to the day, and for nobody else."""
    assert minor_born("2007-11-23", TODAY) == date(2007, 11, 23)
    assert minor_born("2007-11-22", TODAY) is None
    assert minor_born("1984-02-29T00:00:00", TODAY) is None
    for wrong in ("", "22.11.2010", "2027-01-01", "0001-01-01"):
        with pytest.raises(Unreadable):
            minor_born(wrong, TODAY)


def test_membership_is_any_word_that_is_not_a_no() -> None:
    """A loyalty number or a yes says member; a no says not."""
    assert all(map(is_member, ("1", "true", "L-123", "gold")))
    assert not any(map(is_member, ("0", "False", "no", " ")))
