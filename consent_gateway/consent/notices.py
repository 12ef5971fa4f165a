"""Finds the exact text of a notice, now and as it was shown, and keeps every text ever offered; changes none.

A text under one notice, version and language is fixed for good: its SHA-256 stands in each consent event that names
it. `keep` refuses a policy that says something else under the same three names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from consent_gateway.consent.tables import NOTICE_TEXTS
from consent_gateway.database import to_micros
from consent_gateway.errors import ConsentNotRaised, NotFound, PolicyInvalid
from consent_gateway.policy.notices import ASKING, PARENT, Notice, NoticeVersion, text_document, text_sha256
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import ANY_PURPOSE, OPENING, NewConsentEvent

_FALLBACK = "en"


@dataclass(frozen=True, slots=True)
class ShownNotice:
    """One notice as a person reads it. `purposes` are those it speaks of; `sha256`, in hex, covers all of the text."""

    notice_id: str
    version: str
    language: str
    title: str
    what: str
    off: str
    kept: str
    purposes: tuple[str, ...]
    sha256: str

    @property
    def text(self) -> str:
        """What stands below the title, as paragraphs of plain text."""
        return f"{self.what}\n\n{self.off}\n\n{self.kept}"


class Notices:
    """The notices of one policy. Safe to share between threads."""

    def __init__(self, notices: Mapping[str, Notice], clock: Clock) -> None:
        self._notices = notices
        self._clock = clock
        self._asking = {
            purpose: notice for notice in notices.values() if notice.kind in ASKING for purpose in notice.purposes
        }
        self._texts = {
            (notice.notice_id, version.version, language): _shown(notice, version, language)
            for notice in notices.values()
            for version in notice.versions
            for language in version.texts
        }

    def current(self, purpose: str, language: str) -> ShownNotice:
        """The notice that asks for this purpose today, in the language or the nearest there is. Raises `NotFound`."""
        notice = self._asking.get(purpose)
        if notice is None:
            raise NotFound("no notice asks for this purpose: write one in the policy's `notices/`")
        return self.named(notice.notice_id, language)

    def named(self, notice_id: str, language: str) -> ShownNotice:
        """Today's text of one notice, in the language or the nearest there is. Raises `NotFound`."""
        notice = self._notices.get(notice_id)
        version = None if notice is None else notice.current(self._today())
        if version is None:
            raise NotFound("no notice of this id is shown today: see the policy's `notices/`")
        spoken = nearest_language(language, version) or min(version.texts, key=lambda name: (name != _FALLBACK, name))
        return self._texts[notice_id, version.version, spoken]

    def for_parents(self, language: str) -> ShownNotice:
        """Today's text by which a parent is asked to authorise. Raises `NotFound`."""
        notice = next((one for one in self._notices.values() if one.kind == PARENT), None)
        if notice is None:
            raise NotFound("no notice asks a parent: write one of kind `parent` in the policy's `notices/`")
        return self.named(notice.notice_id, language)

    def find(self, notice_id: str, version: str, language: str) -> ShownNotice | None:
        """The text of exactly this version, in the language or its base (`de` for `de-AT`); None if there is none."""
        for spoken in (language, language.partition("-")[0].lower()):
            found = self._texts.get((notice_id, version, spoken))
            if found is not None:
                return found
        return None

    def hash_of(self, event: NewConsentEvent) -> str | None:
        """SHA-256 of the text that the event names, or None where it names none of ours.

        Raises `ConsentNotRaised` for an opening event that names an unknown text, one that was not shown yet at its
        time, or one that does not speak of its purpose. A restricting event needs no notice, so none stops it.
        """
        evidence = event.evidence
        named = (evidence.notice, evidence.notice_version, evidence.language)
        found = None
        if all(named):
            found = self.find(*(each or "" for each in named))
        if event.kind in OPENING and (evidence.notice is not None or evidence.notice_version is not None):
            self._check_opening(event, found)
        return None if found is None else found.sha256

    def keep(self, connection: sa.Connection, now: datetime) -> None:
        """Keep the texts of this policy for good. Raises `PolicyInvalid` where a kept text was changed."""
        kept = {
            (row.notice, row.version, row.language): row.sha256
            for row in connection.execute(sa.select(NOTICE_TEXTS)).all()
        }
        for key, text in self._texts.items():
            if kept.get(key, text.sha256) != text.sha256:
                notice_id, version, language = key
                told = (
                    f"notices/{notice_id}.yaml: the text of version `{version}` in `{language}` was changed after it"
                    " was shown; put it back, and write the change as a new version"
                )
                raise PolicyInvalid(told, (told,))
        fresh = [_row(text, now) for key, text in self._texts.items() if key not in kept]
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        if fresh:  # another process may start with the same policy at the same moment
            connection.execute(insert(NOTICE_TEXTS).on_conflict_do_nothing(), fresh)

    def _check_opening(self, event: NewConsentEvent, found: ShownNotice | None) -> None:
        kind = event.kind.value
        if found is None:
            raise ConsentNotRaised(
                f"`{kind}` names a notice, version or language that the policy does not have: name the text shown"
            )
        notice = self._notices[found.notice_id]
        begun = next(each.effective_from for each in notice.versions if each.version == found.version)
        if event.occurred_at.astimezone(UTC).date() < begun:
            raise ConsentNotRaised(f"`{kind}` names a version that was not shown yet at its time: name the one shown")
        if event.purpose not in (ANY_PURPOSE, *found.purposes):
            raise ConsentNotRaised(f"`{kind}` names a notice that does not speak of its purpose: name the one shown")

    def _today(self) -> date:
        return self._clock.now().astimezone(UTC).date()


def text_then(connection: sa.Connection, sha256: str) -> ShownNotice | None:
    """The text of this hash as it was shown, though no policy has it any more; None where it was never kept."""
    query = sa.select(NOTICE_TEXTS).where(NOTICE_TEXTS.c.sha256 == sha256)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    try:
        document = orjson.loads(row.document)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or text_sha256(document) != sha256:
        return None  # the row was tampered with: better no text than a wrong one
    return ShownNotice(
        notice_id=document["notice"],
        version=document["version"],
        language=document["language"],
        title=document["title"],
        what=document["what"],
        off=document["off"],
        kept=document["kept"],
        purposes=tuple(orjson.loads(row.purposes)),
        sha256=sha256,
    )


def nearest_language(language: str, version: NoticeVersion) -> str | None:
    """The language itself or its base (`de` for `de-AT`), if the version has a text in it."""
    return next((each for each in (language, language.partition("-")[0].lower()) if each in version.texts), None)


def _shown(notice: Notice, version: NoticeVersion, language: str) -> ShownNotice:
    text = version.texts[language]
    return ShownNotice(
        notice_id=notice.notice_id,
        version=version.version,
        language=language,
        title=text.title,
        what=text.what,
        off=text.off,
        kept=text.kept,
        purposes=notice.purposes,
        sha256=text_sha256(text_document(notice.notice_id, version.version, language, text)),
    )


def _row(text: ShownNotice, now: datetime) -> dict[str, object]:
    document = {
        "notice": text.notice_id,
        "version": text.version,
        "language": text.language,
        "title": text.title,
        "what": text.what,
        "off": text.off,
        "kept": text.kept,
    }
    return {
        "notice": text.notice_id,
        "version": text.version,
        "language": text.language,
        "sha256": text.sha256,
        "document": orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode(),
        "purposes": orjson.dumps(list(text.purposes)).decode(),
        "first_used_at": to_micros(now),
    }
