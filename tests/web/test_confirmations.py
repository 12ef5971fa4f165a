"""A choice that a mailbox confirms: what never grants, which links are refused, and what an officer is shown of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.consent.receipt_verify import ReceiptExpired, verify_receipt
from consent_gateway.customers.confirmations import MOST_MAILS
from consent_gateway.customers.limits import BY_ADDRESS
from consent_gateway.customers.tables import CONFIRMATIONS
from consent_gateway.errors import GatewayError
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import EventKind, Reason
from tests.conftest import NOON, places
from tests.web.mailbox import ISSUER, OURS, Mailbox, mailbox, shown

CONFIRM = "/confirm"
FOREIGN = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    """One installation for these tests, once on SQLite and once on PostgreSQL; each has people of its own."""
    folder = tmp_path_factory.mktemp("confirming")
    with places(request, folder) as urls, mailbox(folder, urls) as opened:
        yield opened


@pytest.fixture
def box(installation: Mailbox) -> Mailbox:
    """The installation at noon again."""
    installation.clock.moment = NOON
    return installation


def asked(box: Mailbox, email: str, place: str = "DE", **different: Any) -> tuple[str, str, str]:
    """A newcomer who asked: their id, the link's token and the confirmation's id."""
    person = box.newcomer(place, email)
    answer = box.ask(email, **different)
    assert answer.status_code == 201, answer.text
    return person, box.token(), answer.get_json()["confirmation_id"]


def test_a_yes_on_a_form_in_the_shops_page_counts_once_its_mailbox_confirmed_it(box: Mailbox) -> None:
    """In Germany the frame says that a mail is on its way; the yes opens nothing until the mailed link is used."""
    person = box.newcomer("DE", "frame@example.com")
    asking = {"identifier": {"kind": "email", "value": "frame@example.com"}, "purpose": "email_marketing"}
    made = box.call("POST", "/v1/consent-forms", {**asking, "language": "de"}).get_json()
    token = made["url"].partition("?t=")[2]
    answer = box.application.test_client().post(
        "/consent-form", data={"t": token, "answer": "allow"}, base_url=ISSUER, headers=OURS
    )
    assert (answer.status_code, "by=mail" in answer.location) == (303, True)
    assert box.kinds(person) == [EventKind.REQUEST]
    assert box.reason(person) is Reason.NOT_YET_GIVEN
    assert box.press(CONFIRM, box.token()).status_code in {200, 303}
    assert box.reason(person) is Reason.CONSENT


def test_what_is_only_asked_for_grants_nothing(box: Mailbox) -> None:
    """In Germany a form's yes is refused and a request opens nothing; the link used, the next decision is open."""
    person = box.newcomer("DE", "step@example.com")
    told = {"data_subject": person, "purpose": "email_marketing", "kind": "grant", "evidence": shown("email_marketing")}
    refused = box.call("POST", "/v1/consents", told)
    assert (refused.status_code, refused.get_json()["code"]) == (422, "consent_not_raised")
    assert "POST /v1/confirmations" in refused.text
    answer = box.ask("Step@Example.com").get_json()
    assert (answer["status"], answer["mails"]) == ("pending", 1)
    assert box.reason(person) is Reason.NOT_YET_GIVEN
    mail = box.newest()
    assert (mail.recipient, mail.language) == ("step@example.com", "de")
    done = box.press(CONFIRM, box.token())
    assert done.status_code == 200
    assert '<html lang="de"' in done.text
    assert box.reason(person) is Reason.CONSENT
    assert box.call("GET", f"/v1/confirmations/{answer['confirmation_id']}").get_json()["status"] == "confirmed"


@pytest.mark.parametrize(
    ("place", "how", "status"), [("FR", "web_form", 201), ("DE", "app_form", 201), ("AT", "web_form", 422)]
)
def test_who_must_confirm_is_said_by_the_packs(box: Mailbox, place: str, how: str, status: int) -> None:
    """France asks for one step, Austria for two, and in an app that knows who is signed in one is enough."""
    person = box.newcomer(place, f"packs-{place}-{how}@example.com")
    evidence = shown("email_marketing", how=how)
    told = {"data_subject": person, "purpose": "email_marketing", "kind": "grant", "evidence": evidence}
    assert box.call("POST", "/v1/consents", told).status_code == status


def test_nobody_can_claim_that_a_link_was_used(box: Mailbox) -> None:
    """A channel that names the link's way is refused, whatever else it sends."""
    person = box.newcomer("DE", "claim@example.com")
    evidence = {**shown("email_marketing"), "how": "mail_link", "reference": "cf_1"}
    told = {"data_subject": person, "purpose": "email_marketing", "kind": "grant", "evidence": evidence}
    assert box.call("POST", "/v1/consents", told).status_code == 422
    assert box.kinds(person) == []


def test_opening_a_link_changes_nothing(box: Mailbox) -> None:
    """A scanner that opens the link any number of times, and even posts, uses nothing up; the person then confirms."""
    person, token, _ = asked(box, "scanner@example.com")
    written: list[str] = []

    def note(*given: Any) -> None:
        written.append(given[2])

    sa.event.listen(box.services.engine, "before_cursor_execute", note)
    pages = [box.open(CONFIRM, token) for _ in range(3)]
    sa.event.remove(box.services.engine, "before_cursor_execute", note)
    assert {page.status_code for page in pages} == {200}
    assert not [one for one in written if not one.lstrip().upper().startswith("SELECT")]
    scanner = box.application.test_client()
    for headers in (OURS, FOREIGN, {}):
        assert scanner.post(CONFIRM, data={"t": token}, base_url=ISSUER, headers=headers).status_code == 403
    assert box.press(CONFIRM, token, headers=FOREIGN).status_code == 403
    assert box.kinds(person) == [EventKind.REQUEST]
    assert box.press(CONFIRM, token).status_code == 200


def test_the_signal_of_the_browser_that_confirms_binds_its_person(box: Mailbox) -> None:
    """`Sec-GPC: 1` on the page of a mailed link is the person's opt-out in every channel."""
    person, token, _ = asked(box, "signals@example.com")
    opened = box.application.test_client().get(f"{CONFIRM}?t={token}", base_url=ISSUER, headers={"Sec-GPC": "1"})
    assert opened.status_code == 200
    assert EventKind.GPC in box.kinds(person)


def test_every_changed_byte_of_a_link_is_refused(box: Mailbox) -> None:
    """Any one character changed, dropped or doubled, used and expired links: one and the same answer, nothing said."""
    person, token, _ = asked(box, "bytes@example.com")
    other = {at: "A" if char != "A" else "B" for at, char in enumerate(token)}
    changed = [token[:at] + other[at] + token[at + 1 :] for at in range(len(token))]
    confirming = box.services.choosing.confirming
    sha256 = confirming.look(token).shown.sha256
    for one in (*changed, token[:-1], token + "A", "", token.swapcase()):
        with pytest.raises(GatewayError, match="not known, was used"):
            confirming.confirm(one, sha256)
    pages = [box.press(CONFIRM, changed[7], page_of=token), box.open(CONFIRM, changed[7])]
    assert box.press(CONFIRM, token).status_code == 200
    pages += [box.press(CONFIRM, token, shown=sha256), box.open(CONFIRM, token)]
    _, late, _ = asked(box, "late@example.com")
    box.clock.pass_by(days=7)
    pages += [box.open(CONFIRM, late)]
    assert {page.status_code for page in pages} == {403, 404}  # a page that is not there gives no form token
    assert box.kinds(person) == [EventKind.REQUEST, EventKind.GRANT]


def test_a_text_that_was_not_shown_is_not_confirmed(box: Mailbox) -> None:
    """The page's form names the text by hash; with any other hash nothing is recorded and the link stays good."""
    person, token, _ = asked(box, "text@example.com")
    sha256 = box.services.choosing.confirming.look(token).shown.sha256
    for at in range(64):
        wrong = sha256[:at] + ("0" if sha256[at] != "0" else "1") + sha256[at + 1 :]
        with pytest.raises(GatewayError, match="another text"):
            box.services.choosing.confirming.confirm(token, wrong)
    assert box.kinds(person) == [EventKind.REQUEST]
    assert box.press(CONFIRM, token).status_code == 200


def test_time_is_judged_by_the_call_and_by_no_sweep(box: Mailbox) -> None:
    """The moment the week is over the link is refused and the request no longer pending, though nothing was purged."""
    _person, token, confirmation_id = asked(box, "week@example.com")
    box.clock.pass_by(days=6, hours=23, minutes=59)
    assert box.open(CONFIRM, token).status_code == 200
    box.clock.pass_by(minutes=1)
    assert box.open(CONFIRM, token).status_code == 404
    with box.services.engine.connect() as connection:
        one = CONFIRMATIONS.c.confirmation_id == confirmation_id
        assert connection.execute(sa.select(CONFIRMATIONS.c.used_at).where(one)).one() == (None,)
    assert box.call("GET", f"/v1/confirmations/{confirmation_id}").get_json()["status"] == "expired"
    assert box.call("POST", f"/v1/confirmations/{confirmation_id}/resend").status_code == 404
    assert box.services.customers.confirmations.purge() >= 1
    assert box.call("GET", f"/v1/confirmations/{confirmation_id}").status_code == 404


def test_mailing_again_ends_the_old_link_and_is_bounded(box: Mailbox) -> None:
    """Each new link ends the one before and keeps the end; after the last mail, and for a stranger, there is none."""
    person, first, confirmation_id = asked(box, "again@example.com")
    path = f"/v1/confirmations/{confirmation_id}"
    until = box.call("GET", path).get_json()["expires_at"]
    assert box.call("POST", f"{path}/resend", client="other-shop").status_code == 404
    tokens = [first]
    for mails in range(2, MOST_MAILS + 1):
        box.clock.pass_by(hours=1)
        told = box.call("POST", f"{path}/resend").get_json()
        assert (told["mails"], told["expires_at"]) == (mails, until)
        tokens.append(box.token())
    assert box.call("POST", f"{path}/resend").status_code == 409
    assert [box.open(CONFIRM, one).status_code for one in tokens] == [404] * (MOST_MAILS - 1) + [200]
    assert box.press(CONFIRM, tokens[-1]).status_code == 200
    assert box.kinds(person) == [EventKind.REQUEST, EventKind.GRANT]


def test_a_mailbox_is_not_flooded(box: Mailbox) -> None:
    """An address gets five mails an hour, whoever asks and for whatever; then the answer is 429."""
    box.newcomer("DE", "flood@example.com")
    statuses = [box.ask("flood@example.com").status_code for _ in range(BY_ADDRESS + 1)]
    assert statuses == [201] * BY_ADDRESS + [429]


def test_a_no_in_between_ends_the_question(box: Mailbox) -> None:
    """Who withdrew, objected or unsubscribed after the request is not opened by its link."""
    for kind in (EventKind.WITHDRAW, EventKind.OBJECT, EventKind.UNSUBSCRIBE, EventKind.OPT_OUT):
        person, token, _ = asked(box, f"between-{kind.value}@example.com")
        told = {"data_subject": person, "purpose": "email_marketing", "kind": kind.value}
        assert box.call("POST", "/v1/consents", told).status_code == 201
        assert box.press(CONFIRM, token).status_code == 422
        assert box.kinds(person) == [EventKind.REQUEST, kind]


def test_of_many_presses_at_once_one_counts(box: Mailbox) -> None:
    """Eight threads with one link record one grant."""
    person, token, _ = asked(box, "race@example.com")
    sha256 = box.services.choosing.confirming.look(token).shown.sha256

    def press(_: int) -> bool:
        try:
            return bool(box.services.choosing.confirming.confirm(token, sha256))
        except GatewayError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(press, range(8))) == [False] * 7 + [True]
    assert box.kinds(person) == [EventKind.REQUEST, EventKind.GRANT]


def test_what_cannot_be_asked_is_refused_before_anything_is_sent(box: Mailbox) -> None:
    """An unknown text or version, a purpose of another client, no address: refused, with no event and no mail."""
    person = box.newcomer("DE", "wrong@example.com")
    sent = len(box.mailer.sent)
    evidence = shown("email_marketing")
    for different, status in (
        ({"evidence": {**evidence, "notice_version": "99"}}, 422),
        ({"evidence": {**evidence, "notice": "fraud"}}, 422),
        ({"evidence": {"how": "web_form"}}, 400),
        ({"purpose": "sms_marketing", "evidence": evidence}, 403),
        ({"email": "a@example.com\r\nBcc: b@example.com"}, 400),
        ({"kind": "withdraw"}, 400),
    ):
        body = {"email": "wrong@example.com", "purpose": "email_marketing", "evidence": evidence, **different}
        assert box.call("POST", "/v1/confirmations", body).status_code == status, different
    box.services.customers.post.send_due()
    assert (len(box.mailer.sent), box.kinds(person)) == (sent, [])


def test_an_officer_sees_both_steps_as_evidence(box: Mailbox) -> None:
    """One call shows request and confirmation with text, hash, channel, way, reference and receipt, and is logged."""
    person, token, confirmation_id = asked(box, "officer@example.com")
    box.clock.pass_by(minutes=3)
    box.press(CONFIRM, token)
    asked_for = {"data_subject": person, "purpose": "email_marketing"}
    told = box.call("POST", "/v1/consents/evidence", asked_for).get_json()
    request, grant = told["steps"]
    assert (told["status"], told["rests_on"]) == ("granted", grant["event"]["event_id"])
    assert [step["event"]["evidence"]["how"] for step in told["steps"]] == ["web_form", "mail_link"]
    assert {step["witness"]["reference"] for step in told["steps"]} == {confirmation_id}
    assert {step["shown"]["sha256"] for step in told["steps"]} == {request["event"]["evidence"]["notice_sha256"]}
    assert request["shown"]["language"] == "de"
    assert request["event"]["evidence"]["channel"] == grant["event"]["evidence"]["channel"] == "web_shop"
    keys = box.application.test_client().get("/.well-known/jwks.json").get_json()
    for step in told["steps"]:
        file = box.call("GET", f"/v1/receipts/{step['receipt_id']}").get_data()
        assert verify_receipt(file, keys)["dpv:hasNotice"]["cg:sha256"] == step["shown"]["sha256"]
    pending = box.call("GET", f"/v1/receipts/{request['receipt_id']}").get_data()
    with pytest.raises(ReceiptExpired):
        verify_receipt(pending, keys, NOON.replace(year=2027))
    unknown = box.call("POST", "/v1/consents/evidence", {**asked_for, "purpose": "nothing"})
    assert unknown.get_json()["code"] == "unknown_purpose"


def test_to_opt_in_again_takes_two_steps_in_time(box: Mailbox) -> None:
    """11 CCR 7028: alone, too late, or with an opt-out in between, the second step is refused, by API and by link."""
    person = box.newcomer("US-CA", "twice@example.com")
    evidence = shown("targeted_ads", "en")
    base = {"data_subject": person, "purpose": "targeted_ads", "evidence": evidence}

    def say(kind: str) -> int:
        return box.call("POST", "/v1/consents", {**base, "kind": kind}).status_code

    assert (say("opt_out"), say("opt_in_again")) == (201, 422)
    box.clock.pass_by(seconds=1)
    assert (say("request"), say("opt_out"), say("opt_in_again")) == (201, 201, 422)
    box.clock.pass_by(seconds=1)
    assert say("request") == 201
    box.clock.pass_by(minutes=60)
    assert say("opt_in_again") == 422
    assert box.reason(person, "targeted_ads") is Reason.OPTED_OUT
    assert box.ask("twice@example.com", "targeted_ads", kind="opt_in_again", evidence=evidence).status_code == 201
    late = box.token()
    box.clock.pass_by(minutes=60)
    assert box.open(CONFIRM, late).status_code == 404
    assert say("request") == 201
    box.clock.pass_by(minutes=59)
    assert say("opt_in_again") == 201
    assert box.reason(person, "targeted_ads") is Reason.OPT_IN_AFTER_OPT_OUT


def test_who_said_no_is_not_asked_before_the_time_of_their_place(box: Mailbox) -> None:
    """Six months in Germany, twelve in California, and never while a request is pending; an expired one counts not."""
    for place, months in (("DE", 5), ("US-CA", 11)):
        person = box.newcomer(place, f"asked-{place}@example.com")

        def may(purpose: str = "targeted_ads", person: str = person) -> bool:
            told = box.call("POST", "/v1/consents/questions", {"data_subject": person}).get_json()
            assert "may_ask" in told, told
            return bool(told["may_ask"][purpose])

        assert may()
        no = {"data_subject": person, "purpose": "targeted_ads", "kind": "opt_out"}
        assert box.call("POST", "/v1/consents", no).status_code == 201
        box.clock.pass_by(days=30 * months)
        assert not may()
        box.clock.pass_by(days=50)
        assert may()
    person, _, _ = asked(box, "pending@example.com")
    told = box.call("POST", "/v1/consents/questions", {"data_subject": person}).get_json()["may_ask"]
    assert set(told) == {"email_marketing", "targeted_ads", "data_sale"}
    assert not told["email_marketing"]
    box.clock.pass_by(days=7)
    assert box.call("POST", "/v1/consents/questions", {"data_subject": person}).get_json()["may_ask"]["email_marketing"]


def test_a_request_by_the_api_does_not_wait_for_ever(box: Mailbox) -> None:
    """A request that names no end gets the policy's."""
    person = box.newcomer("FR", "plain@example.com")
    told = {"data_subject": person, "purpose": "email_marketing", "kind": "request"}
    assert box.call("POST", "/v1/consents", told).status_code == 201
    (event,) = box.services.choices.history(PersonRef(data_subject=person))
    assert event.event.valid_until is not None
    assert (event.event.valid_until - NOON).days == 7
