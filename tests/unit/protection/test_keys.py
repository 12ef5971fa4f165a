"""The key ring: made once, opened for one person only, gone when destroyed; on both databases."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from consent_gateway.cli.keys import keys
from consent_gateway.database import open_engine
from consent_gateway.errors import DatabaseUnavailable, KeysUnavailable, NotFound
from consent_gateway.ports import Clock
from consent_gateway.protection.cache import PersonKeyCache
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.hierarchy import SHARDS, shard_of
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import PersonKeys
from consent_gateway.protection.tables import EPOCHS, NAMED_KEYS, PERSON_KEYS, SHARD_KEYS

if TYPE_CHECKING:
    from tests.conftest import StillClock


def rows(key_engine: sa.Engine, table: sa.Table) -> list[sa.Row]:
    """Every row of a table."""
    with key_engine.connect() as connection:
        return list(connection.execute(sa.select(table)))


def test_keys_are_the_same_in_every_process(keyring: KeyRing, another: Callable[[], KeyRing]) -> None:
    """What one process made, another opens; making them again changes nothing."""
    keys = keyring.create("ds_a")
    assert len(keys.data_key) == len(keys.seed) == 32
    assert keys.data_key != keys.seed
    assert another().person_keys("ds_a") == keys
    assert another().create("ds_a") == keys
    assert keyring.create("ds_b").data_key != keys.data_key


def test_nobody_has_keys_they_were_not_given(keyring: KeyRing) -> None:
    """A person without keys is an error, not an empty key."""
    with pytest.raises(KeysUnavailable, match="enrol"):
        keyring.person_keys("ds_nobody")
    with pytest.raises(NotFound):
        keyring.destroy("ds_nobody")


def test_many_are_made_at_once_and_again(
    keyring: KeyRing, another: Callable[[], KeyRing], key_engine: sa.Engine
) -> None:
    """A bulk enrolment of several chunks makes every key once, whatever is repeated or there already."""
    first = keyring.create("ds_7")
    people = [f"ds_{n}" for n in range(2300)]
    keyring.create_many([*people, *people[:50]])
    keyring.create_many(people)
    found = rows(key_engine, PERSON_KEYS)
    assert {row.data_subject for row in found} == set(people)
    assert all(row.shard == shard_of(row.data_subject) and row.epoch == 1 for row in found)
    assert another().person_keys("ds_7") == first
    other = another()
    assert len({other.person_keys(person).data_key for person in people[:200]}) == 200


def test_shards_are_used_evenly() -> None:
    """A shard is a number from 0 to 4095, the same every time, and no shard gets far more than its share."""
    counts = [0] * SHARDS
    for n in range(40960):
        counts[shard_of(f"ds_{n}")] += 1
    assert sum(counts) == 40960
    assert max(counts) < 40
    assert shard_of("ds_a") == shard_of("ds_a")


def test_a_wrapped_key_moved_to_another_person_does_not_open(keyring: KeyRing, key_engine: sa.Engine) -> None:
    """A row's key bytes copied into the row of a person of the same shard open for nobody."""
    shard = shard_of("ds_0")
    twin = next(f"ds_{n}" for n in range(1, 100_000) if shard_of(f"ds_{n}") == shard)
    keyring.create_many(["ds_0", twin])
    stolen = sa.select(PERSON_KEYS.c.wrapped).where(PERSON_KEYS.c.data_subject == "ds_0").scalar_subquery()
    with key_engine.begin() as connection:
        wrapped = connection.execute(sa.select(stolen)).scalar_one()
        connection.execute(PERSON_KEYS.update().where(PERSON_KEYS.c.data_subject == twin).values(wrapped=wrapped))
    with pytest.raises(KeysUnavailable, match="does not open"):
        keyring.person_keys(twin)


def test_another_tenant_opens_nothing(
    keyring: KeyRing, provider: FileKeyProvider, keyrings: Callable[..., KeyRing]
) -> None:
    """The same tables under another tenant's name open no key, of people or domains."""
    keyring.create("ds_a")
    keyring.domain_key("analytics", None)
    stranger = keyrings(provider, "other")
    with pytest.raises(KeysUnavailable):
        stranger.person_keys("ds_a")
    with pytest.raises(KeysUnavailable):
        stranger.domain_key("analytics", None)
    with pytest.raises(KeysUnavailable):
        stranger.create("ds_b")


def test_another_root_opens_nothing(
    keyring: KeyRing, tmp_path: Path, keyrings: Callable[..., KeyRing], key_engine: sa.Engine
) -> None:
    """With a fresh key file in place of a lost one, everything is refused and nothing is made anew."""
    keyring.create("ds_a")
    stranger = keyrings(FileKeyProvider.create(tmp_path / "fresh.key"))
    for refused in (stranger.person_keys, stranger.create):
        with pytest.raises(KeysUnavailable):
            refused("ds_a")
    assert len(rows(key_engine, EPOCHS)) == 1


def test_destroyed_keys_are_gone_for_good(
    keyring: KeyRing, another: Callable[[], KeyRing], clock: "StillClock"
) -> None:
    """After a destruction no process opens the keys, and no enrolment makes the person new ones."""
    keyring.create("ds_a")
    other = another()
    evidence = keyring.destroy("ds_a")
    assert (evidence.data_subject, evidence.shard, evidence.epoch) == ("ds_a", shard_of("ds_a"), 1)
    assert evidence.destroyed_at == clock.moment
    assert len(evidence.fingerprint) == 32
    for refused in (keyring.person_keys, keyring.create, other.person_keys, other.create):
        with pytest.raises(KeysUnavailable, match="destroyed"):
            refused("ds_a")
    clock.moment += timedelta(hours=1)
    assert keyring.destroy("ds_a") == evidence


def test_a_destroyed_key_is_not_in_the_files(keyring: KeyRing, key_engine: sa.Engine) -> None:
    """On SQLite, neither the database file nor its log holds the wrapped bytes after a destruction."""
    keyring.create_many(["ds_a", "ds_b"])
    gone, kept = (row.wrapped for row in sorted(rows(key_engine, PERSON_KEYS), key=lambda row: row.data_subject))
    keyring.destroy("ds_a")
    if key_engine.dialect.name != "sqlite":
        return
    file = Path(str(key_engine.url.database))
    content = b"".join(path.read_bytes() for path in file.parent.glob(file.name + "*"))
    assert gone not in content
    assert kept in content


def test_other_processes_forget_within_a_second(
    keyring: KeyRing, another: Callable[[], KeyRing], clock: "StillClock"
) -> None:
    """A process that had the keys in memory may use them for less than a second more, or until it is told."""
    keyring.create("ds_a")
    keyring.create("ds_b")
    told, untold = another(), another()
    assert told.person_keys("ds_a") == untold.person_keys("ds_a")
    keyring.destroy("ds_a")
    told.forget("ds_a")
    with pytest.raises(KeysUnavailable):
        told.person_keys("ds_a")
    clock.moment += timedelta(milliseconds=999)
    untold.person_keys("ds_a")
    clock.moment += timedelta(milliseconds=1)
    untold.person_keys("ds_b")
    with pytest.raises(KeysUnavailable):
        untold.person_keys("ds_a")


def test_who_cannot_look_for_destructions_uses_no_key(
    keyring: KeyRing, key_engine: sa.Engine, clock: "StillClock"
) -> None:
    """Keys in memory are refused while the key database does not tell whether they were destroyed."""
    keyring.create("ds_a")
    keyring.person_keys("ds_a")
    clock.moment += timedelta(seconds=2)
    with key_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE key_marks RENAME TO elsewhere")
    with pytest.raises(DatabaseUnavailable):
        keyring.person_keys("ds_a")
    with key_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO key_marks")
    keyring.person_keys("ds_a")


def test_the_memory_of_keys_is_bounded_and_honest(clock: "StillClock") -> None:
    """It keeps the newest, trusts no clock that goes backwards, and puts nothing back that was forgotten meanwhile."""
    cache = PersonKeyCache(clock, most=2)
    a, b, c = (PersonKeys("acme", name, "aaaa", bytes(32), bytes(32)) for name in ("a", "b", "c"))
    for one in (a, b, c):
        cache.put(one, cache.generation)
    assert [cache.get(name) for name in ("a", "b", "c")] == [None, b, c]
    clock.moment -= timedelta(seconds=1)
    assert cache.get("b") is None
    generation = cache.generation
    cache.forget("a")
    cache.put(a, generation)
    assert cache.get("a") is None
    cache.put(a, cache.generation)
    cache.forget(None)
    assert cache.get("a") is None


def test_every_domain_has_its_own_key(keyring: KeyRing, another: Callable[[], KeyRing]) -> None:
    """Purposes and recipients never share a key, however their names are cut, nor do the kinds of key."""
    named = [
        keyring.domain_key("a", "bc"),
        keyring.domain_key("ab", "c"),
        keyring.domain_key('a","b', "c"),
        keyring.domain_key("a", None),
        keyring.token_key("a", None),
        keyring.token_key("a", "bc"),
    ]
    secrets = [key.secret for key in named]
    secrets += [
        *(
            keyring.index_versions(kind, "exact", rule)[0].secret
            for kind, rule in (("email", 1), ("email", 2), ("phone", 1))
        )
    ]
    secrets += [keyring.service_key("tokens"), keyring.service_key("email")]
    assert len(set(secrets)) == len(secrets)
    assert len({key.key_id for key in named}) == len(named)
    assert keyring.domain_key("a", "company") == keyring.domain_key("a", None)
    assert another().domain_key("a", "bc") == named[0]
    assert another().index_versions("email", "exact", 1) == keyring.index_versions("email", "exact", 1)


@pytest.mark.parametrize(("purpose", "recipient"), [("", "r"), ("p", ""), ("", None)])
def test_no_domain_with_a_part_left_out(keyring: KeyRing, purpose: str, recipient: str | None) -> None:
    """A domain without a purpose or a recipient is refused and never falls back to a wider one."""
    with pytest.raises(KeysUnavailable, match="needs a purpose and a recipient"):
        keyring.domain_key(purpose, recipient)


def test_first_use_by_many_makes_one_key(
    keyring: KeyRing, another: Callable[[], KeyRing], key_engine: sa.Engine
) -> None:
    """Eight processes that use domains and enrol people for the first time at once agree on every key."""
    people = [f"ds_{n}" for n in range(30)]

    def use(number: int) -> tuple[object, ...]:
        ring = another()
        ring.create_many(people if number % 2 else reversed(people))
        return (
            ring.domain_key("ads", "partner"),
            ring.index_versions("email", "exact", 1),
            ring.person_keys("ds_3").seed,
        )

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(use, range(8)))) == 1
    assert len(rows(key_engine, NAMED_KEYS)) == 2
    assert len(rows(key_engine, PERSON_KEYS)) == 30


def test_a_taken_key_id_is_drawn_again(keyring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two domains never get the same key id: where one is taken, another is drawn, and without any it is refused."""
    taken = keyring.domain_key("a", None).key_id
    drawn = iter([taken, taken, "zzzz", *[taken] * 20])
    monkeypatch.setattr("consent_gateway.protection.named_keys.draw_key_id", lambda: next(drawn))
    assert keyring.domain_key("b", None).key_id == "zzzz"
    with pytest.raises(KeysUnavailable, match="no present pseudonym key"):
        keyring.domain_key("c", None)


def test_a_closed_epoch_takes_no_new_keys(
    keyring: KeyRing, another: Callable[[], KeyRing], key_engine: sa.Engine
) -> None:
    """With every epoch closed nothing new is wrapped, while what was wrapped still opens."""
    keyring.create("ds_a")
    with key_engine.begin() as connection:
        connection.execute(EPOCHS.update().values(superseded_at=1))
    with pytest.raises(KeysUnavailable, match="closed"):
        keyring.create("ds_b")
    another().person_keys("ds_a")


def test_new_keys_go_to_the_newest_epoch(
    keyring: KeyRing, another: Callable[[], KeyRing], provider: FileKeyProvider, key_engine: sa.Engine
) -> None:
    """Once a second epoch is open, new people are under it and earlier ones still open under theirs."""
    from consent_gateway.protection.primitives import bind

    first = keyring.create("ds_a")
    with key_engine.begin() as connection:
        connection.execute(EPOCHS.update().values(superseded_at=1))
        wrapped = provider.wrap(b"e" * 32, bind("epoch/1", "acme", 2))
        connection.execute(EPOCHS.insert().values(epoch=2, wrapped=wrapped, created_at=2))
    keyring.create("ds_b")
    assert {(row.data_subject, row.epoch) for row in rows(key_engine, PERSON_KEYS)} == {("ds_a", 1), ("ds_b", 2)}
    assert another().person_keys("ds_a") == first


def test_forgetting_everything_reads_anew(keyring: KeyRing) -> None:
    """After forgetting everything the same keys come from the tables again."""
    before = keyring.create("ds_a"), keyring.domain_key("a", None)
    keyring.forget()
    assert not keyring._epochs
    assert not keyring._shards
    assert (keyring.person_keys("ds_a"), keyring.domain_key("a", None)) == before


def test_nothing_prints_a_key(keyring: KeyRing) -> None:
    """No repr of a key object, of the ring or of its evidence shows key bytes."""
    keys, domain = keyring.create("ds_a"), keyring.domain_key("a", None)
    shown = f"{keys!r} {keys} {domain!r} {keyring!r} {keyring.inventory()!r} {keyring.destroy('ds_a')!r}"
    for secret in (keys.data_key, keys.seed, domain.secret):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_a_database_that_is_away_is_named(provider: FileKeyProvider, clock: Clock, tmp_path: Path) -> None:
    """Without its tables the ring raises the named cause on every path."""
    engine = open_engine(f"sqlite:///{tmp_path / 'empty.db'}", threads=2)
    ring = KeyRing(provider, engine, "acme", clock)
    calls = (
        lambda: ring.person_keys("ds_a"),
        lambda: ring.create("ds_a"),
        lambda: ring.destroy("ds_a"),
        lambda: ring.domain_key("a", None),
        ring.inventory,
    )
    for call in calls:
        with pytest.raises(DatabaseUnavailable):
            call()
    ring.close()
    engine.dispose()


def test_the_inventory_counts_what_there_is(keyring: KeyRing, clock: "StillClock", key_engine: sa.Engine) -> None:
    """It names epochs, people, destroyed ones, named keys with their ids, and every algorithm with its standard."""
    keyring.create_many(["ds_a", "ds_b", "ds_c"])
    keyring.destroy("ds_b")
    domain = keyring.domain_key("ads", "partner")
    keyring.index_versions("email", "exact", 1)
    assert keyring.inventory().epochs[0].people is None
    inventory = keyring.inventory(count=True)
    assert inventory.erased_since_closing == 1
    (epoch,) = inventory.epochs
    assert (epoch.epoch, epoch.people, epoch.destroyed, epoch.closed_at) == (1, 2, 1, None)
    assert epoch.shards == len(rows(key_engine, SHARD_KEYS))
    assert epoch.created_at == clock.moment
    assert [(entry.kind, entry.name, entry.version) for entry in inventory.named] == [
        ("index", '["email","exact",1]', 1),
        ("pseudonym", '["ads","partner"]', 1),
    ]
    assert inventory.named[1].key_id == domain.key_id
    assert all(algorithm and use and standard for algorithm, use, standard in inventory.algorithms)


def test_a_check_opens_what_is_in_use_and_makes_nothing(
    keyring: KeyRing, provider: FileKeyProvider, keyrings: Callable[..., KeyRing], tmp_path: Path, key_engine: sa.Engine
) -> None:
    """An empty key table is in order; once there are keys, the provider must open them."""
    stranger = keyrings(FileKeyProvider.create(tmp_path / "fresh.key"))
    stranger.check()
    assert not rows(key_engine, EPOCHS)
    keyring.create("ds_a")
    keyring.check()
    with pytest.raises(KeysUnavailable):
        stranger.check()
    keyring.index_versions("email", "exact", 1)
    keyring.check()
    provider.rotate()
    keyring.check()
    provider.retire(1)
    with pytest.raises(KeysUnavailable, match="retired"):
        keyring.check()


def test_the_command_tells_the_inventory(keyring: KeyRing) -> None:
    """`keys status` shows epochs, named keys and algorithms, in words and as JSON, and no key."""
    keyring.create("ds_a")
    domain = keyring.domain_key("ads", None)
    services = SimpleNamespace(keyring=keyring)
    told = CliRunner().invoke(keys, ["status"], obj=lambda: services, catch_exceptions=False).output
    assert "epoch 1 (open): 1 shard keys\n" in told
    assert "no back-up of the key table was ever verified" in told
    assert "nobody erased since the last closing" in told
    counted = CliRunner().invoke(keys, ["status", "--count"], obj=lambda: services, catch_exceptions=False).output
    assert "epoch 1 (open): 1 shard keys, keys of 1 people, 0 destroyed" in counted
    assert f'pseudonym ["ads","company"]: version 1, id {domain.key_id}' in told
    document = json.loads(CliRunner().invoke(keys, ["status", "--count", "--json"], obj=lambda: services).output)
    assert document["epochs"][0]["people"] == 1
    assert document["provider"]["hardware_backed"] is False
    assert domain.secret.hex() not in told + str(document)
