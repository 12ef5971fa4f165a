"""The terms of people's requests, read from `rights.yaml` and found by day: proof, attempts, times; proves nobody."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.policy.findings import Finding, nearest
from consent_gateway.policy.legal_clocks import RIGHTS
from consent_gateway.policy.retention import PeriodText
from consent_gateway.policy.schemas import Day, Text, Word, Words
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document

PATH = "rights.yaml"


class Way(StrEnum):
    """How somebody may prove who they are; closed list."""

    NONE = "none"
    SESSION = "session"
    CODE = "code"
    POINTS = "points"
    SEEN = "seen"


@dataclass(frozen=True, slots=True)
class Proof:
    """What is enough for some rights. `points` is how many data points, `declaration` whether one is signed."""

    ways: frozenset[Way]
    points: int
    declaration: bool
    source: str


@dataclass(frozen=True, slots=True)
class RightsTerms:
    """What holds from a day on. `points` are the categories of what people may be asked about."""

    effective_from: date
    source: str
    channel: str
    prove_days: int
    fresh_minutes: int
    code_minutes: int
    most_codes: int
    most_attempts: int
    most_attempts_a_day: int
    points: tuple[str, ...]
    proofs: Mapping[str, Proof]
    keep: str | None = None  # how long records of answered requests are kept at least, whatever the law's own time
    line: int = 1


def askable(terms: RightsTerms, catalogue: Catalogue) -> tuple[str, ...]:
    """The fields that people may be asked about: of their own row, of such a category, and not sealed."""
    return tuple(
        one.name
        for one in catalogue.root.fields
        if one.key_class is None and any(_below(given, key) for given in one.categories for key in terms.points)
    )


def _below(category: str, key: str) -> bool:
    return category == key or category.startswith(f"{key}.")


def terms_on(terms: tuple[RightsTerms, ...], day: date) -> RightsTerms | None:
    """The terms in force on the day, or None."""
    begun = [one for one in terms if one.effective_from <= day]
    return max(begun, key=lambda one: one.effective_from, default=None)


class _Number(fields.Integer):
    def __init__(self, most: int, **options: Any) -> None:
        told = f"write a whole number from 1 to {most}"
        super().__init__(strict=True, validate=validate.Range(1, most, error=told), **options)


class _Ways(Words):
    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> tuple[str, ...]:
        words = super()._deserialize(value, *rest, **more)
        unknown = [word for word in words if word not in set(Way)]
        if unknown or not words or (Way.NONE in words and len(words) > 1):
            raise ValidationError(f"these are no ways of proof; write some of {', '.join(Way)}, or none alone")
        return words


class _ProofSchema(Schema):
    rights = fields.List(Word("right", {right: right for right in RIGHTS}), required=True)
    ways = _Ways(required=True)
    points = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, 9, error="write 0 to 9"))
    declaration = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    source = Text(required=True)


class _TermsSchema(Schema):
    effective_from = Day(required=True)
    source = Text(required=True)
    channel = Text(required=True)
    prove_days = _Number(365, required=True)
    fresh_minutes = _Number(60, required=True)
    code_minutes = _Number(60, required=True)
    most_codes = _Number(10, required=True)
    most_attempts = _Number(20, required=True)
    most_attempts_a_day = _Number(50, required=True)
    points = Words(load_default=())
    proofs = fields.List(fields.Nested(_ProofSchema), required=True)
    keep = PeriodText(load_default=None, allow_none=True)


class _FileSchema(Schema):
    version = fields.Raw()
    terms = fields.List(fields.Nested(_TermsSchema), required=True)


def read_rights_terms(document: Document | None, findings: list[Finding]) -> tuple[RightsTerms, ...]:
    """What the file says; without one, nothing. Faults go to `findings`."""
    given = load(_FileSchema(), document, (), document.value, findings) if document else None
    if given is None or document is None:
        return ()
    terms = []
    for at, entry in enumerate(given["terms"]):
        proofs: dict[str, Proof] = {}
        for number, one in enumerate(entry.pop("proofs")):
            line = document.line(("terms", at, "proofs", number))
            if Way.POINTS in one["ways"] and not one["points"]:
                what, mend = "`points` is missing where points are a way", "write how many are enough"
                findings.append(Finding(PATH, line, what, mend))
            for right in one.pop("rights"):
                if right in proofs:
                    findings.append(Finding(PATH, line, f"the right `{right}` stands twice", "keep one"))
                ways = frozenset(map(Way, one["ways"]))
                proofs[right] = Proof(ways, one["points"], one["declaration"], one["source"])
        line = document.line(("terms", at))
        terms.append(RightsTerms(**entry, proofs=MappingProxyType(proofs), line=line))
    return tuple(terms)


def unknown_of(
    terms: tuple[RightsTerms, ...], channels: Mapping[str, Any], categories: Mapping[str, Any]
) -> Iterator[Finding]:
    """What the terms name and the policy does not have."""
    for one in terms:
        named = [("channel", one.channel, channels), *(("category", word, categories) for word in one.points)]
        for label, word, known in named:
            if word not in known:
                yield Finding(PATH, one.line, f"unknown {label} `{word}`", nearest(word, known))
