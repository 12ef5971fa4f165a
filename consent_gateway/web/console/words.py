"""The console's words: English as the templates have it, other languages out of one file each; formats nothing else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from flask import Request

from consent_gateway.web.console.guard import LANGUAGE_COOKIE

_NAMES = (("en", "English", "ltr"), ("de", "Deutsch", "ltr"), ("ar", "العربية", "rtl"))


@dataclass(frozen=True, slots=True)
class ConsoleWords:
    """One language. What it has no words for stays English, which a test forbids for what templates say."""

    tag: str
    name: str
    direction: str
    translated: Mapping[str, str] = field(repr=False)

    def __call__(self, text: str, **values: object) -> str:
        """The text in this language, with its values filled in."""
        said = self.translated.get(text, text)
        return said.format(**values) if values else said


@cache
def languages() -> tuple[ConsoleWords, ...]:
    """Every language there is, English first."""
    folder = files("consent_gateway.web") / "translations"
    made = []
    for tag, name, direction in _NAMES:
        file = folder / f"console.{tag}.json"
        words = json.loads(file.read_text(encoding="utf-8")) if tag != "en" and file.is_file() else {}
        made.append(ConsoleWords(tag, name, direction, MappingProxyType(words)))
    return tuple(one for one in made if one.tag == "en" or one.translated)


def words_of(request: Request) -> ConsoleWords:
    """The language asked for by the address, else the one chosen before, else the best of the browser's."""
    known = {one.tag: one for one in languages()}
    spoken = (tag.partition("-")[0].lower() for tag in request.accept_languages.values())
    asked = (request.args.get("lang", ""), request.cookies.get(LANGUAGE_COOKIE, ""), *spoken)
    return next((known[tag] for tag in asked if tag in known), languages()[0])
