"""Brand and words: what cannot be read, or is missing in a language, is refused at load by name."""

import re
import shutil
from pathlib import Path

import pytest

from consent_gateway.consent.notices import Notices
from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import load_policies
from consent_gateway.preferences.brand import contrast, read_brand
from consent_gateway.preferences.notices import PageNotices
from consent_gateway.preferences.words import needed_by, read_words
from consent_gateway.vocabulary import LANGUAGES
from consent_gateway.wiring.parts import SystemClock

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A copy of the policy directory to spoil."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    return tmp_path / "policies"


def spoil(policies: Path, name: str, old: str, new: str) -> None:
    """Change one text of a file of the page."""
    path = policies / "page" / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_contrast_is_that_of_wcag() -> None:
    """Black on white is 21, a colour on itself 1, and #767676 on white just passes."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#123456", "#123456") == pytest.approx(1)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('ink: "#2a1d16"', 'ink: "#c0c0c0"', "`ink` on `paper` of `light` has a contrast of"),
        ('on_accent: "#24130a"', 'on_accent: "#f0a070"', "`on_accent` on `accent` of `dark`"),
        ('accent: "#8a3b12"', "accent: red", "a colour of `light` is not `#rrggbb`"),
        ("typeface: system-ui, sans-serif", "typeface: 'x; } body { display: none'", "`typeface` is no list"),
        ("logo: logo.svg", "logo: ../channels.yaml", "`logo` is no small SVG"),
        ("email: privacy@morgenrot.example", "email: none", "`contact.email` is no address"),
        ("name: Morgenrot Coffee", 'name: ""', "`name` is no text"),
    ],
)
def test_a_brand_that_does_not_stand_is_refused_by_name(policies: Path, old: str, new: str, told: str) -> None:
    """Unreadable colours, and whatever could break out of the stylesheet, end the start with file, line and mend."""
    spoil(policies, "brand.yaml", old, new)
    with pytest.raises(PolicyInvalid) as refused:
        read_brand(policies)
    assert told in str(refused.value)
    assert "page/brand.yaml:" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("fr.yaml", "  user.name: nom\n", "", "`categories.user.name` has no words"),
        ("ar.yaml", "app: التطبيق, ", "", "`channels.app` has no words"),
        ("es.yaml", "topics: {", "topics: {more: más, ", "`topics.more` stands in no other language"),
    ],
)
def test_a_language_that_lacks_a_word_is_refused(policies: Path, name: str, old: str, new: str, told: str) -> None:
    """Each language has every word, and no word that the others lack."""
    spoil(policies, name, old, new)
    brand, loaded = read_brand(policies), load_policies(policies)
    with pytest.raises(PolicyInvalid) as refused:
        read_words(policies, needed_by(loaded, brand))
    assert told in str(refused.value)


def test_a_purpose_without_words_is_refused(policies: Path) -> None:
    """A purpose that the policy has and the page could not name ends the start."""
    brand, loaded = read_brand(policies), load_policies(policies)
    with pytest.raises(PolicyInvalid, match=r"purposes\.new\.name"):
        read_words(policies, needed_by(loaded, brand) | {"purposes.new.name"})


def test_a_period_is_written_out_in_the_words_of_its_language() -> None:
    """Years, months, weeks and days, one or several: no language falls back on English or on an abbreviation."""
    policies = ROOT / "policies"
    words = read_words(policies, needed_by(load_policies(policies), read_brand(policies)))
    periods = [f"P{number}{unit}" for number in (1, 3, 30) for unit in "YMWD"]
    written = {language: [says.period(period) for period in periods] for language, says in words.items()}
    assert written["en"][:4] == ["1 year", "1 month", "1 week", "1 day"]
    assert written["it"][4:8] == ["3 anni", "3 mesi", "3 settimane", "3 giorni"]
    for language in LANGUAGES[1:]:
        assert not set(written[language]) & set(written["en"])
        assert not [text for text in written[language] if "." in text or re.search("year|month|week|day", text)]


def test_a_text_is_found_again_by_what_the_event_kept() -> None:
    """What `current` shows, `find` finds by id, version and language; another version or a foreign id is not."""
    policies, loaded = ROOT / "policies", load_policies(ROOT / "policies")
    words = read_words(policies, needed_by(loaded, read_brand(policies)))
    notices = PageNotices(words, Notices(loaded.documents.notices, SystemClock()))
    digests = set()
    for language in LANGUAGES:
        shown = notices.current("email_marketing", language)
        assert notices.find(shown.notice_id, shown.version, language) == shown
        assert notices.find(shown.notice_id, "other", language) is None
        digests.add(shown.sha256)
    assert len(digests) == len(LANGUAGES)
    assert notices.find("elsewhere", "1", "en") is None
    assert notices.find("page.unknown", "1", "en") is None
