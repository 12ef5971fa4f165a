"""The terms of re-identification: read by day, fail closed, and every name in them names something."""

from datetime import date
from pathlib import Path

import pytest

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import load_policies, policies_from
from consent_gateway.policy.loading import read_sources

SHIPPED = Path(__file__).resolve().parents[3] / "policies"
NAME = "reidentification.yaml"


def shipped(*changes: tuple[str, str]) -> dict[str, str]:
    """The shipped policy's texts, with these changes to the terms."""
    sources = dict(read_sources(SHIPPED))
    for old, new in changes:
        assert old in sources[NAME]
        sources[NAME] = sources[NAME].replace(old, new, 1)
    return sources


def test_terms_hold_from_their_day_on() -> None:
    """Before the first day there are none; then the last whose day has come holds."""
    later = "terms:\n  - {effective_from: 2027-01-01, source: x, channel: till, grant_minutes: 5, open_minutes: 9,"
    later += " most_tokens: 1, requests_per_hour: 1}\n"
    rules = policies_from(shipped(("terms:\n", later))).documents.reidentification
    assert rules.on(date(2026, 10, 31)) is None
    days = date(2026, 11, 1), date(2026, 12, 31), date(2027, 1, 1)
    assert [terms.grant_minutes for day in days if (terms := rules.on(day))] == [15, 15, 5]


def test_without_the_file_nothing_may_be_turned_back() -> None:
    """A policy that does not speak of re-identification has no terms on any day."""
    sources = shipped()
    del sources[NAME]
    assert policies_from(sources).documents.reidentification.on(date(2026, 11, 22)) is None


def test_a_second_person_is_needed_wherever_nothing_else_is_said() -> None:
    """One person is enough only where purpose and recipient are both named."""
    terms = load_policies(SHIPPED).documents.reidentification.on(date(2026, 11, 22))
    assert terms is not None
    assert not terms.needs_second_person("customer_support", "company")
    assert terms.needs_second_person("customer_support", "support_desk")
    assert terms.needs_second_person("order_fulfilment", "company")


def test_the_terms_are_part_of_the_revision() -> None:
    """A request names the revision under which it was made, so terms that change change it."""
    changed = policies_from(shipped(("grant_minutes: 15", "grant_minutes: 10")))
    assert changed.revision != load_policies(SHIPPED).revision


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("channel: privacy_desk", "channel: back_door", "unknown channel `back_door`"),
        ("purpose: customer_support", "purpose: gossip", "unknown purpose `gossip`"),
        ("recipients: [company]", "recipients: [neighbour]", "unknown recipient `neighbour`"),
        ("grant_minutes: 15", "grant_minutes: 0", "`0` is not a whole number from 1 to 60"),
        ("grant_minutes: 15", "grant_minutes: 61", "`61` is not a whole number from 1 to 60"),
        ("most_tokens: 10", "most_tokens: 101", "`101` is not a whole number from 1 to 100"),
        ("requests_per_hour: 20", "requests_per_hour: true", "is not a whole number"),
        ("source: GDPR", "sauce: GDPR", "unknown key `sauce`"),
        ("key: legal_order", "key: Legal-Order", "write lower_case_words"),
        ("reasons:", "reason:", "unknown key `reason`"),
    ],
)
def test_terms_that_do_not_stand_keep_the_policy_from_loading(old: str, new: str, what: str) -> None:
    """An unknown name, a number out of bounds or a wrong key is told with its file, and nothing loads."""
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(shipped((old, new)))
    assert any(what in one and one.startswith(NAME) for one in refused.value.findings), refused.value.findings


def test_two_terms_of_one_day_are_refused() -> None:
    """Which of them held could not be told."""
    text = shipped()[NAME]
    entry = text[text.index("  - effective_from") :]
    with pytest.raises(PolicyInvalid, match="two terms begin on one day"):
        policies_from({**shipped(), NAME: text + entry})
