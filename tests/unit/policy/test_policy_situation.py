"""Claims about facts: what holds of a person at a moment."""

from dataclasses import fields
from datetime import UTC, date, datetime

import pytest

from consent_gateway.policy.documents import Recipient
from consent_gateway.policy.facts import BIT, FACTS, VARIABLES, Group, age_bits, names_of, situations
from consent_gateway.policy.ir import PlaceParameters
from consent_gateway.policy.situation import (
    condition_bits,
    months_later,
    person_bits,
    recipient_bits,
    status_bits,
    years_old,
)
from consent_gateway.vocabulary import AccessRequest, Choice, ChoiceStatus, Facts, RecipientRole
from tests.unit.policy.conftest import NOON

ANYWHERE = PlaceParameters(None, None, None, frozenset({"DE"}))


@pytest.mark.parametrize(
    ("moment", "months", "expected"),
    [
        ((2024, 2, 29), 12, (2025, 2, 28)),
        ((2024, 2, 29), 24, (2026, 2, 28)),
        ((2024, 2, 29), 48, (2028, 2, 29)),
        ((2026, 8, 31), 1, (2026, 9, 30)),
        ((2026, 12, 31), 2, (2027, 2, 28)),
        ((2026, 11, 22), 13, (2027, 12, 22)),
    ],
)
def test_months_end_on_the_same_date_or_the_month_s_last(
    moment: tuple[int, int, int], months: int, expected: tuple[int, int, int]
) -> None:
    """A month later is the same date, or the last day where there is none."""
    assert months_later(datetime(*moment, 5, tzinfo=UTC), months) == datetime(*expected, 5, tzinfo=UTC)


def test_a_birthday_counts_from_its_own_day() -> None:
    """A person is a year older on the birthday; who is born on 29 February, on 1 March."""
    assert years_old(date(2010, 11, 22), date(2026, 11, 21)) == 15
    assert years_old(date(2010, 11, 22), date(2026, 11, 22)) == 16
    assert years_old(date(2012, 2, 29), date(2026, 2, 28)) == 13
    assert years_old(date(2012, 2, 29), date(2026, 3, 1)) == 14


def test_ages_form_a_chain() -> None:
    """A known age lies below every threshold above it; an adult and an unknown age below none."""
    assert names_of(age_bits(15)) == ("under_18", "under_17", "under_16")
    assert age_bits(18) == age_bits(None) == 0
    assert age_bits(3) == sum(BIT[fact.name] for fact in FACTS if fact.group is Group.AGE)


def test_every_fact_of_a_person_is_read(policies: object) -> None:
    """Each boolean of `Facts` sets the one fact that declares it, and no other."""
    request = AccessRequest("c", "shop", "orders", (), NOON)
    declared = {fact.source: fact.name for fact in FACTS if fact.group is Group.PERSON}
    flags = {one.name for one in fields(Facts) if one.type is bool}
    assert set(declared) == flags
    for attribute, name in declared.items():
        assert names_of(person_bits(Facts("DE", **{attribute: True}), request, NOON)) == (name,)


def test_implied_consent_has_months_of_its_own() -> None:
    """Implied consent lasts the pack's implied months where it has any, else as long as consent."""
    given = Choice("p", ChoiceStatus.IMPLIED, given_at=datetime(2026, 1, 1, tzinfo=UTC))
    for parameters, name in (
        (PlaceParameters(24, 6, None, frozenset()), "expired"),
        (PlaceParameters(6, 24, None, frozenset()), "implied"),
        (PlaceParameters(6, None, None, frozenset()), "expired"),
        (PlaceParameters(None, None, None, frozenset()), "implied"),
    ):
        assert names_of(status_bits(given, NOON, parameters, None)) == (name,)


def test_a_refusal_binds_whenever_it_was_given() -> None:
    """A refusal or withdrawal without a time, or dated later, holds all the same."""
    for status in (ChoiceStatus.REFUSED, ChoiceStatus.WITHDRAWN):
        for given in (None, datetime(2030, 1, 1, tzinfo=UTC)):
            assert names_of(status_bits(Choice("p", status, given), NOON, ANYWHERE, None)) == (status.value,)


def test_conditions_are_a_closed_list() -> None:
    """A condition that is not one of ours holds nothing, even if it is called like another fact."""
    assert condition_bits({"granted", "member", "information_given"}) == BIT["information_given"]


@pytest.mark.parametrize(
    ("role", "country", "safeguard", "names"),
    [
        (RecipientRole.CONTROLLER, "DE", None, ()),
        (RecipientRole.PROCESSOR, "VN", None, ("processor", "no_safeguard")),
        (RecipientRole.PROCESSOR, "VN", "scc", ("processor",)),
        (RecipientRole.THIRD_PARTY, "DE", None, ("third_party",)),
    ],
)
def test_a_recipient_abroad_needs_a_safeguard(
    role: RecipientRole, country: str, safeguard: str | None, names: tuple[str, ...]
) -> None:
    """Only a recipient outside the place's own law lacks a safeguard; its role is always a fact."""
    recipient = Recipient("r", "R", role, country, safeguard, ("all",))
    assert names_of(recipient_bits(recipient, ANYWHERE.home)) == names


def test_situations_are_feasible_and_complete() -> None:
    """Enumeration never mixes what excludes itself and tells apart every relevant situation."""
    relevant = BIT["granted"] | BIT["granted_explicit"] | BIT["under_16"] | BIT["under_13"] | BIT["gpc"]
    found = list(situations(relevant))
    assert len(found) == len(set(found)) == 3 * 3 * 2
    assert all(bits & BIT["granted"] for bits in found if bits & BIT["granted_explicit"])
    assert all(bits & BIT["under_16"] for bits in found if bits & BIT["under_13"])
    assert sum(len(variable.alternatives) for variable in VARIABLES) > 40
