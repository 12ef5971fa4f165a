"""Operator commands of the policy room: check, test, explain; prints, and ends with 1 where something fails."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import Policies, load_policies
from consent_gateway.policy.case_files import context_bits, context_faults, read_cases, state_bits
from consent_gateway.policy.cases import Report, Result, run_cases
from consent_gateway.policy.checks import check_obligations, check_policies
from consent_gateway.policy.explain import Explanation, explain
from consent_gateway.protection.registry import parameter_faults, type_fault
from consent_gateway.rights.deadline_cases import DeadlineCase, faults_of, read_deadline_cases
from consent_gateway.rights.regimes import Laws

_DIRECTORY = click.Path(path_type=Path, file_okay=False)
_TODAY = click.option("--today", help="the day to decide on, as 2026-01-31; the present day if left out")
_JSON = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group()
def policy() -> None:
    """Check, test and explain the policy."""


@policy.command("check")
@click.argument("directory", type=_DIRECTORY, default=Path("policies"))
@_JSON
def check(directory: Path, *, as_json: bool) -> None:
    """Prove that the policy in DIRECTORY stands; every finding names file, line and mend."""
    try:
        policies = load_policies(directory)
    except PolicyInvalid as error:
        findings = [f"{directory}/{finding}" for finding in error.findings] or [error.message]
        summary: dict[str, Any] = {"findings": findings}
    else:
        found = sorted((*check_policies(policies), *check_obligations(policies, parameter_faults, type_fault)))
        findings = [f"{directory}/{finding}" for finding in found]
        summary = {"findings": findings, "revision": policies.revision, **_counts(policies)}
    if as_json:
        click.echo(json.dumps(summary))
    else:
        for finding in findings:
            click.echo(finding)
        click.echo(_check_line(summary))
    if findings:
        raise SystemExit(1)


def _counts(policies: Policies) -> dict[str, int]:
    return {
        "packs": len(policies.documents.packs),
        "rules": len(policies.documents.rules()),
        "purposes": len(policies.purposes),
        "fields": len(policies.catalogue.fields),
    }


def _check_line(summary: dict[str, Any]) -> str:
    number = len(summary["findings"])
    if number:
        return f"{number} finding{'s' if number > 1 else ''}"
    return (
        f"the policy stands: revision {summary['revision']}, {summary['packs']} packs, {summary['rules']} rules, "
        f"{summary['purposes']} purposes, {summary['fields']} fields"
    )


@policy.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--policies", "directory", type=_DIRECTORY, default=Path("policies"), help="the policy directory")
@click.option("--coverage/--no-coverage", default=None, help="demand that every rule is reached by a case")
@_TODAY
@_JSON
def test(paths: tuple[Path, ...], directory: Path, *, coverage: bool | None, today: str | None, as_json: bool) -> None:
    """Run the case files in PATHS, or the policy's own cases, for which every rule must be reached."""
    day = _day(today)
    try:
        policies = load_policies(directory)
        cases = read_cases(paths or (directory / "cases",))
        deadlines = read_deadline_cases(paths or (directory / "cases",))
    except PolicyInvalid as error:
        _refuse(error, as_json=as_json)
    report = run_cases(policies, cases, day)
    late = _late(policies, deadlines)
    demanded = not paths if coverage is None else coverage
    if as_json:
        click.echo(json.dumps(_report(report, deadlines, late)))
    else:
        click.echo(_report_text(report, demanded=demanded))
        _tell_deadlines(deadlines, late)
    nothing = not report.results and not deadlines
    if report.failures or late or nothing or (demanded and report.unreached):
        raise SystemExit(1)


def _late(policies: Policies, deadlines: Sequence[DeadlineCase]) -> list[tuple[DeadlineCase, Sequence[str]]]:
    """The deadline cases that do not agree with the clocks, each with what differs."""
    laws = Laws(policies.documents.packs)
    return [(case, faults) for case in deadlines if (faults := faults_of(laws, case))]


def _tell_deadlines(deadlines: Sequence[DeadlineCase], late: Sequence[tuple[DeadlineCase, Sequence[str]]]) -> None:
    for case, faults in late:
        click.echo(f"{case.path}:{case.line}: {case.id}")
        for fault in faults:
            click.echo(f"    {fault}")
    if deadlines:
        click.echo(f"{len(deadlines) - len(late)} of {len(deadlines)} deadline cases pass")


def _report(
    report: Report, deadlines: Sequence[DeadlineCase], late: Sequence[tuple[DeadlineCase, Sequence[str]]]
) -> dict[str, Any]:
    told = [{"id": one.id, "file": one.path, "line": one.line, "faults": list(faults)} for one, faults in late]
    return {
        "cases": len(report.results),
        "deadlines": len(deadlines),
        "failures": [*(_failure(result) for result in report.failures), *told],
        "rules": report.rules,
        "unreached": list(report.unreached),
    }


def _failure(result: Result) -> dict[str, Any]:
    return {
        "id": result.case.id,
        "file": result.case.path,
        "line": result.case.line,
        "faults": list(result.faults),
        "rule": result.verdict.rule,
    }


def _report_text(report: Report, *, demanded: bool) -> str:
    lines = []
    for result in report.failures:
        lines.append(f"{result.case.path}:{result.case.line}: {result.case.id}")
        lines.extend(f"    {fault}" for fault in result.faults)
        lines.append(f"    decided by {result.verdict.rule}")
    if demanded:
        lines.extend(f"no case reaches the rule {rule}" for rule in report.unreached)
    passed = len(report.results) - len(report.failures)
    reached = report.rules - len(report.unreached)
    lines.append(f"{passed} of {len(report.results)} cases pass; they reach {reached} of {report.rules} rules")
    return "\n".join(lines)


@policy.command("explain")
@click.option("--policies", "directory", type=_DIRECTORY, default=Path("policies"), help="the policy directory")
@click.option("--jurisdiction", required=True, help="ISO 3166 code, such as DE or US-CA")
@click.option("--purpose", required=True)
@click.option("--category", required=True, help="Fideslang key, such as user.contact.email")
@click.option("--state", default="unknown", help="states joined with +, such as granted+objected")
@click.option("--context", multiple=True, help="KEY=VALUE, such as age=15 or gpc=true")
@_TODAY
@_JSON
def explain_verdict(
    directory: Path,
    jurisdiction: str,
    purpose: str,
    category: str,
    state: str,
    context: tuple[str, ...],
    *,
    today: str | None,
    as_json: bool,
) -> None:
    """Tell verdict, rule, source and the nearest change that would flip the verdict."""
    situation = _context(context)
    try:
        policies = load_policies(directory)
    except PolicyInvalid as error:
        _refuse(error, as_json=as_json)
    bits = state_bits(state) | context_bits(situation)
    told = explain(policies.rulebook, jurisdiction, purpose, category, bits, _day(situation.get("as_of") or today))
    click.echo(json.dumps(_explanation(told)) if as_json else _explanation_text(told))


def _context(pairs: tuple[str, ...]) -> dict[str, Any]:
    words = {"true": True, "false": False}
    read: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise click.BadParameter(f"`{pair}` is not KEY=VALUE: write it as age=15")
        read[key] = int(value) if value.isdigit() else words.get(value, value)
    for _, what, mend in context_faults(read):
        raise click.BadParameter(f"{what}; {mend}")
    return read


def _explanation(told: Explanation) -> dict[str, Any]:
    nearest = told.nearest
    return {
        "effect": told.verdict.effect.word,
        "reason": told.verdict.reason.value,
        "rule": told.rule.id,
        "source": told.rule.source,
        "text": told.rule.text,
        "pack": told.pack,
        "facts": list(told.facts),
        "obligations": [obligation.transform for obligation in told.verdict.obligations],
        "nearest_change": None
        if nearest is None
        else {
            "added": list(nearest.added),
            "removed": list(nearest.removed),
            "effect": nearest.verdict.effect.word,
            "reason": nearest.verdict.reason.value,
            "rule": nearest.verdict.rule,
        },
    }


def _explanation_text(told: Explanation) -> str:
    verdict = told.verdict
    lines = [
        f"{verdict.effect.word}: {verdict.reason.value}",
        f"rule:   {told.rule.id} ({told.pack or 'no pack'})",
        f"source: {told.rule.source}",
        f"facts:  {', '.join(told.facts) or 'none'}",
    ]
    if verdict.obligations:
        lines.append(f"does:   {', '.join(obligation.transform for obligation in verdict.obligations)}")
    lines.append("\n".join(f"    {line}" for line in told.rule.text.splitlines()))
    lines.append(f"flips:  {_change_text(told)}")
    return "\n".join(lines)


def _change_text(told: Explanation) -> str:
    if told.nearest is None:
        return "no single change would flip it"
    changes = [f"with {name}" for name in told.nearest.added] + [f"without {name}" for name in told.nearest.removed]
    other = told.nearest.verdict
    return f"{', '.join(changes)} it would be {other.effect.word} ({other.reason.value}, {other.rule})"


def _day(text: Any) -> date:
    if text is None:
        return datetime.now(UTC).date()
    if type(text) is date:
        return text
    try:
        return date.fromisoformat(str(text))
    except ValueError as error:
        raise click.BadParameter(f"`{text}` is not a day: write it as 2026-01-31") from error


def _refuse(error: PolicyInvalid, *, as_json: bool) -> NoReturn:
    findings = error.findings or (error.message,)
    click.echo(json.dumps({"findings": list(findings)}) if as_json else "\n".join(findings))
    raise SystemExit(1)
