"""Import of another system's choices: whole, once, and never more open than the lines say."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.consent import importing, ledger
from consent_gateway.consent.lines import read_line
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.errors import InputRefused
from consent_gateway.people import directory
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import ChoiceStatus, EventKind, Identifier
from tests.conftest import NOON

MAIL = {"kind": "email", "value": "anna@example.com"}


def line(
    kind: str, purpose: str | None = "email_marketing", at: str = "2025-03-01T10:00:00Z", **who: Any
) -> dict[str, Any]:
    """A line of an export."""
    return {"purpose": purpose, "kind": kind, "occurred_at": at, "channel": "web_shop", **(who or {"store_key": "1"})}


def silent(_lines: int) -> None:
    """No progress."""


def events(engine: sa.Engine) -> int:
    """How many events there are."""
    with engine.begin() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(CONSENT_EVENTS)).scalar_one())


def test_lines_are_recorded_once(gateway_engine: sa.Engine, people: Sequence[str], choices: Any) -> None:
    """A second run over the same lines, also by another name of the person, records nothing; one entry per batch."""
    lines = [line("grant"), line("join_programme", None), line("opt_out", "*"), line("grant", identifier=MAIL)]
    report = choices.import_choices([*lines, lines[0]], silent)
    again = choices.import_choices(lines, silent)
    assert (report.lines, report.recorded, report.skipped, report.refused) == (5, 6, 1, 0)
    assert (again.recorded, again.skipped, again.refused) == (0, 6, 0)
    assert events(gateway_engine) == 6
    with gateway_engine.begin() as connection:
        assert len(connection.execute(sa.select(AUDIT_QUEUE)).all()) == 1


def test_a_withdrawal_here_outlives_a_sync_from_there(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, event: Any
) -> None:
    """A mail tool that sends its old subscriptions again does not subscribe anyone who left in between."""
    with gateway_engine.begin() as connection:
        ledger.record(connection, event("ds_1", EventKind.WITHDRAW, at=NOON), now=NOON)
    choices.import_choices([line("grant"), line("soft_opt_in", at="2025-04-01T00:00:00+00:00")], silent)
    state = choices.state(PersonRef(data_subject="ds_1")).facts
    assert state.choices["email_marketing"].status is ChoiceStatus.WITHDRAWN


def test_a_batch_is_put_in_the_order_of_time(people: Sequence[str], choices: Any) -> None:
    """A withdrawal and the later grant come out as a grant although the lines come the other way round."""
    lines = [line("grant", at="2025-05-01T00:00:00Z"), line("withdraw", at="2025-04-01T00:00:00Z")]
    choices.import_choices(lines, silent)
    found = choices.history(PersonRef(data_subject="ds_1"))
    assert [each.event.kind for each in found] == [EventKind.WITHDRAW, EventKind.GRANT]


def test_bad_lines_are_told_by_number_and_do_not_stop_the_rest(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, event: Any
) -> None:
    """Each refused line is told with its number and cause, without a value; the others are recorded."""
    with gateway_engine.begin() as connection:
        ledger.record(connection, event("ds_5", EventKind.ERASED), now=NOON)
    bad = [
        line("grant", "canary_purpose"),
        line("grant", store_key="canary"),
        line("grant", identifier={"kind": "email", "value": "canary"}),
        line("canary"),
        line("grant", at="canary"),
        line("grant", at="2025-01-01T00:00:00"),
        line("grant", at="2099-01-01T00:00:00Z"),
        line("erased", "*"),
        line("grant", "*"),
        line("grant", how="web_form", store_key="1"),
        line("grant", store_key="1", identifier=MAIL),
        line("grant", store_key="1", surprise="canary"),
        line("grant", store_key="1", conditions="canary"),
        line("grant", store_key=7),
        line("grant", store_key="5"),
    ]
    report = choices.import_choices([*bad, line("grant", store_key="2"), line("object", store_key="5")], silent)
    assert (report.refused, report.recorded) == (len(bad), 2)
    assert [number for number, _ in report.refusals] == list(range(1, len(bad) + 1))
    assert "canary" not in repr(report)


def test_a_shared_address_restricts_all_and_opens_for_none(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, indexes: Any
) -> None:
    """An unsubscription by a shared address counts for all its holders, a grant by it is refused."""
    index = ("email", indexes.of(Identifier(**MAIL)))
    with gateway_engine.begin() as connection:
        for person in ("ds_1", "ds_2"):
            directory.link(connection, person, index, carry=lambda *_: True)
    report = choices.import_choices([line("unsubscribe", identifier=MAIL), line("grant", identifier=MAIL)], silent)
    assert (report.recorded, report.refused) == (2, 1)
    assert choices.state(PersonRef(data_subject="ds_2")).facts.choices["email_marketing"].unsubscribed


def test_an_unknown_address_is_kept_for_its_owner(people: Sequence[str], choices: Any) -> None:
    """Lines about an address nobody has make one person known by it."""
    report = choices.import_choices([line("unsubscribe", identifier=MAIL), line("object", identifier=MAIL)], silent)
    assert report.recorded == 2
    known = choices.state(PersonRef(identifier=Identifier(**MAIL)))
    assert known.store_key is None
    assert known.facts.choices["email_marketing"].objected


def test_an_import_goes_on_where_it_broke_off(
    people: Sequence[str], choices: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole batches stay when an import breaks off, and the next run adds the rest."""
    monkeypatch.setattr(importing, "BATCH", 2)
    lines = [line("object", store_key=str(number)) for number in range(6)]

    def broken() -> Iterator[dict[str, Any]]:
        yield from lines[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        choices.import_choices(broken(), silent)
    seen: list[int] = []
    report = choices.import_choices(lines, seen.append)
    assert (report.recorded, report.skipped) == (4, 2)
    assert seen == [2, 4, 6]


def test_a_line_is_read_whole() -> None:
    """Every key of a line comes to its place; nulls stand for absent."""
    read = read_line(
        {
            "identifier": MAIL,
            "purpose": "sms_marketing",
            "kind": "grant_explicit",
            "occurred_at": "2025-03-01T12:00:00+02:00",
            "valid_until": "2027-03-01T12:00:00Z",
            "channel": "till",
            "how": "paper",
            "notice": None,
            "notice_version": "3",
            "language": "de",
            "reference": "form-1",
            "conditions": ["b", "a"],
        },
        "operator",
    )
    made, evidence = read.event, read.event.evidence
    assert (read.store_key, read.identifier) == (None, Identifier(**MAIL))
    assert (made.purpose, made.kind) == ("sms_marketing", EventKind.GRANT_EXPLICIT)
    assert made.occurred_at.isoformat() == "2025-03-01T12:00:00+02:00"
    assert made.valid_until is not None
    assert (evidence.channel, evidence.how, evidence.recorded_by) == ("till", "paper", "operator")
    assert (evidence.notice, evidence.notice_version, evidence.reference) == (None, "3", "form-1")
    assert evidence.conditions == {"a", "b"}
    with pytest.raises(InputRefused):
        read_line({**line("grant"), "conditions": [1]}, "operator")
