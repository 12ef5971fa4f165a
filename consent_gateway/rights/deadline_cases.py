"""Worked examples of deadlines that a compliance officer can read and write: reads and runs them; sets no deadline.

They stand in case files of their own, below the key `deadlines`; examples of decisions are `policy.case_files`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, fields

from consent_gateway.errors import InputRefused, PolicyInvalid
from consent_gateway.policy.case_files import DEADLINES, case_files
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.schemas import Day, Text
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import parse
from consent_gateway.rights.answers import DATES, dates_of, due_at, moment, pause, written
from consent_gateway.rights.clocks import Pause
from consent_gateway.rights.regimes import Laws


@dataclass(frozen=True, slots=True)
class DeadlineCase:
    """One example. `expected` maps a date's name to its text, or to None where there must be none."""

    id: str
    regime: str
    right: str
    received: date | datetime
    calendar: str | None
    pauses: tuple[Pause, ...]
    answered: date | None
    rule: str
    expected: Mapping[str, str | None]
    path: str
    line: int


class _Moment(fields.Field[date]):
    def _deserialize(self, value: Any, *_: Any, **__: Any) -> date:
        try:
            return value if isinstance(value, date) else moment(str(value))
        except InputRefused as error:
            raise ValidationError(error.message.replace(": ", "; ", 1)) from error


class _Pauses(fields.Field[tuple[Pause, ...]]):
    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[Pause, ...]:
        try:
            return tuple(pause(str(each)) for each in ([value] if isinstance(value, str) else value))
        except InputRefused as error:
            raise ValidationError(error.message.replace(": ", "; ", 1)) from error


class _Expected(fields.Field[Mapping[str, str | None]]):
    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Mapping[str, str | None]:
        if not isinstance(value, dict) or not value or not set(value) <= set(DATES):
            raise ValidationError(f"this does not map dates; write one or more of {', '.join(DATES)}")
        return {
            name: None if day is None else day if isinstance(day, str) else written(day) for name, day in value.items()
        }


class _CaseSchema(Schema):
    id = Text(required=True)
    regime = Text(required=True)
    right = Text(required=True)
    received = _Moment(required=True)
    calendar = Text(load_default=None)
    paused = _Pauses(load_default=())
    answered = Day(load_default=None)
    rule = Text(required=True)
    expect = _Expected(required=True)


def read_deadline_cases(paths: Iterable[Path]) -> tuple[DeadlineCase, ...]:
    """The deadline cases among files and directories, in order. Raises `PolicyInvalid` with findings."""
    findings: list[Finding] = []
    cases: list[DeadlineCase] = []
    for file in case_files(paths):
        document = parse(str(file), file.read_text(encoding="utf-8"), findings, bare_words=True)
        value = document.value if isinstance(document.value, dict) else {}
        for index, entry in enumerate(value.get(DEADLINES, ())):
            place = (DEADLINES, index)
            given = load(_CaseSchema(), document, place, entry, findings)
            if given is not None:
                pauses, expected = given.pop("paused"), given.pop("expect")
                line = document.line(place)
                case = DeadlineCase(**given, pauses=pauses, expected=expected, path=str(file), line=line)
                if any((case.path, case.id) == (other.path, other.id) for other in cases):
                    findings.append(Finding(case.path, line, f"the case id `{case.id}` stands twice", "rename one"))
                cases.append(case)
    if findings:
        told = tuple(str(finding) for finding in findings)
        raise PolicyInvalid(f"the deadline cases do not stand; first {told[0]}", told)
    return tuple(cases)


def faults_of(laws: Laws, case: DeadlineCase) -> Sequence[str]:
    """Where the clocks and one example do not agree; empty where they do."""
    try:
        law = laws.find(case.regime, case.right, case.received)
        got = dates_of(due_at(law, case.received, case.calendar, case.pauses, case.answered))
    except InputRefused as error:
        return [error.message]
    return [
        f"{name}: expected {expected or 'none'}, got {got.get(name) or 'none'}"
        for name, expected in case.expected.items()
        if got.get(name) != expected
    ]
