"""Pools of invented names and streets per locale, drawn once from Faker; the only place that needs it."""

import importlib
import unicodedata
from dataclasses import dataclass
from typing import Any

from consent_gateway.errors import SettingsRefused

_POOL = 240  # names per locale: enough for 57,600 pairs


@dataclass(frozen=True, slots=True)
class Pool:
    """Names of one locale. First and last names are pairs: as written, and in ASCII letters for an address."""

    first: tuple[tuple[str, str], ...]
    last: tuple[tuple[str, str], ...]
    streets: tuple[str, ...]


def draw_pool(locale: str, seed: int) -> Pool:
    """The pool of one locale; equal for equal seeds and one version of Faker. Needs the extra `demo`."""
    try:
        faker = importlib.import_module("faker")
    except ModuleNotFoundError as error:
        raise SettingsRefused("the demo needs Faker: install `consent-gateway[demo]`") from error
    source = faker.Faker(locale)
    source.seed_instance(f"{seed}/{locale}")
    if locale == "ja_JP":
        return Pool(
            tuple(_romanised(source.first_name_pair()) for _ in range(_POOL)),
            tuple(_romanised(source.last_name_pair()) for _ in range(_POOL)),
            tuple(f"{source.town()} {source.chome()}" for _ in range(_POOL)),
        )
    return Pool(
        tuple(_spelt(source.first_name()) for _ in range(_POOL)),
        tuple(_spelt(source.last_name()) for _ in range(_POOL)),
        tuple(source.street_name() for _ in range(_POOL)),
    )


def _romanised(pair: Any) -> tuple[str, str]:
    return str(pair[0]), ascii_word(str(pair[2]))


def _spelt(name: str) -> tuple[str, str]:
    return name, ascii_word(name)


def ascii_word(name: str) -> str:
    """A name in lower-case ASCII letters, as people spell it in an e-mail address."""
    plain = name.lower().replace("ä", "ae").replace("ö", "oe").replace("ü", "ue").replace("ß", "ss").replace("ø", "o")
    plain = unicodedata.normalize("NFKD", plain)
    return "".join(letter for letter in plain if "a" <= letter <= "z")
