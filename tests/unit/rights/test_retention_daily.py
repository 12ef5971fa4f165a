"""The daily run: once a day, off unless turned on, taken up again after a failure; request records go at their time."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.chain import opened
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.consent.tables import PERSON_STATE
from consent_gateway.errors import NotFound, StoreUnavailable
from consent_gateway.rights.request_records import RequestRecords
from consent_gateway.rights.requests import Request
from consent_gateway.rights.retention import Passed, RetentionReport
from consent_gateway.rights.retention_daily import LEASE, DailyRetention
from consent_gateway.rights.states import DenialGround
from tests.rights_world import shipped_policies
from tests.unit.rights.conftest import OFFICER, Rights


@dataclass
class KnownRun:
    """A retention run that says what it is told, and remembers how it was called."""

    failing: bool = False
    killed: bool = False
    called: list[tuple[str, bool]] = field(default_factory=list)

    def run(self, *, by: str, dry_run: bool) -> RetentionReport:
        """As `RetentionRun.run`."""
        self.called.append((by, dry_run))
        if self.killed:
            raise KeyboardInterrupt
        if self.failing:
            raise StoreUnavailable("away")
        return RetentionReport(None, dry_run, (Passed("visits", emptied=2, deleted=3, held=1),))  # type: ignore[arg-type]


def records(rights: Rights) -> RequestRecords:
    """What deletes old records of requests."""
    return RequestRecords(rights.engine, rights.clock, rights.room.handling.book, shipped_policies().documents.rights)


def daily(rights: Rights, run: Any, mode: str = "on") -> DailyRetention:
    """The daily run over this room."""
    return DailyRetention(engine=rights.engine, run=run, records=records(rights), clock=rights.clock, mode=mode)


def told(rights: Rights, action: str) -> list[dict[str, Any]]:
    """The audit entries of an action."""
    with rights.engine.connect() as connection:
        queued = connection.execute(sa.select(AUDIT_QUEUE.c.entry).order_by(AUDIT_QUEUE.c.n)).scalars()
        read = [opened(bytes(leaf)) for leaf in queued]
    return [one for one in read if one["action"] == action]


def test_it_runs_once_a_day_and_only_where_it_is_turned_on(rights: Rights) -> None:
    """Off nothing is called; on, two workers run it once, and the next day again; a dry run erases nothing."""
    run = KnownRun()
    assert daily(rights, run, "off").round() == 0
    assert not run.called
    assert (daily(rights, run, "dry_run").round(), daily(rights, run, "dry_run").round()) == (1, 0)
    assert (daily(rights, run).round(), daily(rights, run).round()) == (1, 0)
    rights.pass_by(days=1)
    assert daily(rights, run).round() == 1
    assert run.called == [("worker", True), ("worker", False), ("worker", False)]
    first, *_rest, last = daily(rights, run).latest(9)
    assert (first.dry_run, first.failed, first.finished_at) == (False, None, rights.clock.now())
    counts = {"emptied": 2, "deleted": 3, "held": 1, "unreadable": 0, "refused": 0}
    assert last.report == {"schedules": [{"schedule": "visits", **counts}], "requests": 0}
    assert [one["outcome"] for one in told(rights, "retention")].count("ran") == 2


def test_what_failed_is_tried_again_and_what_was_killed_after_its_lease(rights: Rights) -> None:
    """A store that is away leaves the day's run open at once; a killed worker's is free when its lease is over."""
    run = KnownRun(failing=True)
    with pytest.raises(StoreUnavailable):
        daily(rights, run).round()
    assert daily(rights, run).latest(1)[0].failed == StoreUnavailable.code
    run.failing, run.killed = False, True
    with pytest.raises(KeyboardInterrupt):
        daily(rights, run).round()
    assert daily(rights, run).round() == 0
    run.killed = False
    rights.pass_by(seconds=LEASE.total_seconds())
    assert daily(rights, run).round() == 1
    assert daily(rights, run).latest(1)[0].failed is None


@pytest.mark.parametrize(("place", "days"), [("US-CA", 3 * 365 + 2), ("DE", 3 * 365 + 2)])
def test_records_go_when_nobody_has_to_show_them(rights: Rights, place: str, days: int) -> None:
    """Neither open requests nor those inside their time go; after it the request, its codes and its words are gone."""
    request = rights.proved("correct", place=place, text="Parkweg")
    rights.room.handling.deny(request.request_id, DenialGround.DATA_ACCURATE, OFFICER)
    open_one = rights.ask("access", place="US-CA")  # its law lets no time to prove run out
    rights.pass_by(days=days - 40)
    assert records(rights).purge(by="worker", dry_run=False) == 0
    rights.pass_by(days=42)
    assert records(rights).purge(by="worker", dry_run=True) == 1
    assert rights.read(request).sealed is not None
    assert records(rights).purge(by="worker", dry_run=False) == 1
    with pytest.raises(NotFound):
        rights.read(request)
    assert rights.read(open_one).request_id == open_one.request_id
    assert [one["reference"] for one in told(rights, "forget")] == [request.request_id]


def test_a_hold_keeps_the_record_of_a_request(rights: Rights) -> None:
    """Of a person under a legal hold nothing goes."""
    request: Request = rights.proved("correct")
    rights.room.handling.deny(request.request_id, DenialGround.UNFOUNDED, OFFICER)
    rights.ask("restrict")  # what stands of a person has a row then
    with rights.engine.begin() as connection:
        of_person = sa.update(PERSON_STATE).where(PERSON_STATE.c.data_subject == request.data_subject)
        assert connection.execute(of_person.values(legal_hold=True)).rowcount == 1
    rights.pass_by(days=5 * 365)
    assert records(rights).purge(by="worker", dry_run=False) == 0
