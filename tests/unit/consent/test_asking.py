"""Claims about asking again: nobody who said no is asked before the law's time, whatever else happened."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.consent.asking import may_ask_again
from consent_gateway.consent.projection import PersonState
from consent_gateway.policy.documents import Purpose
from consent_gateway.policy.situation import months_later
from consent_gateway.vocabulary import Choice, ChoiceStatus
from tests.conftest import NOON

MAIL = Purpose("mail", "M", "m", "DirectMarketing", "marketing", (), ("choice",))
SALE = replace(MAIL, key="sale", groups=("choice", "cross_context"))
TERMS = {"reask_months": 6, "consent_months": 24, "accepted": frozenset({"1"})}
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2026, 11, 1), timezones=st.just(UTC))  # noqa: DTZ001 - st's form


def asked(state: PersonState, now: datetime = NOON, purpose: Purpose = MAIL, **terms: object) -> bool:
    """Whether the person may be asked, under the tests' terms."""
    return may_ask_again(purpose, state, now, **{**TERMS, **terms})  # type: ignore[arg-type]


def stands(status: ChoiceStatus, **given: object) -> PersonState:
    """A state with one choice on `mail`."""
    made = {"given_at": NOON - timedelta(days=10), "notice_version": "1", **given}
    return PersonState(1, choices={"mail": Choice("mail", status, **made)})  # type: ignore[arg-type]


@given(
    MOMENTS,
    st.integers(1, 24),
    st.integers(0, 900),
    st.sampled_from([*ChoiceStatus]),
    st.booleans(),
    st.sampled_from([None, "1", "2"]),
)
def test_nobody_is_asked_before_the_time(
    last: datetime, months: int, days: int, status: ChoiceStatus, objected: bool, version: str | None
) -> None:
    """After a no, whatever the status, marks and notice: never before the months are over, never for ever unnamed."""
    now = last + timedelta(days=days)
    choice = Choice("mail", status, given_at=last, notice_version=version, objected=objected)
    state = PersonState(1, choices={"mail": choice}, closed={"mail": last})
    if asked(state, now, reask_months=months):
        assert now >= months_later(last, months)
        assert (now.year - last.year) * 12 + now.month - last.month >= months
    assert not asked(state, now, reask_months=None)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (PersonState(), True),
        (stands(ChoiceStatus.REQUESTED), False),
        (stands(ChoiceStatus.GRANTED), False),
        (stands(ChoiceStatus.GRANTED, notice_version="0"), True),
        (stands(ChoiceStatus.GRANTED, given_at=NOON - timedelta(days=800)), True),
        (stands(ChoiceStatus.GRANTED, valid_until=NOON), True),
        (replace(stands(ChoiceStatus.GRANTED, notice_version="0"), closed={"mail": NOON - timedelta(days=99)}), False),
        (replace(PersonState(), flags=frozenset({"restricted"})), False),
    ],
)
def test_a_question_is_open_or_not(state: PersonState, expected: bool) -> None:
    """Asked: who never answered, whose consent lapsed or means something else now. Not: a pending or standing yes."""
    assert asked(state) is expected


def test_the_browsers_signal_counts_as_a_no() -> None:
    """Under a signal nobody is asked about sale or sharing before the time is over; about e-mail it says nothing."""
    state = PersonState(1, frozenset({"gpc"}), flags_closed={"gpc": NOON - timedelta(days=30)})
    assert not asked(state, purpose=SALE)
    assert asked(state, purpose=MAIL)
    assert asked(state, NOON + timedelta(days=200), purpose=SALE)


def test_waiting_errs_late() -> None:
    """From 31 August six months end on 1 March, since there is no 31 February."""
    state = PersonState(1, closed={"mail": datetime(2026, 8, 31, tzinfo=UTC)})
    assert not asked(state, datetime(2027, 2, 28, 23, tzinfo=UTC))
    assert asked(state, datetime(2027, 3, 1, tzinfo=UTC))
