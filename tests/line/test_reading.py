"""The line of one read, end to end on real parts."""

import pytest

from consent_gateway.audit.entry import Entry
from consent_gateway.consent.choices import NewChoice
from consent_gateway.demo.cast import CAST
from consent_gateway.errors import AuditUnavailable, CallerNotPermitted, NotFound, UnknownField, UnknownPurpose
from consent_gateway.line import BatchQuery, DecideQuery, ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Effect, EventKind, Identifier, Reason
from tests.line.conftest import ALL, Line, named

STRANGER = PersonRef(identifier=Identifier("email", "nobody.at.all@example.com"))
QUIET = ALL - {"customers:explain"}


def test_one_customer_gives_each_purpose_its_own_answer(line: Line) -> None:
    """An order gets the address, a newsletter without consent nothing, statistics a pseudonym."""
    gateway = line.services.gateway
    order = gateway.read(
        line.caller("order_fulfilment"), ReadQuery(named(0), "order_fulfilment", ("street", "birth_date"))
    )
    assert order.record == {"street": CAST[0].street}
    assert order.verdicts["birth_date"].reason is Reason.CATEGORY_NOT_DECLARED_FOR_PURPOSE
    letter = gateway.read(line.caller("sms_marketing"), ReadQuery(named(0), "sms_marketing", ("first_name",)))
    assert letter.record == {}
    figures = gateway.read(
        line.caller("first_party_analytics"), ReadQuery(named(0), "first_party_analytics", ("external_ref",))
    )
    assert figures.verdicts["external_ref"].effect is Effect.PSEUDONYMISE
    assert figures.record["external_ref"] not in (None, "C-000001")


def test_two_recipients_cannot_link_what_they_got(line: Line) -> None:
    """The same person under two recipients has two pseudonyms, and no id or version stands beside them."""
    gateway = line.services.gateway
    answers = [
        gateway.read(
            line.caller("first_party_analytics", recipients=recipient),
            ReadQuery(named(0), "first_party_analytics", ("external_ref",), recipient),
        )
        for recipient in ("company", "analytics_tool")
    ]
    one, other = (answer.record["external_ref"] for answer in answers)
    assert one != other
    assert {answer.data_subject for answer in answers} == {None}
    assert {answer.version for answer in answers} == {None}


def test_a_stranger_and_a_refused_customer_answer_alike(line: Line) -> None:
    """To a client that may not see reasons, an unknown person and a refused one differ in the decision's id alone."""
    caller = line.caller("sms_marketing", scopes=QUIET)
    answers = [line.services.gateway.read(caller, ReadQuery(person, "sms_marketing", ("first_name", "phone")))
               for person in (STRANGER, named(0))]  # fmt: skip
    assert answers[0].verdicts == answers[1].verdicts
    assert [(a.data_subject, a.record, a.more, a.version) for a in answers] == [(None, {}, (), None)] * 2


def test_a_shared_identifier_opens_nobodys_record(line: Line) -> None:
    """An address that a household shares is answered like a stranger's, even for an order."""
    shared = CAST[9].email
    assert line.scalar("SELECT count(*) FROM identifiers WHERE shared") != 0
    answer = line.services.gateway.read(
        line.caller("order_fulfilment"),
        ReadQuery(PersonRef(identifier=Identifier("email", shared)), "order_fulfilment"),
    )
    assert (answer.data_subject, dict(answer.record)) == (None, {})


def test_only_open_columns_are_asked_of_the_store(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A withheld field is never fetched."""
    asked: list[tuple[str, ...]] = []
    store = line.services.store
    real = type(store).read

    def watching(self: object, key: str, fields: tuple[str, ...], page: object) -> object:
        asked.append(tuple(fields))
        return real(store, key, fields, page)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store), "read", watching)
    query = ReadQuery(named(0), "order_fulfilment", ("street", "birth_date", "allergies"))
    line.services.gateway.read(line.caller("order_fulfilment"), query)
    assert asked == [("street",)]


def test_no_entry_no_answer(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the entry cannot be made durable the call raises, whatever the store has already answered."""

    def fail(_self: object, _entry: Entry) -> None:
        raise AuditUnavailable("full")

    monkeypatch.setattr(type(line.services.recorder), "record", fail)
    with pytest.raises(AuditUnavailable):
        line.services.gateway.read(line.caller("order_fulfilment"), ReadQuery(named(0), "order_fulfilment"))


def test_what_a_client_may_not_claim_is_refused_and_recorded(line: Line) -> None:
    """Another purpose, or another recipient, is refused by name, and the refusal is in the log."""
    gateway = line.services.gateway
    for caller, query in (
        (line.caller("order_fulfilment"), ReadQuery(named(0), "targeted_ads")),
        (line.caller("targeted_ads"), ReadQuery(named(0), "targeted_ads", recipient="data_broker")),
        (line.caller("targeted_ads", recipients="ad_partner ad_agency"), ReadQuery(named(0), "targeted_ads")),
    ):
        with pytest.raises(CallerNotPermitted):
            gateway.read(caller, query)


def test_unknown_words_are_named(line: Line) -> None:
    """An unknown purpose or field is bad input with a pointer to it; an unknown id is not found."""
    gateway = line.services.gateway
    with pytest.raises(UnknownPurpose) as purpose:
        gateway.read(line.caller("fun"), ReadQuery(named(0), "fun"))
    assert purpose.value.faults[0].pointer == "/purpose"
    with pytest.raises(UnknownField) as field:
        gateway.read(line.caller("payment"), ReadQuery(named(0), "payment", ("shoe_size",)))
    assert field.value.faults[0].pointer == "/fields/0"
    with pytest.raises(NotFound):
        gateway.read(line.caller("payment"), ReadQuery(PersonRef(data_subject="ds_nobody"), "payment"))


def test_a_batch_answers_in_order_with_an_entry_each(line: Line) -> None:
    """Each person of a send list has a decision of their own under an id of their own."""
    persons = (named(0), STRANGER, named(1), named(0))
    answer = line.services.gateway.decide_batch(
        line.caller("order_fulfilment"), BatchQuery(persons, "order_fulfilment", ("email",))
    )
    opened = [result.verdicts["email"].is_open for result in answer.results]
    assert opened == [True, False, True, True]
    assert len({result.decision_id for result in answer.results}) == 4


def test_a_withdrawal_closes_and_a_new_grant_opens(line: Line) -> None:
    """Consent, withdrawal and consent again each bind the very next decision."""
    services, person = line.services, named(6)
    reader = line.caller("sms_marketing")

    def choose(kind: EventKind) -> None:
        services.choices.record(
            reader,
            NewChoice(
                person=person,
                kind=kind,
                purpose="sms_marketing",
                occurred_at=services.clock.now(),
                how="web_form",
                notice="messages",
                notice_version="5",
                language="de",
                reference="form",
            ),
        )

    query = DecideQuery(person, "sms_marketing", ("phone",))
    before = services.gateway.decide(reader, query).verdicts["phone"]
    choose(EventKind.GRANT)
    granted = services.gateway.decide(reader, query).verdicts["phone"]
    choose(EventKind.WITHDRAW)
    withdrawn = services.gateway.decide(reader, query).verdicts["phone"]
    assert not before.is_open
    assert (withdrawn.effect, withdrawn.reason) == (Effect.WITHHOLD, Reason.WITHDRAWN)
    assert granted.is_open or granted.reason is Reason.BELOW_DIGITAL_AGE
