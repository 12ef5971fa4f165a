"""Claims about requests on both databases: what binds at once, what is told to whom, what each act leaves behind."""

import json
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from consent_gateway.cli.rights import rights as rights_command
from consent_gateway.customers.tables import CUSTOMER_MAIL
from consent_gateway.errors import Conflict, InputRefused, NotFound, StoreUnavailable, UnknownPurpose
from consent_gateway.people.directory import PersonRef
from consent_gateway.rights.execution import Outcome
from consent_gateway.rights.handling import LEASE, ExtensionReason
from consent_gateway.rights.leaving import forget_details
from consent_gateway.rights.requests import Via
from consent_gateway.rights.states import Act, DenialGround, HoldGround, State
from consent_gateway.rights.tables import RIGHTS_CODES, RIGHTS_REQUESTS
from tests.unit.rights.conftest import ADA, FAMILY, NOBODY, OFFICER, SHOP, Rights


@pytest.mark.parametrize("address", [ADA, FAMILY, NOBODY])
def test_an_opt_out_binds_at_once_without_proof(rights: Rights, address: str) -> None:
    """Known, shared or nobody's: the opt-out is fulfilled when the call returns, and sale and sharing are closed."""
    asked = rights.ask("opt_out_sale_share", address, "US-CA")
    assert (asked.state, asked.data_subject is None) == (State.FULFILLED, address != ADA)
    assert asked.sealed is None
    if address != NOBODY:
        choices = rights.of(address).choices
        assert choices["data_sale"].opted_out
        assert choices["targeted_ads"].opted_out
    dates = rights.room.handling.book.dates(asked)
    assert (dates.effective_by, dates.earliest_reask) == (date(2026, 12, 14), date(2027, 11, 22))
    assert rights.acts(asked) == ["receive", "begin", "approve", "start", "finish"]


def test_a_restriction_an_objection_and_a_limit_bind_at_once(rights: Rights) -> None:
    """They close before anybody decides about them; an objection may be about some purposes alone."""
    rights.ask("restrict")
    assert rights.of(ADA).restricted
    rights.ask("object", purposes=("postal_marketing",))
    assert {key for key, one in rights.of(ADA).choices.items() if one.objected} == {"postal_marketing"}
    rights.ask("object")
    assert rights.of(ADA).choices["email_marketing"].objected
    rights.ask("limit_sensitive", place="US-CA")
    assert rights.of(ADA).limited


def test_nobody_is_told_who_is_known(rights: Rights) -> None:
    """Of a known, a shared and an unknown address the request reads the same, but for what officers alone are shown."""
    seen = []
    for address in (ADA, FAMILY, NOBODY):
        asked = rights.ask("access", address, "US-CA")
        rights.room.proofs.send_code(asked.request_id, SHOP)
        now = rights.room.handling.read(asked.request_id, "web-shop")
        seen.append((now.state, now.prove_until, now.next_by, now.codes, now.version, now.standing))
        assert rights.acts(asked) == ["receive", "ask_identity", "send_code"]
    assert len(set(seen)) == 1
    with rights.engine.connect() as connection:
        assert sorted(connection.execute(sa.select(CUSTOMER_MAIL.c.decoy)).scalars()) == [False, True, True]
        assert connection.execute(sa.select(sa.func.count()).select_from(RIGHTS_CODES)).scalar_one() == 3


def test_officers_are_warned(rights: Rights) -> None:
    """What could mislead an answer is told to them: a shared address, a household, another residence, nobody."""
    assert rights.ask("know", FAMILY, "US-CA").warnings == ("shared_identifier", "household")
    assert rights.ask("access", FAMILY, "DE").warnings == ("shared_identifier", "residence_differs")
    assert rights.ask("know", ADA, "US-CA").warnings == ("residence_differs",)
    assert rights.ask("access", NOBODY).warnings == ("nobody_known",)


def test_a_channel_sees_its_own_requests_only(rights: Rights) -> None:
    """Another client's request is not found, as if there were none."""
    asked = rights.ask("access")
    assert rights.room.handling.read(asked.request_id, "web-shop").request_id == asked.request_id
    with pytest.raises(NotFound):
        rights.room.handling.read(asked.request_id, "till")


def test_what_cannot_be_asked_is_refused(rights: Rights) -> None:
    """No law, no place, no permission, a day to come, an unknown purpose: each is refused and nothing is kept."""
    with pytest.raises(InputRefused, match="rights there: access"):
        rights.ask("know", place="DE")
    with pytest.raises(InputRefused, match="rights there: none"):
        rights.ask("access", place="XX")
    with pytest.raises(InputRefused, match="say where the person lives"):
        rights.ask("access", place=None)  # type: ignore[arg-type]
    with pytest.raises(InputRefused, match="signed permission"):
        rights.ask("opt_out_sale_share", place="US-CA", via=Via.AUTHORISED_AGENT)
    with pytest.raises(InputRefused, match="future"):
        rights.ask("access", received_at=rights.clock.now() + timedelta(seconds=1))
    with pytest.raises(InputRefused, match="no right"):
        rights.ask("breach_art33")
    with pytest.raises(InputRefused, match="unknown calendar"):
        rights.ask("access", calendar="XX")
    with pytest.raises(UnknownPurpose):
        rights.ask("object", purposes=("nonsense",))
    with pytest.raises(NotFound):
        rights.ask("access", person=PersonRef(data_subject="ds_nobody"))
    assert rights.entries() == []
    agent = rights.ask("delete", place="US-CA", via=Via.AUTHORISED_AGENT, agent_permission="perm-7")
    assert (agent.state, agent.agent_permission) == (State.IDENTITY_PENDING, "perm-7")


def test_a_repeat_is_joined_once_it_is_proved(rights: Rights) -> None:
    """A second proved request joins the first and ends with it; one that nobody proved learns nothing of the first."""
    rights.room.handling.cancel(rights.ask("portability").request_id, SHOP)
    strangers = rights.ask("portability")  # first, but nobody proved that it is hers
    own = rights.proved("portability")
    assert (strangers.joined_to, own.joined_to) == (None, None)
    for each in (strangers, own):
        rights.room.handling.cancel(each.request_id, SHOP)
    first = rights.proved("access")
    unproved = rights.ask("access")
    second = rights.proved("access")
    assert second.joined_to == first.request_id
    assert rights.read(second).request_id == first.request_id
    assert rights.read(unproved).state is State.IDENTITY_PENDING
    queued = {one.request.request_id: one.joined for one in rights.room.handling.queue()}
    assert queued == {first.request_id: 1, unproved.request_id: 0}
    rights.room.handling.approve(second.request_id, OFFICER)
    rights.room.handling.execute(second.request_id, OFFICER)
    with rights.engine.connect() as connection:
        states = dict(connection.execute(sa.select(RIGHTS_REQUESTS.c.request_id, RIGHTS_REQUESTS.c.state)).all())
    assert (states[first.request_id], states[second.request_id]) == ("fulfilled", "fulfilled")
    assert states[unproved.request_id] == "identity_pending"


def test_words_of_a_request_are_never_lost_in_another(rights: Rights) -> None:
    """Two corrections are two, however alike: each is kept with what the person said until it is answered."""
    first, second = (rights.proved("correct", text=said) for said in ("my name is Ada", "my street is Am Tor"))
    assert second.joined_to is None
    told = [rights.room.handling.details(rights.read(each)).text for each in (first, second)]
    assert told == ["my name is Ada", "my street is Am Tor"]


def test_the_clock_stands_still_while_the_person_is_asked(rights: Rights) -> None:
    """In the EU the days of identity and clarification do not count; in California they all do."""
    asked = rights.ask("access", calendar=None)
    rights.pass_by(days=10)
    rights.room.proofs.by_officer(asked.request_id, "seen-1", None, OFFICER)
    rights.pass_by(days=1)
    rights.room.handling.hold(asked.request_id, HoldGround.CLARIFICATION, OFFICER)
    assert rights.room.handling.book.dates(rights.read(asked)).suspended
    rights.pass_by(days=5)
    back = rights.room.handling.approve(asked.request_id, OFFICER)
    assert (back.state, back.next_by) == (State.IN_PROGRESS, date(2026, 12, 22) + timedelta(days=15))
    held = rights.room.handling.hold(asked.request_id, HoldGround.LEGAL_HOLD, OFFICER)
    rights.pass_by(days=3)
    assert rights.room.handling.approve(asked.request_id, OFFICER).next_by == held.next_by
    theirs = rights.ask("know", place="US-CA")
    received = rights.clock.now().date()
    rights.pass_by(days=10)
    rights.room.proofs.by_officer(theirs.request_id, "seen-1", None, OFFICER)
    assert rights.read(theirs).next_by == received + timedelta(days=45)


def test_time_is_extended_once_and_only_while_it_can_be_told(rights: Rights) -> None:
    """An extension moves the end to three months from receipt; a second one, or a late one, is refused."""
    asked = rights.proved("access")
    extended = rights.room.handling.extend(asked.request_id, ExtensionReason.COMPLEXITY, OFFICER)
    assert (extended.state, extended.extension_reason) == (State.EXTENDED, "complexity")
    assert extended.next_by == date(2027, 2, 22)
    with pytest.raises(Conflict, match="extended"):
        rights.room.handling.extend(asked.request_id, ExtensionReason.COMPLEXITY, OFFICER)
    late = rights.proved("portability")
    rights.clock.moment = rights.clock.moment.replace(year=2027, month=1, day=1)
    with pytest.raises(Conflict, match="by 2026-12-22"):
        rights.room.handling.extend(late.request_id, ExtensionReason.COMPLEXITY, OFFICER)
    none = rights.proved("access", place="CA-QC")
    with pytest.raises(Conflict, match="no longer time"):
        rights.room.handling.extend(none.request_id, ExtensionReason.COMPLEXITY, OFFICER)


def test_a_proved_erasure_closes_reads_and_a_denied_one_opens_them(rights: Rights) -> None:
    """Nobody can freeze another's account by asking: reads close with the proof, and open where it is not to be."""
    asked = rights.ask("delete")
    assert not rights.of(ADA).erasure_pending
    done = rights.room.proofs.by_officer(asked.request_id, "seen-1", None, OFFICER)
    rights.room.proofs.close_reads(done)
    assert rights.of(ADA).erasure_pending
    rights.pass_by(minutes=1)
    rights.room.handling.deny(asked.request_id, DenialGround.LEGAL_CLAIMS, OFFICER)
    assert not rights.of(ADA).erasure_pending
    rights.pass_by(minutes=1)
    again = rights.proved("delete")
    assert rights.of(ADA).erasure_pending
    rights.pass_by(minutes=1)
    rights.room.handling.cancel(again.request_id, SHOP)
    assert not rights.of(ADA).erasure_pending
    assert rights.acts(asked)[-2:] == ["prove", "deny"]


def test_nothing_is_carried_out_before_it_is_approved(rights: Rights) -> None:
    """An approval stands before the work, and the outcome is kept; what leaves something can be run again."""
    asked = rights.proved("delete")
    with pytest.raises(Conflict, match="approve it first"):
        rights.room.handling.execute(asked.request_id, OFFICER)
    assert rights.work.done == []
    rights.room.handling.approve(asked.request_id, OFFICER)
    rights.work.outcome = Outcome(complete=False, reference="crt_1", leftovers=("orders.total",))
    partly = rights.room.handling.execute(asked.request_id, OFFICER)
    assert partly.state is State.PARTIALLY_FULFILLED
    assert partly.outcome == {"reference": "crt_1", "leftovers": ["orders.total"]}
    rights.work.outcome = Outcome(complete=True, reference="crt_2")
    assert rights.room.handling.execute(asked.request_id, OFFICER).state is State.FULFILLED
    assert [one.data_subject for one in rights.work.done] == [rights.ids[ADA]] * 2
    assert rights.acts(asked) == [
        "receive", "ask_identity", "prove", "approve", "start", "finish_partly", "start", "finish",
    ]  # fmt: skip


def test_work_that_failed_or_was_killed_is_taken_up_again(rights: Rights) -> None:
    """A failure is recorded and can be tried again at once; a kill leaves the lease, and who comes after it goes on."""
    asked = rights.proved("delete")
    rights.room.handling.approve(asked.request_id, OFFICER)
    rights.work.failing = StoreUnavailable("the store is down")
    with pytest.raises(StoreUnavailable):
        rights.room.handling.execute(asked.request_id, OFFICER)
    rights.work.failing = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        rights.room.handling.execute(asked.request_id, OFFICER)
    assert rights.read(asked).standing.running
    for attempt in (
        lambda: rights.room.handling.execute(asked.request_id, OFFICER),
        lambda: rights.room.handling.cancel(asked.request_id, SHOP),
        lambda: rights.room.handling.deny(asked.request_id, DenialGround.ABUSIVE, OFFICER),
    ):
        with pytest.raises(Conflict, match="going on"):
            attempt()
    rights.clock.moment += LEASE
    assert rights.room.handling.execute(asked.request_id, OFFICER).state is State.FULFILLED
    assert rights.acts(asked)[3:] == ["approve", "start", "fail", "start", "take_up_again", "finish"]


def test_what_no_one_carries_out_here_is_said_by_an_officer(rights: Rights) -> None:
    """A correction is done by hand and said with its reference; an erasure cannot be said to be done."""
    asked = rights.proved("correct", text="my street is Parkweg 7")
    assert rights.room.handling.details(rights.read(asked)).text == "my street is Parkweg 7"
    rights.room.handling.approve(asked.request_id, OFFICER)
    with pytest.raises(Conflict, match="say what was done"):
        rights.room.handling.execute(asked.request_id, OFFICER)
    done = rights.room.handling.execute(asked.request_id, OFFICER, Outcome(complete=True, reference="ticket-9"))
    assert (done.state, done.sealed) == (State.FULFILLED, None)
    assert rights.entries(asked)[-1]["detail"]["outcome"] == "ticket-9"


def test_a_request_nobody_proves_expires_by_the_clock_alone(rights: Rights) -> None:
    """The day after its time it is expired wherever it is looked at, though nothing touched it; then it stays so."""
    asked = rights.ask("access")
    assert asked.prove_until == date(2027, 1, 6)
    rights.clock.moment = rights.clock.moment.replace(year=2027, month=1, day=6)
    assert rights.read(asked).at(rights.room.handling.today) is State.IDENTITY_PENDING
    rights.pass_by(days=1)
    assert rights.read(asked).at(rights.room.handling.today) is State.EXPIRED
    assert rights.room.handling.queue() == []
    with pytest.raises(Conflict, match="does not wait for proof"):
        rights.room.proofs.by_officer(asked.request_id, "seen-1", None, OFFICER)
    with pytest.raises(Conflict, match="expired"):
        rights.room.handling.cancel(asked.request_id, SHOP)
    assert rights.read(asked).state is State.EXPIRED
    again = rights.ask("access")
    rights.room.proofs.send_code(again.request_id, SHOP)
    assert rights.room.handling.purge() == 0
    rights.pass_by(days=46)
    assert (rights.room.handling.purge(), rights.room.handling.purge()) == (1, 0)
    kept = rights.read(again)
    assert (kept.state, kept.sealed) == (State.IDENTITY_PENDING, None)
    theirs = rights.ask("know", place="US-CA")  # where the time runs on, an answer stays owed until it is given
    rights.pass_by(days=400)
    (late,) = rights.room.handling.queue()
    assert (late.request.request_id, theirs.prove_until) == (theirs.request_id, None)


def test_whoever_is_second_is_refused(rights: Rights) -> None:
    """Two who read the same version cannot both change it."""
    asked = rights.proved("access")
    book = rights.room.handling.book
    with rights.engine.begin() as connection:
        stale = book.find(connection, asked.request_id)
        book.take(connection, stale, Act.HOLD, OFFICER, rights.clock.now(), ground=HoldGround.INTERNAL)
    with pytest.raises(Conflict, match="in between"), rights.engine.begin() as connection:
        book.take(connection, stale, Act.DENY, OFFICER, rights.clock.now(), ground=DenialGround.ABUSIVE)
    assert rights.acts(asked)[-1] == "hold"
    assert rights.read(asked).state is State.ON_HOLD


def test_the_queue_says_what_is_due_first_and_why(rights: Rights) -> None:
    """A letter from California owes its confirmation first; what is answered is not in the queue."""
    letter = rights.ask(
        "delete", place="US-CA", by=OFFICER, via=Via.POST, received_at=rights.clock.now() - timedelta(days=4)
    )
    soon = rights.proved("access", received_at=rights.clock.now() - timedelta(days=25))
    rights.ask("opt_out_sale_share", place="US-CA")
    first, second = rights.room.handling.queue()
    assert [first.request.request_id, second.request.request_id] == [soon.request_id, letter.request_id]
    assert second.owed == ((date(2026, 12, 3), "confirm_by"), (date(2027, 1, 2), "respond_by"))
    rights.room.handling.acknowledge(letter.request_id, OFFICER)
    rights.room.handling.acknowledge(letter.request_id, OFFICER)
    assert rights.read(letter).next_by == date(2027, 1, 2)
    assert rights.acts(letter).count("acknowledge") == 1


def test_no_personal_value_is_left_in_rows_or_entries(rights: Rights) -> None:
    """Address and words lie sealed while the request is open, and nowhere once it is answered."""
    asked = rights.proved("correct", text="Parkweg")
    assert "Parkweg" not in rights.everything()
    assert "example.com" not in rights.everything()
    rights.room.handling.deny(asked.request_id, DenialGround.DATA_ACCURATE, OFFICER)
    assert rights.read(asked).sealed is None
    assert rights.room.handling.details(rights.read(asked)).text is None
    for entry in rights.entries():
        assert ADA not in str(entry)


def test_the_queue_command_says_when_what_and_why(rights: Rights) -> None:
    """`rights queue` prints a line for each open request, soonest first, and the same as JSON."""
    letter = rights.ask(
        "delete", FAMILY, "US-CA", OFFICER, via=Via.POST, received_at=rights.clock.now() - timedelta(days=60)
    )
    services = SimpleNamespace(rights=rights.room, close=lambda: None)
    asked = rights.proved("access")
    rights.room.handling.hold(asked.request_id, HoldGround.CLARIFICATION, OFFICER)
    told = CliRunner().invoke(rights_command, ["queue"], obj=lambda: services, catch_exceptions=False).output
    late, held = told.splitlines()
    assert late.startswith("2026-10-07 46 days late  confirm receipt: delete under US_CA_CCPA, " + letter.request_id)
    assert "shared identifier, household" in late
    assert "in 30 days" in held
    assert "(on hold, clarification, the clock stands still)" in held
    read = CliRunner().invoke(rights_command, ["queue", "--json", "--limit", "1"], obj=lambda: services)
    (line,) = json.loads(read.output)["requests"]
    assert (line["id"], line["what"], line["days_left"]) == (letter.request_id, "confirm_by", -46)


def test_an_erased_persons_requests_keep_no_word_of_theirs(rights: Rights) -> None:
    """Identifier, words and waiting codes go with the erasure; that the requests came stays. Others keep theirs."""
    theirs, open_one = rights.proved("correct", text="Parkweg"), rights.ask("access")
    other = rights.ask("access", NOBODY)
    for each in (open_one, other):
        rights.room.proofs.send_code(each.request_id, SHOP)
    with rights.engine.begin() as connection:
        forget_details(connection, rights.ids[ADA])
    assert [rights.read(one).sealed is None for one in (theirs, open_one, other)] == [True, True, False]
    with rights.engine.connect() as connection:
        assert list(connection.execute(sa.select(RIGHTS_CODES.c.request_id)).scalars()) == [other.request_id]
