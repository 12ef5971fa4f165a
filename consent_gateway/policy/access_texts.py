"""What an access package must say beside the data, read from `access.yaml`: dated texts, and authorities by place.

It decides nothing: which text belongs where is the package's, what it says is the compliance officer's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, fields

from consent_gateway.policy.findings import Finding
from consent_gateway.policy.schemas import Day, Text, Word
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document

PATH = "access.yaml"
KEYS = (
    "introduction",
    "source_unknown",
    "rights",
    "complaint",
    "automated_decisions",
    "withheld",
    "others",
    "portability",
)
ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class AccessText:
    """One text in its languages, from a day on."""

    key: str
    effective_from: date
    source: str
    languages: Mapping[str, str]
    line: int = 1


@dataclass(frozen=True, slots=True)
class Authority:
    """Whom a person may complain to; `names` are those in other languages, where its own name is not said in all."""

    place: str
    name: str
    source: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessTexts:
    """Texts and authorities. Empty, a package says nothing but the data, and cannot be made."""

    texts: tuple[AccessText, ...] = ()
    authorities: tuple[Authority, ...] = ()

    def text(self, key: str, day: date, language: str) -> str | None:
        """The text in force on the day, in English where there is none in the language; None where there is none."""
        begun = [one for one in self.texts if one.key == key and one.effective_from <= day]
        found = max(begun, key=lambda one: one.effective_from, default=None)
        return None if found is None else found.languages.get(language, found.languages[ENGLISH])

    def authority(self, jurisdiction: str | None, language: str = ENGLISH) -> str | None:
        """The authority of a place, that of the subdivision before that of the country."""
        places = {one.place: one.names.get(language, one.name) for one in self.authorities}
        return None if jurisdiction is None else places.get(jurisdiction, places.get(jurisdiction[:2]))


class _TextSchema(Schema):
    key = Word("key", {word: word for word in KEYS}, required=True)
    effective_from = Day(required=True)
    source = Text(required=True)
    languages = fields.Dict(keys=fields.String(), values=Text(), required=True)


class _AuthoritySchema(Schema):
    place = Text(required=True)
    name = Text(required=True)
    source = Text(load_default="")
    names = fields.Dict(keys=fields.String(), values=Text(), load_default=dict)


class _FileSchema(Schema):
    version = fields.Raw()
    texts = fields.List(fields.Nested(_TextSchema), required=True)
    authorities = fields.List(fields.Nested(_AuthoritySchema), load_default=list)


def read_access_texts(document: Document | None, findings: list[Finding]) -> AccessTexts:
    """What the file says. Faults go to `findings`."""
    given: Any = load(_FileSchema(), document, (), document.value, findings) if document else None
    if given is None or document is None:
        return AccessTexts()
    texts = []
    for at, entry in enumerate(given["texts"]):
        line = document.line(("texts", at))
        if ENGLISH not in entry["languages"]:
            findings.append(Finding(PATH, line, f"the text `{entry['key']}` is not there in English", "add `en: ...`"))
        texts.append(AccessText(**{**entry, "languages": MappingProxyType(entry["languages"])}, line=line))
    missing = [key for key in KEYS if not any(one.key == key for one in texts)]
    findings.extend(
        Finding(PATH, 1, f"the text `{key}` is missing", f"add a text with `key: {key}`") for key in missing
    )
    return AccessTexts(tuple(texts), tuple(Authority(**one) for one in given["authorities"]))
