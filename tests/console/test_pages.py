"""What the pages tell: numbers counted another way, a why for every verdict, proofs, filters, and nothing of anyone."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.log import ANY
from consent_gateway.console.counting import Counting
from consent_gateway.console.overview import bucket_of
from consent_gateway.console.tables import CONSOLE_COUNTED, CONSOLE_COUNTS
from consent_gateway.demo.cast import CAST
from consent_gateway.web.charts import bars, columns
from tests.console.conftest import Desk
from tests.console.world import World

PATHS = (
    "/console",
    "/console/requests",
    "/console/decisions",
    "/console/people",
    "/console/policies",
    "/console/policies/cases",
    "/console/reports",
    "/console/log",
    "/console/recipients",
    "/console/keys",
    "/console/settings",
)


def entries(world: World) -> list[dict[str, Any]]:
    """Every sealed entry, read in the plainest way."""
    return [one.entry for one in world.services.evidence.log.entries(ANY, limit=100_000)]


def tables(page: str) -> dict[str, dict[str, int]]:
    """The tables beside the charts: caption to label to number."""
    found = {}
    for table in re.findall(r'<table class="numbers">(.*?)</table>', page, re.DOTALL):
        caption = re.search(r"<caption>(.*?)</caption>", table)
        rows = re.findall(r'<th scope="row">(.*?)</th><td class="figure">(\d+)</td>', table)
        assert caption
        found[unescape(caption[1])] = {unescape(label): int(number) for label, number in rows}
    return found


def test_the_overviews_numbers_are_those_of_the_raw_log(world: World, desk: Callable[[str], Desk]) -> None:
    """Denials by reason and withdrawals, counted from every entry anew, are what the page shows; so is what is due."""
    world.settle()
    shown = tables(desk("every").get("/console").text)
    reasons: Counter[str] = Counter()
    for one in entries(world):
        if one["kind"] in ("decision", "write_intent"):
            closed = {reason for effect, reason, _rule in one.get("fields", {}).values() if effect == "withhold"}
            reasons.update(reason.replace("_", " ") for reason in closed)
    assert shown["Denials by reason, last 30 days"] == dict(reasons)
    gone = [one for one in entries(world) if one["kind"] == "consent_event" and one["action"] in ("withdraw", "refuse")]
    assert sum(shown["Withdrawals, last 30 days"].values()) == len(gone) >= 1
    lines = world.services.rights.handling.queue()
    assert sum(shown["Open requests by days left"].values()) == len(lines)
    due = Counter(bucket_of((one.owed[0][0] - world.services.rights.handling.today).days) for one in lines if one.owed)
    assert shown["Open requests by days left"]["Overdue"] == due["overdue"]


def test_each_chart_is_described_and_its_table_has_the_same_numbers(desk: Callable[[str], Desk]) -> None:
    """Figure, role, title and description are there, and the SVG's numbers are the table's."""
    page = desk("every").get("/console").text
    figures = re.findall(r'<figure class="chart".*?</figure>', page, re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        if "<svg" not in figure:
            continue
        assert re.search(r'<svg role="img" aria-labelledby="[\w-]+ [\w-]+"', figure)
        assert "<title" in figure
        assert "<desc" in figure
        drawn = [int(number) for number in re.findall(r'<text class="number[^"]*"[^>]*>(\d+)</text>', figure)]
        (told,) = tables(figure).values()
        assert [number for number in drawn if number] == [number for number in told.values() if number]


def test_bars_are_as_long_as_their_numbers() -> None:
    """Lengths keep the proportion, nothing is drawn for nothing, and something is never invisible."""
    chart = bars("x", [("a", 100), ("b", 50), ("c", 0), ("d", 1)])
    widths = {bar.label: bar.width for bar in chart.bars}
    assert widths["a"] == 2 * widths["b"] > 0
    assert widths["c"] == 0 < widths["d"]
    assert [bar.height for bar in columns("y", [("a", 4), ("b", 2)]).bars] == [120, 60]
    assert bars("z", []).total == 0


def test_the_overview_never_reads_the_log(world: World, desk: Callable[[str], Desk]) -> None:
    """Whatever the log's size, the page's queries leave the table of entries alone."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    here = desk("every")
    sa.event.listen(world.services.engine, "before_cursor_execute", note)
    try:
        assert here.get("/console").status_code == 200
    finally:
        sa.event.remove(world.services.engine, "before_cursor_execute", note)
    assert asked
    assert not [one for one in asked if re.search(r"\baudit_log\b|\bconsent_events\b.*GROUP", one)]
    assert len(asked) < 20


def test_counting_twice_counts_once(world: World) -> None:
    """Two workers, one behind the other and small stretches, come to the numbers of one that counts everything."""
    world.settle()
    engine = world.services.engine
    with engine.connect() as connection:
        before = sorted(connection.execute(sa.select(CONSOLE_COUNTS)).all())
    with engine.begin() as connection:
        connection.execute(sa.delete(CONSOLE_COUNTS))
        connection.execute(sa.delete(CONSOLE_COUNTED))
    one, other = Counting(engine, stretch=3), Counting(engine, stretch=5)
    while one._next() + other._next():
        pass
    with engine.connect() as connection:
        assert sorted(connection.execute(sa.select(CONSOLE_COUNTS)).all()) == before
    assert Counting(engine).round() == 0


def test_why_names_rule_revision_and_consent_event_of_every_verdict(world: World, desk: Callable[[str], Desk]) -> None:
    """For each decision there is: each field's rule and reason, the revision, and the event it rested on."""
    here = desk("olga")
    known = {one["id"]: one for one in entries(world)}
    for decision_id in world.decisions:
        page = unescape(here.get(f"/console/decisions/{decision_id}").text)
        entry = known[decision_id]
        assert entry["revision"] in page
        for name, (_effect, reason, rule) in entry["fields"].items():
            assert all(word in page for word in (name, reason.replace("_", " "), rule))
        if "consent_event" in entry:
            assert entry["consent_event"] in page
        assert "the same" in page  # replayed


def test_page_csv_and_json_show_the_same_rows_under_a_filter(world: World, desk: Callable[[str], Desk]) -> None:
    """The filter is the address; each form holds the same count; an address outside the list is refused."""
    here = desk("olga")
    world.settle()
    today = world.services.clock.now().date()
    address = f"/console/decisions?purpose=email_marketing&since={today}&until={today}"
    rows = here.get(address).text.count('href="/console/decisions/dec_')
    told = here.get(f"{address}&format=json").get_json()
    table = list(csv.reader(io.StringIO(here.get(f"{address}&format=csv").text)))
    assert rows == len(told["entries"]) == len(table) - 1 == 4
    before = f"/console/decisions?purpose=email_marketing&until={today - timedelta(days=1)}"
    assert "dec_" not in here.get(before).text
    for wrong in ("since=tomorrow", "before=x", "kind=officer", "caller=ada@example.com", "purpose=a%0Ab"):
        assert here.get(f"/console/decisions?{wrong}").status_code == 400, wrong


def test_pages_follow_each_other_without_gap_or_repetition(
    world: World, desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the cursor every entry comes once, newest first, also while new ones come in."""
    monkeypatch.setattr("consent_gateway.web.console.finding.ON_A_PAGE", 7)
    world.settle()
    here, seen = desk("aziz"), []
    path: str | None = "/console/log"
    size = max(one.leaf_index or 0 for one in world.services.evidence.log.entries(ANY, limit=1)) + 1
    while path:
        page = here.get(path).text
        seen += [int(index) for index in re.findall(r'<tr><td class="figure">(\d+)</td>', page)]
        more = re.search(r'<a class="button" href="([^"]+)" rel="next"', page)
        path = unescape(more[1]) if more else None
        world.settle()
    assert seen == list(range(size - 1, -1, -1))


def test_no_personal_value_on_any_page_or_file(world: World, desk: Callable[[str], Desk]) -> None:
    """Names, addresses and numbers of the seeded people occur on no page of the console, nor in what it saves."""
    here = desk("every")
    world.settle()
    paths = [
        *PATHS,
        "/console/decisions?format=csv",
        "/console/log?format=json",
        *(f"/console/decisions/{one}" for one in world.decisions),
        *(f"/console/log/{one}" for one in world.decisions),
        *(f"/console/requests/{one}" for one in world.requests.values()),
        *(f"/console/people/{world.person(cast)}" for cast in range(4)),
        *(
            f"/console/reports/report?name={name}"
            for name in ("processing", "consents", "rights", "withdrawals", "retention", "policy", "recipients")
        ),
        "/console/reports/report?name=breach&caller=call-centre",
    ]
    secrets = [value for one in CAST for value in (one.email, one.last_name, one.street) if value]
    assert len(secrets) > 20
    for path in paths:
        answer = here.get(path)
        assert answer.status_code == 200, path
        text = unescape(answer.text)
        assert not [value for value in secrets if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)], path
        assert "Please answer me" not in text  # what people wrote stands on the review alone


def test_the_review_shows_what_was_written_and_is_recorded(world: World, desk: Callable[[str], Desk]) -> None:
    """The one page with personal data says so, and each look at it is an entry of the log with the officer's id."""
    page = desk("olga").get(f"/console/requests/{world.requests['soon']}/review")
    assert "Please answer me, yours truly" in page.text
    world.settle()
    looks = [one for one in entries(world) if one.get("action") == "request_words"]
    assert looks[0]["caller"] == world.officers["olga"]
    assert looks[0]["reference"] == world.requests["soon"]


def test_looks_are_entries_and_hold_no_more_than_the_filter(world: World, desk: Callable[[str], Desk]) -> None:
    """Lists, entries, people and explanations each leave one entry, by whom and of what."""
    here = desk("every")
    for path, action in (
        ("/console/decisions?channel=call_centre", "decisions"),
        ("/console/log", "entries"),
        (f"/console/log/{world.decisions[0]}", "entry"),
        (f"/console/decisions/{world.decisions[0]}", "explain"),
        (f"/console/people/{world.person(0)}", "person"),
    ):
        assert here.get(path).status_code == 200
        world.settle()
        newest = next(one for one in entries(world) if one["kind"] == "log_read")
        assert (newest["action"], newest["caller"]) == (action, world.officers["every"])


def test_secrets_of_the_settings_are_never_shown(world: World, desk: Callable[[str], Desk]) -> None:
    """Every setting is listed; of a secret stands that it is set, and no database URL or path of one."""
    text = desk("opal").get("/console/settings").text
    variables = world.deployment.variables
    for name in ("STORE_URL", "DATABASE_URL", "KEY_DATABASE_URL"):
        assert variables[f"CONSENT_GATEWAY_{name}"] not in text
        assert f"<code>{name}</code>" in text
    assert text.count("set; never shown") >= 2
    assert "<code>PORT</code></th><td><code>" in text


@pytest.mark.parametrize(
    ("days", "bucket"),
    [(None, "later"), (-40, "overdue"), (-1, "overdue"), (0, "today"), (1, "1_3"), (3, "1_3"), (4, "4_7"), (7, "4_7"),
     (8, "8_14"), (14, "8_14"), (15, "later"), (4000, "later")],
)  # fmt: skip
def test_days_left_fall_into_one_group(days: int | None, bucket: str) -> None:
    """Each number of days belongs to exactly the group that its words say."""
    assert bucket_of(days) == bucket


def test_deadlines_are_told_in_words_and_days(desk: Callable[[str], Desk]) -> None:
    """Colour is never alone: the tag says overdue or how many days, beside the date."""
    page = desk("olga").get("/console/requests").text
    assert re.search(r'<span class="tag bad">overdue by \d+ days?</span> <time datetime="\d{4}-\d\d-\d\d">', page)
    assert re.search(r'<span class="tag calm">\d+ days left</span>', page)


@contextmanager
def edited(world: World, entry_id: str) -> Iterator[None]:
    """One sealed entry edited by somebody who rules the database; undone at the end."""
    triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_log'"
    change = "UPDATE audit_log SET entry = ? WHERE entry_id = ?"
    with world.services.engine.begin() as connection:
        guards = connection.exec_driver_sql(triggers).all()
        for name, _text in guards:
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        kept = connection.exec_driver_sql("SELECT entry FROM audit_log WHERE entry_id = ?", (entry_id,)).scalar_one()
        changed = bytes(kept).replace(b"customer_support", b"customer_suppord")
        assert changed != kept
        connection.exec_driver_sql(change, (changed, entry_id))
        connection.exec_driver_sql("UPDATE audit_verification SET position = 0")
    try:
        yield
    finally:
        with world.services.engine.begin() as connection:
            connection.exec_driver_sql(change, (kept, entry_id))
            for _name, text in guards:
                connection.exec_driver_sql(text)
        world.settle()


def test_a_changed_byte_fails_the_entry_and_alarms_the_overview(world: World, desk: Callable[[str], Desk]) -> None:
    """Somebody edits one sealed entry: its page says so at once, the overview after the next round, until mended."""
    here, victim = desk("every"), world.decisions[0]
    assert "Checked just now" in here.get(f"/console/log/{victim}").text
    assert "The audit log does not verify" not in here.get("/console").text
    with edited(world, victim):
        answer = here.post(f"/console/log/{victim}/verify")
        assert "This entry does not verify." in here.get(answer.headers["Location"]).text
        world.settle()
        overview = here.get("/console").text
        assert "The audit log does not verify." in overview
        assert "First finding:" in overview
    assert "The audit log does not verify" not in here.get("/console").text
