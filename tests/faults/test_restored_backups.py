"""What an erasure is worth once everything is restored from yesterday's back-ups: the claim, and what it is without."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.fields import open_sealed, seal
from consent_gateway.protection.hierarchy import Hierarchy, shard_of
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import ClassKey, KeyGrant, PersonKeys, draw_key
from consent_gateway.protection.pseudonyms import pseudonym_of_person
from consent_gateway.protection.tables import EPOCHS, KEY_MARKS, NAMED_KEYS, PERSON_KEYS, SHARD_KEYS
from consent_gateway.protection.transit_engine import TransitAddress
from consent_gateway.protection.transit_provider import TransitKeyProvider
from tests.conftest import StillClock
from tests.keys_world import TENANT, KeyWorld, file_provider, silent

ERASED = "ds_erased"
OTHERS = [f"ds_{n}" for n in range(12)]
_TWIN = next(f"ds_{n}" for n in range(12, 100_000) if shard_of(f"ds_{n}") == shard_of(ERASED))
EVERYBODY = [ERASED, _TWIN, *OTHERS]

Open = Callable[[Path, pytest.FixtureRequest], KeyProvider]


def file(folder: Path, _request: pytest.FixtureRequest) -> KeyProvider:
    """The file provider: its root key file lives on, as the machine that is restored onto has it."""
    return file_provider(folder)


def openbao(folder: Path, request: pytest.FixtureRequest) -> KeyProvider:
    """A real OpenBao server, which outlives the machine that is restored and is part of no back-up of ours."""
    server = request.getfixturevalue("openbao")
    token_file = server.write_token(folder / "token")
    address = TransitAddress("openbao", server.address, "transit", f"key-{uuid4().hex}", token_file, timeout=10)
    TransitKeyProvider.create(address)
    return TransitKeyProvider(address)


PROVIDERS: list[Open] = [file, openbao]


def care(keys: PersonKeys) -> ClassKey:
    """The key of the sealed field."""
    return keys.class_key("care", KeyGrant(frozenset({"care"})))


class Shop:
    """A data store of sealed fields and a partner's pseudonyms over one key table, with its clear values known."""

    def __init__(self, world: KeyWorld) -> None:
        self.world = world
        self.store: dict[str, str] = {}
        self.partner: dict[str, str] = {}
        ring = world.ring()
        ring.create_many(EVERYBODY)
        for one in EVERYBODY:
            keys = ring.person_keys(one)
            self.store[one] = seal(f"allergies of {one}", "allergies", one, care(keys))
            self.partner[one] = self.pseudonym(ring, one)
        ring.close()

    def pseudonym(self, ring: KeyRing, one: str) -> str:
        """What the partner knows a person by."""
        domain = ring.domain_key("ads", "partner")
        return pseudonym_of_person(ring.person_keys(one).seed, domain.secret, domain.key_id, TENANT)

    def read(self, world: KeyWorld, stored: dict[str, str]) -> set[str]:
        """Whose sealed field opens and whose pseudonym can be computed, over this key table; the two must agree."""
        ring = world.ring()
        opened, known = set(), set()
        for one in EVERYBODY:
            try:
                key = care(ring.person_keys(one))
                assert open_sealed(stored[one], "allergies", one, key) == f"allergies of {one}"
                opened.add(one)
            except (KeysUnavailable, ProtectionRefused):
                pass
            try:
                assert self.pseudonym(ring, one) == self.partner[one]
                known.add(one)
            except KeysUnavailable:
                pass
        ring.close()
        assert opened == known
        return opened


@pytest.fixture(params=PROVIDERS, ids=lambda given: given.__name__)
def shop(request: pytest.FixtureRequest, key_database: str, tmp_path: Path, clock: Clock) -> Iterator[Shop]:
    """The shop of each provider, on both databases."""
    world = KeyWorld(key_database, tmp_path, clock, request.param(tmp_path, request))
    yield Shop(world)
    world.dispose()


def dumped(world: KeyWorld) -> dict[str, list[dict[str, object]]]:
    """Every row of the key table, as any back-up tool takes it."""
    tables = (EPOCHS, SHARD_KEYS, PERSON_KEYS, NAMED_KEYS, KEY_MARKS)
    return {table.name: [dict(row._mapping) for row in world.rows(table)] for table in tables}


def loaded(world: KeyWorld, name: str, rows: dict[str, list[dict[str, object]]]) -> KeyWorld:
    """A fresh key database filled with these rows, over the provider as it is now."""
    other = world.beside(name)
    with other.engine.begin() as connection:
        for table in (EPOCHS, SHARD_KEYS, PERSON_KEYS, NAMED_KEYS, KEY_MARKS):
            if rows[table.name]:
                connection.execute(sa.insert(table), rows[table.name])
    return other


def test_without_a_closing_a_restored_back_up_reads_the_erased(shop: Shop) -> None:
    """The control: with the row emptied and nothing else done, yesterday's back-ups read the erased person."""
    store, keys = dict(shop.store), dumped(shop.world)
    shop.world.ring().destroy(ERASED)
    assert shop.read(shop.world, store) == set(EVERYBODY) - {ERASED}
    assert shop.read(loaded(shop.world, "restored", keys), store) == set(EVERYBODY)


def test_after_a_closing_no_older_back_up_reads_the_erased(shop: Shop) -> None:
    """Data store and key table restored from before the erasure open nothing, sealed fields or pseudonyms, and together
    with what is there now they open nobody but the living: not by old rows in the new table, nor by old epochs in it.
    """
    store, keys = dict(shop.store), dumped(shop.world)
    shop.world.ring().destroy(ERASED)
    shop.world.close_epoch()
    living = set(EVERYBODY) - {ERASED}
    assert shop.read(shop.world, store) == living, "old data, present keys"
    now = dumped(shop.world)
    assert not shop.read(loaded(shop.world, "all-old", keys), store)
    kept = {(row["epoch"], row["shard"]) for row in now["shard_keys"]}
    mixed = {**now, "person_keys": keys["person_keys"]}
    mixed["shard_keys"] = now["shard_keys"] + [
        row for row in keys["shard_keys"] if (row["epoch"], row["shard"]) not in kept
    ]
    mixed["key_epochs"] = keys["key_epochs"] + [row for row in now["key_epochs"] if row["epoch"] == 2]
    assert shop.read(loaded(shop.world, "old-people", mixed), store) == set(OTHERS), "whose shards lost nobody"
    fresh = {row["shard"]: row["epoch"] for row in now["shard_keys"]}
    moved = [dict(row, epoch=fresh[row["shard"]]) for row in keys["person_keys"]]
    assert shop.read(loaded(shop.world, "old-rows-moved", {**now, "person_keys": moved}), store) == set(OTHERS)
    named = [dict(row, epoch=1) for row in now["shard_keys"]]
    as_before = {**now, "person_keys": keys["person_keys"], "shard_keys": named}
    assert shop.read(loaded(shop.world, "shards-renamed", as_before), store) == set(OTHERS)
    shop.world.close_epoch(every_shard=True)
    now = dumped(shop.world)
    for rows in (keys["person_keys"], [dict(row, epoch=3) for row in keys["person_keys"]]):
        other = loaded(shop.world, f"every-shard-{rows[0]['epoch']}", {**now, "person_keys": rows})
        assert not shop.read(other, store), "once every shard is fresh old rows open nobody"


def test_who_is_erased_while_a_closing_runs_waits_for_the_next(shop: Shop) -> None:
    """The limit, as documented: erased when the shards' keys are under the next epoch already, a person opens by old
    rows in the new table, is not counted as gone, and the next closing ends that.
    """
    store, keys = dict(shop.store), dumped(shop.world)

    def at(step: str) -> None:
        if step == "opened":
            shop.world.ring().destroy(ERASED)

    assert shop.world.close_epoch(at).erased == 0
    assert not shop.read(loaded(shop.world, "all-old", keys), store)
    now = dumped(shop.world)
    assert ERASED in shop.read(loaded(shop.world, "mixed", {**now, "person_keys": keys["person_keys"]}), store)
    assert shop.world.close_epoch().erased == 1
    now, fresh = dumped(shop.world), {row.shard: row.epoch for row in shop.world.rows(SHARD_KEYS)}
    for name, epoch_of in (("as-they-were", None), ("moved", fresh)):
        rows = [dict(row, epoch=epoch_of[row["shard"]]) if epoch_of else row for row in keys["person_keys"]]
        assert ERASED not in shop.read(loaded(shop.world, name, {**now, "person_keys": rows}), store)


def test_the_closings_own_back_up_restores_everybody_living(shop: Shop, tmp_path: Path) -> None:
    """Restored from the back-up that the closing made, with the root key's copy, everybody living is read."""
    store = dict(shop.store)
    shop.world.ring().destroy(ERASED)
    evidence = shop.world.close_epoch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    provider = shop.world.provider
    if (tmp_path / "copy.key").exists():  # the machine is lost, and with it the first of the two files
        shutil.copy(tmp_path / "copy.key", elsewhere / "root.key")
        shutil.copy(tmp_path / "copy.key", elsewhere / "copy.key")
        provider = file_provider(elsewhere)
    world = KeyWorld(f"sqlite:///{elsewhere / 'keys.db'}", elsewhere, StillClock(), provider)
    world.upkeep().restore(shop.world.backups / evidence.backup, silent)
    assert shop.read(world, store) == set(EVERYBODY) - {ERASED}
    world.dispose()


def test_who_is_erased_after_the_back_up_is_in_it_until_the_next_closing(shop: Shop) -> None:
    """The limit, as documented: a closing's own back-up reads those erased since, and the next closing ends that."""
    first = shop.world.back_up()
    shop.world.ring().destroy(ERASED)
    restored = shop.world.beside("restored")
    restored.upkeep().restore(first.file, silent)
    assert ERASED in shop.read(restored, shop.store)
    shop.world.close_epoch()
    with pytest.raises(KeysUnavailable):
        shop.world.upkeep().verify(first.file, silent)


def test_the_same_shard_key_under_a_new_epoch_would_not_do(shop: Shop) -> None:
    """The second control: had a closing only wrapped the shard keys anew, old rows would open with the new table."""
    store, keys = dict(shop.store), dumped(shop.world)
    world, derive = shop.world, Hierarchy(TENANT)
    world.ring().destroy(ERASED)
    old = world.provider.unwrap(keys["key_epochs"][0]["wrapped"], derive.epoch_context(1))  # type: ignore[arg-type]
    world.provider.rotate()
    fresh, shards = draw_key(), world.rows(SHARD_KEYS)
    with world.engine.begin() as connection:
        for row in shards:
            shard_key = derive.open_shard(old, row.shard, 1, row.wrapped)
            wrapped = derive.wrap_shard(fresh, row.shard, 1, shard_key)
            connection.execute(SHARD_KEYS.update().where(SHARD_KEYS.c.shard == row.shard).values(wrapped=wrapped))
        wrapped = world.provider.wrap(fresh, derive.epoch_context(1))
        connection.execute(EPOCHS.update().values(wrapped=wrapped))
    world.upkeep()._named.rewrap()
    world.provider.retire(world.provider.versions()[0])
    assert shop.read(world, store) == set(EVERYBODY) - {ERASED}
    mixed = {**dumped(world), "person_keys": keys["person_keys"]}
    assert ERASED in shop.read(loaded(world, "mixed", mixed), store)
