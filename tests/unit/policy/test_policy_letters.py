"""Letters as policy: six languages, the places of each kind, where to turn under every law; faults told by file."""

import re
from pathlib import Path

import pytest

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import load_policies, policies_from
from consent_gateway.policy.letters import GROUNDS, IN_SUBJECT, KINDS, TO_RECIPIENTS, WORDS
from consent_gateway.policy.loading import read_sources
from consent_gateway.rights.carrying import KINDS as PACKAGES
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.intake import NO_REQUEST
from consent_gateway.rights.letters_owed import PACKAGED, Kind
from consent_gateway.rights.recipients import Kind as RecipientKind
from consent_gateway.rights.states import AWAITS_PERSON, DenialGround
from consent_gateway.vocabulary import LANGUAGES

POLICIES = Path(__file__).resolve().parents[3] / "policies"
ARABIC = re.compile(r"[\u0600-\u06ff]")


def test_the_lists_of_letters_are_those_of_requests() -> None:
    """Every ground, reason, question, right and kind that a request can have has a word, and no other has one."""
    assert set(GROUNDS) == set(DenialGround)
    assert set(WORDS["extensions"]) == set(ExtensionReason)
    assert set(WORDS["questions"]) == set(AWAITS_PERSON)
    assert not set(WORDS["rights"]) & NO_REQUEST
    assert set(KINDS) == set(Kind)
    assert set(TO_RECIPIENTS) == {f"recipient_{kind}" for kind in RecipientKind}
    assert set(PACKAGES) == PACKAGED


def test_every_letter_says_the_same_in_every_language() -> None:
    """As many paragraphs and the same places in each language, in its own script; one subject that tells nothing."""
    letters = load_policies(POLICIES).documents.letters
    for kind, places in {**KINDS, **TO_RECIPIENTS}.items():
        for template in letters.templates[kind]:
            assert set(template.languages) == set(LANGUAGES)
            assert len({one.text.count("\n\n") for one in template.languages.values()}) == 1
            for language, one in template.languages.items():
                assert set(re.findall(r"{(\w+)}", one.text)) == places
                assert set(re.findall(r"{(\w+)}", one.subject_line)) == IN_SUBJECT
                assert bool(ARABIC.search(one.text)) is (language == "ar")
            assert len({one.text for one in template.languages.values()}) == len(LANGUAGES)
    subjects = {frozenset(one.subject_line for one in letters.templates[k][0].languages.values()) for k in KINDS}
    assert len(subjects) == 1  # an envelope does not tell what a person asked for, or whether they got it


def test_no_article_stands_before_a_day_in_italian() -> None:
    """It would be `l'` before 8 and 11 and `il` before the others, which a text with a place cannot know."""
    letters = load_policies(POLICIES).documents.letters
    texts = [one.languages["it"].text for kind in KINDS for one in letters.templates[kind]]
    texts += [letters.words["times"]["by"]["it"]]
    assert sum("{received}" in text for text in texts) == len(KINDS)
    assert not [text for text in texts if re.search(r"\b(il|del|dal|al|nel|sul):? {(received|day)}", text)]


def test_every_law_and_place_says_where_to_turn() -> None:
    """Each law that has a clock has a remedy in every language, and each of its places an authority with its source."""
    documents = load_policies(POLICIES).documents
    sourced = {one.place for one in documents.access_texts.authorities if one.source}
    for pack in documents.packs.values():
        for clock in pack.clocks.values():
            remedy = documents.letters.remedy(clock.regime, clock.effective_from or pack.effective_from)  # type: ignore[arg-type]
            assert remedy is not None
            assert set(remedy.languages) == set(LANGUAGES)
            assert set(pack.jurisdictions) <= sourced


@pytest.mark.parametrize(
    ("used", "place", "language"),
    [
        ("fr-CA", "DE", "fr"),
        ("AR", "DE", "ar"),
        (None, "DE-BY", "de"),
        ("nl", "BE", "fr"),
        (None, "CA-QC", "fr"),
        (None, "CA", "en"),
        (None, "ES", "es"),
        (None, "IT", "it"),
        (None, "SM", "it"),
        (None, "VA", "it"),
        (None, "US-VA", "en"),
        ("it-CH", "CH", "it"),
        ("", "US-CA", "en"),
    ],
)
def test_the_language_is_the_persons_else_their_places(used: str | None, place: str, language: str) -> None:
    """What the person used comes first where there are letters in it, then that of their place, then English."""
    assert load_policies(POLICIES).documents.letters.language(used, place) == language


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        ("letters/denial.yaml", "          {remedy}\n", "", "`{remedy}` is missing in `en`"),
        ("letters/denial.yaml", "{ground}", "{ground} {address}", "`{address}` is no place of this text in `en`"),
        ("letters/expiry.yaml", "      de:", "      nl:", "`de` is not there"),
        ("letters/expiry.yaml", 'subject: "{name}:', 'subject: "{name} {right}:', "`{right}` is no place"),
        ("letters/expiry.yaml", 'subject: "{name}:', 'subject: "{name}\\n:', "more than one line"),
        ("letters/expiry.yaml", "letter: expiry", "letter: denial", "name the file `denial.yaml`"),
        ("letters/package.yaml", 'source: "GDPR', 'told: "GDPR', "`source` is missing"),
        ("letters.yaml", "unfounded:", "groundless:", "the word `grounds.unfounded` is missing"),
        ("letters.yaml", "bis {day}", "bald", "`{day}` is missing in `de`"),
        ("letters.yaml", "regimes: [CH_FADP]", "regimes: [LI_FADP]", "no remedy for the law `CH_FADP`"),
        ("letters.yaml", "es: [ES]", "nl: [NL]", "there are no letters in `nl`"),
        ("access.yaml", "{place: JP,", "{place: KR,", "no authority for `JP`"),
    ],
)
def test_a_letter_that_does_not_stand_keeps_the_policy_from_loading(path: str, old: str, new: str, told: str) -> None:
    """A missing language, place, word, source, remedy or authority is told with its file."""
    sources = dict(read_sources(POLICIES))
    assert old in sources[path]
    sources[path] = sources[path].replace(old, new, 1)
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(sources)
    assert any(told in one for one in refused.value.findings), refused.value.findings


def test_a_letter_that_is_missing_is_told() -> None:
    """Either every kind of letter is there or none is."""
    sources = dict(read_sources(POLICIES))
    del sources["letters/partial.yaml"]
    with pytest.raises(PolicyInvalid, match=r"letters/partial.yaml:1: the letter `partial` is missing"):
        policies_from(sources)
    none = {path: text for path, text in sources.items() if not path.startswith("letters")}
    assert policies_from(none).documents.letters.templates == {}
