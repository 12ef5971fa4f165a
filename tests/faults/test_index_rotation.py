"""A rotation of an index key, killed at every step: everybody is found at every moment, and in the end it is done."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.consent.choices import NewChoice
from consent_gateway.errors import Conflict, InputRefused, KeysUnavailable
from consent_gateway.people import enrolment
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.index_keys import MOST_KEYS, IndexKeys
from consent_gateway.people.index_rotation import IndexRotation
from consent_gateway.people.normalise import normalise
from consent_gateway.searches import SearchQuery
from consent_gateway.vocabulary import COMPANY, Caller, EventKind, Identifier
from consent_gateway.wiring import Services
from tests.deployment import Deployment

CALLER = Caller(
    "till", "till", frozenset({"order_fulfilment", "email_marketing"}), frozenset({COMPANY}),
    frozenset({"consents:write"}),
)  # fmt: skip
STRANGER = Identifier("email", "early@example.com")


def silent(_done: int, _total: int) -> None:
    """No progress."""


def everybody(services: Services) -> list[Identifier]:
    """Every identifier that the store holds and that one person alone has."""
    found = [Identifier(*each) for row in services.store.identities(None, 1000) for each in row.identities]
    return [each for each in found if services.gateway.find(PersonRef(identifier=each))]


def holders(services: Services, identifiers: list[Identifier]) -> list[str]:
    """Whom each identifier leads to; nobody is an error."""
    return [services.gateway.find(PersonRef(identifier=each)).data_subject for each in identifiers]  # type: ignore[union-attr]


def withdraw(services: Services, identifier: Identifier = STRANGER) -> None:
    """A withdrawal by somebody."""
    services.choices.record(
        CALLER,
        NewChoice(
            PersonRef(identifier=identifier), EventKind.WITHDRAW, services.clock.now(), "spoken", "email_marketing"
        ),
    )


def under(services: Services, table: str, kind: str, key_id: str) -> int:
    """Rows that stand under a key."""
    with services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        query = sa.text(f"SELECT count(*) FROM {table} WHERE kind = :kind AND blind_index LIKE :key")
        return int(connection.execute(query, {"kind": kind, "key": f"{key_id}.%"}).scalar_one())


def present(services: Services, kind: str = "email", mode: str = "exact") -> str:
    """The id of the key that is written under."""
    with services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        query = sa.text("SELECT key_id FROM index_keys WHERE kind = :k AND mode = :m ORDER BY position DESC LIMIT 1")
        return str(connection.execute(query, {"k": kind, "m": mode}).scalar_one())


@pytest.fixture
def opened(deployment: Deployment) -> Iterator[Callable[[], Services]]:
    """Opens services as further processes would, and closes them."""
    made: list[Services] = []

    def make() -> Services:
        made.append(deployment.open())
        return made[-1]

    yield make
    for services in made:
        services.close()


def _killed(deployment: Deployment, at: int, kind: str, mode: str) -> None:
    """Rotate, and die just before the commit of that number: what it would have written is not there."""
    enrolment.PAGE = 25
    services = deployment.open()
    commits = 0

    def count(_connection: sa.Connection) -> None:
        nonlocal commits
        commits += 1
        if commits == at:
            os.kill(os.getpid(), signal.SIGKILL)

    for engine in (services.engine, services.key_engine):
        sa.event.listen(engine, "commit", count)
    services.index_rotation.run(kind, mode, silent)
    services.close()


@pytest.mark.parametrize(("kind", "mode"), [("email", "exact"), ("phone", "last4")])
def test_everybody_is_found_whenever_a_rotation_is_killed(
    deployment: Deployment, opened: Callable[[], Services], kind: str, mode: str
) -> None:
    """Killed before each commit in turn and run again: two processes find all throughout, in the end all is moved."""
    first, second = opened(), opened()
    known = everybody(first)
    expected = holders(first, known)
    assert len(known) > 60
    phone = next(each.value for each in known if each.kind == "phone")
    query = SearchQuery("phone", "last4", "".join(filter(str.isdigit, phone))[-4:], "order_fulfilment", ("first_name",))
    found = sorted(each.data_subject for each in first.searches.search(CALLER, query).candidates)
    assert found
    old = present(first, kind, mode)
    spawn = multiprocessing.get_context("fork")
    for at in range(1, 40):
        child = spawn.Process(target=_killed, args=(deployment, at, kind, mode))
        child.start()
        child.join(60)
        for services in (first, second):
            assert holders(services, known) == expected
            candidates = services.searches.search(CALLER, query).candidates  # in a random order
            assert sorted(each.data_subject for each in candidates) == found
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert at > 5
    assert present(first, kind, mode) != old
    assert under(first, "identifiers", kind, old) == under(first, "shared_identifiers", kind, old) == 0
    assert under(first, "search_indexes", kind, old) == 0
    with pytest.raises(KeysUnavailable):
        opened().keyring.index_key(old)
    assert holders(opened(), known) == expected


def test_a_choice_without_a_record_keeps_its_key_until_it_appears(opened: Callable[[], Services]) -> None:
    """An early withdrawal is found by old and new processes, counted as left, and moves with its next appearance."""
    first, second = opened(), opened()
    withdraw(first)
    early = first.choices.state(PersonRef(identifier=STRANGER))
    old = present(first)
    rotated = first.index_rotation.run("email", "exact", silent)
    assert (rotated.left, rotated.retired) == (1, ())
    assert under(first, "identifiers", "email", old) == 1
    assert second.choices.state(PersonRef(identifier=STRANGER)) == early
    withdraw(second)
    assert second.choices.state(PersonRef(identifier=STRANGER)).data_subject == early.data_subject
    assert under(first, "identifiers", "email", old) == 0
    ended = opened().index_rotation.run("email", "exact", silent, new_key=False)
    assert (ended.key_id, ended.retired, ended.left) == (rotated.key_id, (old,), 0)
    assert first.choices.state(PersonRef(identifier=STRANGER)).data_subject == early.data_subject


def test_a_writer_with_an_old_list_writes_under_the_new_key(opened: Callable[[], Services]) -> None:
    """A process that has not heard of the rotation learns of it before it writes: nothing new stands under the old."""
    first, second = opened(), opened()
    assert everybody(second)  # its list is in memory
    old = present(first)
    before = under(first, "identifiers", "email", old)
    first.index_rotation.begin("email", "exact")
    withdraw(second)
    assert under(first, "identifiers", "email", old) == before
    assert under(first, "identifiers", "email", present(first)) == 1


def test_no_more_keys_are_in_use_than_one_statement_looks_up(opened: Callable[[], Services]) -> None:
    """Rotations whose older keys all stay are refused at the fourth key; an unknown index is refused by name."""
    services = opened()
    for number in range(MOST_KEYS - 1):
        withdraw(services, Identifier("email", f"early{number}@example.com"))
        assert services.index_rotation.run("email", "exact", silent).left == number + 1
    with pytest.raises(Conflict, match="appear"):
        services.index_rotation.run("email", "exact", silent)
    for number in range(MOST_KEYS - 1):
        assert services.choices.state(PersonRef(identifier=Identifier("email", f"early{number}@example.com")))
    with pytest.raises(InputRefused, match="last4"):
        services.index_rotation.run("phone", "prefix3", silent)


def test_a_new_rule_of_normalisation_is_a_rotation(opened: Callable[[], Services]) -> None:
    """Under a rule that takes two addresses for one, everybody is found by either rule, and both holders share it."""

    def newer(identifier: Identifier, region: str | None) -> str:
        return normalise(identifier, region).replace("+shop@", "@")

    services = opened()
    plain, tagged = Identifier("email", "eve@example.com"), Identifier("email", "eve+shop@example.com")
    withdraw(services, plain)
    withdraw(services, tagged)
    known = everybody(services)
    keys = IndexKeys(services.engine, services.keyring)
    keys.reload()
    indexes: Any = BlindIndex(keys, "DE", {1: normalise, 2: newer})
    services.enrolment._indexes = services.gateway._indexes = services.choices._indexes = indexes
    rotation = IndexRotation(
        engine=services.engine,
        source=services.keyring,
        enrolment=services.enrolment,
        record_in=services.enrolment._record_in,
        clock=services.clock,
        rule=2,
    )
    expected = holders(services, known)
    assert rotation.run("email", "exact", silent).left == 2
    assert holders(services, known) == expected
    withdraw(services, plain)
    withdraw(services, tagged)
    assert rotation.run("email", "exact", silent, new_key=False).left == 0
    assert services.choices.state(PersonRef(identifier=tagged)).shared
