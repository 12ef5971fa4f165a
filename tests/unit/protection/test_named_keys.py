"""Named keys in versions: new output by the newest, old output by every one that is not retired; on both databases."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from consent_gateway.errors import Conflict, KeysUnavailable, NotFound, ProtectionRefused
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.tables import NAMED_KEYS

if TYPE_CHECKING:
    from tests.conftest import StillClock

WORD = ("email", 1)


class Counting(FileKeyProvider):
    """The file provider, counting its calls."""

    calls: int = 0

    def wrap(self, key: bytes, context: bytes) -> bytes:
        self.calls += 1
        return super().wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        self.calls += 1
        return super().unwrap(wrapped, context)

    def unwrap_many(self, wrapped: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
        self.calls += 1
        return super().unwrap_many(wrapped)


def rows(key_engine: sa.Engine) -> list[sa.Row]:
    """Every named key, by kind and version."""
    with key_engine.connect() as connection:
        return list(connection.execute(sa.select(NAMED_KEYS).order_by(NAMED_KEYS.c.kind, NAMED_KEYS.c.version)))


def test_a_rotation_adds_a_version_and_keeps_the_old(keyring: KeyRing, another: Callable[[], KeyRing]) -> None:
    """The new version comes first, the old one still reads, and every process finds both by name and by id."""
    named = keyring._named
    first = named.key("index", WORD)
    second = named.rotate("index", WORD)
    assert (first.version, second.version) == (1, 2)
    assert first.key_id != second.key_id
    assert first.secret != second.secret
    assert named.versions("index", WORD) == (second, first)
    for ring in (keyring, another()):
        assert ring._named.key("index", WORD) == second
        assert ring._named.by_id("index", first.key_id) == first
        assert ring._named.existing("index", WORD, first.key_id) == first
        assert ring._named.existing("index", WORD, None) == second


def test_only_what_was_made_rotates(keyring: KeyRing, key_engine: sa.Engine) -> None:
    """Rotating a name that has no key is refused and makes none; so is asking for one by an id of another name."""
    with pytest.raises(NotFound, match="ever made"):
        keyring._named.rotate("index", WORD)
    assert not rows(key_engine)
    other = keyring._named.key("index", ("phone", 1))
    for parts, key_id in ((WORD, None), (WORD, other.key_id), (("phone", 1), "zzzz")):
        with pytest.raises(ProtectionRefused):
            keyring._named.existing("index", parts, key_id)
    with pytest.raises(KeysUnavailable):
        keyring._named.by_id("index", "zzzz")


def test_a_retired_version_is_gone_and_its_number_with_it(
    keyring: KeyRing, another: Callable[[], KeyRing], key_engine: sa.Engine, clock: "StillClock"
) -> None:
    """Its wrapped bytes are deleted, its row stays, no later version has its number or id, and nobody reads by it."""
    named = keyring._named
    first, second = named.key("index", WORD), named.rotate("index", WORD)
    with pytest.raises(Conflict, match="present"):
        named.retire("index", WORD, 2)
    named.retire("index", WORD, 1)
    empty, kept = rows(key_engine)
    assert (empty.version, empty.key_id, empty.wrapped) == (1, first.key_id, None)
    assert empty.retired_at is not None
    assert (kept.version, kept.retired_at) == (2, None)
    for ring in (keyring, another()):
        with pytest.raises(KeysUnavailable, match="retired"):
            ring._named.by_id("index", first.key_id)
        with pytest.raises(KeysUnavailable, match="retired"):
            ring._named.existing("index", WORD, first.key_id)
        assert ring._named.versions("index", WORD) == (second,)
    for version in (1, 3):
        with pytest.raises(NotFound):
            named.retire("index", WORD, version)
    assert named.rotate("index", WORD).version == 3


@pytest.mark.parametrize("name", ["suppression", "client-secrets", "webhook-secrets"])
def test_a_key_that_must_stay_is_refused_by_name(keyring: KeyRing, key_engine: sa.Engine, name: str) -> None:
    """The keys of suppression and of clients' and webhooks' secrets never rotate or retire; the refusal says why."""
    before = keyring.service_key(name)
    for change in (
        lambda: keyring._named.rotate("service", (name,)),
        lambda: keyring._named.retire("service", (name,), 1),
    ):
        why = f"`{name}` is never rotated or retired: .*(under it|derived from it|erased)"
        with pytest.raises(Conflict, match=why):
            change()
    assert keyring.service_key(name) == before
    assert len(rows(key_engine)) == 1


def test_other_processes_follow_within_a_minute(
    keyring: KeyRing, another: Callable[[], KeyRing], clock: "StillClock"
) -> None:
    """A process goes on with what it knows for under 60 seconds; then it has the new version, not the retired one."""
    other = another()
    first = other.domain_key("ads", "partner")
    keyring.rotate_domain("ads", "partner")
    keyring.retire_domain("ads", "partner", 1)
    clock.moment += timedelta(seconds=59)
    assert other.domain_key("ads", "partner") == first
    clock.moment += timedelta(seconds=1)
    assert other.domain_key("ads", "partner") == keyring.domain_key("ads", "partner") != first
    with pytest.raises(KeysUnavailable, match="retired"):
        other.handed_out_key("pseudonym", "ads", "partner", first.key_id)


def test_a_clock_that_goes_back_looks_again(
    keyring: KeyRing, another: Callable[[], KeyRing], clock: "StillClock"
) -> None:
    """What was seen in the future by the clock is looked up again, not kept until then."""
    other = another()
    first = other._named.key("index", WORD)
    keyring._named.key("index", WORD)
    keyring._named.rotate("index", WORD)
    clock.moment -= timedelta(days=1)
    assert other._named.key("index", WORD) != first


def test_a_domain_has_one_number_for_both_keys(keyring: KeyRing, key_engine: sa.Engine) -> None:
    """Pseudonym and token key of a domain rotate and retire together, also where one of them was never used."""
    keyring.domain_key("ads", "partner")  # the token key was never asked for
    made = keyring.rotate_domain("ads", "partner")
    assert [key.version for key in made] == [2, 2]
    assert (keyring.domain_key("ads", "partner"), keyring.token_key("ads", "partner")) == made
    assert len(keyring.retire_domain("ads", "partner", 1)) == 1
    keyring.rotate_domain("ads", "partner")
    assert len(keyring.retire_domain("ads", "partner", 2)) == 2
    assert [(row.kind, row.version, row.wrapped is None) for row in rows(key_engine)] == [
        ("pseudonym", 1, True),
        ("pseudonym", 2, True),
        ("pseudonym", 3, False),
        ("token", 2, True),
        ("token", 3, False),
    ]
    with pytest.raises(NotFound):
        keyring.rotate_domain("ads", "another")


def test_many_rotate_at_once(keyring: KeyRing, another: Callable[[], KeyRing], key_engine: sa.Engine) -> None:
    """Rotations of several processes at once each make a version of their own, and none is lost or doubled."""
    keyring._named.key("index", WORD)
    rings = [another() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda ring: ring._named.rotate("index", WORD).version, rings))
    assert max(made) == 7
    assert [row.version for row in rows(key_engine)] == list(range(1, 8))


def test_the_provider_is_asked_at_a_start_and_never_by_a_warm_read(
    provider: FileKeyProvider, keyrings: Callable[..., KeyRing], clock: "StillClock"
) -> None:
    """A start asks for all keys in two batches; reads after it ask 0 times, also when the minute is over."""
    counting = Counting(provider._path)
    maker = keyrings(provider)
    maker.create_many([f"ds_{n}" for n in range(20)])
    for n in range(10):
        maker.domain_key("ads", f"partner-{n}")
        maker.token_key("ads", f"partner-{n}")
    started = keyrings(counting)
    started.load()
    assert counting.calls == 2  # the epochs, the named keys
    for _ in range(3):
        for n in range(10):
            assert started.domain_key("ads", f"partner-{n}") == maker.domain_key("ads", f"partner-{n}")
            started.token_key("ads", f"partner-{n}")
        for n in range(20):
            started.person_keys(f"ds_{n}")
        clock.moment += timedelta(seconds=61)
    assert counting.calls == 2


def test_a_start_makes_nothing_and_finds_a_lost_root(
    keyring: KeyRing, keyrings: Callable[..., KeyRing], provider: FileKeyProvider, key_engine: sa.Engine
) -> None:
    """Loading an empty key table makes no key; with another root in place of the lost one it is refused."""
    keyring.load()
    assert not rows(key_engine)
    keyring.domain_key("ads", None)
    keyring.create("ds_a")
    stranger = keyrings(FileKeyProvider.create(provider._path.with_name("fresh.key")))
    with pytest.raises(KeysUnavailable):
        stranger.load()


@pytest.mark.only_on("sqlite", "a page of PostgreSQL is emptied by its own vacuum")
def test_a_retired_key_is_overwritten_on_disk(keyring: KeyRing, key_engine: sa.Engine) -> None:
    """After retiring, the wrapped bytes stand nowhere in the SQLite file or its log; before, they did."""
    keyring._named.key("index", WORD)
    keyring._named.rotate("index", WORD)
    wrapped = rows(key_engine)[0].wrapped
    folder = sa.make_url(str(key_engine.url)).database
    assert folder is not None

    def found() -> bool:
        from pathlib import Path

        path = Path(folder)
        return any(wrapped in file.read_bytes() for file in path.parent.glob(path.name + "*"))

    assert found()
    keyring._named.retire("index", WORD, 1)
    assert not found()
