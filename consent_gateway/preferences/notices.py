"""The text that the page shows for a purpose, by id, version and language; shows and records nothing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from consent_gateway.policy import Policies
from consent_gateway.preferences.words import Words

PROGRAMME = "programme"
LIMIT = "limit"
"""What the two texts that stand for no purpose of the policy are asked for by."""

_PREFIX = "page."
_FIRST = "1"


@dataclass(frozen=True, slots=True)
class ShownNotice:
    """One text as shown. `sha256` is over title and text, in hex."""

    notice_id: str
    version: str
    language: str
    title: str
    text: str

    @property
    def sha256(self) -> str:
        """The digest that a receipt names."""
        return hashlib.sha256(f"{self.title}\n{self.text}".encode()).hexdigest()


class Notices(Protocol):
    """Where the texts come from."""

    def current(self, purpose: str, language: str) -> ShownNotice:
        """The text to show now. Raises `KeyError` for a purpose that has none."""
        ...

    def find(self, notice_id: str, version: str, language: str) -> ShownNotice | None:
        """A text shown earlier; None if it is none of ours."""
        ...


class PageNotices:
    """Notices made of the page's own words; the version is the newest the policy accepts, `1` if it lists none."""

    def __init__(self, words: Mapping[str, Words], policies: Policies) -> None:
        self._words = words
        self._versions = {key: max(versions) for key, versions in policies.rulebook.notices.items() if versions}

    def current(self, purpose: str, language: str) -> ShownNotice:
        """As `Notices.current`."""
        words = self._words[language]
        if purpose in (PROGRAMME, LIMIT):
            title = words(f"{purpose}.title")
            text = words("programme.text") if purpose == PROGRAMME else words("limit.off")
        else:
            title = words(f"purposes.{purpose}.name")
            text, off = words(f"purposes.{purpose}.description"), words(f"purposes.{purpose}.off")
            if off:
                text = f"{text} {words('ask.if_off')}: {off}"
        return ShownNotice(f"{_PREFIX}{purpose}", self._versions.get(purpose, _FIRST), language, title, text)

    def find(self, notice_id: str, version: str, language: str) -> ShownNotice | None:
        """As `Notices.find`; the page's words are kept in their present version alone."""
        if not notice_id.startswith(_PREFIX) or language not in self._words:
            return None
        try:
            found = self.current(notice_id.removeprefix(_PREFIX), language)
        except KeyError:
            return None
        return found if found.version == version else None
