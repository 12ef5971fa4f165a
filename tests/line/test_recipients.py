"""Recipients are told of erasures and corrections (GDPR Art. 19): by mail, by hand, once, under their own names."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from consent_gateway.cli.rights import rights
from consent_gateway.customers.mail import MailRefused
from consent_gateway.customers.outbox import Outbox, OutboxMail
from consent_gateway.customers.post import Post
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.propagation.outbox import PARTING_LIFE, purge_parting_names
from consent_gateway.rights.recipients import Notice, NoticeState, RecipientNotices
from consent_gateway.settings import read_settings
from consent_gateway.wiring import open_services
from tests.line.conftest import Line
from tests.line.test_rights_carried_out import Ask, approved, ask  # noqa: F401 - a fixture
from tests.line.test_store_erasures import erase, person, without_orders
from tests.web.customers import KeptMail

OUTBOX = {"CONSENT_GATEWAY_MAIL": "outbox"}


@pytest.fixture(scope="module")
def mailing(line: Line) -> Iterator[Line]:
    """The same deployment, from which mail leaves into a folder."""
    services = open_services(read_settings({**line.deployment.variables, **OUTBOX}))
    yield replace(line, services=services)
    services.close()


def received(line: Line, data_subject: str, recipient: str, purpose: str, *fields: str) -> None:
    """A recipient reads fields of a person."""
    caller = line.caller(purpose, recipients=recipient)
    query = ReadQuery(PersonRef(data_subject=data_subject), purpose, fields, recipient)
    assert line.services.gateway.read(caller, query).record


def notices_of(line: Line) -> RecipientNotices:
    """What tells recipients."""
    assert line.services.rights.notices is not None
    return line.services.rights.notices


def only(line: Line, request_id: str) -> Notice:
    """The one notice that a request made."""
    (notice,) = notices_of(line).of_request(request_id)
    return notice


def sent(line: Line) -> list[OutboxMail]:
    """The mails that left, once the worker has sent what is due."""
    while line.services.customers.post.send_due():
        pass
    mailer = line.services.customers.post._mailer
    assert isinstance(mailer, Outbox)
    return list(mailer.newest())


def outcomes(line: Line, data_subject: str) -> list[tuple[str | None, str]]:
    """What the log says of a person's notices: by whom, and how far."""
    entries = line.services.evidence.log.about(data_subject)
    return [(one.get("caller"), one["outcome"]) for one in entries if one.get("action") == "notify"]


def test_a_recipient_is_mailed_under_its_own_name_for_the_person(mailing: Line) -> None:
    """The erased person's name in each domain, the fields, a reference; no address, no name, no id of ours."""
    someone = without_orders(mailing, 50)
    email = mailing.store("SELECT email FROM customers WHERE customer_id = 50")
    last_name = mailing.store("SELECT last_name FROM customers WHERE customer_id = 50")
    received(mailing, someone, "email_tool", "service_messages", "email")
    names = mailing.services.outward.outbox._names
    called = [names.name(purpose, "email_tool", someone) for purpose in ("email_marketing", "service_messages")]
    erased = erase(mailing, someone)
    notice = only(mailing, erased.request_id)
    assert (notice.recipient, notice.state, list(notice.known_as)) == ("email_tool", NoticeState.QUEUED, called)
    assert notice.fields == ("email",)  # what it got of all that was erased
    mail = sent(mailing)[0]
    assert (mail.recipient, mail.language) == ("privacy@lerchenpost.example", "en")
    assert notice.notice_id in mail.subject_line
    for told in (*called, "email", notice.notice_id):
        assert told in mail.text
    for kept in (str(email), str(last_name), someone, erased.erasure_id, erased.request_id):
        assert kept.lower() not in f"{mail.subject_line}{mail.text}".lower()
    assert only(mailing, erased.request_id).state is NoticeState.SENT
    assert outcomes(mailing, someone) == [(None, "queued"), (None, "sent")]


def test_a_confirmation_is_kept_once(mailing: Line) -> None:
    """The first one counts, whoever says it again; what is confirmed is waited for no more and is not sent again."""
    someone = without_orders(mailing, 51)
    received(mailing, someone, "email_tool", "service_messages", "email")
    request_id, notices = erase(mailing, someone).request_id, notices_of(mailing)
    notice = only(mailing, request_id)
    assert notice.notice_id in {one.notice_id for one in notices.unconfirmed()}
    first = notices.confirm(notice.notice_id, by="officer")
    assert notices.confirm(notice.notice_id, by="another").confirmed_at == first.confirmed_at
    assert notice.notice_id not in {one.notice_id for one in notices.unconfirmed()}
    assert outcomes(mailing, someone)[1:] == [("officer", "confirmed")]
    with pytest.raises(Conflict):
        notices.resend(notice.notice_id, by="officer")
    with pytest.raises(NotFound):
        notices.confirm("rn_none", by="officer")


def test_without_mail_a_recipient_is_told_by_hand(line: Line) -> None:
    """Where no mail leaves the notice waits for somebody, and says what the recipient calls the person."""
    someone = without_orders(line, 52)
    received(line, someone, "email_tool", "service_messages", "email")
    request_id, notices = erase(line, someone).request_id, notices_of(line)
    notice = only(line, request_id)
    assert (notice.state, len(notice.known_as)) == (NoticeState.TO_TELL, 2)
    with pytest.raises(Conflict, match="no mail"):
        notices.resend(notice.notice_id, by="officer")
    told = notices.told(notice.notice_id, by="officer")
    assert (told.state, told.confirmed_at) == (NoticeState.TOLD, None)
    assert notices.told(notice.notice_id, by="officer").settled_at == told.settled_at
    assert outcomes(line, someone) == [(None, "to_tell"), ("officer", "told")]


def test_a_notice_that_was_refused_is_mailed_again(mailing: Line) -> None:
    """What the mail server refuses for good has failed; mailed again it is on its way, and by hand it is not told."""
    sent(mailing)  # what other tests queued
    someone = without_orders(mailing, 53)
    received(mailing, someone, "email_tool", "service_messages", "email")
    request_id, notices = erase(mailing, someone).request_id, notices_of(mailing)
    services = mailing.services
    mailer = KeptMail(failing=[MailRefused("no such mailbox")])
    key = services.keyring.service_key("customer-mail")
    Post(services.engine, services.clock, key, mailer, notices.settled).send_due()
    failed = only(mailing, request_id)
    assert failed.state is NoticeState.FAILED
    assert notices.resend(failed.notice_id, by="officer").state is NoticeState.QUEUED
    with pytest.raises(Conflict, match="by mail"):
        notices.told(failed.notice_id, by="officer")
    sent(mailing)
    assert only(mailing, request_id).state is NoticeState.SENT


def test_the_names_are_forgotten_in_time(line: Line) -> None:
    """When every recipient has had time enough, nobody can say any more what an erased person was called."""
    someone = without_orders(line, 54)
    received(line, someone, "email_tool", "service_messages", "email")
    request_id = erase(line, someone).request_id
    assert only(line, request_id).known_as
    purge_parting_names(line.services.engine, line.services.clock.now() + PARTING_LIFE + timedelta(minutes=1))
    assert only(line, request_id).known_as == ()


def test_a_second_run_tells_nobody_twice(mailing: Line) -> None:
    """What was left and is looked at again makes no second notice of the same erasure."""
    someone = without_orders(mailing, 55)
    received(mailing, someone, "email_tool", "service_messages", "email")
    email = str(mailing.store("SELECT email FROM customers WHERE customer_id = 55"))
    note = mailing.store("SELECT min(note_id) FROM support_notes WHERE customer_id <> 55")
    mailing.store("UPDATE support_notes SET note = :text WHERE note_id = :id", text=f"ask {email}", id=note)
    left = erase(mailing, someone)
    before = only(mailing, left.request_id)
    mailing.store("UPDATE support_notes SET note = 'ask' WHERE note_id = :id", id=note)
    mailing.services.erasure_desk.erasing.look_again(left.erasure_id, by="officer")
    assert only(mailing, left.request_id).notice_id == before.notice_id


def test_who_received_a_corrected_field_is_told_and_nobody_else(line: Line, ask: Ask) -> None:  # noqa: F811
    """Over HTTP: the courier had the street, the payment provider did not; the confirmation is kept, by the CLI too."""
    someone = person(line, 28)
    received(line, someone, "courier", "order_fulfilment", "street")
    received(line, someone, "payment_provider", "payment", "orders.card_last4")
    path = approved(line, ask, 28, "correct")
    ask("POST", f"{path}/correction", {"record": {"street": "Mended Lane 28"}})
    ask("POST", f"{path}/execute", {})
    (notice,) = ask("GET", f"{path}/recipients")["notices"]
    shown = {name: notice[name] for name in ("kind", "request", "recipient", "fields", "state", "confirmed_at")}
    assert shown == {
        "kind": "correction",
        "request": path[1:],
        "recipient": "courier",
        "fields": ["street"],
        "state": "to_tell",
        "confirmed_at": None,
    }
    assert len(notice["known_as"]) == 1
    run = CliRunner().invoke
    for words in (["recipient", "told"], ["recipient", "confirmed"]):
        done = run(rights, [*words, notice["id"]], obj=lambda: unclosed(line))
        assert done.exit_code == 0, done.output
    listed = run(rights, ["recipients", path[1:], "--json"], obj=lambda: unclosed(line))
    (told,) = json.loads(listed.output)["notices"]
    assert (told["state"], told["confirmed_at"] is None) == ("told", False)
    assert ask("GET", f"{path}/recipients")["notices"][0]["confirmed_at"] is not None


def unclosed(line: Line) -> object:
    """The services as a command gets them, which the module goes on using."""
    return SimpleNamespace(rights=line.services.rights, close=lambda: None)
