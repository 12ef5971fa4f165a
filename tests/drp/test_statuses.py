"""Our states in the protocol's words: the tables miss none, and what is told keeps the protocol's own rules."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.drp.statuses import FINAL, REASONS, STATUSES, VERIFY, Told, expected_by, status_of
from consent_gateway.errors import Conflict
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.requests import Book, Request, Via
from consent_gateway.rights.states import OPEN, Act, DenialGround, HoldGround, Standing, State, step
from tests.rights_world import shipped_policies

LAWS = Laws(shipped_policies().documents.packs)
RECEIVED = datetime(2027, 3, 5, 12, tzinfo=UTC)
BY_THE_PROTOCOL = {
    "open": {None},
    "in_progress": {None, VERIFY},
    "fulfilled": {None},
    "revoked": {None},
    "denied": {
        "suspected_fraud", "insuf_verification", "no_match", "claim_not_covered", "outside_jurisdiction",
        "too_many_requests", "other",
    },
    "expired": {None},
}  # fmt: skip
"""Each status with its reasons, as the table of 3.02 has them."""


def request(regime: str = "US_CA_CCPA", right: str = "delete") -> Request:
    """One that has just come."""
    return Request(
        request_id="rq_1",
        right=right,
        regime=regime,
        jurisdiction="US-CA",
        received_at=RECEIVED,
        via=Via.AUTHORISED_AGENT,
        channel="privacy_desk",
        recorded_by="drp:GOOD",
        person_key="k",
        standing=Standing(),
    )


def test_every_state_has_its_status_and_every_ground_its_reason() -> None:
    """The tables are total, use the protocol's words alone, and agree on which ends are final."""
    assert set(STATUSES) == set(State)
    assert set(REASONS) == set(DenialGround)
    for status, reason in STATUSES.values():
        assert reason in BY_THE_PROTOCOL[status]
    assert {reason for reason, _words in REASONS.values()} <= BY_THE_PROTOCOL["denied"]
    for state, (status, _reason) in STATUSES.items():
        assert (status in FINAL) is (state not in OPEN)


def test_no_end_says_whether_the_person_is_known() -> None:
    """`no_match` is never said."""
    assert "no_match" not in {reason for reason, _words in REASONS.values()}


@pytest.mark.parametrize("ground", list(DenialGround))
def test_a_denial_is_told_with_its_reason_and_a_sentence(ground: DenialGround) -> None:
    """The ground of the denial alone decides both."""
    denied = replace(request(), standing=Standing(State.DENIED, ground=ground.value))
    shown = status_of(Told("rq_1", None, None), denied, Book(LAWS).dates(denied), RECEIVED.date(), "https://x/rq_1")
    assert (shown["status"], (shown["reason"], shown["processing_details"])) == ("denied", REASONS[ground])


def test_what_waits_for_the_person_says_where_and_until_when() -> None:
    """Their page, and the last day; past that day the request has expired, by the clock of the call."""
    waiting = replace(
        request(), standing=Standing(State.IDENTITY_PENDING), prove_until=RECEIVED.date() + timedelta(days=45)
    )
    due, told = Book(LAWS).dates(waiting), Told("rq_1", "r-1", None)
    shown = status_of(told, waiting, due, waiting.prove_until or date.min, "https://x/rq_1")
    assert (shown["status"], shown["reason"]) == ("in_progress", VERIFY)
    assert (shown["user_verification_url"], shown["expires_at"]) == ("https://x/rq_1", "2027-04-19T23:59:59Z")
    late = status_of(told, waiting, due, (waiting.prove_until or date.min) + timedelta(days=1), "https://x/rq_1")
    assert (late["status"], late["reason"]) == ("expired", None)
    assert "user_verification_url" not in late


ACTS = st.lists(
    st.tuples(
        st.sampled_from(list(Act)),
        st.integers(0, 30),
        st.sampled_from([None, *HoldGround, *DenialGround]),
        st.sampled_from(list(ExtensionReason)),
    ),
    max_size=12,
)


@given(acts=ACTS, regime=st.sampled_from(["US_CA_CCPA", "EU_GDPR"]))
def test_a_day_that_was_told_moves_only_with_its_reason(
    acts: list[tuple[Act, int, str | None, ExtensionReason]], regime: str
) -> None:
    """Whatever is done, in whatever order and under a law that pauses or not: `expected_by` other than the first has
    `processing_details`, an answer still owed has a day, and each status is one of the protocol's.
    """
    book, day, one = Book(LAWS), RECEIVED.date(), request(regime)
    first = expected_by(one, book.dates(one))
    assert first is not None
    for act, days, ground, reason in acts:
        day += timedelta(days=days)
        try:
            one = replace(one, standing=step(one.standing, act, day, ground))
        except (Conflict, ValueError):
            continue
        if act is Act.EXTEND:
            one = replace(one, extension_reason=reason.value)
        shown = status_of(Told("rq_1", None, first), one, book.dates(one), day, "https://x/rq_1")
        assert shown["expected_by"] == first or shown["processing_details"]
        assert shown["reason"] in BY_THE_PROTOCOL[shown["status"]]
        assert shown["status"] in FINAL or shown["expected_by"]


def test_an_extension_moves_the_day_and_says_why() -> None:
    """Under the CCPA by 45 days, with the reason in words."""
    book, one = Book(LAWS), request()
    first = expected_by(one, book.dates(one))
    longer = replace(one, standing=Standing(State.EXTENDED, extended=True), extension_reason="complexity")
    shown = status_of(Told("rq_1", None, first), longer, book.dates(longer), RECEIVED.date(), "https://x/rq_1")
    assert (first, shown["expected_by"]) == ("2027-04-19", "2027-06-03")
    assert shown["processing_details"] == "More time is needed: it is a lot of work to answer this request."
