"""Claims about letters on both databases: each step owes its own, written with it, sent; no address is left."""

import json
import os
import re
import signal
import ssl
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from consent_gateway.cli.rights import rights as rights_command
from consent_gateway.customers.leaving import drop_mail
from consent_gateway.customers.mail import Mail, MailRefused, MailUndelivered
from consent_gateway.customers.post import LONGEST_WAIT, Post
from consent_gateway.customers.smtp import SmtpMailer
from consent_gateway.customers.tables import CUSTOMER_MAIL
from consent_gateway.database import open_engine
from consent_gateway.errors import Conflict, IdentifierRefused, NotFound
from consent_gateway.people.directory import PersonRef
from consent_gateway.rights.execution import Outcome, Work
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.leaving import forget_details
from consent_gateway.rights.letter_desk import KEPT, Letter, LetterDesk
from consent_gateway.rights.letters import LIFE, LetterState
from consent_gateway.rights.letters_owed import Kind, owed
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.requests import Request, Taken, Via
from consent_gateway.rights.states import Act, DenialGround, HoldGround, Standing, State
from consent_gateway.rights.tables import RIGHTS_LETTERS, RIGHTS_REQUESTS
from consent_gateway.vocabulary import Identifier
from tests.conftest import NOON, StillClock
from tests.rights_world import KEY, KeptWork, shipped_policies, write_letters
from tests.unit.customers.test_customer_mail import SENDER, authority, server  # noqa: F401 - fixtures
from tests.unit.rights.conftest import ADA, NOBODY, OFFICER, Rights, opened_rights
from tests.unit.rights.test_states import explore
from tests.web.customers import KeptMail

STORED = "ada.on.file@example.com"
OWED: dict[Act, Kind | None] = {
    Act.ASK_IDENTITY: Kind.IDENTITY,
    Act.PROVE: None,
    Act.RESUME: None,
    Act.EXTEND: Kind.EXTENSION,
    Act.APPROVE: None,
    Act.START: None,
    Act.PRESENT: None,
    Act.FAIL: None,
    Act.DENY: Kind.DENIAL,
    Act.CANCEL: Kind.CANCELLATION,
    Act.EXPIRE: Kind.EXPIRY,
}
"""What a step owes under every law, whatever the right; the steps that are missing here are told apart below."""


def expected(right: str, before: Standing, act: Act, after: Standing) -> Kind | None:
    """The table as a person would say it."""
    at_once = right in ("object", "restrict", "opt_out_sale_share", "limit_sensitive")
    if act is Act.BEGIN:
        return None if at_once or before.begun else Kind.ACKNOWLEDGEMENT
    if act is Act.HOLD:
        return Kind.QUESTION if after.ground in ("clarification", "identity_doubt") else None
    if act is Act.FINISH:
        return Kind.PACKAGE if right in ("access", "know", "portability") else Kind.FULFILMENT
    if act is Act.FINISH_PARTLY:
        return None if before.state is State.PARTIALLY_FULFILLED else Kind.PARTIAL
    return OWED[act]


def all_laws() -> Iterator[tuple[str, str, str]]:
    """Every right, its law, and a place in which it is given."""
    for pack in shipped_policies().documents.packs.values():
        for right, clock in pack.clocks.items():
            if right != "breach_art33":
                yield right, clock.regime, pack.jurisdictions[0]


@pytest.fixture
def letters(gateway_engine: sa.Engine, clock: StillClock) -> Iterator[Rights]:
    """The room with letters; of Ada the store has a mail address, of nobody else."""
    held: dict[str, str] = {}
    with opened_rights(gateway_engine, clock, on_file=held.get) as opened:
        held[opened.ids[ADA]] = STORED
        yield opened


def desk(rights: Rights) -> LetterDesk:
    """Its letters."""
    assert rights.room.letters is not None
    return rights.room.letters


def of(rights: Rights, request: Request) -> list[Letter]:
    """The letters about a request."""
    return desk(rights).of_request(request.request_id)


def kinds(rights: Rights, request: Request) -> list[str]:
    """Their kinds, in order."""
    return [one.kind for one in of(rights, request)]


def post(rights: Rights, mailer: Any) -> Post:
    """The worker's post."""
    return Post(rights.engine, rights.clock, KEY, mailer, desk(rights).settled)


def left_of_addresses(rights: Rights) -> int:
    """How many addresses lie anywhere, sealed or waiting to be mailed to."""
    with rights.engine.connect() as connection:
        counts = (
            sa.select(sa.func.count()).where(RIGHTS_LETTERS.c.address.is_not(None)),
            sa.select(sa.func.count()).where(RIGHTS_REQUESTS.c.reply_to.is_not(None)),
            sa.select(sa.func.count()).select_from(CUSTOMER_MAIL),
        )
        return sum(connection.execute(each).scalar_one() for each in counts)


def test_every_step_under_every_law_owes_exactly_its_letter() -> None:
    """For every step of every interleaving and every right of every place, the letter is that of the table."""
    _standings, steps, _refused = explore(1)
    rights_given = {right for right, _regime, _place in all_laws()}
    assert {act for _before, act, _after, _day in steps} == set(Act)
    seen: set[Kind | None] = set()
    for before, act, after, _day in steps:
        for right in rights_given:
            kind = owed(right, before, act, after)
            assert kind == expected(right, before, act, after), (right, act)
            seen.add(kind)
    assert seen == {None, *Kind}


def test_every_letter_can_be_written_under_every_law(laws: Laws) -> None:
    """Each kind, right, law and language gives a whole text with its reference, and no place is left unfilled.

    Who is refused is told where to turn, by the authority of their place where the law names one.
    """
    documents, clock = shipped_policies().documents, StillClock()
    desk_ = write_letters(None, clock)  # type: ignore[arg-type] - nothing is stored
    writing, book = desk_._letters, desk_.book
    for right, regime, place in all_laws():
        received = next((at for at in (NOON, NOON.replace(year=2028)) if _has(laws, regime, right, at)), None)
        if received is None:
            continue
        for kind in Kind:
            ground = {Kind.DENIAL: "unfounded", Kind.QUESTION: "clarification"}.get(kind)
            standing = Standing(ground=ground, extended=kind is Kind.EXTENSION)
            request = Request("rq_1", right, regime, place, received, Via.API, "web_shop", "shop", "ds_1", standing)
            request = replace(request, extension_reason="complexity")
            taken = Taken(request, request, Act.DENY, OFFICER, received, book.dates(request))
            template = documents.letters.template(kind, received.date())
            assert template is not None
            for language in template.languages:
                subject_line, text = writing.written(book, kind, template, language, taken)
                assert not re.search(r"[{}]", subject_line + text)
                assert "rq_1" in subject_line
                assert "rq_1" in text
                assert right not in subject_line
                remedy = documents.letters.remedy(regime, received.date())
                if kind in (Kind.DENIAL, Kind.PARTIAL, Kind.EXPIRY) and remedy is not None:
                    named = documents.access_texts.authority(place, language)
                    assert named is not None
                    assert (named in text) is ("{authority}" in remedy.languages[language])


def _has(laws: Laws, regime: str, right: str, at: Any) -> bool:
    found = [law for law in laws._laws[regime][right] if law.in_force(at.date())]
    return bool(found)


def test_the_letters_of_a_life(letters: Rights) -> None:
    """Each step puts its letter into the outbox with itself, in the person's language; the worker sends each once."""
    asked = letters.ask("access", language="fr-FR")
    letters.room.proofs.by_officer(asked.request_id, "seen-1", None, OFFICER)
    handling = letters.room.handling
    handling.hold(asked.request_id, HoldGround.INTERNAL, OFFICER)
    handling.approve(asked.request_id, OFFICER)
    handling.hold(asked.request_id, HoldGround.CLARIFICATION, OFFICER)
    handling.approve(asked.request_id, OFFICER)
    handling.extend(asked.request_id, ExtensionReason.COMPLEXITY, OFFICER)
    handling.deny(asked.request_id, DenialGround.ABUSIVE, OFFICER)
    assert kinds(letters, asked) == ["identity", "question", "extension", "denial"]
    assert {(one.language, one.state) for one in of(letters, asked)} == {("fr", LetterState.QUEUED)}
    mailer = KeptMail()
    assert post(letters, mailer).send_due() == 4
    assert post(letters, mailer).send_due() == 0
    assert {mail.recipient for mail in mailer.sent} == {ADA}
    assert {mail.text for mail in mailer.sent} == {one.text for one in of(letters, asked)}
    assert {one.state for one in of(letters, asked)} == {LetterState.SENT}
    denial = of(letters, asked)[-1].text
    assert "autorité de contrôle" in denial
    assert "Commission" not in denial  # Ada reads French and lives in Germany
    assert left_of_addresses(letters) == 0
    told = [one["detail"] for one in letters.entries(asked) if one["action"] == "letter"]
    assert [one["letter_state"] for one in told] == ["queued"] * 4 + ["sent"] * 4
    assert ADA not in letters.everything() + str(letters.entries())


def test_a_step_and_its_letter_are_both_or_neither(letters: Rights, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the letter cannot be written the step is not taken; where the step is refused no letter is there."""
    asked = letters.proved("access")
    before = kinds(letters, asked)

    def broken(*_given: Any, **_more: Any) -> str:
        raise RuntimeError("the queue is broken")

    with monkeypatch.context() as patched:
        patched.setattr(desk(letters)._letters, "mail", broken)
        with pytest.raises(RuntimeError):
            letters.room.handling.deny(asked.request_id, DenialGround.ABUSIVE, OFFICER)
    assert letters.read(asked).state is State.IN_PROGRESS
    assert kinds(letters, asked) == before
    letters.room.handling.deny(asked.request_id, DenialGround.ABUSIVE, OFFICER)
    for _again in range(2):
        with pytest.raises(Conflict):
            letters.room.handling.deny(asked.request_id, DenialGround.ABUSIVE, OFFICER)
    assert kinds(letters, asked) == [*before, "denial"]


@pytest.mark.parametrize("right", ["opt_out_sale_share", "limit_sensitive"])
def test_what_is_done_at_once_is_told_once(letters: Rights, right: str) -> None:
    """An opt-out gets one letter, that it is done; so does one of an address that is nobody's."""
    for address in (ADA, NOBODY):
        asked = letters.ask(right, address, "US-CA")
        assert kinds(letters, asked) == ["fulfilment"]
        assert of(letters, asked)[0].language == "en"
    assert post(letters, KeptMail()).send_due() == 2
    assert left_of_addresses(letters) == 0


def test_whoever_is_known_or_not_is_written_the_same(letters: Rights) -> None:
    """The letters about a known and an unknown address differ in nothing but the reference."""
    texts = []
    for address in (ADA, NOBODY):
        asked = letters.ask("access", address)
        texts.append([(one.kind, one.text.replace(asked.request_id, "")) for one in of(letters, asked)])
    assert texts[0] == texts[1]


def test_without_a_mail_address_a_letter_is_printed(letters: Rights) -> None:
    """A letter writer without a mail address is answered by post; once it is posted, receipt is acknowledged."""
    person = PersonRef(data_subject=letters.ids[ADA])
    asked = letters.ask("delete", person=person, place="US-CA", via=Via.POST, by=OFFICER)
    waits = of(letters, asked)[0]
    assert (waits.state, waits.can_be_resent) == (LetterState.TO_POST, False)
    assert letters.read(asked).acknowledged_at is None
    assert next(what for _day, what in letters.room.handling.book.owed(letters.read(asked))) == "confirm_by"
    with pytest.raises(Conflict):
        desk(letters).resend(waits.letter_id, OFFICER)
    assert desk(letters).posted(waits.letter_id, OFFICER).state is LetterState.POSTED
    assert desk(letters).posted(waits.letter_id, OFFICER).state is LetterState.POSTED
    assert letters.read(asked).acknowledged_at == letters.clock.now()
    assert letters.acts(asked).count("acknowledge") == 1
    assert "confirm_by" not in [what for _day, what in letters.room.handling.book.owed(letters.read(asked))]
    assert post(letters, KeptMail()).send_due() == 0


def test_a_letter_writer_who_named_a_mail_address_is_acknowledged_by_mail(letters: Rights) -> None:
    """Receipt counts as acknowledged when the mail server took the letter, not before."""
    asked = letters.ask("delete", place="US-CA", via=Via.POST, by=OFFICER)
    assert letters.read(asked).acknowledged_at is None
    post(letters, KeptMail(failing=[MailUndelivered("not now")])).send_due()
    assert letters.read(asked).acknowledged_at is None
    letters.pass_by(minutes=10)
    post(letters, KeptMail()).send_due()
    assert letters.read(asked).acknowledged_at == letters.clock.now()


def test_a_signed_in_person_is_written_to_the_address_on_file(letters: Rights) -> None:
    """A request that names a person by id goes to the address that the store has; without one it is printed."""
    mailer = KeptMail()
    for address in (ADA, "family@example.com"):
        asked = letters.ask("access", person=PersonRef(data_subject=letters.ids[address]), via=Via.PAGE)
        post(letters, mailer).send_due()
        assert [one.state.value for one in of(letters, asked)] == ["sent" if address == ADA else "to_post"]
    assert [mail.recipient for mail in mailer.sent] == [STORED]


def test_commands_show_letters_and_say_what_was_done(letters: Rights) -> None:
    """`rights letters` lists and prints, `rights letter posted` and `resend` act; no address is printed anywhere."""
    printed = letters.ask("access", person=PersonRef(data_subject=letters.ids[ADA]), via=Via.POST, by=OFFICER)
    mailed = letters.ask("access")
    post(letters, KeptMail(failing=[MailRefused("no such box")])).send_due()
    services = SimpleNamespace(rights=letters.room, close=lambda: None)

    def run(*words: str) -> str:
        done = CliRunner().invoke(rights_command, list(words), obj=lambda: services, catch_exceptions=False)
        assert done.exit_code == 0
        assert ADA not in done.output
        return done.output

    (letter,), (failed,) = of(letters, printed), of(letters, mailed)
    shown = run("letters", printed.request_id, "--text")
    assert f"{letter.letter_id} to_post" in shown
    assert letter.text in shown
    told = json.loads(run("letters", mailed.request_id, "--json"))["letters"]
    assert [(one["id"], one["state"], one["can_be_resent"]) for one in told] == [(failed.letter_id, "failed", True)]
    assert "posted" in run("letter", "posted", letter.letter_id)
    assert "queued" in run("letter", "resend", failed.letter_id)


def test_a_failed_letter_is_seen_and_sent_again(letters: Rights) -> None:
    """Refused for good or too late, a letter has failed; an officer sends it again while its address is there."""
    asked = letters.ask("access")
    post(letters, KeptMail(failing=[MailRefused("no such box")])).send_due()
    failed = of(letters, asked)[0]
    assert (failed.state, failed.can_be_resent) == (LetterState.FAILED, True)
    assert desk(letters).resend(failed.letter_id, OFFICER).state is LetterState.QUEUED
    letters.pass_by(seconds=LIFE.total_seconds() + 1)
    assert post(letters, KeptMail()).send_due() == 0
    assert of(letters, asked)[0].state is LetterState.FAILED
    desk(letters).resend(failed.letter_id, OFFICER)
    mailer = KeptMail()
    assert post(letters, mailer).send_due() == 1
    assert (of(letters, asked)[0].state, mailer.sent[0].recipient) == (LetterState.SENT, ADA)
    with pytest.raises(Conflict):
        desk(letters).resend(failed.letter_id, OFFICER)
    with pytest.raises(NotFound):
        desk(letters).posted("rl_nothing", OFFICER)
    states = [one["detail"]["letter_state"] for one in letters.entries(asked) if one["action"] == "letter"]
    assert states == ["queued", "failed", "queued", "failed", "queued", "sent"]


def test_the_address_of_a_failed_letter_is_not_kept_for_ever(letters: Rights) -> None:
    """After its time the letter can be printed, and the address is gone."""
    asked = letters.ask("opt_out_sale_share", place="US-CA")
    post(letters, KeptMail(failing=[MailRefused("no such box")])).send_due()
    assert desk(letters).purge() == 0
    letters.pass_by(seconds=KEPT.total_seconds())
    assert desk(letters).purge() == 1
    assert left_of_addresses(letters) == 0
    with pytest.raises(Conflict):
        desk(letters).resend(of(letters, asked)[0].letter_id, OFFICER)
    assert desk(letters).posted(of(letters, asked)[0].letter_id, OFFICER).state is LetterState.POSTED


def test_the_last_letter_to_an_erased_person_leaves_no_address(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """Erasing forgets the request's words and the mail that waits; one letter goes out, then nothing is left."""
    with opened_rights(gateway_engine, clock, on_file=lambda _person: STORED) as letters:

        class Erases(KeptWork):
            """Does to the gateway's own tables what an erasure does."""

            def execute(self, work: Work) -> Outcome:
                """As `Executor.execute`."""
                with letters.engine.begin() as connection:
                    forget_details(connection, work.data_subject)
                    drop_mail(connection, KEY, lambda text: ADA in text, desk(letters).settled)
                return Outcome(complete=True, reference="er_1")

        letters.room.handling._executors = {"delete": Erases()}
        other = letters.ask("access")
        asked = letters.proved("delete")
        letters.room.handling.approve(asked.request_id, OFFICER)
        done = letters.room.handling.execute(asked.request_id, OFFICER, waived=True)
        assert (done.state, done.sealed, done.reply_to) == (State.FULFILLED, None, None)
        assert [(one.kind, one.state.value) for one in of(letters, asked)] == [
            ("identity", "dropped"), ("fulfilment", "queued"),
        ]  # fmt: skip
        assert (letters.read(other).reply_to, of(letters, other)[0].state) == (None, LetterState.DROPPED)
        mailer = KeptMail()
        assert post(letters, mailer).send_due() == 1
        assert [mail.recipient for mail in mailer.sent] == [ADA]
        assert left_of_addresses(letters) == 0


def test_whoever_proved_nothing_in_time_is_told_once(letters: Rights) -> None:
    """The letter is written with what deletes the address, and neither a second round nor a late try writes another."""
    asked = letters.ask("access")
    letters.pass_by(days=60)
    assert letters.room.handling.purge() == 1
    assert letters.room.handling.purge() == 0
    with pytest.raises(Conflict):
        letters.room.handling.cancel(asked.request_id, OFFICER)
    assert kinds(letters, asked) == ["identity", "expiry"]
    other = letters.ask("access", NOBODY)
    letters.pass_by(days=60)
    with pytest.raises(Conflict):
        letters.room.handling.cancel(other.request_id, OFFICER)
    assert letters.room.handling.purge() == 0
    assert kinds(letters, other) == ["identity", "expiry"]


def test_no_address_brings_a_header_along(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """An address of more than one line is refused where it is named; one that the store holds makes a failed letter."""
    evil = "ada@example.com\r\nBcc: all@example.com"
    with opened_rights(gateway_engine, clock, on_file=lambda _person: evil) as letters:
        with pytest.raises(IdentifierRefused):
            letters.ask("access", person=PersonRef(identifier=Identifier("email", evil)))
        asked = letters.ask("access", person=PersonRef(data_subject=letters.ids[ADA]), via=Via.PAGE)
        nowhere = SmtpMailer(None, SENDER, clock, ssl.create_default_context())  # type: ignore[arg-type] - not reached
        assert post(letters, nowhere).send_due() == 0
        assert of(letters, asked)[0].state is LetterState.FAILED


@pytest.mark.parametrize("server", ["starttls"], indirect=True)
def test_killed_between_sending_and_saying_so_a_letter_arrives_again_as_the_same(
    letters: Rights,
    server: Any,  # noqa: F811
) -> None:
    """A worker killed by SIGKILL once a real server has the mail leaves it due: it is sent again, under one Message-ID.

    SMTP knows no way to do both at once, so a letter arrives at least once; that it was sent is recorded once.
    """
    box, settings = server
    asked = letters.ask("access", language="ar")
    mailer = SmtpMailer(settings, SENDER, letters.clock, ssl.create_default_context(cafile=str(settings.ca_file)))
    child = os.fork()
    if child == 0:
        _send_and_die(letters, mailer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(box.taken) == 1
    assert of(letters, asked)[0].state is LetterState.QUEUED
    letters.pass_by(seconds=LONGEST_WAIT.total_seconds())
    assert post(letters, mailer).send_due() == 1
    letters.pass_by(seconds=LONGEST_WAIT.total_seconds())
    assert post(letters, mailer).send_due() == 0
    bodies = [envelope.content for envelope, _encrypted in box.taken]
    assert len({re.search(rb"Message-ID: (\S+)", body).group(1) for body in bodies}) == 1  # type: ignore[union-attr]
    assert len(bodies) == 2
    assert of(letters, asked)[0].state is LetterState.SENT
    states = [one["detail"]["letter_state"] for one in letters.entries(asked) if one["action"] == "letter"]
    assert states == ["queued", "sent"]


def _send_and_die(rights: Rights, mailer: SmtpMailer) -> None:
    class Dies:
        def send(self, mail: Mail) -> None:
            """Hand the mail over, and never come back."""
            mailer.send(mail)
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        engine = open_engine(rights.engine.url.render_as_string(hide_password=False), threads=1)
        Post(engine, rights.clock, KEY, Dies(), desk(rights).settled).send_due()
    finally:
        os._exit(1)
