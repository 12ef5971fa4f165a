"""The terms of re-identification, read from `reidentification.yaml` and found by day; grants nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from consent_gateway.policy.findings import Finding, nearest
from consent_gateway.policy.schemas import Day, Text, Words
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document

PATH = "reidentification.yaml"
MOST_TOKENS = 100  # so many digests still fit into one audit entry


@dataclass(frozen=True, slots=True)
class Alone:
    """Where one person is enough: a purpose, and the recipients with whom it is."""

    purpose: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds from a day on. Minutes: of a grant, and for which a request waits for approval."""

    effective_from: date
    source: str
    channel: str
    grant_minutes: int
    open_minutes: int
    most_tokens: int
    requests_per_hour: int
    alone: tuple[Alone, ...]
    line: int = 1

    def needs_second_person(self, purpose: str, recipient: str) -> bool:
        """Whether somebody else than the requester must sign; True wherever nothing is said."""
        return not any(one.purpose == purpose and recipient in one.recipients for one in self.alone)


@dataclass(frozen=True, slots=True)
class Reidentification:
    """Reasons by key, and terms by day. Empty, it allows nothing."""

    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    terms: tuple[Terms, ...] = ()

    def on(self, day: date) -> Terms | None:
        """The terms in force on the day, or None."""
        begun = [one for one in self.terms if one.effective_from <= day]
        return max(begun, key=lambda one: one.effective_from, default=None)


class _Number(fields.Field[int]):
    def __init__(self, most: int, **options: Any) -> None:
        super().__init__(**options)
        self._most = most

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if type(value) is int and 1 <= value <= self._most:
            return value
        raise ValidationError(f"`{value}` is not a whole number from 1 to {self._most}; write one")


class _ReasonSchema(Schema):
    key = Text(required=True, validate=validate.Regexp(r"^[a-z][a-z0-9_]{0,63}$", error="write lower_case_words"))
    name = Text(required=True)


class _AloneSchema(Schema):
    purpose = Text(required=True)
    recipients = Words(required=True)


class _TermsSchema(Schema):
    effective_from = Day(required=True)
    source = Text(required=True)
    channel = Text(required=True)
    grant_minutes = _Number(60, required=True)
    open_minutes = _Number(10_080, required=True)
    most_tokens = _Number(MOST_TOKENS, required=True)
    requests_per_hour = _Number(1000, required=True)
    alone = fields.List(fields.Nested(_AloneSchema), load_default=list)


class _FileSchema(Schema):
    version = fields.Raw()
    reasons = fields.List(fields.Nested(_ReasonSchema), required=True)
    terms = fields.List(fields.Nested(_TermsSchema), required=True)


def read_reidentification(document: Document | None, findings: list[Finding]) -> Reidentification:
    """What the file says; without one, nothing is allowed. Faults go to `findings`."""
    given = load(_FileSchema(), document, (), document.value, findings) if document else None
    if given is None or document is None:
        return Reidentification()
    terms: list[Terms] = []
    for at, entry in enumerate(given["terms"]):
        line = document.line(("terms", at))
        if any(one.effective_from == entry["effective_from"] for one in terms):
            findings.append(Finding(PATH, line, "two terms begin on one day", "keep one of them"))
        alone = tuple(Alone(**one) for one in entry.pop("alone"))
        terms.append(Terms(**entry, alone=alone, line=line))
    return Reidentification(MappingProxyType({entry["key"]: entry["name"] for entry in given["reasons"]}), tuple(terms))


def unknown_words(
    given: Reidentification, channels: Mapping[str, Any], purposes: Mapping[str, Any], recipients: Mapping[str, Any]
) -> Iterator[Finding]:
    """What the terms name and the policy does not have."""
    for terms in given.terms:
        named = [("channel", terms.channel, channels)]
        for alone in terms.alone:
            named.append(("purpose", alone.purpose, purposes))
            named += [("recipient", word, recipients) for word in alone.recipients]
        for label, word, known in named:
            if word not in known:
                yield Finding(PATH, terms.line, f"unknown {label} `{word}`", nearest(word, known))
