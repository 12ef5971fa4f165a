"""The words of the preference centre in every language; refuses a language that lacks a word, translates nothing.

Two sources, one form: `words/<language>.yaml` of this package is what the page itself says, `page/<language>.yaml` of
the policy directory what the company says of its purposes, channels and kinds of data. A word is found by its path,
as in `save.button` or `purposes.payment.name`.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from babel import Locale
from babel.dates import format_date, format_datetime, get_timezone
from babel.units import format_unit

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import Policies
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.source import parse
from consent_gateway.preferences.brand import Brand
from consent_gateway.vocabulary import LANGUAGES

_PERIOD = re.compile(r"P(\d+)([YMWD])")
_UNITS = {"Y": "year", "M": "month", "W": "week", "D": "day"}
_SHORT_IS_WHOLE = {"ar": "YMWD", "it": "YMD"}
"""Units whose long form the locale data lacks (English comes then) and whose short one writes them out."""
_PLACE = re.compile(r"{(\w+)}")


class Words:
    """What is said in one language. `locale` knows its direction, dates and countries."""

    def __init__(self, language: str, said: Mapping[str, str]) -> None:
        self.language = language
        self.locale = Locale.parse(language)
        self._said = said

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return str(self.locale.text_direction)

    @property
    def name(self) -> str:
        """What the language calls itself."""
        return str(self.locale.get_display_name()).capitalize()

    def __call__(self, path: str, **values: str) -> str:
        """The word at this path with its places filled. Raises `KeyError` for a path nobody wrote."""
        return self._said[path].format(**values)

    def kind(self, category: str) -> str:
        """What a category is called: by the longest written category that covers it."""
        key = category
        while f"categories.{key}" not in self._said:
            key = key.rpartition(".")[0]
        return self._said[f"categories.{key}"]

    def kinds(self, categories: Collection[str]) -> tuple[str, ...]:
        """What these categories are called, each name once, in order of the alphabet."""
        return tuple(sorted({self.kind(category) for category in categories}))

    def channel(self, key: str) -> str:
        """What a channel is called; its key where it is no channel of the policy any more."""
        return self._said.get(f"channels.{key}", key)

    def purpose(self, key: str) -> str:
        """What a purpose is called; its key where it is no purpose of the policy any more."""
        return self._said.get(f"purposes.{key}.name", key)

    def place(self, country: str) -> str:
        """What a country, or a part of one with a law of its own, is called; its code where nobody named it."""
        return self._said.get(f"places.{country}") or str(self.locale.territories.get(country, country))

    def moment(self, moment: datetime) -> str:
        """Date and time with their zone, as the language writes them."""
        return str(format_datetime(moment, "long", tzinfo=get_timezone("UTC"), locale=self.locale))

    def day(self, moment: datetime) -> str:
        """The day, as the language writes it."""
        return str(format_date(moment.astimezone(UTC), "long", locale=self.locale))

    def period(self, text: str) -> str:
        """A period after ISO 8601 of years, months, weeks or days, as in `P3Y`; as it came where it is none."""
        found = _PERIOD.fullmatch(text)
        if found is None:
            return text
        whole = found[2] in _SHORT_IS_WHOLE.get(self.language, "")
        length: Literal["short", "long"] = "short" if whole else "long"
        return str(format_unit(int(found[1]), _UNITS[found[2]], length, locale=self.locale))

    def written(self, text: str) -> str:
        """Date and time of an RFC 3339 text, as the language writes them."""
        return self.moment(datetime.fromisoformat(text))


def read_words(policies: Path, needed: Collection[str]) -> Mapping[str, Words]:
    """The words by language. Raises `PolicyInvalid` where a language lacks a word or a place in it.

    `needed` are the paths that the policy asks for, beside what the first language has.
    """
    own = files("consent_gateway.preferences") / "words"
    said = {
        language: {
            **_said(f"words/{language}.yaml", (own / f"{language}.yaml").read_text(encoding="utf-8")),
            **_said(f"page/{language}.yaml", _text(policies / "page" / f"{language}.yaml")),
        }
        for language in LANGUAGES
    }
    findings = [
        str(Finding(f"page/{language}.yaml", 1, what, "write it in this language"))
        for language, words in said.items()
        for what in _faults(words, said[LANGUAGES[0]], needed)
    ]
    if findings:
        raise PolicyInvalid(f"the words of the page do not stand; first {findings[0]}", tuple(findings))
    return {language: Words(language, words) for language, words in said.items()}


def needed_by(policies: Policies, brand: Brand) -> frozenset[str]:
    """The paths that the policy and the brand ask for: each purpose, channel and topic has its words."""
    purposes = {f"purposes.{key}.{part}" for key in policies.purposes for part in ("name", "description", "off")}
    places = {place for pack in policies.documents.packs.values() for place in pack.jurisdictions if "-" in place}
    purposes |= {f"places.{place}" for place in places}
    return frozenset(
        purposes | {f"channels.{key}" for key in policies.channels} | {f"topics.{row.topic}" for row in brand.matrix}
    )


def _text(path: Path) -> str:
    if not path.is_file():
        raise PolicyInvalid(f"there is no `page/{path.name}`: write the words of the policy in this language")
    return path.read_text(encoding="utf-8")


def _said(path: str, text: str) -> dict[str, str]:
    findings: list[Finding] = []
    value = parse(path, text, findings, bare_words=True).value
    if findings:
        told = tuple(map(str, findings))
        raise PolicyInvalid(f"the words of the page cannot be read; first {told[0]}", told)
    return dict(_paths(value, ()))


def _paths(value: Any, at: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*at, str(key)))
    else:
        yield ".".join(at), str(value)


def _faults(words: Mapping[str, str], first: Mapping[str, str], needed: Collection[str]) -> Iterator[str]:
    for path in sorted({*first, *needed} - set(words)):
        yield f"`{path}` has no words"
    for path in sorted(set(words) - {*first, *needed}):
        yield f"`{path}` stands in no other language"
    for path in sorted(set(words) & set(first)):
        if set(_PLACE.findall(words[path])) != set(_PLACE.findall(first[path])):
            yield f"the places of `{path}` are not those of `{LANGUAGES[0]}`"
