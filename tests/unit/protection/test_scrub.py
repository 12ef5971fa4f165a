"""Free text without what has a pattern: what is found, what is not, and that nothing is fetched."""

import subprocess
import sys

import pytest

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection import scrub
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.perform import Performer, TransformScope
from consent_gateway.protection.scrub import Scrubber
from consent_gateway.vocabulary import Decision, Effect, Obligation, Reason, Verdict

TEXTS = [
    ("write to jo.doe@example.com or jo@firma.intern-xyz.", "write to <EMAIL> or <EMAIL>."),
    ("call +49 170 1234567, +31 6 12345678 or (415) 555-2671", "call <PHONE>, <PHONE> or <PHONE>"),
    ("card 4111 1111 1111 1111, then 4111-1111-1111-1111", "card <CARD>, then <CARD>"),
    ("pay to DE89 3704 0044 0532 0130 00 please", "pay to <IBAN> please"),
    ("from 203.0.113.77 and 2001:db8:1:2::3 today", "from <IP> and <IP> today"),
    ("see https://shop.example/x?mail=jo and www.example.org/jo", "see <URL> and <URL>"),
    ("mailto link https://x.example/?to=jo@example.com now", "mailto link <URL> now"),
    ("nothing to hide: order 12345 on 2026-11-22", "nothing to hide: order 12345 on 2026-11-22"),
    ("", ""),
]
MISSED = "Jo Doe of 12 Main Street, Springfield, born in May, card 4111 1111 1111 1112"


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    """The recognisers, loaded once."""
    return Scrubber()


@pytest.mark.parametrize(("text", "left"), TEXTS)
def test_what_has_a_pattern_is_replaced_by_its_kind(scrubber: Scrubber, text: str, left: str) -> None:
    """E-mail addresses, phone, card and account numbers, IP addresses and links go; the rest of the text stays."""
    assert scrubber.scrub(text) == left
    assert scrubber.scrub(left) == left


def test_names_are_not_found(scrubber: Scrubber) -> None:
    """Names, postal addresses, birth months and numbers with a wrong check digit stay: the documentation says so."""
    assert scrubber.scrub(MISSED) == MISSED


@pytest.mark.parametrize("value", [None, 1, True, ["jo@example.com"], {"a": "jo@example.com"}, "x" * 100_001])
def test_what_is_no_text_of_bounded_length_becomes_null(scrubber: Scrubber, value: object) -> None:
    """Only text is read, and of 100,000 characters at most."""
    assert scrubber.scrub(value) is None  # type: ignore[arg-type]


def test_nothing_is_fetched_and_nothing_is_loaded_unasked() -> None:
    """The registry loads no package of the extra; scrubbing opens no socket and loads no language model."""
    program = """
import socket, sys
def closed(*_given, **_named):
    raise AssertionError("a socket was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = closed
from consent_gateway.protection import perform, registry
assert registry.parameter_faults("text.scrub", {}) == ()
assert not {"presidio_analyzer", "spacy", "tldextract"} & set(sys.modules)
import spacy
def unloaded(*_given, **_named):
    raise AssertionError("a model was loaded")
spacy.load = spacy.blank = unloaded
from consent_gateway.protection.scrub import Scrubber
print(Scrubber().scrub("jo@example.com, +49 170 1234567"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "<EMAIL>, <PHONE>\n", done.stderr


def test_without_the_extra_the_whole_answer_is_refused(keyring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, an answer that needs it is refused with what to install, other fields included."""
    monkeypatch.setattr(scrub, "PACKAGE", "presidio_that_is_not_installed")
    verdict = Verdict(Effect.MASK, Reason.CONSENT, "r", (Obligation("text.scrub"),))
    decision = Decision({"note": verdict, "id": Verdict(Effect.ALLOW, Reason.CONSENT, "r")}, "r", "p", "DE", (), None)
    with pytest.raises(ProtectionRefused, match=r"consent-gateway\[scrub\]"):
        Performer(keyring, "acme").perform({"id": 1}, decision, TransformScope("p", None, "ds_a"))
    with pytest.raises(ProtectionRefused, match=r"consent-gateway\[scrub\]"):
        Scrubber()
