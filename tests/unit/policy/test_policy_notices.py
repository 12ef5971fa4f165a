"""Claims about notices as policy data: what stands, what is accepted on a day, and what a hash covers."""

from datetime import UTC, date, datetime

import pytest

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import load_policies, policies_from
from consent_gateway.policy.checks import check_policies
from consent_gateway.policy.notices import ASKING, NoticeText, text_document, text_sha256
from consent_gateway.preferences.standing import Standings, Way
from consent_gateway.vocabulary import Facts
from tests.unit.policy.test_shipped_policy import SHIPPED

TEXTS = "texts: {de: {title: t, what: w, off: o, kept: k}}"
MAIL = f"""\
notice: mail
kind: choice
purposes: [email_marketing, care]
earlier: [{{version: "0", meaning: 1}}]
versions:
  - {{version: "1", meaning: 1, effective_from: 2026-01-01, {TEXTS}}}
  - {{version: "2", meaning: 1, effective_from: 2026-06-01, {TEXTS}}}
  - {{version: "3", meaning: 2, effective_from: 2027-01-01, {TEXTS}}}
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("2026-06-01", "2026-01-01", "two would be current"),
        ("2026-06-01", "2025-06-01", "two would be current"),
        ('"3", meaning: 2', '"3", meaning: 0', "count meanings from 1"),
        ('"2", meaning: 1', '"2", meaning: 3', "goes back to an older meaning"),
        ('{version: "3"', '{version: "1"', "version `1` stands twice"),
        ('{version: "3"', '{version: "0"', "version `0` stands twice"),
        ("[email_marketing, care]", "[email_markting]", "unknown purpose `email_markting`"),
        ("notice: mail", "notice: post", "does not stand in a file of its name"),
        ("kind: choice", "kind: wish", "kind"),
        (', kept: k}}}\n  - {version: "2"', '}}}\n  - {version: "2"', "`kept` is missing"),
        (
            'kept: k}}}\n  - {version: "2"',
            'kept: k}, en: {title: t, what: w, off: o, kept: k}}}\n  - {version: "2"',
            "version `2` has no text in `en`",
        ),
    ],
)
def test_a_notice_that_does_not_stand_is_refused(small: dict[str, str], old: str, new: str, told: str) -> None:
    """Each fault of a notice is told with its file, and the whole policy is refused."""
    assert old in MAIL
    with pytest.raises(PolicyInvalid) as refused:
        policies_from({**small, "notices/mail.yaml": MAIL.replace(old, new)})
    assert any(told in finding and finding.startswith("notices/mail.yaml:") for finding in refused.value.findings)


def test_a_purpose_has_one_notice(small: dict[str, str]) -> None:
    """Two notices that ask for one purpose are refused."""
    with pytest.raises(PolicyInvalid, match=r"has a notice in `notices/mail.yaml` too"):
        policies_from(
            {**small, "notices/mail.yaml": MAIL, "notices/more.yaml": MAIL.replace("notice: mail", "notice: more")}
        )


def test_a_choice_without_a_notice_is_found(small: dict[str, str]) -> None:
    """Where there are notices, a purpose of the group `choice` that none asks for is a finding."""
    sources = {**small, "notices/mail.yaml": MAIL.replace(", care]", "]")}
    assert any("no notice asks for `care`" in one.what for one in check_policies(policies_from(sources)))
    sources["notices/mail.yaml"] = MAIL
    assert not any("no notice" in one.what for one in check_policies(policies_from(sources)))


def test_what_can_be_objected_to_needs_a_notice(small: dict[str, str]) -> None:
    """A purpose on another ground, which an objection ends, is a finding where no notice could allow it again."""
    sources = {**small, "notices/mail.yaml": MAIL}
    path = next(name for name in sources if name.startswith("packs/") and "floor" not in name)
    pack = sources[path].partition("pack: ")[2].split()[0]
    rule = f'  - {{id: {pack}.interest, kind: legitimate_interest, purposes: [orders], source: "GDPR Art. 6(1)(f)"}}'
    sources[path] = sources[path].rstrip("\n") + "\n" + rule + "\n"
    found = [one for one in check_policies(policies_from(sources)) if "no notice asks for" in one.what]
    assert [one.what for one in found] == [
        "no notice asks for `orders`, which can be objected to, and must be allowed again by a yes"
    ]


def test_every_answer_of_the_page_has_a_notice_in_six_languages() -> None:
    """Whatever the page offers an answer to, in any place at any age, a notice asks for in six languages."""
    policies, now = load_policies(SHIPPED), datetime(2026, 11, 22, 12, tzinfo=UTC)
    standings, notices = Standings(policies), policies.documents.notices
    told = {key: one for one in notices.values() if one.kind in ASKING for key in one.purposes}
    offered = set()
    for place in policies.rulebook.program.places:
        for born in (None, date(2014, 1, 1), date(2010, 1, 1)):
            for one in standings.of(Facts(place, minor_born=born, parental_authorisation=True), now, gpc=False):
                if one.way in (Way.CONSENT, Way.OPT_OUT, Way.OBJECTION):
                    offered.add(one.purpose)
    assert "fraud_prevention" in offered
    assert offered <= set(told)
    for purpose in offered:
        current = told[purpose].current(now.date())
        assert current is not None
        assert set(current.texts) == {"en", "de", "fr", "es", "it", "ar"}


def test_a_comma_keeps_consents_and_a_meaning_ends_them(small: dict[str, str]) -> None:
    """All versions of the current meaning are accepted; from the day of a new meaning only that one."""
    rulebook = policies_from({**small, "notices/mail.yaml": MAIL}).rulebook
    assert rulebook.accepted_notices("email_marketing", date(2025, 1, 1)) == {"0", "1", "2"}
    assert rulebook.accepted_notices("email_marketing", date(2026, 12, 31)) == {"0", "1", "2"}
    assert rulebook.accepted_notices("email_marketing", date(2027, 1, 1)) == {"3"}
    assert rulebook.accepted_notices("orders", date(2027, 1, 1)) is None


def test_the_hash_covers_every_part_of_a_text() -> None:
    """Another id, version, language or letter gives another hash; it is the SHA-256 of the canonical JSON."""
    text = NoticeText("t", "w", "o", "ü")
    first = text_document("n", "1", "de", text)
    hashes = {text_sha256({**first, name: value + "x"}) for name, value in first.items()}
    assert len(hashes | {text_sha256(first)}) == len(first) + 1
    assert text_sha256(first) == "149b001db60ce08d20d9b02f030f4a8ac51c556f07afd87c509a26e91ab839b9"


def test_the_shipped_notices_speak_six_languages_in_plain_text() -> None:
    """Every shipped text is there in en, de, fr, es, it and ar, differs between them, and holds no markup."""
    for notice in load_policies(SHIPPED).documents.notices.values():
        for version in notice.versions:
            assert set(version.texts) == {"en", "de", "fr", "es", "it", "ar"}
            assert len({text.what for text in version.texts.values()}) == 6
            for text in version.texts.values():
                assert not set("<>{}\n") & set(text.title + text.what + text.off + text.kept)
