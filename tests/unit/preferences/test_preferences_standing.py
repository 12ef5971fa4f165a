"""What the page says of each purpose is what the policy decides, for every place and whatever the person chose."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.policy import Policies, decide, load_policies
from consent_gateway.preferences.answers import Mark, plan
from consent_gateway.preferences.standing import Standings, Way
from consent_gateway.vocabulary import OPENING, AccessRequest, Choice, ChoiceStatus, EventKind, Facts, Reason

ROOT = Path(__file__).resolve().parent.parent.parent.parent
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICIES = load_policies(ROOT / "policies")
STANDINGS = Standings(POLICIES)
PLACES = ("DE", "GB", "CH", "US-CA", "US-TX", "US-VA", "CA-QC", "JP", "XX")

choices = st.builds(
    Choice,
    purpose=st.sampled_from(sorted(POLICIES.purposes)),
    status=st.sampled_from(ChoiceStatus),
    given_at=st.just(NOW),
    objected=st.booleans(),
    opted_out=st.booleans(),
    unsubscribed=st.booleans(),
)
facts = st.builds(
    Facts,
    jurisdiction=st.sampled_from(PLACES),
    choices=st.lists(choices).map(lambda some: {one.purpose: one for one in some}),
    gpc=st.booleans(),
    limited=st.booleans(),
    restricted=st.booleans(),
    member=st.booleans(),
)


def any_open(policies: Policies, purpose: str, person: Facts, channel: str, recipient: str | None) -> bool:
    """Whether any field of the catalogue would go out."""
    names = tuple(policies.catalogue.fields)
    request = AccessRequest("c", channel, purpose, names, NOW, recipient=recipient)
    return any(one.is_open for one in decide(policies.rulebook, request, person).verdicts.values())


@given(facts)
def test_out_of_use_on_the_page_is_refused_in_every_channel(person: Facts) -> None:
    """Where the page says that a purpose is not in use, no channel and no partner gets a field for it; and back."""
    for standing in STANDINGS.of(person, NOW, gpc=False):
        recipients = (None, *(one.key for one in standing.partners))
        found = any(
            any_open(POLICIES, standing.purpose, person, channel, recipient)
            for channel in POLICIES.channels
            for recipient in recipients
        )
        assert standing.in_use is found


@given(facts)
def test_nobody_is_shown_an_answer_they_did_not_give(person: Facts) -> None:
    """For a purpose that needs consent, Allow is marked only where the person granted it and it holds."""
    for standing in STANDINGS.of(person, NOW, gpc=False):
        if standing.way is Way.CONSENT and standing.answer:
            assert standing.in_use
            assert standing.choice.status in (ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT)


@given(facts, st.dictionaries(st.sampled_from(sorted(POLICIES.purposes)), st.sampled_from(Mark)))
def test_refusing_events_come_first_and_only_for_what_was_marked(person: Facts, marks: dict[str, Mark]) -> None:
    """A plan names marked purposes alone, restricting events before opening ones, and never opens by a refusal."""
    planned = plan(STANDINGS.of(person, NOW, gpc=False), marks)
    opening = [each.kind in OPENING for each in planned.events]
    assert opening == sorted(opening)
    assert {each.purpose for each in planned.events} | set(planned.to_confirm) <= set(marks)
    for each in planned.events:
        assert (each.kind in OPENING) is (marks[each.purpose] is Mark.ALLOW)


@pytest.mark.parametrize(
    ("place", "purpose", "way", "ground", "explicit"),
    [
        ("DE", "email_marketing", Way.CONSENT, Reason.CONSENT, False),
        ("DE", "allergen_safety", Way.CONSENT, Reason.EXPLICIT_CONSENT, True),
        ("DE", "fraud_prevention", Way.OBJECTION, Reason.LEGITIMATE_INTEREST, False),
        ("DE", "legal_tax", Way.NONE, Reason.LEGAL_OBLIGATION, False),
        ("DE", "loyalty_account", Way.PROGRAMME, Reason.CONTRACT, False),
        ("US-CA", "data_sale", Way.OPT_OUT, Reason.OPT_OUT_MODEL, False),
        ("XX", "email_marketing", Way.CLOSED, Reason.UNKNOWN_JURISDICTION, False),
    ],
)
def test_each_way_of_answering(place: str, purpose: str, way: Way, ground: Reason, *, explicit: bool) -> None:
    """How a purpose is offered follows from the law of the place."""
    found = {one.purpose: one for one in STANDINGS.of(Facts(jurisdiction=place), NOW, gpc=False)}[purpose]
    assert (found.way, found.ground, found.explicit) == (way, ground, explicit)


def test_rights_come_from_the_packs() -> None:
    """The right to limit is Californian, the right to opt out of sale holds in Texas too, neither in Germany."""
    rights = {place: STANDINGS.rights(Facts(jurisdiction=place), NOW) for place in ("DE", "US-CA", "US-TX", "XX")}
    assert {"opt_out_sale_share", "limit_sensitive"} <= rights["US-CA"]
    assert "limit_sensitive" not in rights["US-TX"]
    assert "opt_out_sale_share" in rights["US-TX"]
    assert not {"opt_out_sale_share", "limit_sensitive"} & rights["DE"]
    assert rights["XX"] == frozenset()


def test_an_express_consent_is_asked_for_by_its_own_event() -> None:
    """Where the law asks for an express consent, Allow records one."""
    standings = STANDINGS.of(Facts(jurisdiction="DE"), NOW, gpc=False)
    planned = plan(standings, {"allergen_safety": Mark.ALLOW})
    assert [each.kind for each in planned.events] == [EventKind.GRANT_EXPLICIT]
