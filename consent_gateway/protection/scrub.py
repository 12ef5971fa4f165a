"""Finds what looks like personal data in free text and puts its kind in its place; loads no model, asks no network.

Six patterns of the extra `scrub` (presidio-analyzer) are used and none of its language engines. Names, addresses and
whatever else has no pattern are not found.
"""

import importlib
import importlib.util
from collections.abc import Iterable
from typing import Any

from consent_gateway.errors import ProtectionRefused
from consent_gateway.vocabulary import JsonValue

PACKAGE = "presidio_analyzer"
MISSING = "`text.scrub` needs the extra `scrub`: pip install 'consent-gateway[scrub]'"
_RECOGNISERS = "presidio_analyzer.predefined_recognizers.generic"
_ANY_LINK = r"(?i)\b[a-z][a-z0-9+.-]{1,15}://[^\s<>\"']+"  # the package knows hosts of public suffixes only
_LONGEST = 100_000  # characters of one text; more becomes null


def installed() -> bool:
    """True where the extra `scrub` is there; imports nothing of it."""
    return importlib.util.find_spec(PACKAGE) is not None


class Scrubber:
    """The recognisers, loaded once. Making one takes about a second; safe to share between threads.

    Raises `ProtectionRefused` where the extra is not installed.
    """

    def __init__(self) -> None:
        if not installed():
            raise ProtectionRefused(MISSING)
        self._recognisers = tuple(_recognisers())

    def scrub(self, value: JsonValue) -> JsonValue:
        """The text with `<EMAIL>`, `<PHONE>`, `<CARD>`, `<IBAN>`, `<IP>` or `<URL>` for what was found."""
        if not isinstance(value, str) or len(value) > _LONGEST:
            return None
        return _replaced(
            value,
            [
                (hit.start, hit.end, label)
                for label, recogniser in self._recognisers
                for hit in recogniser.analyze(value, list(recogniser.supported_entities), None)
            ],
        )


def _recognisers() -> Iterable[tuple[str, Any]]:
    """Label and recogniser, the one whose label wins an overlap first."""

    def of(module: str, name: str, **settings: Any) -> Any:
        return getattr(importlib.import_module(f"{_RECOGNISERS}.{module}"), name)(**settings)

    mail = of("email_recognizer", "EmailRecognizer")
    # Its check of the domain would fetch a list of suffixes from the network. Without it one on no list is hidden too.
    mail.validate_result = _undecided
    yield "EMAIL", mail
    link = of("url_recognizer", "UrlRecognizer")
    link.patterns = [*link.patterns, importlib.import_module(PACKAGE).Pattern("any host", _ANY_LINK, 0.6)]
    yield "URL", link
    yield "IBAN", of("iban_recognizer", "IbanRecognizer")
    yield "CARD", of("credit_card_recognizer", "CreditCardRecognizer")
    yield "IP", of("ip_recognizer", "IpRecognizer")
    yield "PHONE", of("phone_recognizer", "PhoneRecognizer")


def _undecided(_text: str) -> None:
    return None


def _replaced(text: str, found: list[tuple[int, int, str]]) -> str:
    """Overlapping finds become one, from the first character of any to the last, under the label of the longest."""
    merged: list[tuple[int, int, str, int]] = []
    for start, end, label in sorted(found, key=lambda hit: (hit[0], -hit[1])):
        if merged and start < merged[-1][1]:
            first, last, known, size = merged[-1]
            longest, named = (size, known) if size >= end - start else (end - start, label)
            merged[-1] = (first, max(last, end), named, longest)
        else:
            merged.append((start, end, label, end - start))
    for start, end, label, _size in reversed(merged):
        text = f"{text[:start]}<{label}>{text[end:]}"
    return text
