"""A pause and a frequency: what they do to a choice, when a pause ends, and who is told."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from consent_gateway.consent import ledger
from consent_gateway.consent.bound import digest_of
from consent_gateway.consent.merge import merge_choices
from consent_gateway.consent.projection import project
from consent_gateway.consent.stored import event_row
from consent_gateway.policy import decide, load_policies
from consent_gateway.vocabulary import AccessRequest, Choice, ChoiceStatus, ConsentEvent, EventKind, Reason
from tests.conftest import NOON, ROOT

DAY = timedelta(days=1)


def committed(*events: Any) -> list[ConsentEvent]:
    """The events as the ledger commits them, each at the moment it occurred."""
    return [ConsentEvent(f"cev_{at}", at, event.occurred_at, event) for at, event in enumerate(events, 1)]


def test_a_paused_purpose_is_withheld_until_its_end_by_the_clock_of_the_request(event: Any) -> None:
    """Until its last moment the answer is closed and rests on the pause; at its end it is open, without any sweep."""
    rulebook = load_policies(ROOT / "policies").rulebook
    chain = committed(
        event("ds_1", EventKind.GRANT), event("ds_1", EventKind.PAUSE, at=NOON + DAY, valid_until=NOON + 31 * DAY)
    )
    facts = project(chain).facts("ds_1", "DE", None)
    told = {}
    for moment in (NOON + DAY, NOON + 31 * DAY - timedelta(microseconds=1), NOON + 31 * DAY):
        request = AccessRequest("c", "email_marketing", "email_marketing", ("email",), moment)
        decision = decide(rulebook, request, facts)
        told[moment] = (decision.verdicts["email"].reason, decision.consent_event)
    assert list(told.values()) == [
        (Reason.RESTRICTION, "cev_2"),
        (Reason.RESTRICTION, "cev_2"),
        (Reason.CONSENT, "cev_1"),
    ]


def test_a_pause_leaves_the_answer_and_of_two_the_longer_binds(event: Any) -> None:
    """The status stays what it was; a shorter pause after a longer one does not end it sooner."""
    chain = committed(
        event("ds_1", EventKind.GRANT),
        event("ds_1", EventKind.PAUSE, at=NOON + DAY, valid_until=NOON + 91 * DAY),
        event("ds_1", EventKind.PAUSE, at=NOON + 2 * DAY, valid_until=NOON + 32 * DAY),
    )
    choice = project(chain).choices["email_marketing"]
    assert (choice.status, choice.event_id) == (ChoiceStatus.GRANTED, "cev_1")
    assert (choice.paused_until, choice.pause_event) == (NOON + 91 * DAY, "cev_2")


def test_only_a_later_resumption_ends_a_pause(event: Any) -> None:
    """One dated before the pause is an old one sent again; a grant does not end it either."""
    pause = event("ds_1", EventKind.PAUSE, at=NOON + DAY, valid_until=NOON + 91 * DAY)
    for kind, at, paused in (
        (EventKind.RESUME, NOON + DAY, True),
        (EventKind.GRANT, NOON + 2 * DAY, True),
        (EventKind.RESUME, NOON + 2 * DAY, False),
    ):
        choice = project(committed(pause, event("ds_1", kind, at=at))).choices["email_marketing"]
        assert (choice.paused_until is not None) is paused, kind


def test_a_frequency_is_kept_and_closes_nothing(event: Any, people: list[str], gateway_engine: sa.Engine) -> None:
    """The last one told stands in the stored state; nothing is recorded as closed by it, and a rebuild agrees."""
    with gateway_engine.begin() as connection:
        for often in ("daily", "monthly"):
            ledger.record(connection, event(people[0], EventKind.FREQUENCY, frequency=often), now=NOON)
        state = ledger.state(connection, people[0])
        assert ledger.rebuild(connection, people[0]) == ()
    assert state.choices["email_marketing"].frequency == "monthly"
    assert state.closed == {}


def test_a_household_hears_as_rarely_as_its_rarest_and_pauses_together() -> None:
    """Of a shared address the rarest frequency and the latest end of a pause hold."""
    merged = merge_choices(
        [
            Choice("email_marketing", frequency="daily", paused_until=NOON, pause_event="cev_1"),
            Choice("email_marketing", frequency="monthly"),
            Choice("email_marketing", paused_until=NOON + DAY, pause_event="cev_2"),
        ]
    )
    assert (merged.frequency, merged.paused_until, merged.pause_event) == ("monthly", NOON + DAY, "cev_2")


def test_an_event_without_a_frequency_keeps_the_digest_that_was_sealed(event: Any) -> None:
    """The column came after the first logs were sealed: only an event that has a frequency is digested with one."""
    (plain, often) = committed(event("ds_1", EventKind.GRANT), event("ds_1", EventKind.FREQUENCY))
    assert event_row(plain)["frequency"] is None
    assert digest_of(plain) != digest_of(often)
    assert digest_of(plain) == digest_of(plain)
