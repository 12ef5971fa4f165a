"""The console's room on both databases: counts under racing workers, the overview, sessions and accounts."""

import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_alone
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.callers.transactions import transaction
from consent_gateway.console.accounts import Accounts
from consent_gateway.console.counting import Counting, _counted
from consent_gateway.console.overview import BUCKETS, Overviews, bucket_of
from consent_gateway.console.sessions import ConsoleSessions, Way
from consent_gateway.console.tables import CONSOLE_COUNTED, CONSOLE_COUNTS
from consent_gateway.errors import Conflict, SignInRefused
from consent_gateway.officers.registry import Officers, Role
from tests.conftest import StillClock

KEY = b"k" * 32


@pytest.fixture
def sealed(gateway_engine: sa.Engine, clock: StillClock, tmp_path: Path) -> sa.Engine:
    """A log of forty entries over two days: decisions of two reasons, withdrawals, others."""
    for n in range(40):
        reason = "withdrawn" if n % 3 else "no_consent"
        kind = EntryKind.DECISION if n % 4 else EntryKind.CONSENT_EVENT
        record_alone(
            gateway_engine,
            Entry(
                f"ent_{n:026}",
                kind,
                clock.now() - timedelta(days=n % 2),
                action="withdraw" if kind is EntryKind.CONSENT_EVENT else "read",
                fields={} if kind is EntryKind.CONSENT_EVENT else {"email": ("withhold", reason, "r")},
                outcome="withheld",
            ),
        )
    signer = open_signer(tmp_path / "audit" / "log.key", "log.example")
    Sealer(gateway_engine, tmp_path, signer, clock).seal_once()
    return gateway_engine


def counted(engine: sa.Engine) -> dict[tuple[str, str], int]:
    """What is counted, over all days."""
    total: Counter[tuple[str, str]] = Counter()
    with engine.connect() as connection:
        for row in connection.execute(sa.select(CONSOLE_COUNTS)):
            total[row.what, row.word] += row.number
    return dict(total)


EXPECTED = {("decisions", "withheld"): 30, ("denied", "withdrawn"): 20, ("denied", "no_consent"): 10,
            ("choices", "withdraw"): 10}  # fmt: skip


def test_each_entry_is_counted_once(sealed: sa.Engine) -> None:
    """Whatever the stretch, and however often a worker comes by."""
    worker = Counting(sealed, stretch=7)
    assert worker.round() == 40
    assert worker.round() == 0
    assert counted(sealed) == EXPECTED


def test_of_two_workers_at_one_stretch_only_one_counts(sealed: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have read the same entries; the other commits first; nothing is counted twice and nothing left out."""
    slow, fast = Counting(sealed, stretch=16), Counting(sealed, stretch=16)
    # The fast one counts between the slow one's reading and its transaction.
    monkeypatch.setattr("consent_gateway.console.counting.transaction", _after(fast))
    assert slow._next() == 0
    monkeypatch.undo()
    with sealed.connect() as connection:
        assert connection.execute(sa.select(CONSOLE_COUNTED.c.position)).scalar_one() == 16
    assert slow.round() == 24
    assert counted(sealed) == EXPECTED


def _after(fast: Counting) -> Any:
    """A `transaction` before whose first beginning the fast worker counts one stretch."""
    done: list[int] = []

    def begun(engine: sa.Engine) -> Any:
        if not done:
            done.append(1)
            assert fast._next() == 16
        return transaction(engine)

    return begun


def test_the_overview_of_an_empty_gateway_is_quiet_and_whole(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """Nothing sealed, nothing asked: every number is there and none is an alarm."""
    told = Overviews(gateway_engine, clock).read()
    assert told.quiet
    assert set(told.due) == {name for name, _last in BUCKETS}
    assert (told.log.size, told.log.counted, sum(told.due.values()), told.dead) == (0, 0, 0, 0)
    assert len(told.withdrawals) == 30


def test_the_overview_adds_up_thirty_days(sealed: sa.Engine, clock: StillClock) -> None:
    """Withdrawals by day and denials by reason come from the counts; a sealed log that nobody verifies is an alarm."""
    Counting(sealed).round()
    told = Overviews(sealed, clock).read()
    assert [number for _day, number in told.withdrawals][-2:] == [0, 10]
    assert dict(told.denials) == {"withdrawn": 20, "no_consent": 10}
    assert told.log.stale
    assert not told.quiet
    clock.moment += timedelta(days=40)
    assert Overviews(sealed, clock).read().denials == []


ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=90),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(["decision", "write_intent", "consent_event", "rights_request"])


@given(
    st.fixed_dictionaries(
        {"kind": KINDS | ANYTHING, "at": st.just("2026-11-22T10:00:00Z") | ANYTHING},
        optional=dict.fromkeys(("fields", "outcome", "action"), ANYTHING),
    )
)
def test_what_is_no_entry_of_ours_counts_for_nothing_and_stops_nobody(entry: dict[str, Any]) -> None:
    """Whatever somebody slipped into the log, counting goes on."""
    for day, _what, word in _counted(entry):
        assert date.fromisoformat(day).isoformat() == day
        assert re.fullmatch(r"[a-z0-9_.-]{1,64}", word)


@given(st.none() | st.integers(-10_000, 10_000))
def test_every_number_of_days_has_its_group(days: int | None) -> None:
    """No request falls out of the overview."""
    assert bucket_of(days) in {name for name, _last in BUCKETS}


def test_sessions_and_accounts_on_both_databases(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """Begin, find, renew, end; link once; hold only those with two factors."""
    officers, sessions = Officers(gateway_engine, clock, KEY), ConsoleSessions(gateway_engine, clock, KEY)
    accounts = Accounts(gateway_engine, clock)
    officer, _code = officers.add("olga", [Role.OFFICER, Role.AUDITOR])
    first = sessions.begin(officer.officer_id, Way.PASSKEY, None)
    second = sessions.begin(officer.officer_id, Way.PROVIDER, first)
    assert sessions.resolve(first) is None
    found = sessions.resolve(second)
    assert found is not None
    assert (found.name, found.way, found.officer.roles) == ("olga", Way.PROVIDER, {Role.OFFICER, Role.AUDITOR})
    sessions.end(second)
    sessions.end(second)
    assert sessions.resolve(second) is None
    accounts.link("olga", "https://login.example", "sub-1")
    with pytest.raises(Conflict):
        accounts.link("olga", "https://login.example", "sub-1")
    claims = {"sub": "sub-1", "amr": ["mfa"]}
    assert accounts.holder("https://login.example", claims, frozenset()) == officer.officer_id
    for issuer, told in (("https://other.example", claims), ("https://login.example", {"sub": "sub-1"})):
        with pytest.raises(SignInRefused):
            accounts.holder(issuer, told, frozenset())
