"""Notices, the exact texts that people are shown, read from `notices/<id>.yaml`; decides nothing and keeps nothing.

A `version` is one wording, with a text in each language. Versions of one `meaning` say the same thing: a corrected
comma is a new version of the same meaning, and a consent to the older one holds. A changed meaning ends the consents
to the versions before it, from the day on which it takes effect.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from consent_gateway.policy.findings import Finding, nearest
from consent_gateway.policy.schemas import Day, Text, Words
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document

FOLDER = "notices/"
CHOICE, INCENTIVE = "choice", "incentive"
PARENT = "parent"
KINDS = (CHOICE, INCENTIVE, "opt_out", "limit", "signal", PARENT)
ASKING = frozenset({CHOICE, INCENTIVE})
"""Kinds that ask for a yes: a purpose has one such notice at most, and its accepted versions come from it."""


@dataclass(frozen=True, slots=True)
class NoticeText:
    """What a person reads, as plain text: the title, what we do, what happens if it is off, how long it is kept."""

    title: str
    what: str
    off: str
    kept: str


@dataclass(frozen=True, slots=True)
class NoticeVersion:
    """One wording, by language; shown from the day on until a later version takes effect."""

    version: str
    meaning: int
    effective_from: date
    texts: Mapping[str, NoticeText]
    line: int = 1


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice with all its versions, oldest first.

    `earlier` are versions that another system showed before this one, and their meanings: an import may rest on them,
    but their texts lie with that system.
    """

    notice_id: str
    kind: str
    purposes: tuple[str, ...]
    versions: tuple[NoticeVersion, ...]
    earlier: Mapping[str, int]
    path: str
    line: int = 1

    def current(self, day: date) -> NoticeVersion | None:
        """The version that is shown on the day, or None before the first."""
        begun = [one for one in self.versions if one.effective_from <= day]
        return begun[-1] if begun else None

    def accepted(self, day: date) -> frozenset[str]:
        """Versions under which a grant still holds on the day: those that mean what the current one means.

        Before the first version that is what the first one means.
        """
        meaning = (self.current(day) or self.versions[0]).meaning
        earlier = {version for version, meant in self.earlier.items() if meant == meaning}
        return frozenset(earlier | {one.version for one in self.versions if one.meaning == meaning})


def text_document(notice_id: str, version: str, language: str, text: NoticeText) -> dict[str, str]:
    """What the hash of a text covers."""
    return {
        "notice": notice_id,
        "version": version,
        "language": language,
        "title": text.title,
        "what": text.what,
        "off": text.off,
        "kept": text.kept,
    }


def text_sha256(document: Mapping[str, str]) -> str:
    """SHA-256, in hex, over a `text_document` as canonical JSON: keys in order, no spaces, UTF-8."""
    canonical = json.dumps(dict(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_notices(documents: list[Document], findings: list[Finding]) -> Mapping[str, Notice]:
    """The notices of these files by id. Faults go to `findings`."""
    found: dict[str, Notice] = {}
    for document in documents:
        notice = _read(document, findings)
        if notice is None:
            continue
        if document.path != f"{FOLDER}{notice.notice_id}.yaml":
            what = f"the notice `{notice.notice_id}` does not stand in a file of its name"
            findings.append(
                Finding(document.path, notice.line, what, f"call the file `{FOLDER}{notice.notice_id}.yaml`")
            )
        found[notice.notice_id] = notice
    return MappingProxyType(found)


def notice_faults(notices: Mapping[str, Notice], purposes: Mapping[str, Any]) -> Iterator[Finding]:
    """What does not stand between notices, and between notices and purposes."""
    asking: dict[str, str] = {}
    languages = {name for one in notices.values() for version in one.versions for name in version.texts}
    for notice in notices.values():
        for purpose in notice.purposes:
            if purpose not in purposes:
                yield Finding(notice.path, notice.line, f"unknown purpose `{purpose}`", nearest(purpose, purposes))
            if notice.kind in ASKING:
                if purpose in asking:
                    what = f"`{purpose}` has a notice in `{FOLDER}{asking[purpose]}.yaml` too"
                    yield Finding(notice.path, notice.line, what, "take it out of one of them")
                asking[purpose] = notice.notice_id
        for version in notice.versions:
            for language in sorted(languages - set(version.texts)):
                what = f"version `{version.version}` has no text in `{language}`, which other notices have"
                yield Finding(notice.path, version.line, what, f"write the text in `{language}`")


def _read(document: Document, findings: list[Finding]) -> Notice | None:
    given = load(_FileSchema(), document, (), document.value, findings)
    if given is None:
        return None
    versions: list[NoticeVersion] = []
    for at, entry in enumerate(given["versions"]):
        texts = MappingProxyType({language: NoticeText(**text) for language, text in entry.pop("texts").items()})
        versions.append(NoticeVersion(**entry, texts=texts, line=document.line(("versions", at))))
    earlier = {entry["version"]: entry["meaning"] for entry in given["earlier"]}
    for before, one in pairwise(versions):
        if one.effective_from <= before.effective_from:
            what = f"version `{one.version}` does not begin after `{before.version}`: two would be current"
            findings.append(Finding(document.path, one.line, what, "write versions in the order of `effective_from`"))
        if one.meaning < before.meaning:
            what = f"version `{one.version}` goes back to an older meaning"
            findings.append(Finding(document.path, one.line, what, "give a new meaning the next number"))
    names = [*earlier, *(one.version for one in versions)]
    findings.extend(
        Finding(document.path, document.line(("versions",)), f"version `{name}` stands twice", "rename one")
        for name in sorted({name for name in names if names.count(name) > 1})
    )
    return Notice(
        given["notice"],
        given["kind"],
        given["purposes"],
        tuple(versions),
        MappingProxyType(earlier),
        document.path,
        document.line(("notice",)),
    )


def _meaning(value: Any) -> None:
    if type(value) is not int or value < 1:
        raise ValidationError(f"`{value}` is not a whole number from 1 on; count meanings from 1")


_ID = validate.Regexp(r"^[a-z][a-z0-9_-]{0,63}$", error="not a name; write lower_case_words")
_VERSION = validate.Regexp(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$", error="not a version; write it like '5' in quotes")
_LANGUAGE = validate.Regexp(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", error="not a language; write it like `de`")


class _TextSchema(Schema):
    title = Text(required=True)
    what = Text(required=True)
    off = Text(required=True)
    kept = Text(required=True)


class _VersionSchema(Schema):
    version = fields.String(required=True, validate=_VERSION)
    meaning = fields.Raw(required=True, validate=_meaning)
    effective_from = Day(required=True)
    texts = fields.Dict(
        keys=fields.String(validate=_LANGUAGE),
        values=fields.Nested(_TextSchema),
        required=True,
        validate=validate.Length(min=1),
    )


class _EarlierSchema(Schema):
    version = fields.String(required=True, validate=_VERSION)
    meaning = fields.Raw(required=True, validate=_meaning)


class _FileSchema(Schema):
    notice = Text(required=True, validate=_ID)
    kind = Text(required=True, validate=validate.OneOf(KINDS))
    purposes = Words(load_default=())
    versions = fields.List(fields.Nested(_VersionSchema), required=True, validate=validate.Length(min=1))
    earlier = fields.List(fields.Nested(_EarlierSchema), load_default=list)
