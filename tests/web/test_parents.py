"""A parent who is asked by mail: which children, for what, by which link, and how it is taken back."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from consent_gateway.consent.choices import NewChoice
from consent_gateway.consent.witness import Witness
from consent_gateway.errors import GatewayError
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Caller, EventKind, Reason
from tests.conftest import NOON, places
from tests.web.mailbox import Mailbox, mailbox, shown

CONFIRM, BACK = "/confirm", "/take-back"
FOURTEEN, TEN = date(2012, 6, 3), date(2016, 6, 3)
MOTHER = "mother@example.org"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    """One installation for these tests, once on SQLite and once on PostgreSQL."""
    folder = tmp_path_factory.mktemp("parents")
    with places(request, folder) as urls, mailbox(folder, urls) as opened:
        yield opened


@pytest.fixture
def box(installation: Mailbox) -> Mailbox:
    """The installation, an hour after the test before: an address gets five mails an hour."""
    installation.clock.pass_by(hours=1)
    return installation


def ask(box: Mailbox, child: str, purpose: str = "email_marketing", **different: Any) -> Any:
    """A child's wish that its mother is to allow."""
    body = {"data_subject": child, "parent_email": MOTHER, "purpose": purpose, "evidence": shown(purpose)}
    return box.call("POST", "/v1/confirmations/parent", {**body, **different})


def test_a_childs_choice_counts_once_a_parent_allowed_it(box: Mailbox) -> None:
    """Pending until the parent presses; then both events stand with one reference; taken back, it is closed at once."""
    child = box.newcomer("DE", "mia@example.net", FOURTEEN)
    assert ask(box, child).status_code == 201
    assert box.newest().recipient == MOTHER
    assert box.reason(child) is Reason.BELOW_DIGITAL_AGE
    token = box.token()
    page = box.open(CONFIRM, token)
    assert "Die Datenschutz-Entscheidungen Ihres Kindes" in page.text
    assert "mia" not in page.text.lower()
    assert box.kinds(child) == [EventKind.REQUEST]
    assert box.press(CONFIRM, token).status_code == 200
    assert box.kinds(child) == [EventKind.REQUEST, EventKind.PARENTAL_AUTHORISATION, EventKind.GRANT]
    assert box.reason(child) is Reason.PARENTAL_CONSENT
    told = {"data_subject": child, "purpose": "email_marketing"}
    steps = box.call("POST", "/v1/consents/evidence", told).get_json()["steps"]
    assert [step["shown"]["notice"] for step in steps] == ["messages", "parent", "messages"]
    assert len({step["witness"]["reference"] for step in steps}) == 1
    back = box.token()
    assert back != token
    assert box.open(BACK, back).status_code == 200
    assert box.reason(child) is Reason.PARENTAL_CONSENT
    for _ in range(2):
        assert box.press(BACK, back).status_code == 200
    assert box.reason(child) is Reason.BELOW_DIGITAL_AGE
    assert box.press(CONFIRM, token, page_of=back).status_code in (403, 404)


def test_a_parents_links_are_refused_when_changed_used_or_late(box: Mailbox) -> None:
    """Every character of both links counts; a used link, one past its week and one past its years open nothing."""
    child = box.newcomer("DE", "bytes@example.net", FOURTEEN)
    ask(box, child)
    token, confirming = box.token(), box.services.choosing.confirming
    sha256 = confirming.look(token).shown.sha256
    for one in _changed(token):
        with pytest.raises(GatewayError, match="not known"):
            confirming.confirm(one, sha256)
    box.press(CONFIRM, token)
    back = box.token()
    for one in (*_changed(back), token):
        with pytest.raises(GatewayError, match="not known"):
            confirming.revoke(one)
    for used in (token, back):
        assert box.open(CONFIRM, used).status_code == 404
    assert box.kinds(child)[-1] is EventKind.GRANT
    late = box.newcomer("DE", "late@example.net", FOURTEEN)
    ask(box, late)
    forgotten = box.token()
    box.clock.pass_by(days=7)
    assert box.open(CONFIRM, forgotten).status_code == 404
    box.clock.pass_by(days=730)
    assert box.open(BACK, back).status_code == 404
    box.clock.moment = NOON


@pytest.mark.parametrize(
    ("place", "born", "status"),
    [
        ("DE", FOURTEEN, 201),
        ("AT", FOURTEEN, 422),  # of age there
        ("GB", FOURTEEN, 422),
        ("GB", TEN, 201),
        ("US-CO", TEN, 201),
        ("DE", date(1988, 4, 12), 422),
        ("JP", TEN, 422),  # no pack lets mail suffice there
    ],
)
def test_ages_and_places_are_those_of_the_packs(box: Mailbox, place: str, born: date, status: int) -> None:
    """A parent is asked by mail where the pack wants one at this age and lets a mailed link suffice."""
    child = box.newcomer(place, f"age-{place}-{born.year}@example.net", born if born.year > 2000 else None)
    answer = ask(box, child)
    assert answer.status_code == status, answer.text
    assert len(box.kinds(child)) == (status == 201)


def test_a_mailed_link_speaks_for_nothing_sold_or_shared(box: Mailbox) -> None:
    """Neither asked for itself, nor granted before, nor granted after, is sale or sharing opened by a mailed link."""
    child = box.newcomer("DE", "ads@example.net", FOURTEEN)
    assert ask(box, child, "targeted_ads").status_code == 422
    base = {"data_subject": child, "purpose": "targeted_ads", "evidence": shown("targeted_ads")}
    assert box.call("POST", "/v1/consents", {**base, "kind": "grant"}).status_code == 201
    assert ask(box, child).status_code == 422
    box.clock.pass_by(seconds=1)
    assert box.call("POST", "/v1/consents", {**base, "kind": "withdraw"}).status_code == 201
    assert ask(box, child).status_code == 201
    token = box.token()
    box.clock.pass_by(seconds=1)
    assert box.call("POST", "/v1/consents", {**base, "kind": "grant"}).status_code == 201
    assert box.press(CONFIRM, token).status_code == 422
    box.clock.pass_by(seconds=1)
    assert box.call("POST", "/v1/consents", {**base, "kind": "withdraw"}).status_code == 201
    assert box.press(CONFIRM, token).status_code == 200
    box.clock.pass_by(seconds=1)
    assert box.call("POST", "/v1/consents", {**base, "kind": "grant"}).status_code == 422
    signed = NewChoice(
        PersonRef(data_subject=child),
        EventKind.PARENTAL_AUTHORISATION,
        box.clock.now(),
        "paper",
        witness=Witness(image_sha256="a" * 64),
    )
    till = Caller("till", "till", frozenset(), frozenset(), frozenset({"consents:write"}))
    box.services.choices.record(till, signed)
    assert box.call("POST", "/v1/consents", {**base, "kind": "grant"}).status_code == 201


def test_a_child_is_not_its_own_parent(box: Mailbox) -> None:
    """The child's own address is refused by name, and a child who is authorised already asks nobody again."""
    child = box.newcomer("DE", "sly@example.net", FOURTEEN)
    answer = ask(box, child, parent_email="Sly@example.net")
    assert answer.status_code == 400
    assert "/parent_email" in answer.text
    assert box.kinds(child) == []
    ask(box, child)
    box.press(CONFIRM, box.token())
    assert ask(box, child).status_code == 422


def _changed(token: str) -> list[str]:
    """The token with each of its characters changed in turn."""
    return [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]
