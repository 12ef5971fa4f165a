"""Claims about the steps of a choice as policy data: what stands, what is inherited, and where nothing is said."""

from datetime import date

import pytest

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import policies_from
from consent_gateway.policy.step_book import StepBook
from tests.steps import shipped_policies

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("{confirm: {days: 0, source: s}}", "not a whole number from 1 to 30"),
        ("{confirm: {days: 31, source: s}}", "not a whole number from 1 to 30"),
        ("{confirm: {days: 7}}", "`source` is missing"),
        ("{confirm: {days: 7, source: s, purposes: [nothing]}}", "unknown purpose `nothing`"),
        ("{parent_by_mail: {days: 7, source: s, except_purposes: ['group:nothing']}}", "unknown group `group:nothing`"),
        ("{opt_in_again: {minutes: 0.5, source: s}}", "not a whole number from 1 to 10080"),
        ("{double_opt_in: [{purposes: [orders], ways: [owl], source: s}]}", "unknown way `owl`"),
        ("{double_opt_in: [{purposes: [orders], ways: [web_form], places: [UK], source: s}]}", "write `GB`"),
        ("{twice: {}}", "twice"),
    ],
)
def test_steps_that_do_not_stand_are_refused(small: dict[str, str], steps: str, told: str) -> None:
    """Each fault is told with its file, and the policy is refused whole."""
    path = next(name for name in small if name.startswith("packs/"))
    sources = {**small, path: small[path].replace("rules:\n", f"steps: {steps}\nrules:\n", 1)}
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(sources)
    assert any(told in finding and finding.startswith(path) for finding in refused.value.findings), refused.value


def test_the_nearest_pack_speaks(small: dict[str, str]) -> None:
    """A place's own pack comes before one that holds everywhere; where none names a step, there is none."""
    bare = StepBook(policies_from(small))
    assert (bare.confirm("DE", TODAY), bare.opt_in_again("DE", TODAY), bare.parent_by_mail(None, TODAY)) == (None,) * 3
    book = StepBook(shipped_policies())
    assert {book.confirm(place, TODAY) for place in ("DE", "US-CA", None)} == {book.confirm("JP", TODAY)}
    assert book.parent_by_mail("US-CO", TODAY) == book.parent_by_mail("US", TODAY)
    assert book.parent_by_mail("JP", TODAY) is None


def test_a_form_is_confirmed_where_a_pack_says_so() -> None:
    """Germany and Austria, by web form alone; where the place is not known, as the strictest pack has it."""
    book = StepBook(shipped_policies())
    asked = [
        (place, how)
        for place in ("DE", "DE-BY", "AT", "FR", "GB", "US-CA", None)
        for how in ("web_form", "app_form", "spoken", "preference_page")
        if book.double_opt_in(place, "email_marketing", how, TODAY)
    ]
    assert asked == [(place, "web_form") for place in ("DE", "DE-BY", "AT", None)]
    assert book.double_opt_in("DE", "sms_marketing", "web_form", TODAY) is None
    assert book.double_opt_in("DE", "email_marketing", "web_form", date(2018, 5, 24)) is None
