"""A notice's changed meaning and its corrected comma, end to end in six languages, on both databases."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from consent_gateway.consent.choices import NewChoice
from consent_gateway.errors import ConsentNotRaised
from consent_gateway.line import DecideQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy.situation import months_later
from consent_gateway.settings import read_settings
from consent_gateway.vocabulary import EventKind, Reason
from consent_gateway.wiring import Services, open_services
from tests.conftest import NOON, ROOT, StillClock
from tests.line.conftest import ALL, Line

PURPOSE = "personalised_offers"
LANGUAGES = ("en", "de", "fr", "es", "it", "ar")
COMMA, MEANING = "6", "7"


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped policy, in which the notice gets a corrected comma in 2027 and another meaning in 2028."""
    folder = tmp_path_factory.mktemp("policy") / "policies"
    shutil.copytree(ROOT / "policies", folder)
    path = folder / "notices" / "recommendations.yaml"
    notice = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - `off` stays a word
    last = notice["versions"][-1]
    for version, meaning, begins, mark in ((COMMA, "1", "2027-01-01", ","), (MEANING, "2", "2028-01-01", " +")):
        texts = {name: {**text, "what": text["what"] + mark} for name, text in last["texts"].items()}
        notice["versions"].append({"version": version, "meaning": meaning, "effective_from": begins, "texts": texts})
    text = yaml.safe_dump(notice, allow_unicode=True, sort_keys=False)
    bare = re.sub(r"(meaning|effective_from): '([0-9-]+)'", r"\1: \2", text)
    path.write_text(bare, encoding="utf-8")
    return folder


@pytest.fixture
def later(line: Line, policies: Path) -> Iterator[tuple[Services, StillClock]]:
    """The gateway on the new policy, with a clock that the test moves."""
    clock = StillClock(NOON)
    variables = {**line.deployment.variables, "CONSENT_GATEWAY_POLICIES": str(policies)}
    opened = open_services(read_settings(variables), clock)
    yield opened, clock
    opened.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_comma_holds_and_a_meaning_asks_again(line: Line, later: tuple[Services, StillClock], language: str) -> None:
    """Consent to the old text holds over the comma, ends with the meaning, and is asked for again; a no waits."""
    services, clock = later
    person = PersonRef(data_subject=_newcomer(line))
    caller = replace(line.caller(PURPOSE), scopes=ALL | {"consents:write"})
    said: dict[EventKind, NewChoice] = {}

    def reason() -> Reason:
        query = DecideQuery(person, PURPOSE, ("first_name",))
        return services.gateway.decide(caller, query).verdicts["first_name"].reason

    def may_ask() -> bool:
        return services.choosing.questions.open(caller, person)[PURPOSE]

    def say(kind: EventKind) -> str:
        shown = services.notices.current(PURPOSE, language)
        assert shown.language == language
        choice = NewChoice(
            person=person,
            kind=kind,
            occurred_at=clock.now(),
            how="app_form",
            purpose=PURPOSE,
            notice=shown.notice_id,
            notice_version=shown.version,
            language=shown.language,
        )
        said[kind] = choice
        event_id = services.choices.record(caller, choice).event_ids[0]
        kept = services.receipts.evidence(event_id)[1]
        assert kept == shown
        return shown.version

    assert may_ask()
    first = say(EventKind.GRANT)
    assert (reason(), may_ask()) == (Reason.CONSENT, False)
    clock.moment = NOON.replace(year=2027)
    assert services.notices.current(PURPOSE, language).version == COMMA
    assert (reason(), may_ask()) == (Reason.CONSENT, False)
    clock.moment = NOON.replace(year=2028, month=2)
    assert (reason(), may_ask()) == (Reason.NOTICE_VERSION_MISMATCH, True)
    assert say(EventKind.REFUSE) == MEANING
    assert (reason(), may_ask()) == (Reason.REFUSED, False)
    clock.moment = months_later(clock.moment, 6)
    assert may_ask()
    assert say(EventKind.GRANT) == MEANING != first
    assert (reason(), may_ask()) == (Reason.CONSENT, False)
    with pytest.raises(ConsentNotRaised, match="version"):
        services.choices.record(caller, replace(said[EventKind.GRANT], notice_version="99"))


def _newcomer(line: Line) -> str:
    """Somebody in Germany who is of age and never chose about the purpose."""
    found = line.scalar(
        "SELECT data_subject FROM people WHERE jurisdiction = 'DE' AND minor_born IS NULL AND data_subject NOT IN"
        " (SELECT data_subject FROM consent_events WHERE purpose = 'personalised_offers')"
        " ORDER BY data_subject LIMIT 1"
    )
    assert isinstance(found, str)
    return found
