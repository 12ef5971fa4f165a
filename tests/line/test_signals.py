"""Signals, from the call to the ledger and to every later decision, on real parts and both databases."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from consent_gateway.consent.choices import NewChoice
from consent_gateway.consent.signals import read_signal
from consent_gateway.demo.cast import CAST
from consent_gateway.errors import ConsentNotRaised, DatabaseUnavailable, InputRefused
from consent_gateway.line import DecideQuery, ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import OPENING, EventKind, Identifier, Reason
from tests.conftest import NOON
from tests.line.conftest import ALL, Line, named
from tests.unit.consent.iab import gpp, us_section

ADS = "targeted_ads"
MAYA, ANNA = 1, 0
NO_CHOICES = ALL - {"consents:write", "consents:read"}


def reason(line: Line, person: PersonRef, *, gpc: bool = False) -> Reason:
    """Why one field is open or closed to the company's own advertising."""
    caller = line.caller(ADS, scopes=NO_CHOICES)
    answer = line.services.gateway.decide(caller, DecideQuery(person, ADS, ("email",), gpc=gpc))
    return answer.verdicts["email"].reason


def signals_of(line: Line, data_subject: str) -> int:
    """How many events of the signal the person has."""
    statement = "SELECT count(*) FROM consent_events WHERE data_subject = :who AND kind = 'gpc' AND how = 'signal'"
    found = line.scalar(statement, who=data_subject)
    assert isinstance(found, int)
    return found


def known(line: Line, person: PersonRef) -> str:
    """The id of a person."""
    return line.services.choices.state(person).data_subject


def test_the_first_call_with_the_header_binds_every_later_one(line: Line) -> None:
    """One event, by a client that may record no choices; later calls need no header."""
    maya = named(MAYA)
    assert reason(line, maya) is Reason.OPT_OUT_MODEL
    assert signals_of(line, known(line, maya)) == 0
    assert reason(line, maya, gpc=True) is Reason.GPC
    assert signals_of(line, known(line, maya)) == 1
    assert reason(line, maya) is Reason.GPC
    event = line.services.choices.history(maya)[-1]
    assert (event.event.kind, event.event.evidence.how, event.event.evidence.reference) == (
        EventKind.GPC,
        "signal",
        "sec-gpc",
    )


def test_a_signal_sent_many_times_at_once_is_one_event(line: Line) -> None:
    """Eight threads, fifty calls: the ledger grows by one event, and the log by its entry."""
    entries = line.scalar("SELECT count(*) FROM audit_queue")
    person = PersonRef(identifier=Identifier("device_id", "device-many-times"))
    caller = line.caller(ADS)
    with ThreadPoolExecutor(8) as pool:
        told = read_signal(gpc="1")
        events = list(pool.map(lambda _: line.services.hearing.hear(caller, (person,), told), range(50)))
    assert sum(map(len, events)) == 1
    assert line.scalar("SELECT count(*) - :before FROM audit_queue", before=entries) == 1
    assert signals_of(line, known(line, person)) == 1


def test_a_read_remembers_as_a_decision_does(line: Line) -> None:
    """A read with the header, also of somebody nobody knows yet, leaves the signal for whoever that will be."""
    stranger = PersonRef(identifier=Identifier("email", "not.yet.a.customer@example.com"))
    caller = line.caller(ADS)
    for _ in range(2):
        line.services.gateway.read(caller, ReadQuery(stranger, ADS, ("email",), gpc=True))
    assert signals_of(line, known(line, stranger)) == 1


def test_absence_and_zero_open_nothing(line: Line) -> None:
    """After the signal neither a call without it, nor a `0`, nor a string of yeses takes it back."""
    person = PersonRef(identifier=Identifier("device_id", "device-once"))
    hear, caller = line.services.hearing.hear, line.caller(ADS)
    assert len(hear(caller, (person,), read_signal(gpc="1"))) == 1
    for told in (read_signal(gpc="0"), read_signal(usp="1YNN"), read_signal(gpp=gpp({8: us_section(8, gpc=False)}))):
        assert hear(caller, (person,), told) == ()
    assert line.services.choices.state(person).facts.gpc


def test_device_and_person_are_bound_together(line: Line) -> None:
    """One call binds the device, whom nobody knows by name, and the person."""
    device, person = PersonRef(identifier=Identifier("device_id", "device-and-person")), named(3)
    line.services.hearing.hear(line.caller(ADS), (device, person), read_signal(gpc="1"))
    assert all(line.services.choices.state(each).facts.gpc for each in (device, person))


def test_what_a_device_said_binds_whoever_turns_out_to_hold_it(line: Line) -> None:
    """A signal of a device that nobody knew is the person's from the moment in which the store tells whose it is."""
    device = PersonRef(identifier=Identifier("device_id", "device-later"))
    someone = line.store("SELECT customer_id FROM customers WHERE email = :email", email=CAST[5].email)
    line.services.hearing.hear(line.caller(ADS), (device,), read_signal(gpc="1"))
    assert line.services.choices.state(device).data_subject != known(line, named(5))
    line.store(
        "INSERT INTO devices (device_id, customer_id, platform, cookie_id, last_ip, last_seen)"
        " VALUES ('device-later', :who, 'ios', 'c-later', '192.0.2.1', '2026-11-01T00:00:00Z')",
        who=someone,
    )
    line.services.enrolment.run(lambda _done, _total: None)
    assert line.services.choices.state(named(5)).facts.gpc
    assert reason(line, named(5)) in (Reason.GPC, Reason.OPTED_OUT, Reason.NOT_YET_GIVEN, Reason.NO_CONSENT)


def test_a_shared_identifier_binds_all_who_share_it(line: Line) -> None:
    """A household's browser speaks for each of its members."""
    shared = PersonRef(identifier=Identifier("email", CAST[9].email))
    reason(line, shared, gpc=True)
    state = line.services.choices.state(shared)
    assert state.shared
    alike = (
        "SELECT count(*) FROM (SELECT s.blind_index FROM shared_identifiers s"
        " LEFT JOIN person_state p ON p.data_subject = s.data_subject"
        " GROUP BY s.blind_index HAVING min(CASE WHEN p.gpc THEN 1 ELSE 0 END) = 1) AS bound"
    )
    assert line.scalar(alike) == 1


def test_strings_close_what_they_object_to(line: Line) -> None:
    """A GPP string that opts out is an opt-out of every purpose that sells or shares; sent again, nothing is new."""
    person = PersonRef(identifier=Identifier("device_id", "device-gpp"))
    told = read_signal(gpp=gpp({8: us_section(8, [1, 2], [2] * 8 + [1])}))
    assert len(line.services.hearing.hear(line.caller(ADS), (person,), told)) == 3
    assert line.services.hearing.hear(line.caller(ADS), (person,), told) == ()
    facts = line.services.choices.state(person).facts
    assert all(facts.choices[purpose].opted_out for purpose in ("data_sale", ADS))
    assert facts.limited
    reference = line.services.choices.history(person)[0].event.evidence.reference
    assert reference is not None
    assert reference.startswith("gpp:sha256-")


def test_a_signal_that_is_not_understood_changes_nothing(line: Line) -> None:
    """It is refused before anyone is looked up or made."""
    before = line.scalar("SELECT count(*) FROM people")
    with pytest.raises(InputRefused, match="`gpp`"):
        read_signal(gpp="DBABM~nonsense")
    assert line.scalar("SELECT count(*) FROM people") == before


@pytest.mark.parametrize("kind", sorted(OPENING))
def test_nothing_that_opens_passes_as_a_signal(line: Line, kind: EventKind) -> None:
    """The way by which signals are recorded takes no kind that opens, whoever asks."""
    choice = NewChoice(named(ANNA), kind, NOON, "signal", ADS)
    with pytest.raises(ConsentNotRaised, match="can only close"):
        line.services.choices.restrict(line.caller(ADS), [choice])


def test_the_status_shows_what_was_turned_off_and_contradicted(line: Line) -> None:
    """An earlier yes to advertising is told as contradicted, by its event and the signal's; the yes itself is kept."""
    person = named(11)
    choices, caller = line.services.choices, line.caller(ADS, "loyalty_account")
    shown = {"notice": "advertising", "notice_version": "5", "language": "en"}
    now = line.services.clock.now()
    yes = choices.record(caller, NewChoice(person, EventKind.GRANT, now, "web_form", ADS, **shown))
    before = line.services.hearing.status(person)
    assert (before.gpc, before.honoured, before.contradictions, before.programme.ask) == (False, False, (), False)
    (event_id,) = line.services.hearing.hear(caller, (person,), read_signal(gpc="1"))
    status = line.services.hearing.status(person)
    place = choices.state(person).facts.jurisdiction
    assert status.honoured is (place or "").startswith("US")
    assert [(one.purpose, one.choice, one.signal) for one in status.contradictions] == [
        (ADS, yes.event_ids[0], event_id)
    ]
    assert choices.state(person).facts.choices[ADS].event_id == yes.event_ids[0]
    assert status.event_id == event_id


def test_a_member_stays_until_they_say_that_they_leave(line: Line) -> None:
    """The signal ends no membership: the member is to be asked, and `leave_programme` is their answer (7025(c)(4))."""
    choices, caller = line.services.choices, line.caller(ADS)
    member = next(
        PersonRef(data_subject=str(each))
        for each in _members(line)
        if (choices.state(PersonRef(data_subject=str(each))).facts.jurisdiction or "") == "US-CA"
    )
    line.services.hearing.hear(caller, (member,), read_signal(gpc="1"))
    status = line.services.hearing.status(member)
    assert (status.programme.member, status.programme.ask, status.honoured) == (True, True, True)
    assert status.turned_off == ("data_sale", ADS)
    assert status.duty is not None
    assert status.duty.required
    choices.record(caller, NewChoice(member, EventKind.LEAVE_PROGRAMME, line.services.clock.now(), "web_form"))
    status = line.services.hearing.status(member)
    assert (status.programme.member, status.programme.ask) == (False, False)


def test_where_no_law_asks_for_it_the_signal_is_kept_and_closes_nothing(line: Line) -> None:
    """A German's signal is on file, and what it does is for the law of their residence to say."""
    line.services.hearing.hear(line.caller(ADS), (named(ANNA),), read_signal(gpc="1"))
    status = line.services.hearing.status(named(ANNA))
    assert (status.gpc, status.honoured, status.turned_off) == (True, False, ())


def _members(line: Line) -> list[str]:
    with line.services.engine.begin() as connection:
        rows = connection.exec_driver_sql(
            "SELECT p.data_subject FROM person_state s JOIN people p ON p.data_subject = s.data_subject"
            " WHERE s.member AND p.jurisdiction = 'US-CA' ORDER BY p.data_subject"
        )
        return [str(row[0]) for row in rows]


def test_a_signal_that_cannot_be_kept_lets_nothing_out(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the event cannot be recorded the call fails: no store is asked, no decision recorded, nothing answered."""

    def away(*_: object) -> tuple[str, ...]:
        raise DatabaseUnavailable("the signal could not be recorded: send it again")

    def asked(*_: object) -> None:
        raise AssertionError("the store was asked")

    monkeypatch.setattr(type(line.services.choices), "restrict", away)
    monkeypatch.setattr(type(line.services.store), "read", asked)
    caller, person = line.caller("order_fulfilment"), named(4)
    with pytest.raises(DatabaseUnavailable):
        line.services.gateway.read(caller, ReadQuery(person, "order_fulfilment", ("email",), gpc=True))
    with pytest.raises(DatabaseUnavailable):
        line.services.gateway.decide(caller, DecideQuery(person, "order_fulfilment", ("email",), gpc=True))
