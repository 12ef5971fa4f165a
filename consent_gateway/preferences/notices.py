"""The text that the page shows for a purpose, by id, version and language; shows and records nothing.

What is asked of a customer is a notice of the policy, kept for good by the consent room. What asks nothing, such as a
purpose that rests on a contract, is told in the page's own words.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from consent_gateway.consent import notices as kept
from consent_gateway.errors import NotFound
from consent_gateway.preferences.words import Words

PROGRAMME = "programme"
LIMIT = "limit"
"""What the two texts that stand for no purpose of the policy are asked for by."""

_NAMED: Mapping[str, str] = MappingProxyType({PROGRAMME: "loyalty", LIMIT: "limit"})
_PREFIX = "page."
_FIRST = "1"


@dataclass(frozen=True, slots=True)
class ShownNotice:
    """One text as shown. `sha256` is the digest that the event of a choice and its receipt name, in hex."""

    notice_id: str
    version: str
    language: str
    title: str
    text: str
    sha256: str


class PageNotices:
    """The policy's notices, and the page's words for what has none."""

    def __init__(self, words: Mapping[str, Words], notices: kept.Notices) -> None:
        self._words = words
        self._notices = notices

    def current(self, purpose: str, language: str) -> ShownNotice:
        """The text to show now. Raises `KeyError` for a purpose that has none."""
        named = _NAMED.get(purpose)
        try:
            found = self._notices.named(named, language) if named else self._notices.current(purpose, language)
        except NotFound:
            return self._own(purpose, language)
        return _shown(found)

    def find(self, notice_id: str, version: str, language: str) -> ShownNotice | None:
        """A text shown earlier; None if it is none of ours."""
        found = self._notices.find(notice_id, version, language)
        if found is not None:
            return _shown(found)
        if not notice_id.startswith(_PREFIX) or language not in self._words or version != _FIRST:
            return None
        try:
            return self._own(notice_id.removeprefix(_PREFIX), language)
        except KeyError:
            return None

    def _own(self, purpose: str, language: str) -> ShownNotice:
        words = self._words[language]
        if purpose in _NAMED:
            title = words(f"{purpose}.title")
            text = words("programme.text") if purpose == PROGRAMME else words("limit.off")
        else:
            title = words(f"purposes.{purpose}.name")
            text, off = words(f"purposes.{purpose}.description"), words(f"purposes.{purpose}.off")
            if off:
                text = f"{text} {words('ask.if_off')}: {off}"
        digest = hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()
        return ShownNotice(f"{_PREFIX}{purpose}", _FIRST, language, title, text, digest)


def _shown(found: kept.ShownNotice) -> ShownNotice:
    return ShownNotice(found.notice_id, found.version, found.language, found.title, found.text, found.sha256)
