"""Every number of a report is found again, in another way, in the raw tables."""

import hashlib
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.tables import AUDIT_LOG
from consent_gateway.audit.verify import LogKey
from consent_gateway.consent.tables import CONSENT_EVENTS, PURPOSE_STATE
from consent_gateway.errors import InputRefused, NotFound
from consent_gateway.propagation.tables import CHANGES, DESTINATIONS, HEARD, SET_ASIDE
from consent_gateway.reports.book import REPORTS, Reports
from consent_gateway.reports.model import Asked
from consent_gateway.reports.source import open_source
from consent_gateway.rights.tables import RIGHTS_REQUESTS
from tests.conftest import NOON, ROOT
from tests.unit.reports.conftest import Ask, Company

SINCE, UNTIL = NOON - timedelta(days=60), NOON - timedelta(days=30)
_USES = ("decision", "write_intent", "reidentification")


def written(moment: datetime) -> str:
    """As entries write a time."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def uses(company: Company, since: datetime | None = None, until: datetime | None = None) -> list[tuple[int, Any]]:
    """The entries that tell of a use within a period."""
    return [
        (index, entry)
        for index, entry in company.entries()
        if entry["kind"] in _USES
        and (since is None or entry["at"] >= written(since))
        and (until is None or entry["at"] < written(until))
    ]


@pytest.mark.parametrize("period", [{}, {"since": SINCE, "until": UNTIL}])
def test_processing_tells_what_the_log_shows_and_where_it_differs(
    company: Company, ask: Ask, period: dict[str, datetime]
) -> None:
    """Observed counts are those of the entries one by one; drift is what the policy's files do not declare."""
    report = ask("processing", **period)
    found = uses(company, **period)
    opened = Counter(
        (entry["purpose"], entry["recipient"], name, entry["revision"])
        for _index, entry in found
        for name, verdict in entry["fields"].items()
        if verdict[0] != "withhold"
    )
    told: Counter[Any] = Counter()
    for row in report.table("observed").records:
        told[row["purpose"], row["recipient"], row["field"], row["revision"]] += int(str(row["released"]))
    assert +told == opened
    assert report.figures["fields_released"] == opened.total()
    names = sum(len(entry["fields"]) for _index, entry in found)
    assert report.figures["fields_withheld"] == names - opened.total()
    declared = {one["key"]: one for one in yaml.safe_load((ROOT / "policies/purposes.yaml").read_text())["purposes"]}
    known = {one["key"]: one for one in yaml.safe_load((ROOT / "policies/recipients.yaml").read_text())["recipients"]}
    categories = {name: one.categories for name, one in company.policies.catalogue.fields.items()}

    def fits(purpose: str, recipient: str, name: str) -> bool:
        return (
            purpose in declared
            and (recipient == "company" or purpose in known.get(recipient, {"purposes": ()})["purposes"])
            and name in categories
            and all(
                any(f"{each}.".startswith(f"{key}.") for key in declared[purpose]["categories"])
                for each in categories[name]
            )
        )

    strays = sum(count for (purpose, recipient, name, _), count in opened.items() if not fits(purpose, recipient, name))
    drift = report.table("drift").records
    assert sum(int(str(one["times"])) for one in drift if one["kind"] == "released_undeclared") == strays > 0
    assert {"purpose", "recipient", "field"} == {one["what"] for one in drift if one["kind"] == "released_undeclared"}
    unused = {one["purpose"] for one in drift if one["kind"] == "declared_unused" and one["what"] == "purpose"}
    assert unused == set(declared) - {purpose for purpose, *_rest in opened}


def test_processing_names_who_answers(ask: Ask) -> None:
    """Controller, representative and officer (Art. 30(1)(a)) stand as the file says, with the day they answer from."""
    (entry,) = yaml.safe_load((ROOT / "policies/controller.yaml").read_text())["controllers"]
    report = ask("processing")
    expected = [
        ("controller", entry["controller"]),
        *(("representative", one) for one in entry["representatives"]),
        ("data_protection_officer", entry["officer"]),
    ]
    rows = report.table("responsible").records
    assert report.figures["responsible_named"] == len(rows) == len(expected)
    for row, (who, one) in zip(rows, expected, strict=True):
        assert row["who"] == who
        assert [row[name] for name in ("name", "address", "email", "phone", "place")] == [
            one.get(name) for name in ("name", "address", "email", "phone", "place")
        ]
        assert (row["since"], row["source"]) == (entry["effective_from"].isoformat(), entry["source"])


def test_processing_lists_the_bases_of_each_purpose(ask: Ask) -> None:
    """A purpose stands with the kinds of basis of each pack that speaks of it, by name or by group."""
    rows = {row["purpose"]: row for row in ask("processing").table("purposes").records}
    assert "consent(eea)" in str(rows["email_marketing"]["bases"]).split()
    assert "contract(eea)" in str(rows["order_fulfilment"]["bases"]).split()
    assert "consent(eea)" not in str(rows["order_fulfilment"]["bases"]).split()


@pytest.mark.parametrize("regime", [None, "US_CA_CCPA"])
def test_rights_metrics_are_those_of_the_rows(company: Company, ask: Ask, regime: str | None) -> None:
    """Received, complied, denied, and the days to the answer, by year, law and right (11 CCR 7102)."""
    report = ask("rights", regime=regime)
    rows = [row for row in company.rows(RIGHTS_REQUESTS) if regime in (None, row["regime"])]
    assert report.figures["received"] == len(rows)
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        year = datetime.fromtimestamp(row["received_at"] // 10**6, UTC).year
        groups.setdefault((year, row["regime"], row["right"]), []).append(row)
    assert len(report.table("by_year").rows) == len(groups) > 2
    for told in report.table("by_year").records:
        mine = groups[told["year"], told["regime"], told["right"]]
        states = Counter(row["state"] for row in mine)
        late = sum(row["state"] == "identity_pending" and row["prove_until"] < "2026-11-22" for row in mine)
        assert told["received"] == len(mine)
        assert told["complied_in_whole"] == states["fulfilled"]
        assert told["complied_in_part"] == states["partially_fulfilled"]
        assert told["denied"] == states["denied"]
        assert told["expired"] == late
        assert told["open"] == states["received"] + states["in_progress"] + states["identity_pending"] - late
        assert told["joined"] == sum(row["joined_to"] is not None for row in mine)
        days = sorted(_days(row) for row in mine if row["state"] in ("fulfilled", "partially_fulfilled", "denied"))
        if not days:
            assert told["median_days"] is told["mean_days"] is told["longest_days"] is None
            continue
        middle = Fraction(days[(len(days) - 1) // 2] + days[len(days) // 2], 2)
        assert Fraction(str(told["median_days"])) == middle
        assert float(str(told["mean_days"])) == round(float(Fraction(sum(days), len(days))), 2)
        assert told["longest_days"] == days[-1]
    denied = Counter(row["ground"] for row in rows if row["state"] == "denied")
    by_ground: Counter[Any] = Counter()
    for one in report.table("denials").records:
        by_ground[one["ground"]] += int(str(one["denied"]))
    assert by_ground == denied


def _days(row: dict[str, Any]) -> int:
    day = [date.fromordinal(719_163 + row[name] // 86_400_000_000) for name in ("received_at", "answered_at")]
    return (day[1] - day[0]).days


def test_withdrawals_stand_with_how_far_each_is_on_its_way(company: Company, ask: Ask) -> None:
    """Closing choices are those of the ledger; each destination's stage follows from what it noted as heard."""
    report = ask("withdrawals")
    closing = {e["event_id"]: e for e in company.rows(CONSENT_EVENTS) if e["kind"] not in ("grant", "frequency")}
    assert report.figures["choices"] == len(closing)
    assert sum(int(str(one["choices"])) for one in report.table("by_kind").records) == len(closing)
    numbers = {row["event_id"]: row["number"] for row in company.rows(CHANGES)}
    heard = {(row["destination_id"], row["data_subject"]): row for row in company.rows(HEARD)}
    aside = {(row["destination_id"], row["number"]): row["is_dead"] for row in company.rows(SET_ASIDE)}
    expected = {}
    for place in company.rows(DESTINATIONS):
        for event in closing.values():
            in_time = place["created_at"] <= event["recorded_at"] < (place["ended_at"] or 10**18)
            if event["purpose"] in json.loads(place["purposes"]) and in_time:
                name, number = place["destination_id"], numbers[event["event_id"]]
                note = heard.get((name, event["data_subject"]))
                waits = "ended" if place["ended_at"] else "on_its_way"
                if number is None:
                    stage = waits
                elif (name, number) in aside:
                    stage = "given_up" if aside[name, number] else waits
                elif note and note["number"] >= number:
                    stage = "heard"
                else:
                    stage = "passed_over" if number <= place["position"] else waits
                expected[event["event_id"], name] = stage
    told = {(row["event_id"], row["destination"]): row["stage"] for row in report.table("deliveries").records}
    assert told == expected
    assert set(expected.values()) == {"heard", "on_its_way", "given_up", "passed_over", "ended"}
    for row in report.table("by_destination").records:
        stages = Counter(stage for (_event, name), stage in expected.items() if name == row["destination"])
        assert all(row[stage] == stages[stage] for stage in ("heard", "on_its_way", "given_up", "passed_over", "ended"))
        lags = [
            round((note["heard_at"] - closing[event]["recorded_at"]) / 10**6, 3)
            for (event, name), stage in expected.items()
            if stage == "heard" and name == row["destination"]
            for note in [heard[name, closing[event]["data_subject"]]]
            if note["number"] == numbers[event]
        ]
        assert row["longest_lag_seconds"] == (max(lags) if lags else None)


@pytest.mark.parametrize(
    "what",
    [
        {"caller": "crm"},
        {"key_class": "care"},
        {"since": SINCE, "until": UNTIL},
        {"caller": "till", "since": SINCE, "key_class": "care"},
    ],
)
def test_a_breach_concerns_the_people_whose_fields_went_out(company: Company, ask: Ask, what: dict[str, Any]) -> None:
    """People, fields and recipients are those of the entries that fit, counted one by one."""
    aware = NOON - timedelta(hours=1)
    report = ask("breach", **what, aware_at=aware)
    people: dict[str, set[str]] = {}
    fields: Counter[str] = Counter()
    receivers: Counter[Any] = Counter()
    for _index, entry in uses(company, what.get("since"), what.get("until")):
        if entry["kind"] == "write_intent" or entry["action"] == "write" or "data_subject" not in entry:
            continue
        if entry["caller"] != what.get("caller", entry["caller"]):
            continue
        out = {name for name, verdict in entry["fields"].items() if verdict[0] != "withhold"}
        if "key_class" in what:
            out &= {"allergies"}
        if out:
            people.setdefault(entry["data_subject"], set()).update(out)
            fields.update(out)
            receivers[entry["recipient"], entry["caller"], entry["purpose"]] += 1
    assert {row["data_subject"]: set(str(row["fields"]).split()) for row in report.table("people").records} == people
    assert {row["field"]: row["releases"] for row in report.table("fields").records} == fields
    told = {(r["recipient"], r["caller"], r["purpose"]): r["releases"] for r in report.table("recipients").records}
    assert told == receivers
    assert report.figures["records"] == receivers.total() > 0
    assert report.figures["people"] == len(people)
    clocks = report.table("clocks").records
    assert {row["regime"] for row in clocks} == {"EU_GDPR", "UK_GDPR"}  # California knows no such hours
    assert all(row["notify_by_utc"] == "2026-11-25T11:00:00Z" and row["over"] is False for row in clocks)
    german = sum(int(name[3:]) % 5 in (0, 3) for name in people)
    assert next(row["people"] for row in clocks if row["regime"] == "EU_GDPR") == german


def test_proof_of_choices_of_one_person_is_their_ledger(company: Company, ask: Ask) -> None:
    """Each event stands once, in order, with the entry of the log that bound it, at its index."""
    report = ask("consents", data_subject="ds_4")
    mine = sorted((e for e in company.rows(CONSENT_EVENTS) if e["data_subject"] == "ds_4"), key=lambda e: e["position"])
    events = report.table("events").records
    assert [row["event_id"] for row in events] == [event["event_id"] for event in mine]
    index = {entry.get("consent_event"): at for at, entry in company.entries()}
    assert [row["log_index"] for row in events] == [index.get(event["event_id"]) for event in mine]
    states = {(row["purpose"]): row["event_id"] for row in company.rows(PURPOSE_STATE) if row["data_subject"] == "ds_4"}
    assert {row["purpose"]: row["since_event"] for row in report.table("states").records} == states
    with pytest.raises(NotFound):
        ask("consents", data_subject="ds_29")


def test_a_sample_can_be_drawn_again_by_anybody(company: Company, ask: Ask) -> None:
    """The people drawn are those whose SHA-256 of seed and id is smallest; without a seed it is the log's root."""
    everyone = {event["data_subject"] for event in company.rows(CONSENT_EVENTS)}

    def drawn(seed: str) -> set[str]:
        return set(sorted(everyone, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).hexdigest())[:6])

    report = ask("consents", sample=6, seed="audit 2026")
    assert {row["data_subject"] for row in report.table("events").records} == drawn("audit 2026")
    report = ask("consents", sample=6)
    assert {row["data_subject"] for row in report.table("events").records} == drawn(report.rests_on.root)


def test_retention_tells_rules_runs_and_erasures(company: Company, ask: Ask) -> None:
    """Rows that went are those of the done steps; a step without an outcome is told as unknown."""
    report = ask("retention")
    written_down = yaml.safe_load((ROOT / "policies/retention.yaml").read_text())["schedules"]
    assert {row["schedule"]: row["period"] for row in report.table("schedules").records} == {
        one["id"]: one["period"] for one in written_down
    }
    runs = {row["schedule"]: row for row in report.table("runs").records}
    assert [runs["visits"][name] for name in ("steps", "rows", "refused", "unknown")] == [3, 8, 1, 0]
    assert [runs["devices"][name] for name in ("steps", "rows", "refused", "unknown")] == [3, 13, 0, 1]
    erasures = report.table("erasures").records
    assert [row["fields_kept"] for row in sorted(erasures, key=lambda row: str(row["erasure_id"]))] == [0, 1] * 3
    assert {row["grounds"] for row in erasures} == {"", "legal_obligation"}


def test_the_history_of_the_policy_tells_what_changed(company: Company, ask: Ask) -> None:
    """Each change of a document is told by the item that changed and the member; decisions are counted by revision."""
    report = ask("policy")
    changes = {
        (row["document"], row["item"]): (row["change"], row["members"]) for row in report.table("changes").records
    }
    assert changes == {
        ("recipients.yaml", "/recipients/payment_provider"): ("changed", "country"),
        ("packs/eea.yaml", "/"): ("changed", "reask_months"),
    }
    decided = Counter(entry["revision"] for _index, entry in uses(company))
    assert {row["revision"]: row["decisions"] for row in report.table("revisions").records} == decided
    assert report.figures["decided_by_unknown_revisions"] == decided["0" * 16]


def test_recipients_stand_with_what_they_got_and_by_which_safeguard(company: Company, ask: Ask) -> None:
    """Releases are those of the log; who is not declared is listed too; a missing safeguard shows where it bars."""
    report = ask("recipients", since=SINCE)
    got: Counter[str] = Counter()
    for _index, entry in uses(company, SINCE):
        got[entry["recipient"]] += any(verdict[0] != "withhold" for verdict in entry["fields"].values())
    rows = {row["recipient"]: row for row in report.table("recipients").records}
    assert all(rows[name]["releases"] == got[name] for name in rows)
    assert "company" not in rows
    assert rows["unknown_tool"]["declared"] is False
    assert report.figures["undeclared"] == 1
    assert rows["email_tool"]["clients"] == "crm"
    assert rows["email_tool"]["webhooks"] == 1
    refused = {(row["recipient"], row["pack"]) for row in report.table("transfers").records if row["refused"]}
    assert ("print_shop", "eea") in refused
    assert {name for name, _pack in refused} == {"print_shop"}


def test_a_report_rests_on_a_signed_checkpoint_and_on_nothing_after_it(company: Company, ask: Ask) -> None:
    """Entries after the checkpoint change no number that is counted from the log, and the checkpoint is the log's."""
    before = {name: ask(name) for name in REPORTS}
    rests_on = before["processing"].rests_on
    size, root = LogKey(company.signer.published).checkpoint(rests_on.note)
    assert (size, root.hex()) == (rests_on.size, rests_on.root)
    assert size == len(company.entries())
    company.recorder.record_all(
        [
            Entry(
                f"new_{n}", EntryKind.DECISION, NOON, "crm", purpose="payment", action="read", data_subject="ds_1",
                recipient="courier", fields={"email": ("allow", "consent", "r")}, revision="1" * 16,
            )
            for n in range(3)
        ]
    )  # fmt: skip
    company.seal()
    with open_source(company.engine, company.policies, company.clock.now(), note=rests_on.note) as source:
        assert {name: kind.make(source, Asked()) for name, kind in REPORTS.items()} == before
    assert ask("breach").rests_on.size == size + 3


def test_a_report_that_would_read_too_much_is_refused(company: Company) -> None:
    """A web process reads a bounded number of entries; who asks for more is told to name a shorter period."""
    reports = Reports(company.engine, company.policies, company.recorder, company.clock, most=100)
    with pytest.raises(InputRefused, match="more than 100 entries"):
        reports.make("processing", Asked(), "ofc_1")


def test_making_a_report_is_an_entry_of_the_log(company: Company) -> None:
    """Who asked, for which report, with what, stands in the log; and an unknown or unfit question makes nothing."""
    reports = Reports(company.engine, company.policies, company.recorder, company.clock)
    reports.make("consents", Asked(data_subject="ds_4", since=SINCE), "ofc_1")
    company.seal()
    with company.engine.connect() as connection:
        last = connection.execute(sa.select(AUDIT_LOG).order_by(AUDIT_LOG.c.leaf_index.desc()).limit(1)).one()
    entry = company.entries()[-1][1]
    assert last.kind == "export"
    assert entry["action"] == "report"
    assert entry["caller"] == "ofc_1"
    assert entry["data_subject"] == "ds_4"
    assert entry["detail"] == {"report": "consents", "since": written(SINCE)}
    for name, asked in (("nothing", Asked()), ("rights", Asked(caller="crm")), ("rights", Asked(UNTIL, SINCE))):
        with pytest.raises((NotFound, InputRefused)):
            reports.make(name, asked, "ofc_1")
