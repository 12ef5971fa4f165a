"""The directory: enrolment, shared identifiers, people known by a choice alone; on both databases."""

import threading
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.errors import Conflict, InputRefused, NotFound
from consent_gateway.people import directory
from consent_gateway.people.directory import NewPerson, PersonRef
from consent_gateway.people.tables import IDENTIFIERS, PEOPLE, SHARED_IDENTIFIERS
from consent_gateway.vocabulary import Identifier
from tests.conftest import NOON

MAIL = ("email", "aa")
PHONE = ("phone", "bb")


def person(key: str, *indexes: tuple[str, str], place: str | None = "DE") -> NewPerson:
    """A person of the store."""
    return NewPerson(key, place, None, True, indexes)


def count(engine: sa.Engine, table: sa.Table) -> int:
    """Rows of a table."""
    with engine.begin() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_person_is_found_by_each_identifier(gateway_engine: sa.Engine, carry: Any) -> None:
    """After enrolment each identifier leads to the person and their store key, and another to nobody."""
    with gateway_engine.begin() as connection:
        who = directory.enrol(connection, person("7", MAIL, PHONE), now=NOON, carry=carry)
        assert [each.data_subject for each in directory.find(connection, MAIL)] == [who]
        assert directory.find(connection, PHONE)[0].store_key == "7"
        assert directory.find(connection, ("phone", "aa")) == ()
        assert directory.by_store_keys(connection, ["7", "8"]) == {"7": who}


def test_enrolling_again_changes_only_what_is_new(gateway_engine: sa.Engine, carry: Any) -> None:
    """A second run adds no person and no identifier; a moved person's residence and a new phone are taken over."""
    with gateway_engine.begin() as connection:
        first = directory.enrol_many(connection, [person("7", MAIL)], now=NOON, carry=carry)
        again = directory.enrol_many(connection, [person("7", MAIL)], now=NOON, carry=carry)
        moved = directory.enrol_many(connection, [person("7", MAIL, PHONE, place="FR")], now=NOON, carry=carry)
    assert (first.added, first.linked) == (1, 1)
    assert (again.added, again.linked, again.changed) == (0, 0, 0)
    assert (moved.added, moved.linked, moved.changed) == (0, 1, 1)
    assert first.data_subjects == again.data_subjects == moved.data_subjects


def test_a_minors_day_of_birth_outlives_a_store_that_forgot_it(gateway_engine: sa.Engine, carry: Any) -> None:
    """A known minority is kept where the store no longer says, and ends where it says the person is grown up."""
    born = date(2012, 5, 1)
    days = []
    for minor, known in ((born, True), (None, False), (None, True)):
        with gateway_engine.begin() as connection:
            directory.enrol(connection, NewPerson("7", "DE", minor, known), now=NOON, carry=carry)
            days.append(connection.execute(sa.select(PEOPLE.c.minor_born)).scalar_one())
    assert days == ["2012-05-01", "2012-05-01", None]


def test_an_identifier_of_two_people_is_shared_and_not_moved(gateway_engine: sa.Engine, carry: Any) -> None:
    """The second holder does not take the identifier over: both are found by it, also within one batch and again."""
    for _ in range(2):
        with gateway_engine.begin() as connection:
            done = directory.enrol_many(connection, [person(key, MAIL) for key in "123"], now=NOON, carry=carry)
    assert done.shared == 0  # the second run found nothing new
    with gateway_engine.begin() as connection:
        holders = directory.find(connection, MAIL)
    assert {holder.store_key for holder in holders} == {"1", "2", "3"}
    assert carry.pairs == []
    assert count(gateway_engine, IDENTIFIERS) == 1
    assert count(gateway_engine, SHARED_IDENTIFIERS) == 3


def test_an_early_choice_and_the_record_become_one_person(gateway_engine: sa.Engine, carry: Any) -> None:
    """Someone known by an identifier alone gets the store key of the record that comes with it, and keeps their id."""
    with gateway_engine.begin() as connection:
        early = directory.pre_register(connection, MAIL, now=NOON)[0]
        assert directory.pre_register(connection, MAIL, now=NOON) == (early,)
        done = directory.enrol_many(connection, [person("7", PHONE, MAIL)], now=NOON, carry=carry)
    assert early.store_key is None
    assert done.data_subjects == (early.data_subject,)
    assert (done.added, done.adopted) == (0, 1)
    assert count(gateway_engine, PEOPLE) == 1


def test_two_records_cannot_both_take_an_early_person(gateway_engine: sa.Engine, carry: Any) -> None:
    """The second record with the same identifier is a person of its own, who shares it."""
    with gateway_engine.begin() as connection:
        directory.pre_register(connection, MAIL, now=NOON)
        done = directory.enrol_many(connection, [person("7", MAIL), person("8", MAIL)], now=NOON, carry=carry)
        holders = directory.find(connection, MAIL)
    assert (done.added, done.adopted, done.shared) == (1, 1, 1)
    assert {holder.store_key for holder in holders} == {"7", "8"}


def test_a_known_customer_takes_over_an_early_choice(gateway_engine: sa.Engine, carry: Any) -> None:
    """Where the record was there first, the early person's choices are carried to it and the identifier follows."""
    with gateway_engine.begin() as connection:
        who = directory.enrol(connection, person("7", PHONE), now=NOON, carry=carry)
        early = directory.pre_register(connection, MAIL, now=NOON)[0].data_subject
        shared = directory.link(connection, who, MAIL, carry=carry)
        assert [holder.data_subject for holder in directory.find(connection, MAIL)] == [who]
    assert carry.pairs == [(early, who)]
    assert not shared


def test_an_erased_person_stays_holder(gateway_engine: sa.Engine, carry: Any) -> None:
    """Where the choices of the early person cannot be carried over, the identifier is shared with them."""
    with gateway_engine.begin() as connection:
        who = directory.enrol(connection, person("7", PHONE), now=NOON, carry=carry)
        early = directory.pre_register(connection, MAIL, now=NOON)[0].data_subject
        carry.erased.add(early)
        assert directory.link(connection, who, MAIL, carry=carry)
        assert {holder.data_subject for holder in directory.find(connection, MAIL)} == {who, early}


def test_a_store_key_is_given_once(gateway_engine: sa.Engine, carry: Any) -> None:
    """A store key cannot go to two people, a person cannot have two, and an unknown id has none."""
    with gateway_engine.begin() as connection:
        who = directory.enrol(connection, person("7"), now=NOON, carry=carry)
        early = directory.pre_register(connection, MAIL, now=NOON)[0].data_subject
        directory.set_store_key(connection, who, "7")
        with pytest.raises(Conflict):
            directory.set_store_key(connection, early, "7")
        with pytest.raises(Conflict):
            directory.set_store_key(connection, who, "8")
        with pytest.raises(NotFound):
            directory.set_store_key(connection, "ds_nobody", "9")
        directory.set_store_key(connection, early, "9")
        assert directory.find(connection, MAIL)[0].store_key == "9"


def run_at_once(actions: list[Any]) -> list[BaseException]:
    """Run all actions in threads that start together; what they raised."""
    start, errors = threading.Barrier(len(actions)), []

    def run(action: Any) -> None:
        start.wait()
        try:
            action()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_concurrent_enrolment_makes_no_duplicates(gateway_engine: sa.Engine, carry: Any) -> None:
    """Eight writers that enrol two people with one address at once end with two people and one shared identifier."""

    def enrol(key: str) -> None:
        with gateway_engine.begin() as connection:
            directory.enrol(connection, person(key, MAIL, ("phone", key)), now=NOON, carry=carry)

    errors = run_at_once([lambda key=key: enrol(key) for key in "12121212"])
    assert errors == []
    assert count(gateway_engine, PEOPLE) == 2
    assert count(gateway_engine, IDENTIFIERS) == 3
    with gateway_engine.begin() as connection:
        assert {holder.store_key for holder in directory.find(connection, MAIL)} == {"1", "2"}


def test_concurrent_early_choices_make_one_person(gateway_engine: sa.Engine) -> None:
    """Eight writers that meet an unknown identifier at once make one person of it."""
    found = []

    def register() -> None:
        with gateway_engine.begin() as connection:
            found.append(directory.pre_register(connection, MAIL, now=NOON))

    assert run_at_once([register] * 8) == []
    assert len({holders[0].data_subject for holders in found}) == 1
    assert count(gateway_engine, PEOPLE) == 1


def test_a_person_is_named_in_exactly_one_way() -> None:
    """A reference with an id and an identifier, or with neither, is refused."""
    for given in ({}, {"data_subject": "ds_1", "identifier": Identifier("email", "a@example.com")}):
        with pytest.raises(InputRefused):
            PersonRef(**given)
