"""Claims about case files: how their words become facts, and what a run tells."""

from datetime import date
from pathlib import Path

import pytest

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import Policies
from consent_gateway.policy.case_files import STATES, read_cases, state_bits
from consent_gateway.policy.cases import run_cases
from consent_gateway.policy.explain import explain
from consent_gateway.policy.facts import BIT, STATUS_BITS, names_of
from tests.unit.policy.conftest import EMAIL, NOON

TODAY = NOON.date()
HEAD = "jurisdiction: DE, purpose: email_marketing, category: user.contact.email"


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("unknown", "unknown"),
        ("granted", "granted"),
        ("granted_explicit", "granted granted_explicit"),
        ("granted_non_explicit", "granted"),
        ("granted_by_self", "granted"),
        ("granted_notice_changed", "notice_changed"),
        ("implied_existing_customer", "implied"),
        ("expired", "expired"),
        ("objected", "unknown objected"),
        ("limited", "unknown limited"),
        ("restricted", "unknown restricted"),
        ("erasure_requested", "unknown erasure_pending"),
        ("erased", "unknown erased"),
        ("granted+objected", "granted objected"),
        ("objected+granted", "granted"),
        ("unsubscribed+granted", "granted"),
        ("limited + granted", "granted"),
        ("withdrawn+granted", "granted"),
        ("granted+withdrawn", "withdrawn"),
        ("opted_out+granted", "granted opted_in_again"),
        ("opted_out+granted+opted_out", "granted opted_out"),
        ("opted_out+granted+granted_explicit", "granted granted_explicit opted_in_again"),
        ("restricted+granted", "granted restricted"),
        ("erasure_requested+granted", "granted erasure_pending"),
        ("erased+granted", "granted erased"),
        ("opted_out+soft_opt_in", "soft_opt_in opted_out"),
        ("maybe", "unknown_state"),
        ("maybe+granted", "unknown_state"),
        ("", "unknown_state"),
    ],
)
def test_states_join_in_time_order(state: str, names: str) -> None:
    """A later grant lifts objections, opt-outs and the like, but no restriction or erasure; unknown words spoil it."""
    assert set(names_of(state_bits(state))) == set(names.split())


def test_every_state_has_one_status() -> None:
    """Each state sets exactly one status, beside whatever flags it sets."""
    statuses = {bits: name for name, bits in STATUS_BITS.items()}
    for state in STATES:
        assert state_bits(state) & sum(BIT[name] for name in STATUS_BITS if name in BIT) in statuses


def cases_in(directory: Path, *lines: str) -> Path:
    """A case file with one case a line."""
    path = directory / "some.yaml"
    path.write_text("\n".join(f"- {{{line}}}" for line in lines), encoding="utf-8")
    return path


def test_a_run_tells_what_failed_and_what_no_case_reached(policies: Policies, tmp_path: Path) -> None:
    """A failing case names effect, reason, obligations and deciding rule; unreached rules are listed."""
    path = cases_in(
        tmp_path,
        f"id: one, {HEAD}, state: granted, expect: {{effect: allow, reason: consent, obligations: []}}",
        f"id: two, {HEAD}, state: unknown, expect: {{effect: mask, reason: consent, obligations: [mask]}}",
        f"id: old, {HEAD}, state: granted, context: {{as_of: 2019-01-01}}, expect: {{effect: withhold}}",
        f"id: minor, {HEAD}, state: granted, context: {{age: 15}}, "
        "expect: {effect: withhold, reason: below_digital_age}",
    )
    report = run_cases(policies, read_cases([path]), TODAY)
    assert [result.case.id for result in report.failures] == ["two"]
    failed = report.failures[0]
    assert failed.case.line == 2
    assert failed.verdict.rule == "gateway.no-consent"
    assert failed.faults == (
        "effect: expected mask, got withhold",
        "reason: expected consent, got no_consent",
        "obligations: expected mask, got none",
    )
    assert report.rules == 8
    assert set(report.unreached) == set(policies.documents.rules()) - {"aa.email", "aa.child"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            f"id: one, {HEAD}, state: granted, context: {{agge: 3}}, expect: {{effect: allow}}",
            "unknown context key `agge`",
        ),
        (f"id: one, {HEAD}, state: granted, context: {{age: old}}, expect: {{effect: allow}}", "`old` is not an age"),
        (f"id: one, {HEAD}, state: granted, context: {{gpc: 1}}, expect: {{effect: allow}}", "neither true nor false"),
        (f"id: one, {HEAD}, state: granted, context: {{as_of: soon}}, expect: {{effect: allow}}", "is not a day"),
        (f"id: one, {HEAD}, state: granted, context: {{other: x}}, expect: {{effect: allow}}", "`other` must map"),
        (f"id: one, {HEAD}, state: granted, context: {{recipient_role: x}}, expect: {{effect: allow}}", "unknown role"),
        (f"id: one, {HEAD}, state: granted, expect: {{effect: open}}", "unknown effect `open`"),
        (f"id: one, {HEAD}, state: granted, expect: {{effect: allow, obligations: [3]}}", "not a transform's name"),
        (f"id: one, {HEAD}, state: granted", "`expect` is missing"),
        (f"id: one, {HEAD}, stat: granted, expect: {{effect: allow}}", "unknown key `stat`"),
    ],
)
def test_a_fault_in_a_case_file_is_told(tmp_path: Path, line: str, what: str) -> None:
    """A case that cannot be meant keeps the file from running and is told with its line."""
    path = cases_in(tmp_path, line)
    with pytest.raises(PolicyInvalid) as refused:
        read_cases([path])
    assert any(finding.startswith(f"{path}:1: ") and what in finding for finding in refused.value.findings)


def test_case_files_come_as_lists_mappings_and_directories(tmp_path: Path) -> None:
    """A list, or a mapping with `cases`, in one file or below a directory; a bare NO is Norway."""
    case = f"id: one, {HEAD}, state: granted, expect: {{effect: allow}}"
    cases_in(tmp_path, case.replace("DE", "NO"))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "more.yaml").write_text(f"cases:\n  - {{{case}}}\n", encoding="utf-8")
    assert [one.jurisdiction for one in read_cases([tmp_path])] == ["DE", "NO"]
    (tmp_path / "deep" / "more.yaml").write_text("cases: 5", encoding="utf-8")
    with pytest.raises(PolicyInvalid, match="not a list of cases"):
        read_cases([tmp_path])
    with pytest.raises(PolicyInvalid, match="there is no case file"):
        read_cases([tmp_path / "none.yaml"])


def test_a_case_id_stands_once_in_a_file(tmp_path: Path) -> None:
    """Two cases of one id in one file are a finding."""
    case = f"id: one, {HEAD}, state: granted, expect: {{effect: allow}}"
    with pytest.raises(PolicyInvalid, match="stands twice"):
        read_cases([cases_in(tmp_path, case, case)])


def test_an_explanation_names_the_nearest_change(policies: Policies) -> None:
    """The nearest flip is the single change that touches the fewest facts, and there may be none."""
    place = ("DE", EMAIL, "user.contact.email")
    closed = explain(policies.rulebook, *place, state_bits("granted+restricted"), TODAY)
    assert closed.rule.source == "a"
    assert closed.nearest is not None
    assert closed.nearest.removed == ("restricted",)
    assert closed.nearest.verdict.rule == "aa.email"
    opened = explain(policies.rulebook, *place, state_bits("granted"), TODAY)
    assert opened.nearest is not None
    assert opened.nearest.added == ("restricted",)
    hopeless = explain(policies.rulebook, *place, state_bits("unknown+restricted"), TODAY)
    assert hopeless.nearest is None
    nowhere = explain(policies.rulebook, "IT", EMAIL, "user.contact.email", 0, date(2026, 1, 1))
    assert nowhere.pack is None
    assert nowhere.rule.kind == "built_in"
