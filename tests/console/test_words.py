"""The console's words: each language has every sentence of the templates, with the same values to fill in."""

import json
import re

import pytest

from consent_gateway.web.console.showing import TABS
from consent_gateway.web.console.words import languages
from tests.conftest import ROOT

TEMPLATES = ROOT / "consent_gateway" / "web" / "templates" / "console"
_SAID = re.compile(r"""_\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
_VALUE = re.compile(r"\{\w+\}")


def sentences() -> set[str]:
    """Everything that a template says by itself, and the names of the navigation."""
    told = {name for _path, name, _doing in TABS}
    for file in TEMPLATES.glob("*.html"):
        told |= {one or other for one, other in _SAID.findall(file.read_text(encoding="utf-8"))}
    return told


@pytest.mark.parametrize("tag", ["de", "ar"])
def test_every_sentence_is_there_in_every_language(tag: str) -> None:
    """None is missing, none is empty, and each takes the values of the English one."""
    (words,) = (one for one in languages() if one.tag == tag)
    missing = sorted(text for text in sentences() if not words.translated.get(text))
    assert missing == []
    for text, said in words.translated.items():
        assert set(_VALUE.findall(said)) == set(_VALUE.findall(text)), text


def test_no_template_says_a_word_that_cannot_be_translated() -> None:
    """Between its tags a template has no letters of its own: all of them are asked for."""
    for file in TEMPLATES.glob("*.html"):
        text = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}|<[^>]*>", " ", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        left = re.findall(r"[A-Za-z]{2,}", text)
        assert set(left) <= {"doctype", "html", "log", "checkpoint"}, (file.name, left)


def test_english_and_both_others_are_offered() -> None:
    """Each language says its own name and the way it is written."""
    assert [(one.tag, one.direction) for one in languages()] == [("en", "ltr"), ("de", "ltr"), ("ar", "rtl")]
    for tag in ("de", "ar"):
        json.loads((TEMPLATES.parents[1] / "translations" / f"console.{tag}.json").read_text(encoding="utf-8"))
