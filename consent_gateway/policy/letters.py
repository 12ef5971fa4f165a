"""Letters to people and to recipients, read from `letters/<kind>.yaml` and `letters.yaml`; writes and sends none.

A template is one wording with a text in each language, in force from a day on. What its places may be is a closed list
for each kind, so that no letter can come to hold more of a person than it does today.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from marshmallow import Schema, fields

from consent_gateway.policy.findings import Finding
from consent_gateway.policy.legal_clocks import RIGHTS
from consent_gateway.policy.schemas import Day, Text, Word, Words
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document
from consent_gateway.vocabulary import LANGUAGES

PATH = "letters.yaml"
FOLDER = "letters/"
ENGLISH = LANGUAGES[0]

_ALWAYS = frozenset({"right", "received", "reference"})
KINDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "acknowledgement": _ALWAYS | {"when", "link"},
        "identity": _ALWAYS | {"when", "link"},
        "question": _ALWAYS | {"reason", "link"},
        "extension": _ALWAYS | {"reason", "when", "link"},
        "denial": _ALWAYS | {"ground", "remedy", "link"},
        "fulfilment": _ALWAYS,
        "package": _ALWAYS | {"link"},
        "partial": _ALWAYS | {"remedy"},
        "cancellation": _ALWAYS | {"link"},
        "expiry": _ALWAYS | {"remedy", "link"},
    }
)
"""Each kind of letter to a person, with the places that its text has: all of them, and no other."""

TO_RECIPIENTS: Mapping[str, frozenset[str]] = MappingProxyType(
    dict.fromkeys(("recipient_erasure", "recipient_correction"), frozenset({"person", "fields", "reference"}))
)
"""The same for what recipients are told; `person` is what they call somebody, `fields` are names."""

IN_SUBJECT = frozenset({"name", "reference"})
"""What a subject line tells, and all that it tells: whose letter it is and a reference."""

GROUNDS = (
    "identity_not_proved", "agent_not_permitted", "unfounded", "excessive", "abusive", "legal_obligation",
    "legal_claims", "free_expression", "public_interest", "compelling_grounds", "rights_of_others", "household_data",
    "data_accurate", "no_such_right",
)  # fmt: skip
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rights": tuple(right for right in RIGHTS if right != "breach_art33"),
        "grounds": GROUNDS,
        "extensions": ("complexity", "number_of_requests"),
        "questions": ("clarification", "identity_doubt"),
        "times": ("by", "soon"),
    }
)
"""The words of the closed lists that letters name, by group; `by` has the place `day`."""

_PLACES: Mapping[str, frozenset[str]] = MappingProxyType({**KINDS, **TO_RECIPIENTS})
_PLACE = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class LetterText:
    """One letter in one language."""

    subject_line: str
    text: str

    def filled(self, places: Mapping[str, str]) -> tuple[str, str]:
        """Subject line and text with what stands in their places."""
        subject_line, text = (_PLACE.sub(lambda at: places[at[1]], each) for each in (self.subject_line, self.text))
        return subject_line, text


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of a kind of letter."""

    effective_from: date
    source: str
    languages: Mapping[str, LetterText]


@dataclass(frozen=True, slots=True)
class Remedy:
    """Where a person can turn under some laws; `{authority}` in its text is that of their place."""

    regimes: tuple[str, ...]
    effective_from: date
    source: str
    languages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LetterTexts:
    """Everything letters are put together from. Empty, no letter is written."""

    templates: Mapping[str, tuple[Template, ...]] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    remedies: tuple[Remedy, ...] = ()
    spoken: Mapping[str, str] = field(default_factory=dict)  # place -> language

    def template(self, kind: str, day: date) -> Template | None:
        """The wording in force on a day; None where there is no such letter."""
        return _on(self.templates.get(kind, ()), day)

    def remedy(self, regime: str, day: date) -> Remedy | None:
        """Where somebody can turn under a law."""
        return _on([one for one in self.remedies if regime in one.regimes], day)

    def language(self, used: str | None, jurisdiction: str) -> str:
        """The language that the person used where there are letters in it, else that of their place, else English."""
        wanted = "" if used is None else used.lower().partition("-")[0]
        if wanted in LANGUAGES:
            return wanted
        place = self.spoken.get(jurisdiction) or self.spoken.get(jurisdiction.partition("-")[0])
        return place or ENGLISH


class _Dated(Protocol):
    @property
    def effective_from(self) -> date: ...


_D = TypeVar("_D", bound=_Dated)


def _on(found: Sequence[_D], day: date) -> _D | None:
    """The last whose day has come; before all of them the first, for a letter that is owed must say something."""
    begun = [one for one in found if one.effective_from <= day]
    if begun:
        return max(begun, key=lambda one: one.effective_from)
    return min(found, key=lambda one: one.effective_from, default=None)


class _LetterSchema(Schema):
    subject_line = Text(required=True, data_key="subject")
    text = Text(required=True)


class _TemplateSchema(Schema):
    effective_from = Day(required=True)
    source = Text(required=True)
    languages = fields.Dict(keys=fields.String(), values=fields.Nested(_LetterSchema), required=True)


class _KindSchema(Schema):
    letter = Word("letter", {kind: kind for kind in _PLACES}, required=True)
    texts = fields.List(fields.Nested(_TemplateSchema), required=True)


class _RemedySchema(Schema):
    regimes = Words(required=True)
    effective_from = Day(required=True)
    source = Text(required=True)
    languages = fields.Dict(keys=fields.String(), values=Text(), required=True)


class _FileSchema(Schema):
    version = fields.Raw()
    languages = fields.Dict(keys=fields.String(), values=Words(), load_default=dict)
    words = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(keys=fields.String(), values=fields.Dict(keys=fields.String(), values=Text())),
        required=True,
    )
    remedies = fields.List(fields.Nested(_RemedySchema), required=True)


def read_letters(words: Document | None, documents: Iterable[Document], findings: list[Finding]) -> LetterTexts:
    """What the files say; without any of them no letter is written. Faults go to `findings`."""
    kinds = [one for one in documents if one.path.startswith(FOLDER)]
    if words is None and not kinds:
        return LetterTexts()
    templates: dict[str, tuple[Template, ...]] = {}
    for document in kinds:
        _read_kind(document, templates, findings)
    for kind in _PLACES.keys() - templates.keys():
        path = f"{FOLDER}{kind}.yaml"
        findings.append(Finding(path, 1, f"the letter `{kind}` is missing", f"write `{path}`"))
    given: Any = load(_FileSchema(), words, (), words.value, findings) if words else None
    if words is None:
        findings.append(Finding(PATH, 1, "the file is missing", f"write `{PATH}`"))
    if given is None or words is None:
        return LetterTexts(MappingProxyType(templates))
    _check_words(given["words"], words, findings)
    remedies = tuple(Remedy(**one) for one in given["remedies"])
    for at, one in enumerate(remedies):
        _check_languages(one.languages, lambda text: text, (), words, ("remedies", at), findings, {"authority"})
    spoken = {place: language for language, places in given["languages"].items() for place in places}
    for language in given["languages"].keys() - set(LANGUAGES):
        line = words.line(("languages", language))
        findings.append(Finding(PATH, line, f"there are no letters in `{language}`", f"use {', '.join(LANGUAGES)}"))
    return LetterTexts(MappingProxyType(templates), MappingProxyType(given["words"]), remedies, spoken)


def _read_kind(document: Document, templates: dict[str, tuple[Template, ...]], findings: list[Finding]) -> None:
    given: Any = load(_KindSchema(), document, (), document.value, findings)
    if given is None:
        return
    kind, read = given["letter"], []
    if document.path != f"{FOLDER}{kind}.yaml":
        findings.append(Finding(document.path, 1, f"this is the letter `{kind}`", f"name the file `{kind}.yaml`"))
    for at, entry in enumerate(given["texts"]):
        texts = {key: LetterText(**one) for key, one in entry["languages"].items()}
        place = ("texts", at)
        _check_languages(texts, lambda one: one.text, _PLACES[kind], document, place, findings)
        _check_languages(texts, lambda one: one.subject_line, IN_SUBJECT, document, place, findings)
        if any(len(one.subject_line.splitlines()) != 1 for one in texts.values()):
            line = document.line(place)
            findings.append(Finding(document.path, line, "a subject is more than one line", "write it on one"))
        read.append(Template(entry["effective_from"], entry["source"], MappingProxyType(texts)))
    templates[kind] = tuple(read)


def _check_words(given: Mapping[str, Any], document: Document, findings: list[Finding]) -> None:
    for group, keys in WORDS.items():
        held = given.get(group, {})
        for key in sorted({*keys} ^ {*held}):
            told = "is missing" if key in keys else "is none that a letter names"
            findings.append(Finding(PATH, document.line(("words",)), f"the word `{group}.{key}` {told}", "mend it"))
        for key in held:
            places = {"day"} if (group, key) == ("times", "by") else set()
            _check_languages(held[key], lambda text: text, places, document, ("words", group, key), findings)


def _check_languages(
    given: Mapping[str, Any],
    of: Callable[[Any], str],
    needed: Iterable[str],
    document: Document,
    at: tuple[str | int, ...],
    findings: list[Finding],
    more: Iterable[str] = (),
) -> None:
    """Every language is there and has the places that are needed, and none but these and `more`."""
    line, must = document.line(at), set(needed)
    for language in sorted({*LANGUAGES} ^ {*given}):
        told = "is not there" if language in LANGUAGES else "is none of ours"
        findings.append(Finding(document.path, line, f"`{language}` {told}", f"write {', '.join(LANGUAGES)}"))
    for language, text in given.items():
        found = set(_PLACE.findall(of(text)))
        for place in sorted((found - {*must, *more}) | (must - found)):
            told = "is missing" if place in must else "is no place of this text"
            findings.append(Finding(document.path, line, f"`{{{place}}}` {told} in `{language}`", "mend the text"))


def letter_faults(
    letters: LetterTexts, regimes: Iterable[str], places: Iterable[str], authority: Callable[[str], str | None]
) -> Iterator[Finding]:
    """Laws and places that requests can come under and no letter could tell where to turn."""
    if not letters.templates:
        return
    known = {regime for one in letters.remedies for regime in one.regimes}
    for regime in sorted(set(regimes) - known):
        yield Finding(PATH, 1, f"no remedy for the law `{regime}`", f"add a remedy with `regimes: [{regime}]`")
    for place in sorted({*places}):
        if authority(place) is None:
            mend = f"add `{{place: {place}, name: ...}}` to its authorities"
            yield Finding("access.yaml", 1, f"no authority for `{place}`, which letters name", mend)
