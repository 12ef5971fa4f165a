"""Reads case files: examples of decisions that a compliance officer can read and write; decides nothing.

A case names its situation in words; `bits_of` turns the words into the facts they stand for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, ValidationError, fields

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy.facts import BIT, FACTS, STATUS_BITS, STATUS_MASK, Group, age_bits
from consent_gateway.policy.findings import Finding, nearest
from consent_gateway.policy.schemas import EFFECTS, REASONS, Text, Word
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document, Place, parse
from consent_gateway.vocabulary import Effect, Reason

_GRANTS = MappingProxyType(
    {
        "granted": STATUS_BITS["granted"],
        "granted_explicit": STATUS_BITS["granted_explicit"],
        "granted_non_explicit": STATUS_BITS["granted"],
        "granted_by_self": STATUS_BITS["granted"],
        "granted_notice_changed": STATUS_BITS["notice_changed"],
    }
)
_STATUSES = MappingProxyType(
    {
        name: STATUS_BITS[name]
        for name in (
            "unknown",
            "requested",
            "soft_opt_in",
            "implied_existing_customer",
            "refused",
            "withdrawn",
            "expired",
        )
    }
)
_FLAGS = MappingProxyType(
    {
        "objected": BIT["objected"],
        "opted_out": BIT["opted_out"],
        "unsubscribed": BIT["unsubscribed"],
        "paused": BIT["paused"],
        "limited": BIT["limited"],
        "restricted": BIT["restricted"],
        "erasure_requested": BIT["erasure_pending"],
        "erased": BIT["erased"],
    }
)
STATES = frozenset({*_GRANTS, *_STATUSES, *_FLAGS})
_LIFTED_BY_GRANT = BIT["objected"] | BIT["opted_out"] | BIT["unsubscribed"] | BIT["limited"]

_ROLES = MappingProxyType(
    {
        "controller": 0,
        "processor": BIT["processor"],
        "service_provider": BIT["processor"],
        "contractor": BIT["processor"],
        "third_party": BIT["third_party"],
    }
)
_SWITCHES = MappingProxyType(
    {
        **{
            fact.name: BIT[fact.name]
            for fact in FACTS
            if fact.group in (Group.PERSON, Group.CONDITION, Group.TRANSFER, Group.CHOICE)
        },
        "parental_authorisation": BIT["parental"],
        "limit": BIT["limited"],
    }
)
DEADLINES = "deadlines"
"""The key below which a case file holds examples of deadlines, which are read elsewhere."""

CONTEXT = frozenset({*_SWITCHES, "age", "recipient_role", "as_of", "logged_in", "other"})


def state_bits(state: str) -> int:
    """The facts of states joined in time order with `+`. A word that is no state makes the whole unknown."""
    words = [word.strip() for word in state.split("+")]
    if any(word not in STATES for word in words):
        return BIT["unknown_state"]
    bits = STATUS_BITS["unknown"]
    for word in words:
        if word in _GRANTS:
            again = BIT["opted_in_again"] if bits & (BIT["opted_out"] | BIT["opted_in_again"]) else 0
            bits = (bits & ~STATUS_MASK & ~_LIFTED_BY_GRANT) | _GRANTS[word] | again
        elif word in _STATUSES:
            bits = (bits & ~STATUS_MASK) | _STATUSES[word]
        else:
            bits |= _FLAGS[word]
            if word == "opted_out":
                bits &= ~BIT["opted_in_again"]
    return bits


def context_bits(context: dict[str, Any]) -> int:
    """The facts of a context that passed `context_faults`."""
    bits = age_bits(context.get("age")) | _ROLES[context.get("recipient_role") or "controller"]
    for name, bit in _SWITCHES.items():
        if context.get(name):
            bits |= bit
    return bits


def context_faults(context: dict[str, Any]) -> Iterable[tuple[str, str, str]]:
    """What in a context is not ours: key, what is wrong and how to mend it."""
    for key, value in context.items():
        if key not in CONTEXT:
            yield key, f"unknown context key `{key}`", nearest(key, CONTEXT)
        elif key == "age" and type(value) is not int:
            yield key, f"`{value}` is not an age", "write whole years"
        elif key == "recipient_role" and value not in _ROLES:
            yield key, f"unknown role `{value}`", nearest(str(value), _ROLES)
        elif key == "as_of" and _day(value) is None:
            yield key, f"`{value}` is not a day", "write it as 2026-01-31"
        elif key == "other" and not isinstance(value, dict):
            yield key, "`other` must map purposes to states", "write `other: {email_marketing: granted}`"
        elif key in (*_SWITCHES, "logged_in") and type(value) is not bool:
            yield key, f"`{key}` is neither true nor false", "write `true` or `false`"


def _day(value: Any) -> date | None:
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Case:
    """One example. `bits` are the facts of its state and context; `day` None means today."""

    id: str
    jurisdiction: str
    purpose: str
    category: str
    bits: int
    day: date | None
    effect: Effect
    reason: Reason | None
    obligations: tuple[str, ...] | None
    path: str
    line: int


class _Obligations(fields.Field[tuple[str, ...]]):
    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        names = [one.get("transform") if isinstance(one, dict) else one for one in value or ()]
        if not all(isinstance(name, str) for name in names):
            raise ValidationError("an obligation is not a transform's name; write `[pseudonym.subject]`")
        return tuple(sorted(str(name) for name in names))


class _ExpectSchema(Schema):
    effect = Word("effect", EFFECTS, required=True)
    reason = Word("reason", REASONS, load_default=None, allow_none=True)
    obligations = _Obligations(load_default=None, allow_none=True)


class _CaseSchema(Schema):
    id = Text(required=True)
    jurisdiction = Text(required=True)
    purpose = Text(required=True)
    category = Text(required=True)
    state = Text(required=True)
    context = fields.Dict(keys=fields.String(), load_default=dict, allow_none=True)
    expect = fields.Nested(_ExpectSchema, required=True)
    note = fields.Raw()


def read_cases(paths: Iterable[Path]) -> tuple[Case, ...]:
    """The decision cases of files and directories, in order. Raises `PolicyInvalid` with findings."""
    findings: list[Finding] = []
    cases: list[Case] = []
    for file in case_files(paths):
        document = parse(str(file), file.read_text(encoding="utf-8"), findings, bare_words=True)
        if not (isinstance(document.value, dict) and DEADLINES in document.value):
            cases.extend(_read_file(document, findings))
    findings.extend(_repeated(cases))
    if findings:
        told = tuple(str(finding) for finding in findings)
        raise PolicyInvalid(f"the case files do not stand; first {told[0]}", told)
    return tuple(cases)


def case_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files of files and directories, in order. Raises `PolicyInvalid` for one that is not there."""
    for path in paths:
        for file in sorted(path.rglob("*.yaml")) if path.is_dir() else [path]:
            if not file.is_file():
                raise PolicyInvalid(f"there is no case file `{file}`: name a file or directory that is there")
            yield file


def _repeated(cases: Iterable[Case]) -> Iterable[Finding]:
    seen: set[tuple[str, str]] = set()
    for case in cases:
        if (case.path, case.id) in seen:
            yield Finding(case.path, case.line, f"the case id `{case.id}` stands twice", "rename one")
        seen.add((case.path, case.id))


def _read_file(document: Document, findings: list[Finding]) -> Iterable[Case]:
    value = document.value
    start: Place = ()
    if isinstance(value, dict) and isinstance(value.get("cases"), list):
        value, start = value["cases"], ("cases",)
    if not isinstance(value, list):
        findings.append(Finding(document.path, 1, "this is not a list of cases", "begin each case with `- id:`"))
        return
    schema = _CaseSchema()
    for index, entry in enumerate(value):
        place = (*start, index)
        given = load(schema, document, place, entry, findings)
        if given is not None:
            yield _case(given, document, place, findings)


def _case(given: dict[str, Any], document: Document, place: Place, findings: list[Finding]) -> Case:
    context = given["context"] or {}
    faults = list(context_faults(context))
    for key, what, mend in faults:
        findings.append(Finding(document.path, document.line((*place, "context", key)), what, mend))
    expect = given["expect"]
    return Case(
        id=given["id"],
        jurisdiction=given["jurisdiction"],
        purpose=given["purpose"],
        category=given["category"],
        bits=0 if faults else state_bits(given["state"]) | context_bits(context),
        day=_day(context.get("as_of")),
        effect=expect["effect"],
        reason=expect["reason"],
        obligations=expect["obligations"],
        path=document.path,
        line=document.line(place),
    )
