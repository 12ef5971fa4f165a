"""What each event does to where a person stands, case by case."""

from datetime import timedelta
from typing import Any

import pytest

from consent_gateway.consent.projection import PersonState, apply, project
from consent_gateway.vocabulary import Choice, ChoiceStatus, ConsentEvent, EventKind
from tests.conftest import NOON

K = EventKind


def standing(event: Any, *steps: EventKind | tuple[EventKind, int]) -> PersonState:
    """The state after events of these kinds; a step may say how many days before noon it occurred."""
    events = []
    for position, step in enumerate(steps, 1):
        kind, days = step if isinstance(step, tuple) else (step, 0)
        made = event("ds_1", kind, at=NOON - timedelta(days=days, seconds=60 - position))
        events.append(ConsentEvent(f"cev_{position}", position, NOON, made))
    return project(events)


def choice(event: Any, *steps: EventKind | tuple[EventKind, int]) -> Choice:
    """The choice on e-mail marketing after these events."""
    return standing(event, *steps).choices["email_marketing"]


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ((K.REQUEST,), ChoiceStatus.REQUESTED),
        ((K.GRANT,), ChoiceStatus.GRANTED),
        ((K.GRANT_EXPLICIT,), ChoiceStatus.GRANTED_EXPLICIT),
        ((K.REFUSE,), ChoiceStatus.REFUSED),
        ((K.GRANT, K.WITHDRAW), ChoiceStatus.WITHDRAWN),
        ((K.GRANT, K.REQUEST), ChoiceStatus.GRANTED),
        ((K.REFUSE, K.REQUEST), ChoiceStatus.REFUSED),
        ((K.WITHDRAW, K.SOFT_OPT_IN), ChoiceStatus.WITHDRAWN),
        ((K.REFUSE, K.IMPLIED), ChoiceStatus.REFUSED),
        ((K.GRANT, K.SOFT_OPT_IN), ChoiceStatus.GRANTED),
        ((K.SOFT_OPT_IN,), ChoiceStatus.SOFT_OPT_IN),
        ((K.REQUEST, K.IMPLIED), ChoiceStatus.IMPLIED),
        ((K.WITHDRAW, K.GRANT), ChoiceStatus.GRANTED),
        ((K.OPT_OUT,), ChoiceStatus.UNKNOWN),
    ],
)
def test_the_status_follows_the_events(event: Any, steps: tuple[EventKind, ...], status: ChoiceStatus) -> None:
    """The status is what the last answer of the person says; a form or a purchase says nothing against an answer."""
    assert choice(event, *steps).status is status


def test_a_plain_grant_does_not_undo_an_opt_out(event: Any) -> None:
    """After an opt-out only the two-step opt-in opens again; a grant leaves the opt-out and the event it rests on."""
    after = choice(event, K.OPT_OUT, K.GRANT)
    assert after.opted_out
    assert not after.opted_in_again
    assert after.event_id == "cev_1"
    again = choice(event, K.OPT_OUT, K.GRANT, K.OPT_IN_AGAIN)
    assert (again.opted_out, again.opted_in_again, again.status) == (False, True, ChoiceStatus.GRANTED)
    assert again.event_id == "cev_3"


@pytest.mark.parametrize("kind", [K.OPT_OUT, K.WITHDRAW, K.REFUSE, K.OBJECT, K.UNSUBSCRIBE])
def test_any_restriction_ends_an_opt_in_after_an_opt_out(event: Any, kind: EventKind) -> None:
    """What was opted into again is closed again by whatever the person says against it."""
    assert not choice(event, K.OPT_OUT, K.OPT_IN_AGAIN, kind).opted_in_again


def test_a_grant_lifts_an_objection_and_an_unsubscription(event: Any) -> None:
    """A grant after an objection and an unsubscription clears both; a soft opt-in clears neither."""
    after = choice(event, K.OBJECT, K.UNSUBSCRIBE, K.GRANT)
    assert (after.objected, after.unsubscribed, after.event_id) == (False, False, "cev_3")
    soft = choice(event, K.OBJECT, K.UNSUBSCRIBE, K.SOFT_OPT_IN)
    assert (soft.objected, soft.unsubscribed, soft.event_id) == (True, True, "cev_2")


@pytest.mark.parametrize("closing", [K.WITHDRAW, K.REFUSE, K.OPT_OUT, K.OBJECT, K.UNSUBSCRIBE])
@pytest.mark.parametrize("opening", [K.GRANT, K.GRANT_EXPLICIT, K.OPT_IN_AGAIN, K.SOFT_OPT_IN, K.IMPLIED])
def test_an_old_grant_sent_again_opens_nothing(event: Any, closing: EventKind, opening: EventKind) -> None:
    """An opening event that occurred before a restricting one, but is recorded after it, changes nothing."""
    assert choice(event, (closing, 2), (opening, 3)) == choice(event, (closing, 2))


def test_a_grant_of_the_same_moment_opens_nothing(event: Any) -> None:
    """Where a grant and a withdrawal carry one time, the withdrawal stands: the grant may be one sent again."""
    both = [ConsentEvent(f"cev_{at}", at, NOON, event("ds_1", kind, at=NOON))
            for at, kind in enumerate((K.GRANT, K.WITHDRAW, K.GRANT), 1)]  # fmt: skip
    assert project(both).choices["email_marketing"].status is ChoiceStatus.WITHDRAWN


def test_a_restriction_recorded_late_still_takes_effect(event: Any) -> None:
    """A withdrawal on paper that is typed in after a grant closes, although the paper is older."""
    assert choice(event, (K.GRANT, 1), (K.WITHDRAW, 3)).status is ChoiceStatus.WITHDRAWN


def test_the_newest_grant_stands(event: Any) -> None:
    """An older grant that is recorded later does not make the present one look older."""
    assert choice(event, (K.GRANT, 1), (K.GRANT, 9)).given_at == NOON - timedelta(days=1, seconds=59)


def test_a_fast_clock_gives_no_lead(event: Any) -> None:
    """A grant dated after its own recording counts from the recording, so that a withdrawal after it closes it."""
    fast = ConsentEvent("cev_1", 1, NOON, event("ds_1", K.WITHDRAW, at=NOON + timedelta(minutes=4)))
    later = ConsentEvent(
        "cev_2", 2, NOON + timedelta(minutes=1), event("ds_1", K.GRANT, at=NOON + timedelta(minutes=1))
    )
    state = apply(apply(PersonState(), fast), later)
    assert state.choices["email_marketing"].status is ChoiceStatus.GRANTED


@pytest.mark.parametrize(
    ("on", "off", "flag"),
    [
        (K.LIMIT, K.LIFT_LIMIT, "limited"),
        (K.RESTRICT, K.LIFT_RESTRICTION, "restricted"),
        (K.ERASURE_REQUEST, K.ERASURE_CANCEL, "erasure_pending"),
        (K.LEGAL_HOLD, K.LIFT_LEGAL_HOLD, "legal_hold"),
        (K.PARENTAL_AUTHORISATION, K.PARENTAL_REVOCATION, "parental_authorisation"),
        (K.JOIN_PROGRAMME, K.LEAVE_PROGRAMME, "member"),
    ],
)
def test_person_wide_states_go_on_and_off(event: Any, on: EventKind, off: EventKind, flag: str) -> None:
    """Each person-wide state is set and cleared by its pair of events, and by nothing else."""
    assert standing(event, on).flags == {flag}
    assert standing(event, on, off).flags == frozenset()
    assert standing(event, on, K.GPC, K.GRANT).flags == {flag, "gpc"}


def test_a_lift_older_than_the_restriction_lifts_nothing(event: Any) -> None:
    """A lift that occurred before the restriction it meets, and is recorded after it, leaves it in place."""
    assert standing(event, (K.RESTRICT, 1), (K.LIFT_RESTRICTION, 2)).flags == {"restricted"}
    assert standing(event, (K.LEAVE_PROGRAMME, 1), (K.JOIN_PROGRAMME, 2)).flags == frozenset()


def test_nothing_opens_after_an_erasure(event: Any) -> None:
    """An erased person stays erased: openings do nothing, an objection is still kept."""
    after = standing(event, K.GRANT, K.ERASURE_REQUEST, K.ERASED, K.GRANT, K.JOIN_PROGRAMME, K.ERASURE_CANCEL, K.OBJECT)
    assert after.flags == {"erased"}
    assert after.choices["email_marketing"].objected
    assert after.position == 7


def test_a_choice_carries_its_evidence(event: Any) -> None:
    """The choice holds the time, the end, the notice and the conditions of the event it rests on."""
    until = NOON + timedelta(days=30)
    made = event("ds_1", K.GRANT, valid_until=until)
    state = project([ConsentEvent("cev_1", 1, NOON, made)])
    found = state.choices["email_marketing"]
    assert (found.given_at, found.valid_until, found.notice_version) == (NOON, until, "3")
    assert state.facts("ds_1", "DE", None).choices == state.choices
