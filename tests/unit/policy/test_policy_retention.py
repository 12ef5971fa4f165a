"""Schedules and terms: periods by the calendar, what a schedule covers, faults told with their line."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import load_policies, policies_from
from consent_gateway.policy.loading import read_sources
from consent_gateway.policy.retention import Retention, Schedule, after
from consent_gateway.rights.retention import cutoff

POLICIES = Path(__file__).resolve().parents[3] / "policies"
DAYS = st.dates(date(1990, 1, 1), date(2060, 12, 31))
PERIODS = st.sampled_from(["P30D", "P2W", "P13M", "P3Y", "P8Y", "P1Y6M", "P1M1D"])


def schedule(period: str = "P8Y", *, year_end: bool = False) -> Schedule:
    """A schedule of one field."""
    return Schedule("s", "legal_tax", "test", period, "orders.day", date(2025, 1, 1), None, "claims", year_end)


def test_periods_go_by_the_calendar() -> None:
    """A day that the month does not have becomes its last; years keep the day; the year's end counts from its end."""
    assert after(date(2024, 1, 31), "P1M") == date(2024, 2, 29)
    assert after(date(2024, 2, 29), "P1Y") == date(2025, 2, 28)
    assert after(date(2026, 12, 31), "P1Y2M3W4D") == date(2028, 3, 25)
    assert schedule(year_end=True).until(date(2020, 3, 1)) == date(2028, 12, 31)


@given(DAYS, PERIODS, st.booleans())
def test_nothing_goes_before_its_time(today: date, period: str, year_end: bool) -> None:
    """Whatever is older than the cut-off has passed its last day, and the first day that is not has not."""
    one = schedule(period, year_end=year_end)
    first = cutoff(one, today)
    assert one.until(first) >= today
    assert one.until(date.fromordinal(first.toordinal() - 1)) < today


def test_a_schedule_speaks_of_its_fields_its_places_and_its_time() -> None:
    """By name, or by collection and category at a dot boundary; for its places and from its day alone."""
    one = Schedule(
        "s",
        "p",
        "t",
        "P1Y",
        "o.day",
        date(2025, 1, 1),
        categories=("user.pay",),
        collections=("o",),
        jurisdictions=("DE",),
    )
    assert one.covers("o.x", "o", ("user.pay.card",))
    assert not one.covers("o.x", "o", ("user.payment",))
    assert not one.covers("q.x", "q", ("user.pay",))
    assert one.in_force(date(2025, 1, 1), "DE-BY")
    assert not one.in_force(date(2024, 12, 31), "DE")
    assert not one.in_force(date(2025, 1, 1), None)
    assert Retention((one,)).of_field("o.x", "o", ("user.pay",), date(2026, 1, 1), "FR") == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("period: P8Y", "period: 8 years", "is not a period"),
        ("ground: legal_obligation", "ground: because", "unknown ground"),
        ("counted_from: orders.ordered_at", "counted_from: orders.nowhere", "unknown field"),
        ("purpose: legal_tax", "purpose: tax", "unknown purpose"),
        ("hold_covers: [user]", "hold_covers: [person]", "unknown category"),
        ("- id: visits", "- id: books-de", "stands twice"),
    ],
)
def test_what_does_not_stand_is_told_with_its_line(old: str, new: str, told: str) -> None:
    """A fault in retention.yaml keeps the policy from loading and is named with file and line."""
    sources = dict(read_sources(POLICIES))
    assert old in sources["retention.yaml"]
    sources["retention.yaml"] = sources["retention.yaml"].replace(old, new, 1)
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(sources)
    assert any(told in one and one.startswith("retention.yaml:") for one in refused.value.findings)


def test_the_shipped_texts_and_authorities_are_there() -> None:
    """Every text of a package is there in English at least; a subdivision's authority goes before its country's."""
    texts = load_policies(POLICIES).documents.access_texts
    assert texts.text("rights", date(2026, 1, 1), "xx") == texts.text("rights", date(2026, 1, 1), "en")
    assert texts.text("rights", date(2024, 1, 1), "en") is None
    assert "California" in str(texts.authority("US-CA"))
    assert texts.authority("ZZ") is None
    assert texts.authority(None) is None
