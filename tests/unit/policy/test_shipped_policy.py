"""Claims about the policy in this repository: it loads, it is proved sound, and its own cases reach all of it."""

from pathlib import Path

import pytest

from consent_gateway.policy import Policies, load_policies
from consent_gateway.policy.case_files import read_cases
from consent_gateway.policy.cases import run_cases
from consent_gateway.policy.checks import check_policies
from tests.unit.policy.conftest import NOON

SHIPPED = Path(__file__).resolve().parents[3] / "policies"


@pytest.fixture(scope="module")
def shipped() -> Policies:
    """The shipped policy."""
    return load_policies(SHIPPED)


def test_the_shipped_policy_is_sound(shipped: Policies) -> None:
    """No rule is unreachable, no restricting fact opens, every effect has its transform."""
    assert [str(finding) for finding in check_policies(shipped)] == []


def test_the_shipped_cases_pass_and_reach_every_rule(shipped: Policies) -> None:
    """Every case agrees with the policy, and together they reach all rules."""
    report = run_cases(shipped, read_cases([SHIPPED / "cases"]), NOON.date())
    assert [(one.case.id, one.faults) for one in report.failures] == []
    assert report.unreached == ()


def test_a_consent_lasts_two_years_in_every_place(shipped: Policies) -> None:
    """Every place has months for a consent to last; the states of the US inherit theirs from the common pack."""
    months = {
        place: {segment.parameters.consent_months for segment in segments}
        for place, segments in shipped.rulebook.program.places.items()
    }
    assert {place for place, found in months.items() if found != {24}} == set()
    assert "US-WY" not in months  # a state without an act of its own is under `US`
    assert {"US", "US-CA", "US-CO", "US-TX"} <= set(months)
