"""The suppression list: what stands on it, whom it keeps out, and who is not on it because another lives by it."""

from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.recorder import record_in
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.customers import leaving
from consent_gateway.database import METADATA
from consent_gateway.errors import Conflict, IdentifierRefused, InputRefused, KeysUnavailable, NotFound, Suppressed
from consent_gateway.people import directory
from consent_gateway.people.directory import NewPerson
from consent_gateway.people.suppression import (
    STORE_KEY,
    Left,
    SuppressionList,
    SuppressionTags,
    hold_for_erasure,
    leave,
    refuse_opening,
    suppressed,
)
from consent_gateway.people.tables import (
    FIELD_PROVENANCE,
    IDENTIFIERS,
    PEOPLE,
    SEARCH_INDEXES,
    SHARED_IDENTIFIERS,
    SUPPRESSIONS,
)
from consent_gateway.rights.erasure_tables import ACCESS_PACKAGES
from consent_gateway.vocabulary import Identifier
from tests.conftest import NOON, StillClock

MAIL = Identifier("email", "Anna@example.com")
PHONE = Identifier("phone", "030 1234567")


class People:
    """Enrols people as the store would bring them, with their tags."""

    def __init__(self, engine: sa.Engine, indexes: Any, tags: SuppressionTags, carry: Any) -> None:
        self._engine, self._indexes, self._tags, self._carry = engine, indexes, tags, carry

    def index(self, identifier: Identifier) -> tuple[str, str]:
        """The identifier as it is stored."""
        return (identifier.kind, self._indexes.of(identifier))

    def enrol(self, store_key: str, *identifiers: Identifier, tagged: bool = True) -> str:
        """One person of the store."""
        marks = {self.index(each): self._tags.of(each) for each in identifiers}
        person = NewPerson(store_key, "DE", None, True, tuple(marks), marks if tagged else {})
        with self._engine.begin() as connection:
            return directory.enrol(connection, person, now=NOON, carry=self._carry)

    def leave(self, data_subject: str) -> Left:
        """The person is erased."""
        with self._engine.begin() as connection:
            hold_for_erasure(connection)
            return leave(connection, data_subject, self._tags)


@pytest.fixture
def known(gateway_engine: sa.Engine, indexes: Any, tags: SuppressionTags, carry: Any) -> People:
    """The directory of these tests."""
    return People(gateway_engine, indexes, tags, carry)


def test_a_tag_is_of_kind_and_normal_form(tags: SuppressionTags) -> None:
    """One identifier in two spellings has one tag; another kind, value or key gives another; it is no blind index."""
    assert tags.of(MAIL) == tags.of(Identifier("email", " anna@EXAMPLE.com"))
    assert tags.of(PHONE) == tags.of(Identifier("phone", "+49 30 1234567"))
    different = [
        tags.of(MAIL),
        tags.of(PHONE),
        tags.of(Identifier("external_id", "anna@example.com")),
        tags.of_store_key("anna@example.com"),
        SuppressionTags(bytes(32)).of(MAIL),
    ]
    assert len(set(different)) == 5
    assert {len(each) for each in different} == {32}


def test_a_short_key_and_a_malformed_identifier_are_refused(tags: SuppressionTags) -> None:
    """No tag is made under a key of fewer than 32 bytes or of what is no identifier."""
    with pytest.raises(KeysUnavailable):
        SuppressionTags(b"short")
    with pytest.raises(IdentifierRefused):
        tags.of(Identifier("email", "canary"))


def test_who_leaves_is_on_the_list_and_nowhere_else(
    gateway_engine: sa.Engine, known: People, tags: SuppressionTags
) -> None:
    """Store key and identifiers go to the list; from the directory go they, the sources and a minor's day of birth."""
    who = known.enrol("7", MAIL, PHONE)
    source = {"entry_id": "dec_1", "field": "city", "data_subject": who, "source": "the customer"}
    written = {"channel": "till", "client_id": "till", "purpose": "p", "recorded_at": 0}
    with gateway_engine.begin() as connection:
        connection.execute(sa.insert(FIELD_PROVENANCE), [source | written])
    assert known.leave(who) == Left(suppressed=3, shared=0)
    with gateway_engine.begin() as connection:
        wanted = [tags.of(MAIL), tags.of(PHONE), tags.of_store_key("7")]
        assert suppressed(connection, wanted) == set(wanted)
        rows = connection.execute(sa.select(SUPPRESSIONS.c.tag, SUPPRESSIONS.c.kind)).all()
        assert {row.kind for row in rows} == {"email", "phone", STORE_KEY}
        person = connection.execute(sa.select(PEOPLE)).one()
    assert (person.data_subject, person.store_key, person.jurisdiction, person.minor_born) == (who, None, "DE", None)


def test_every_table_that_names_a_person_is_emptied_or_stays_for_a_reason(
    gateway_engine: sa.Engine, known: People
) -> None:
    """A table of the gateway with a person's id either loses the rows of who leaves or is one of a closed list.

    Whoever adds a table decides here: what belongs to one person alone goes into `suppression._OF_A_PERSON`.
    """
    emptied = {IDENTIFIERS.name, SHARED_IDENTIFIERS.name, FIELD_PROVENANCE.name, SEARCH_INDEXES.name}
    stays = {"people", "consent_events", "person_state", "purpose_state", "audit_log", "shreddings"}
    stays |= {"rights_requests"}  # for as long as the law says; what is personal in them goes by the act
    stays |= {"erasures"}  # the proof of the erasure; what is sealed in it goes when nothing is left to do
    stays |= {"recipient_notices"}  # who must erase too is waited for; what each calls the person is not kept there
    stays |= {"corrections"}  # as the requests that they answer; what is sealed in them goes by the act
    # How far a destination has heard, by number: the erasure itself is still to reach it, and that it did is proof.
    stays |= {"changes_set_aside", "changes_heard"}
    naming = {table.name for table in METADATA.tables.values() if "data_subject" in table.c}
    ended = {table.name for table in leaving.OF_A_PERSON} | {ACCESS_PACKAGES.name}  # by the act of erasure
    assert naming == emptied | stays | ended
    one, other = known.enrol("1", MAIL, PHONE), known.enrol("2", PHONE)
    known.leave(one)
    known.leave(other)
    with gateway_engine.begin() as connection:
        for name in emptied:
            assert connection.execute(sa.select(METADATA.tables[name])).all() == []


def test_a_shared_identifier_is_not_listed_while_another_lives_by_it(
    gateway_engine: sa.Engine, known: People, tags: SuppressionTags
) -> None:
    """The first of two who share an address leaves and the other stays findable by it; with the last it is listed."""
    one, other = known.enrol("1", MAIL, PHONE), known.enrol("2", MAIL)
    assert known.leave(one) == Left(suppressed=2, shared=1)
    with gateway_engine.begin() as connection:
        assert suppressed(connection, [tags.of(MAIL)]) == frozenset()
        assert [each.data_subject for each in directory.find(connection, known.index(MAIL))] == [other]
        refuse_opening(connection, [other], tags.of(MAIL))
    assert known.leave(other) == Left(suppressed=2, shared=0)
    with gateway_engine.begin() as connection:
        assert suppressed(connection, [tags.of(MAIL)]) == {tags.of(MAIL)}


def test_the_second_holder_may_leave_first(gateway_engine: sa.Engine, known: People, tags: SuppressionTags) -> None:
    """It does not matter under whose name the shared identifier stands: no mark of it is left of who has gone."""
    one, other = sorted([known.enrol("1", MAIL), known.enrol("2", MAIL)])
    for first in (other, one):
        known.leave(first)
        with gateway_engine.begin() as connection:
            assert first not in {each.data_subject for each in directory.find(connection, known.index(MAIL))}
    with gateway_engine.begin() as connection:
        assert suppressed(connection, [tags.of(MAIL)])


def test_an_identifier_without_a_tag_stops_an_erasure(gateway_engine: sa.Engine, known: People) -> None:
    """Who could be brought back by an identifier that cannot be listed is not erased; enrolling again adds the tag."""
    who = known.enrol("7", MAIL, tagged=False)
    with pytest.raises(Conflict, match="people enrol"):
        known.leave(who)
    with gateway_engine.begin() as connection:
        assert connection.execute(sa.select(SUPPRESSIONS)).all() == []
    known.enrol("7", MAIL)
    assert known.leave(who).suppressed == 2


def test_nothing_is_opened_for_who_holds_a_listed_identifier(
    gateway_engine: sa.Engine, known: People, tags: SuppressionTags
) -> None:
    """A person made of a withdrawal after the erasure cannot be opened anything, named by identifier or by id."""
    known.leave(known.enrol("7", MAIL))
    with gateway_engine.begin() as connection:
        early = directory.pre_register(connection, known.index(MAIL), now=NOON, tag=tags.of(MAIL))[0].data_subject
        for people, tag in (([early], None), (["ds_other"], tags.of(MAIL))):
            with pytest.raises(Suppressed):
                refuse_opening(connection, people, tag)
        refuse_opening(connection, ["ds_other"], tags.of(PHONE))


@pytest.fixture
def listing(gateway_engine: sa.Engine, tags: SuppressionTags, clock: StillClock) -> SuppressionList:
    """What an operator may do."""
    return SuppressionList(engine=gateway_engine, tags=tags, record_in=record_in, clock=clock)


def test_lifting_takes_one_identifier_off_and_is_audited(
    gateway_engine: sa.Engine, known: People, listing: SuppressionList
) -> None:
    """After a lift the identifier is free, the others stay listed, and the entry says why without the value."""
    known.leave(known.enrol("7", MAIL, PHONE))
    assert listing.counts() == {"email": 1, "phone": 1, STORE_KEY: 1}
    listing.lift("email", "ANNA@example.com", reference="form-1", by="operator")
    listing.lift(STORE_KEY, "7", reference="form-1", by="operator")
    assert listing.counts() == {"phone": 1}
    with gateway_engine.begin() as connection:
        entries = b"".join(connection.execute(sa.select(AUDIT_QUEUE.c.entry)).scalars()).lower()
    assert b"lift_suppression" in entries
    assert b"form-1" in entries
    assert b"anna" not in entries


def test_a_lift_without_cause_or_entry_changes_nothing(known: People, listing: SuppressionList) -> None:
    """No reference, a reference that could hold a name, and an identifier that is not listed are refused."""
    known.leave(known.enrol("7", MAIL))
    for reference in ("", "Anna Berger", "anna@example.com", "x" * 129):
        with pytest.raises(InputRefused):
            listing.lift("email", MAIL.value, reference=reference, by="operator")
    with pytest.raises(NotFound):
        listing.lift("email", "other@example.com", reference="form-1", by="operator")
    assert listing.counts() == {"email": 1, STORE_KEY: 1}
