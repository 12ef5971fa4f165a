"""Closing an epoch, rotating the root, backing up and restoring, step by step and on both databases."""

import shutil
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from consent_gateway.database import open_engine
from consent_gateway.errors import Conflict, InputRefused, KeysUnavailable, SettingsRefused
from consent_gateway.migrate import downgrade, upgrade
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.hierarchy import shard_of
from consent_gateway.protection.tables import EPOCHS, KEY_BACKUPS, KEY_JOBS, PERSON_KEYS, SHARD_KEYS
from consent_gateway.protection.upkeep import KeyUpkeep
from tests.conftest import StillClock
from tests.keys_world import TENANT, KeyWorld, file_provider, read, readable, silent

PEOPLE = [f"ds_{n}" for n in range(40)]


@pytest.fixture
def world(key_database: str, tmp_path: Path, clock: StillClock) -> Iterator[KeyWorld]:
    """A key table with forty people and a domain, on both databases."""
    made = KeyWorld(key_database, tmp_path, clock, file_provider(tmp_path))
    ring = made.ring()
    ring.create_many(PEOPLE)
    ring.domain_key("ads", "partner")
    ring.close()
    yield made
    made.dispose()


def test_closing_keeps_everybody_and_every_key(world: KeyWorld) -> None:
    """After a closing the same keys open, in processes that had them in memory and in new ones."""
    ring = world.ring()
    before = {one: ring.person_keys(one) for one in PEOPLE}
    domain = ring.domain_key("ads", "partner")
    evidence = world.close_epoch()
    for process in (ring, world.ring()):
        assert {one: process.person_keys(one) for one in PEOPLE} == before
        assert process.domain_key("ads", "partner") == domain
        process.check()
    assert (evidence.closed, evidence.epoch, evidence.people, evidence.erased) == (1, 2, 40, 0)
    assert (evidence.versions_before, evidence.versions_after) == ((1,), (2,))
    assert world.accounted == [evidence]
    ring.create("ds_new")
    assert world.under() == {2}


def test_nothing_of_the_old_epoch_stays(world: KeyWorld) -> None:
    """Asked for every shard: the old epoch's key and its shards' keys are gone, and every shard key is a fresh one."""
    wrapped = {row.wrapped for row in (*world.rows(EPOCHS), *world.rows(SHARD_KEYS), *world.rows(PERSON_KEYS))}
    world.close_epoch(every_shard=True)
    old, new = sorted(world.rows(EPOCHS), key=lambda row: row.epoch)
    assert old.wrapped is None
    assert old.closed_at is not None
    assert new.superseded_at is None
    after = {row.wrapped for row in (new, *world.rows(SHARD_KEYS), *world.rows(PERSON_KEYS))}
    assert not wrapped & after
    assert {row.epoch for row in world.rows(SHARD_KEYS)} == {2}


def test_only_shards_that_lost_somebody_get_a_fresh_key(world: KeyWorld) -> None:
    """A shard's key goes on, wrapped anew, as long as nobody under it is erased; then everyone in it is moved, once."""
    lost = shard_of(PEOPLE[0])
    keys, people = world.rows(SHARD_KEYS), {row.data_subject: row for row in world.rows(PERSON_KEYS)}
    world.ring().destroy(PEOPLE[0])
    world.close_epoch()
    for row in world.rows(SHARD_KEYS):
        assert (row.epoch, row.under, row.lost_at) == (2 if row.shard == lost else 1, 2, None)
    assert not {row.wrapped for row in keys} & {row.wrapped for row in world.rows(SHARD_KEYS)}
    after = {row.data_subject: row for row in world.rows(PERSON_KEYS)}
    assert {one for one in PEOPLE if after[one] != people[one]} == {one for one in PEOPLE if shard_of(one) == lost}
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    world.close_epoch()
    assert {row.data_subject: row for row in world.rows(PERSON_KEYS)} == after
    assert world.under() == {3}


def test_a_key_table_from_before_shards_went_on_is_carried_over(
    key_database: str, tmp_path: Path, clock: StillClock
) -> None:
    """Upgraded, everybody opens and every shard counts as having lost somebody, for nobody knows better; and a table
    with a piece of work unfinished, or with shard keys that went on, is left alone.
    """
    engine = open_engine(key_database, threads=1)
    upgrade(engine, "keys")
    engine.dispose()
    world = KeyWorld(key_database, tmp_path, clock, file_provider(tmp_path))
    world.ring().create_many(PEOPLE)
    downgrade(world.engine, "keys", "0002_providers")
    upgrade(world.engine, "keys")
    assert readable(world.ring(), PEOPLE) == set(PEOPLE)
    assert all(row.lost_at is not None and row.under == row.epoch for row in world.rows(SHARD_KEYS))
    world.close_epoch()
    assert {row.epoch for row in world.rows(PERSON_KEYS)} == {2}

    def cut(_step: str) -> None:
        raise InterruptedError

    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    with pytest.raises(InterruptedError):
        world.close_epoch(cut)
    downgrade(world.engine, "keys", "0002_providers")
    with pytest.raises(RuntimeError, match="unfinished"):
        upgrade(world.engine, "keys")
    with world.engine.begin() as connection:  # as the version that began it finishes it
        connection.execute(KEY_JOBS.update().values(finished_at=1))
    upgrade(world.engine, "keys")
    with world.engine.begin() as connection:
        connection.execute(SHARD_KEYS.update().values(lost_at=None))
    world.close_epoch()
    with pytest.raises(RuntimeError, match="every-shard"):
        downgrade(world.engine, "keys", "0002_providers")
    world.dispose()


def test_who_is_erased_while_a_closing_runs_counts_for_the_next(world: KeyWorld) -> None:
    """Erased once the keys of all shards are under the next epoch, and the evidence names that one, not the closed."""
    ring, epochs = world.ring(), []

    def at(step: str) -> None:
        if step == "opened":
            epochs.append(ring.destroy(PEOPLE[0]).epoch)

    assert (world.close_epoch(at).erased, epochs) == (0, [2])
    assert ring.inventory().erased_since_closing == 1
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    assert world.close_epoch().erased == 1
    assert ring.inventory().erased_since_closing == 0
    assert ring.destroy(PEOPLE[0]).epoch == 2, "the evidence stays that of the first call"


def test_the_erased_stay_erased_and_are_counted(world: KeyWorld) -> None:
    """A closing brings nobody back, tells how many it made unreadable, and the count then starts again."""
    ring = world.ring()
    for one in PEOPLE[:3]:
        ring.destroy(one)
    assert ring.inventory().erased_since_closing == 3
    assert world.close_epoch().erased == 3
    fresh = world.ring()
    assert fresh.inventory().erased_since_closing == 0
    assert readable(fresh, PEOPLE) == set(PEOPLE[3:])
    with pytest.raises(KeysUnavailable, match="destroyed"):
        fresh.create(PEOPLE[0])
    ring.destroy(PEOPLE[3])
    world.clock.moment += timedelta(days=1)  # type: ignore[attr-defined]
    assert world.close_epoch().erased == 1


def test_rotating_the_root_touches_nobody(world: KeyWorld) -> None:
    """Every person's row is as it was, all keys open under the new root version, and the old one is destroyed."""
    rows = world.rows(PERSON_KEYS)
    world.ring().destroy(PEOPLE[0])
    evidence = world.rotate_root()
    after = {row.data_subject: row for row in world.rows(PERSON_KEYS)}
    assert all(after[row.data_subject] == row for row in rows if row.data_subject != PEOPLE[0])
    assert (evidence.closed, evidence.erased, evidence.versions_after) == (None, 0, (2,))
    ring = world.ring()
    assert readable(ring, PEOPLE) == set(PEOPLE[1:])
    ring.check()
    assert ring.inventory().erased_since_closing == 1, "a rotation ends no older back-up's reading of the erased"


def test_a_root_on_one_disk_is_refused(world: KeyWorld) -> None:
    """Without a copy of the root key nothing is begun, and the message names the setting."""
    world.provider = FileKeyProvider(world.folder / "root.key")
    for work in (world.close_epoch, world.rotate_root):
        with pytest.raises(SettingsRefused, match="KEY_FILE_COPY"):
            work()
    assert not world.rows(KEY_JOBS)


def test_a_folder_that_is_not_there_is_refused_first(world: KeyWorld) -> None:
    """Nothing is begun where the back-up could not be written."""
    world.backups.rmdir()
    for work in (world.close_epoch, world.rotate_root, world.back_up):
        with pytest.raises(InputRefused, match="not a directory"):
            work()
    assert not world.rows(KEY_JOBS)


def test_one_job_at_a_time(world: KeyWorld) -> None:
    """While one runs, another of either kind and a back-up are refused; what was cut off must be finished first."""
    refused = []

    def meanwhile(step: str) -> None:
        if step == "opened":
            for work in (world.close_epoch, world.rotate_root, world.back_up):
                with pytest.raises(Conflict, match="running"):
                    work()
                refused.append(work)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        world.close_epoch(meanwhile)
    assert len(refused) == 3
    for work in (world.rotate_root, world.back_up):
        with pytest.raises(Conflict, match="keys close-epoch` is unfinished"):
            work()
    assert world.ring().inventory().under_way is not None
    assert world.close_epoch().closed == 1
    assert world.ring().inventory().under_way is None
    assert world.rotate_root().closed is None


def test_a_key_that_does_not_open_stops_a_closing(world: KeyWorld) -> None:
    """A damaged row is named, nothing is retired, and once the person is erased the same closing goes on."""
    damage = PERSON_KEYS.update().where(PERSON_KEYS.c.data_subject == "ds_7").values(wrapped=b"x" * 72)
    with world.engine.begin() as connection:
        connection.execute(damage)
    with pytest.raises(KeysUnavailable, match="`ds_7`"):
        world.close_epoch(every_shard=True)
    assert world.provider.versions() == (1, 2)
    assert readable(world.ring(), PEOPLE) == set(PEOPLE) - {"ds_7"}
    world.ring().destroy("ds_7")
    world.close_epoch()
    assert world.provider.versions() == (2,)
    assert readable(world.ring(), PEOPLE) == set(PEOPLE) - {"ds_7"}


def test_a_back_up_is_private_whole_and_closed_to_others(world: KeyWorld) -> None:
    """The file has mode 0600, holds no key that is not wrapped, and without the root key it opens nothing."""
    ring = world.ring()
    made = world.back_up()
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    content = made.file.read_bytes()
    for one in PEOPLE:
        keys = ring.person_keys(one)
        assert keys.data_key not in content
        assert keys.seed not in content
    stranger = KeyUpkeep(
        FileKeyProvider.create(world.folder / "other.key"), world.engine, TENANT, world.clock, world.accounted.append
    )
    with pytest.raises(KeysUnavailable):
        stranger.verify(made.file, silent)
    assert ring.inventory().last_backup is not None
    assert list(world.backups.iterdir()) == [made.file]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM person_keys WHERE data_subject = 'ds_3'",
        "UPDATE person_keys SET wrapped = NULL, destroyed_at = 1 WHERE data_subject = 'ds_3'",
        "UPDATE person_keys SET created_at = 5",
        "UPDATE person_keys SET epoch = 9 WHERE data_subject = 'ds_3'",
        "UPDATE person_keys SET wrapped = (SELECT wrapped FROM person_keys WHERE data_subject = 'ds_4')",
        "DELETE FROM shard_keys",
        "UPDATE named_keys SET name = 'x'",
        "DELETE FROM about",
        "UPDATE about SET tenant = 'other'",
        "UPDATE about SET schema = '0000_none'",
        "DROP TABLE person_keys",
    ],
)
def test_an_altered_back_up_is_refused(world: KeyWorld, statement: str) -> None:
    """Whatever is changed in a back-up is found by reading it, and nothing of it is restored."""
    made = world.back_up()
    engine = sa.create_engine(f"sqlite:///{made.file}")
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
    with pytest.raises((KeysUnavailable, InputRefused)):
        world.upkeep().verify(made.file, silent)


def test_a_disk_that_does_not_keep_what_is_written_stops_a_closing(
    world: KeyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what is read back is not what was written nothing is retired, and no file is left to be trusted."""
    from consent_gateway.protection import backups

    real = backups._flushed_into_place

    def lossy(fresh: Path, file: Path) -> None:
        content = bytearray(fresh.read_bytes())
        content[-100] ^= 1
        fresh.write_bytes(content)
        real(fresh, file)

    monkeypatch.setattr(backups, "_flushed_into_place", lossy)
    with pytest.raises(KeysUnavailable):
        world.close_epoch()
    assert world.provider.versions() == (1, 2)
    assert not list(world.backups.iterdir())
    monkeypatch.undo()
    assert world.close_epoch().people == 40


def test_a_back_up_that_went_missing_is_made_again(world: KeyWorld) -> None:
    """A closing cut off after its back-up was verified does not retire anything on the word of a file that is gone."""

    def cut(step: str) -> None:
        if step == "backed-up noted":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        world.close_epoch(cut)
    (file,) = world.backups.iterdir()
    file.unlink()
    evidence = world.close_epoch()
    assert world.upkeep().verify(world.backups / evidence.backup, silent).digest == evidence.digest


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_back_up_is_restored_into_either_database(world: KeyWorld, kind: str, request: pytest.FixtureRequest) -> None:
    """Restored into a fresh database of either kind, everybody living opens and the destroyed stay so."""
    from tests.conftest import _create_database, _drop_database

    ring = world.ring()
    ring.destroy(PEOPLE[0])
    world.close_epoch()
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    made = world.back_up()
    server = request.getfixturevalue("postgresql_server") if kind == "postgresql" else ""
    url = _create_database(server) if server else f"sqlite:///{world.folder / 'restored.db'}"
    other = KeyWorld(url, world.folder, world.clock, world.provider)
    assert other.upkeep().restore(made.file, silent).digest == made.digest
    for table in (EPOCHS, SHARD_KEYS, PERSON_KEYS):
        key = [column.name for column in table.primary_key]
        order = lambda row, key=key: [row._mapping[name] for name in key]  # noqa: E731
        assert sorted(other.rows(table), key=order) == sorted(world.rows(table), key=order)
    restored = other.ring()
    assert {one: read(restored, one) for one in PEOPLE} == {one: read(ring, one) for one in PEOPLE}
    assert restored.inventory().erased_since_closing == 0
    with pytest.raises(Conflict, match="not empty"):
        other.upkeep().restore(made.file, silent)
    restored.close()
    other.dispose()
    if server:
        _drop_database(server, url)


def test_dead_back_ups_are_deleted_only_on_demand(world: KeyWorld) -> None:
    """Older back-ups stay, and cannot be opened any more; asked to, a closing deletes those it knows."""
    old = world.back_up()
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    first = world.close_epoch()
    assert first.removed == ()
    assert old.file.exists()
    with pytest.raises(KeysUnavailable):
        world.upkeep().verify(old.file, silent)
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    evidence = world.close_epoch(remove_dead=True)
    assert evidence.removed == (str(old.file), str(world.backups / first.backup))
    assert [file.name for file in world.backups.iterdir()] == [evidence.backup]
    assert len(world.rows(KEY_BACKUPS)) == 3


def test_only_its_own_back_ups_in_its_own_folder_are_deleted(world: KeyWorld, tmp_path: Path) -> None:
    """A file written elsewhere, one that is another than was listed, and one that is no back-up stay where they are."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    world.upkeep().back_up(elsewhere, silent)
    replaced, spoilt = [], []
    for files in (replaced, spoilt):
        world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
        files.append(world.back_up().file)
        world.ring().create_many([f"ds_more_{len(replaced)}{len(spoilt)}"])
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    dead = world.back_up().file
    shutil.copy(dead, replaced[0])
    spoilt[0].write_text("somebody else's notes, under the name of a back-up")
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    assert world.close_epoch(remove_dead=True).removed == (str(dead),)
    assert not dead.exists()
    assert all(file.exists() for file in (*elsewhere.iterdir(), *replaced, *spoilt))
    assert list(elsewhere.iterdir())


def test_a_restored_copy_deletes_no_back_up_of_the_one_it_came_from(world: KeyWorld) -> None:
    """A drill that uses the very same folder leaves every back-up of the living installation; its own it deletes."""
    world.close_epoch()
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    made = world.back_up()
    living = set(world.backups.iterdir())
    drill = world.beside("drill")
    drill.upkeep().restore(made.file, silent)
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    own = drill.back_up().file
    world.clock.moment += timedelta(hours=1)  # type: ignore[attr-defined]
    evidence = drill.close_epoch(remove_dead=True)
    assert evidence.removed == (str(own),)
    assert set(world.backups.iterdir()) == living | {world.backups / evidence.backup}


def test_a_process_forgets_closed_epochs(world: KeyWorld, clock: StillClock) -> None:
    """A second after a closing, at its next use of a key, a process holds no key of the closed epoch any more."""
    ring = world.ring()
    readable(ring, PEOPLE)
    held = {*ring._epochs.values(), *ring._shards.values()}
    assert held
    world.close_epoch()
    clock.moment += timedelta(seconds=1)
    ring.person_keys(PEOPLE[0])
    assert not held & {*ring._epochs.values(), *ring._shards.values()}


def test_whoever_read_before_a_closing_opens_after_it(world: KeyWorld) -> None:
    """A row read before a closing and opened after the root was retired is read again, not refused."""
    ring = world.ring()
    before = ring._read_row(PEOPLE[0])
    keys = world.ring().person_keys(PEOPLE[0])
    world.close_epoch()
    reads = iter([before])
    real = ring._read_row
    ring._read_row = lambda data_subject: next(reads, None) or real(data_subject)  # type: ignore[method-assign]
    assert ring.person_keys(PEOPLE[0]) == keys


def test_restoring_finds_the_file_wrong_before_anything_else(world: KeyWorld, tmp_path: Path) -> None:
    """What is no file, no database or of another tenant is refused by name."""
    with pytest.raises(InputRefused, match="there is no file"):
        world.upkeep().restore(tmp_path / "none.db", silent)
    (tmp_path / "text.db").write_text("not a database, and long enough to be looked at")
    with pytest.raises(KeysUnavailable, match="cannot be read"):
        world.upkeep().restore(tmp_path / "text.db", silent)
    made = world.back_up()
    other = KeyUpkeep(world.provider, world.engine, "other", world.clock, world.accounted.append)
    with pytest.raises(InputRefused, match="tenant `acme`"):
        other.verify(made.file, silent)
    copied = shutil.copy(made.file, tmp_path / "odd name?#%.db")
    assert world.upkeep().verify(Path(copied), silent).digest == made.digest


def test_an_empty_key_table_has_nothing_to_close(tmp_path: Path, clock: StillClock) -> None:
    """Without any key, closing, rotating and backing up are refused and begin nothing."""
    engine = open_engine(f"sqlite:///{tmp_path / 'none.db'}", threads=2)
    engine.dispose()
    world = KeyWorld(f"sqlite:///{tmp_path / 'none.db'}", tmp_path, clock, file_provider(tmp_path))
    for work in (world.close_epoch, world.rotate_root, world.back_up):
        with pytest.raises(Conflict, match=r"no person has a key yet: nothing to .* first sealed value"):
            work()
    assert not world.rows(KEY_JOBS)
    world.dispose()


def test_a_folder_that_others_can_read_takes_no_back_up(world: KeyWorld) -> None:
    """The rule of the default folder holds for every other: refused with the mend, nothing written or begun."""
    world.backups.chmod(0o755)
    for work in (world.back_up, world.close_epoch):
        with pytest.raises(InputRefused, match="mode 0755: run `chmod 700`"):
            work()
    assert not list(world.backups.iterdir())
    assert not world.rows(KEY_JOBS)
