"""What evidence a choice needs to enter the ledger."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from consent_gateway.consent.evidence import EXPANDABLE, LONGEST_PAUSE, check, expand
from consent_gateway.errors import ConsentNotRaised, InputRefused
from consent_gateway.vocabulary import ANY_PURPOSE, OPENING, EventKind, Evidence
from tests.conftest import NOON


@pytest.mark.parametrize("kind", sorted(OPENING))
def test_an_opening_event_shows_what_was_shown(event: Any, kind: EventKind) -> None:
    """Without notice, version and language an opening event is refused; with all three it passes."""
    whole = event("ds_1", kind)
    check(whole, NOON)
    for missing in ("notice", "notice_version", "language"):
        with pytest.raises(ConsentNotRaised):
            check(replace(whole, evidence=replace(whole.evidence, **{missing: None})), NOON)


@pytest.mark.parametrize(
    ("how", "reference", "passes"),
    [
        ("import", None, True),
        ("signal", None, True),
        ("spoken", None, False),
        ("spoken", "call-77", True),
        ("paper", "form-9", True),
        ("web_form", "form-9", False),
        ("api", None, False),
    ],
)
def test_a_reference_stands_in_where_nothing_can_be_shown(
    event: Any, how: str, reference: str | None, *, passes: bool
) -> None:
    """A spoken or paper consent points to its record, an import to its source; a web form must name its notice."""
    made = event("ds_1", EventKind.GRANT, evidence=Evidence("till", how, "till", reference=reference))
    if passes:
        check(made, NOON)
    else:
        with pytest.raises(ConsentNotRaised):
            check(made, NOON)


@pytest.mark.parametrize("kind", sorted(set(EventKind) - OPENING))
def test_nothing_stands_between_a_person_and_their_no(event: Any, kind: EventKind) -> None:
    """A restricting event needs channel, way and recorder, and nothing else."""
    check(event("ds_1", kind, evidence=Evidence("till", "spoken", "till")), NOON)


@pytest.mark.parametrize(
    ("pointer", "kind", "given"),
    [
        ("/valid_until", EventKind.PAUSE, {"valid_until": None}),
        ("/valid_until", EventKind.PAUSE, {"valid_until": NOON}),
        ("/valid_until", EventKind.PAUSE, {"valid_until": NOON + LONGEST_PAUSE + timedelta(seconds=1)}),
        ("/frequency", EventKind.FREQUENCY, {"frequency": None}),
        ("/frequency", EventKind.FREQUENCY, {"frequency": "hourly"}),
        ("/frequency", EventKind.GRANT, {"frequency": "daily"}),
    ],
)
def test_a_pause_has_an_end_and_a_frequency_a_word(
    event: Any, pointer: str, kind: EventKind, given: dict[str, Any]
) -> None:
    """A pause without end, or one that is an opt-out by another name, and a frequency nobody knows are refused."""
    with pytest.raises(InputRefused) as refused:
        check(event("ds_1", kind, **given), NOON)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@pytest.mark.parametrize(
    ("pointer", "changes"),
    [
        ("/how", {"how": "telepathy"}),
        ("/channel", {"channel": "a b"}),
        ("/channel", {"channel": ""}),
        ("/recorded_by", {"recorded_by": "x" * 65}),
        ("/reference", {"reference": "anna@example.com"}),
        ("/reference", {"reference": "Anna Meier"}),
        ("/notice_version", {"notice_version": "3\x00"}),
        ("/language", {"language": "deutsch!"}),
        ("/conditions", {"conditions": frozenset({"bad name"})}),
    ],
)
def test_malformed_evidence_is_refused_by_name(event: Any, pointer: str, changes: dict[str, Any]) -> None:
    """A text that is too long or of the wrong kind is refused with a pointer to it and without its value."""
    made = event("ds_1", EventKind.OBJECT)
    with pytest.raises(InputRefused) as refused:
        check(replace(made, evidence=replace(made.evidence, **changes)), NOON)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    assert "anna" not in str(refused.value).lower()


def test_a_choice_is_not_made_in_the_future(event: Any) -> None:
    """Five minutes of a fast clock are borne, more is refused; so is a time without offset."""
    check(event("ds_1", EventKind.OBJECT, at=NOON + timedelta(minutes=5)), NOON)
    for wrong in (NOON + timedelta(minutes=5, seconds=1), datetime(2026, 1, 1)):  # noqa: DTZ001 - the point of it
        with pytest.raises(InputRefused):
            check(event("ds_1", EventKind.OBJECT, at=wrong), NOON)


def test_purpose_and_kind_go_together(event: Any) -> None:
    """A person-wide kind has no purpose of its own, any other kind has exactly one."""
    for kind, purpose in ((EventKind.GPC, "email_marketing"), (EventKind.GRANT, ANY_PURPOSE), (EventKind.GRANT, "a b")):
        with pytest.raises(InputRefused):
            check(replace(event("ds_1", kind), purpose=purpose), NOON)


def test_a_no_to_everything_is_one_no_per_purpose(event: Any) -> None:
    """What concerns everything becomes an event for each purpose; opening everything at once is refused."""
    for kind in EXPANDABLE:
        made = replace(event("ds_1", kind), purpose=ANY_PURPOSE)
        assert [each.purpose for each in expand(made, ("b", "a", "b"))] == ["a", "b"]
        with pytest.raises(InputRefused):
            expand(made, ())
    with pytest.raises(InputRefused):
        expand(replace(event("ds_1", EventKind.GRANT), purpose=ANY_PURPOSE), ("a",))
    wide = event("ds_1", EventKind.GPC)
    assert expand(wide, ("a",)) == (wide,)
