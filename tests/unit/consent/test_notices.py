"""Claims about notices in the consent room: the text that binds, the text then shown, and who may name which."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from consent_gateway.consent.choices import Choices, NewChoice
from consent_gateway.consent.notices import Notices, text_then
from consent_gateway.consent.tables import NOTICE_TEXTS
from consent_gateway.errors import ConsentNotRaised, NotFound, PolicyInvalid
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Caller, EventKind
from tests.conftest import NOON, StillClock
from tests.unit.consent.conftest import PRIVACY, notices_of

GRANT = NewChoice(
    PersonRef(data_subject="ds_1"),
    EventKind.GRANT,
    NOON,
    "web_form",
    "email_marketing",
    notice="privacy",
    notice_version="4",
    language="de-AT",
)


def test_the_current_text_is_found_in_the_nearest_language(notices: Notices) -> None:
    """`de-AT` reads German, an unknown language English; a purpose without a notice is not found."""
    assert [notices.current("email_marketing", name).language for name in ("de-AT", "de", "fr")] == ["de", "de", "en"]
    assert notices.current("email_marketing", "de").version == "4"
    with pytest.raises(NotFound):
        notices.current("orders", "de")


@pytest.mark.usefixtures("people")
def test_a_choice_holds_the_hash_of_the_text_it_names(
    gateway_engine: sa.Engine, choices: Choices, notices: Notices, caller: Caller
) -> None:
    """Event and audit entry hold the hash; the kept text of it is the text then shown, word for word."""
    with gateway_engine.begin() as connection:
        notices.keep(connection, NOON)
    choices.record(caller, GRANT)
    event = choices.history(GRANT.person)[0]
    shown = notices.find("privacy", "4", "de")
    assert shown is not None
    assert event.event.evidence.notice_sha256 == shown.sha256
    with gateway_engine.connect() as connection:
        assert text_then(connection, shown.sha256) == shown
        entries = connection.exec_driver_sql("SELECT entry FROM audit_queue").scalars().all()
    assert any(shown.sha256 in str(bytes(entry) if isinstance(entry, memoryview) else entry) for entry in entries)


@pytest.mark.parametrize(
    "change",
    [
        {"notice": "other"},
        {"notice_version": "9"},
        {"language": "fr"},
        {"notice_version": "5"},  # shown from next year on
        {"occurred_at": NOON - timedelta(days=400)},  # before version 4 was shown
    ],
)
@pytest.mark.usefixtures("people")
def test_an_opening_names_a_text_that_was_shown(choices: Choices, caller: Caller, change: dict[str, object]) -> None:
    """An unknown notice, version or language opens nothing, nor does one not yet shown; a withdrawal needs none."""
    with pytest.raises(ConsentNotRaised):
        choices.record(caller, replace(GRANT, **change))  # type: ignore[arg-type]
    assert choices.history(GRANT.person) == ()
    choices.record(caller, replace(GRANT, kind=EventKind.WITHDRAW, **change))  # type: ignore[arg-type]


def test_a_notice_of_another_purpose_opens_nothing(choices: Choices, people: list[str]) -> None:
    """A grant names a notice that speaks of its purpose."""
    everyone = Caller("shop", "web_shop", frozenset({"sms_marketing"}), frozenset(), frozenset({"consents:write"}))
    narrow = Notices(notices_of(PRIVACY.replace("sms_marketing, ", "")), StillClock(NOON))
    choices._notices = narrow
    with pytest.raises(ConsentNotRaised, match="does not speak of its purpose"):
        choices.record(everyone, replace(GRANT, person=PersonRef(data_subject=people[1]), purpose="sms_marketing"))


def test_a_text_is_fixed_once_it_was_kept(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """A policy that says something else under a kept version is refused by name; a new version beside it is kept."""
    with gateway_engine.begin() as connection:
        Notices(notices_of(PRIVACY), clock).keep(connection, NOON)
        Notices(notices_of(PRIVACY), clock).keep(connection, NOON)
    changed = Notices(notices_of(PRIVACY.replace('"W,"', '"W;"')), clock)
    with gateway_engine.begin() as connection, pytest.raises(PolicyInvalid, match="version `4` in `de` was changed"):
        changed.keep(connection, NOON)
    with gateway_engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(NOTICE_TEXTS)).scalar_one() == 4


def test_a_language_may_be_added_to_a_kept_version(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """A text in one more language is kept beside the others: none of their hashes and no accepted version changes."""
    text = "en: {title: t, what: w, off: o, kept: k}"
    grown = notices_of(PRIVACY.replace(text, f"{text}, it: {{title: i, what: i, off: i, kept: i}}"))
    before, after = Notices(notices_of(PRIVACY), clock), Notices(grown, clock)
    with gateway_engine.begin() as connection:
        before.keep(connection, NOON)
        after.keep(connection, NOON)
    for language in ("de", "en"):
        assert after.find("privacy", "4", language) == before.find("privacy", "4", language) is not None
    assert grown["privacy"].accepted(NOON.date()) == notices_of(PRIVACY)["privacy"].accepted(NOON.date())
    added = after.find("privacy", "4", "it")
    assert before.find("privacy", "4", "it") is None is not added
    with gateway_engine.connect() as connection:
        assert text_then(connection, added.sha256) == added


def test_any_changed_byte_of_a_kept_text_is_refused(gateway_engine: sa.Engine, notices: Notices) -> None:
    """Over every byte of the row of a kept text: with one bit changed it is none, and its hash with one is nobody's."""
    found = notices.find("privacy", "4", "en")
    assert found is not None
    one = NOTICE_TEXTS.c.sha256 == found.sha256
    with gateway_engine.connect() as connection, connection.begin() as rolled_back:
        notices.keep(connection, NOON)
        document = str(connection.execute(sa.select(NOTICE_TEXTS.c.document).where(one)).scalar_one())
        for at in range(len(document)):
            changed = document[:at] + chr(ord(document[at]) ^ (1 << at % 5)) + document[at + 1 :]
            connection.execute(sa.update(NOTICE_TEXTS).where(one).values(document=changed))
            assert text_then(connection, found.sha256) is None, (at, changed)
        connection.execute(sa.update(NOTICE_TEXTS).where(one).values(document=document))
        assert text_then(connection, found.sha256) == found
        for at in range(64):
            other = found.sha256[:at] + ("0" if found.sha256[at] != "0" else "1") + found.sha256[at + 1 :]
            assert text_then(connection, other) is None
        rolled_back.rollback()


def test_any_changed_letter_of_a_notice_is_another_text(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """Over every letter of a kept notice's texts: a policy that says it otherwise is refused at the start."""
    with gateway_engine.begin() as connection:
        Notices(notices_of(PRIVACY), clock).keep(connection, NOON)
    at = PRIVACY.index("{title: t, what: w, off: o, kept: k}")
    letters = [at + match.end() - 1 for match in re.finditer(r": [a-z]", PRIVACY[at : at + 36])]
    assert len(letters) == 4
    for letter in letters:
        changed = PRIVACY[:letter] + "x" + PRIVACY[letter + 1 :]
        with (
            gateway_engine.begin() as connection,
            pytest.raises(PolicyInvalid, match="version `4` in `en` was changed"),
        ):
            Notices(notices_of(changed), clock).keep(connection, NOON)


def test_a_kept_text_that_was_tampered_with_is_not_shown(gateway_engine: sa.Engine, notices: Notices) -> None:
    """A kept text that no longer has its hash is none."""
    found = notices.find("privacy", "4", "en")
    assert found is not None
    with gateway_engine.begin() as connection:
        notices.keep(connection, NOON)
        connection.execute(
            sa.update(NOTICE_TEXTS).values(document=sa.func.replace(NOTICE_TEXTS.c.document, '"w"', '"x"'))
        )
        assert text_then(connection, found.sha256) is None
