"""Claims about deadlines: against worked cases, and for all inputs against a second way of counting."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.cli.policy import policy
from consent_gateway.cli.rights import rights
from consent_gateway.errors import InputRefused
from consent_gateway.rights.answers import dates_of, due_at, moment, pause
from consent_gateway.rights.clocks import Pause
from consent_gateway.rights.deadline_cases import faults_of, read_deadline_cases
from consent_gateway.rights.regimes import Laws

CASES = Path(__file__).resolve().parents[3] / "policies" / "cases"
DAY = timedelta(days=1)
DAYS = st.dates(date(2027, 6, 1), date(2040, 12, 31))
GDPR = st.sampled_from(["EU_GDPR", "UK_GDPR"])
STATES = ("CO", "CT", "DE", "FL", "IA", "IN", "KY", "MD", "MN", "MT", "NE", "NH", "NJ", "OR", "RI", "TN", "TX", "UT")


def find(laws: Laws, regime: str, right: str, received: date | datetime, **more: object) -> dict[str, str]:
    """The dates by name."""
    return dict(dates_of(due_at(laws.find(regime, right, received), received, **more)))  # type: ignore[arg-type]


@st.composite
def pauses(draw: st.DrawFn, begin: date) -> list[Pause]:
    """Up to three pauses about and after a day, some of which overlap."""
    drawn = draw(st.lists(st.tuples(st.integers(-5, 120), st.integers(0, 40)), max_size=3))
    return [Pause(begin + start * DAY, begin + (start + long) * DAY) for start, long in drawn]


def month_end(day: date, months: int) -> date:
    """The latest day of the month so many months on whose number is not above that of `day`."""
    at = day
    while (at.year * 12 + at.month) - (day.year * 12 + day.month) < months:
        at += DAY
    best = at
    while at.month == best.month and at.day <= day.day:
        best, at = at, at + DAY
    return best


def federal(day: date) -> bool:
    """Whether a day is a US federal holiday or observed as one, told by the rules of 5 U.S.C. 6103 alone."""
    fixed = {(1, 1), (6, 19), (7, 4), (11, 11), (12, 25)}
    if (day.month, day.day) in fixed:
        return True
    before, after = day - DAY, day + DAY
    if day.weekday() == 4 and (after.month, after.day) in fixed:
        return True
    if day.weekday() == 0 and (before.month, before.day) in fixed:
        return True
    nth = (day.day - 1) // 7 + 1
    mondays = {(1, 3), (2, 3), (9, 1), (10, 2)}
    if day.weekday() == 0 and ((day.month, nth) in mondays or (day.month == 5 and (day + 7 * DAY).month == 6)):
        return True
    return day.month == 11 and day.weekday() == 3 and nth == 4


def test_worked_cases_agree(laws: Laws) -> None:
    """Every worked case agrees with the clocks; there are more than sixty, and each settled reading has one."""
    cases = read_deadline_cases([CASES])
    assert {case.id: faults for case in cases if (faults := faults_of(laws, case))} == {}
    assert len(cases) >= 60
    rules = " ".join(case.rule for case in cases)
    assert {"1", "2", "3", "4", "5", "6", "7", "12"} <= set(re.findall(r"settled reading (\d+)", rules))


def test_a_wrong_case_is_told(laws: Laws, tmp_path: Path) -> None:
    """A case whose date is a day off fails, with both dates named."""
    text = (
        "deadlines:\n  - {id: a, regime: EU_GDPR, right: access, received: 2027-03-05, rule: r,"
        " expect: {respond_by: 2027-04-06, confirm_by: null}}\n"
    )
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    (case,) = read_deadline_cases([tmp_path])
    assert faults_of(laws, case) == ["respond_by: expected 2027-04-06, got 2027-04-05"]


@given(regime=GDPR, received=DAYS)
def test_months_end_as_the_walk_says(laws: Laws, regime: str, received: date) -> None:
    """One month and three months, from receipt, for every day of years; the last day where the date does not exist."""
    found = find(laws, regime, "access", received)
    assert found["respond_by"] == found["extension_notice_by"] == month_end(received, 1).isoformat()
    assert found["extended_respond_by"] == month_end(received, 3).isoformat()


@given(data=st.data(), received=DAYS)
def test_a_pause_moves_the_end_by_its_days_alone(laws: Laws, data: st.DataObject, received: date) -> None:
    """With any pauses, the EU and UK end moves by the days between, each once."""
    asked = data.draw(pauses(received))
    for regime, inclusive in (("EU_GDPR", False), ("UK_GDPR", True)):
        found = find(laws, regime, "delete", received, pauses=asked)
        assert date.fromisoformat(found["respond_by"]) == _chained(received, asked, inclusive=inclusive)


def _chained(received: date, asked: Sequence[Pause], *, inclusive: bool) -> date:
    """The end by a set of days: those of a pause count if it began while the time so far was running."""
    end = month_end(received, 1)
    taken: set[date] = set()
    for each in sorted(asked, key=lambda one: (one.begin, one.end)):
        assert each.end is not None
        first = received + DAY if inclusive else received
        span = {each.begin + n * DAY for n in range((each.end - each.begin).days + inclusive)}
        new = {day for day in span if day >= first} - taken
        if new and min(new) <= end:
            taken |= new
            end += len(new) * DAY
    return end


@given(received=DAYS, pauses_=st.lists(st.integers(1, 60), max_size=2))
def test_california_never_stands_still(laws: Laws, received: date, pauses_: list[int]) -> None:
    """45 and 90 calendar days, whatever is asked of the person in between and whatever calendar is named."""
    asked = [Pause(received, received + days * DAY) for days in pauses_]
    for right in ("know", "delete", "correct", "access"):
        found = find(laws, "US_CA_CCPA", right, received, pauses=asked, calendar="US")
        assert found["respond_by"] == (received + 45 * DAY).isoformat()
        assert found["extended_respond_by"] == (received + 90 * DAY).isoformat()


@given(received=DAYS)
def test_business_days_are_those_of_the_federation(laws: Laws, received: date) -> None:
    """10 business days to confirm and 15 to stop, counted by the federal rules themselves, day 0 being receipt."""
    counted = [day for n in range(1, 40) if (day := received + n * DAY).weekday() < 5 and not federal(day)]
    assert find(laws, "US_CA_CCPA", "delete", received)["confirm_by"] == counted[9].isoformat()
    assert find(laws, "US_CA_CCPA", "opt_out_sale_share", received)["effective_by"] == counted[14].isoformat()


@given(received=DAYS)
def test_waiting_is_never_cut_short(laws: Laws, received: date) -> None:
    """Nobody is asked again before the same date of the twelfth month; records are kept as long as their months."""
    found = find(laws, "US_CA_CCPA", "opt_out_sale_share", received)
    for name, months in (("earliest_reask", 12), ("keep_until_at_least", 24)):
        end = date.fromisoformat(found[name])
        assert (end.year * 12 + end.month, end.day) >= (received.year * 12 + received.month + months, received.day)
        assert (end - month_end(received, months)).days <= 1


@given(received=DAYS, days=st.integers(0, 400), right=st.sampled_from(["access", "delete", "object"]), regime=GDPR)
def test_who_comes_later_is_due_no_earlier(laws: Laws, received: date, days: int, right: str, regime: str) -> None:
    """Every date is monotone in the day of receipt, with holidays too."""
    calendar = "DE-BE" if regime == "EU_GDPR" else "GB-ENG"
    one = find(laws, regime, right, received, calendar=calendar)
    other = find(laws, regime, right, received + days * DAY, calendar=calendar)
    assert all(one[name] <= other[name] for name in one)


@given(received=DAYS, calendar=st.sampled_from(["IE", "DE-BE", "DE-BY", "FR", "NL", "GB-SCT"]))
def test_an_end_rolls_to_the_next_working_day_only(laws: Laws, received: date, calendar: str) -> None:
    """With a calendar the end is a working day, none lies between it and the plain end; without, nothing moves."""
    from consent_gateway.rights.calendars import calendar_of

    plain = date.fromisoformat(find(laws, "EU_GDPR", "access", received)["respond_by"])
    rolled = date.fromisoformat(find(laws, "EU_GDPR", "access", received, calendar=calendar)["respond_by"])
    holidays = calendar_of(calendar)
    assert rolled.weekday() < 5
    assert rolled not in holidays
    between = [plain + n * DAY for n in range((rolled - plain).days)]
    assert all(day.weekday() >= 5 or day in holidays for day in between)


@given(
    moment_=st.datetimes(datetime(2027, 6, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 - zones are drawn apart
    hours=st.integers(-12, 14),
)
def test_no_zone_makes_a_deadline_later(laws: Laws, moment_: datetime, hours: int) -> None:
    """However a moment is written, it is one moment; and no place of the law has an earlier day than its clock."""
    written = moment_.replace(tzinfo=timezone(hours * timedelta(hours=1)))
    same = written.astimezone(UTC)
    for regime, right, west in (("EU_GDPR", "access", -4), ("US_CA_CCPA", "delete", -8), ("US_TX", "know", -7)):
        one = find(laws, regime, right, written)
        assert one == find(laws, regime, right, same)
        local = written.astimezone(timezone(west * timedelta(hours=1))).date()
        assert one == find(laws, regime, right, local)
    notify = find(laws, "EU_GDPR", "breach_art33", written)["notify_by"]
    assert timedelta(hours=71, minutes=59) < datetime.fromisoformat(notify) - written <= timedelta(hours=72)


@pytest.mark.parametrize("state", STATES)
def test_every_state_answers(laws: Laws, state: str) -> None:
    """Each state in force has its clock: 45 and 90 days, but for Florida and Iowa."""
    first, second = {"FL": (45, 60), "IA": (90, 135)}.get(state, (45, 90))
    received = date(2027, 1, 4)
    for right in ("access", "know", "delete", "correct", "portability", "opt_out_sale_share"):
        found = find(laws, f"US_{state}", right, received)
        assert found["respond_by"] == (received + first * DAY).isoformat()
        assert found["extended_respond_by"] == (received + second * DAY).isoformat()


@pytest.mark.parametrize(
    ("regime", "right", "received", "told"),
    [
        ("EU", "access", "2027-01-01", "unknown regime `EU`; known are AU_APP"),
        ("EU_GDPR", "accces", "2027-01-01", "unknown right `accces`; known are access"),
        ("EU_GDPR", "know", "2027-01-01", "`EU_GDPR` has no clock for `know`; it has one for access"),
        ("US_VT", "know", "2027-01-01", "not in force on that day; it is from 2028-01-01"),
        ("UK_DPA_164A", "complaint_ack", "2026-06-18", "not in force on that day; it is from 2026-06-19"),
        ("US_UT", "correct", "2026-06-30", "from 2026-07-01"),
        ("EU_GDPR", "access", "9999-12-31", "in the years"),
    ],
)
def test_what_is_not_known_is_refused_by_name(laws: Laws, regime: str, right: str, received: str, told: str) -> None:
    """An unknown regime, right or pair, and a law not in force, are refused with what is known."""
    with pytest.raises(InputRefused, match=re.escape(told)):
        laws.find(regime, right, moment(received))


@pytest.mark.parametrize(
    ("text", "told"),
    [("2027-02-01", "FROM:TO|write it as"), ("x:y", "write it as"), ("2027-02-30:2027-03-01", "write it as")],
)
def test_a_pause_that_cannot_be_read_is_refused(text: str, told: str) -> None:
    """A pause is two days with a colon."""
    with pytest.raises(InputRefused, match=told):
        pause(text)


def test_a_pause_that_ends_before_it_begins_is_refused(laws: Laws) -> None:
    """Backwards time is no pause."""
    with pytest.raises(InputRefused, match="before it begins"):
        find(laws, "EU_GDPR", "access", date(2027, 3, 5), pauses=[pause("2027-03-20:2027-03-10")])


@pytest.mark.parametrize("name", ["Atlantis", "DE-XX", "de", "US-"])
def test_an_unknown_calendar_is_refused(laws: Laws, name: str) -> None:
    """A calendar that does not exist moves nothing: it is refused."""
    with pytest.raises(InputRefused, match="unknown calendar"):
        find(laws, "EU_GDPR", "access", date(2027, 3, 5), calendar=name)


def test_the_law_of_a_place(laws: Laws) -> None:
    """Where a person lives names the law: its own before that of its country; none where there is none."""
    day = date(2027, 1, 4)

    def regime(place: str, right: str) -> str | None:
        law = laws.of_place(place, right, day)
        return law and law.regime

    assert regime("DE", "access") == "EU_GDPR"
    assert regime("US-CA", "delete") == "US_CA_CCPA"
    assert regime("US-CA", "object") == "US_CAN_SPAM"
    assert regime("US-WY", "object") == "US_CAN_SPAM"
    assert regime("US-WY", "delete") is None
    assert regime("CA-QC", "delete") == "CA_QC"
    assert regime("CA-ON", "access") == "CA_PIPEDA"
    assert regime("GB", "complaint_ack") == "UK_DPA_164A"
    assert regime("XX", "access") is None
    assert "restrict" in laws.rights_in("FR", day)


def test_the_command_tells_the_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rights due` prints the dates that apply, for people and as JSON; the same as the pure function."""
    monkeypatch.chdir(CASES.parents[1])
    asked = ["due", "--regime", "UK_GDPR", "--right", "object", "--received", "2027-03-05"]
    asked += ["--calendar", "GB-ENG", "--paused", "2027-03-10:2027-03-21"]
    told = CliRunner().invoke(rights, [*asked, "--json"], catch_exceptions=False)
    said = json.loads(told.output)
    assert (said["respond_by"], said["extended_respond_by"]) == ("2027-04-19", "2027-06-17")
    assert (said["effective_by"], said["earliest_reask"]) == ("2027-03-05", "2027-09-05")
    assert "confirm_by" not in said
    assert said["paused_days"] == 12
    text = CliRunner().invoke(rights, asked, catch_exceptions=False).output
    assert "answer by                       2027-04-19" in text
    assert "stood still for 12 days" in text


def test_policy_test_runs_the_worked_cases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`policy test` fails where a deadline case does, also when no decision case stands beside it."""
    monkeypatch.chdir(CASES.parents[1])
    file = CASES / "deadlines" / "uk.yaml"
    assert CliRunner().invoke(policy, ["test", str(file)]).exit_code == 0
    text = file.read_text(encoding="utf-8")
    (tmp_path / "uk.yaml").write_text(text.replace("ack_by: 2026-07-30", "ack_by: 2026-07-31"), encoding="utf-8")
    told = CliRunner().invoke(policy, ["test", str(tmp_path), "--json"])
    assert told.exit_code == 1
    (failure,) = json.loads(told.output)["failures"]
    assert failure["faults"] == ["ack_by: expected 2026-07-31, got 2026-07-30"]
