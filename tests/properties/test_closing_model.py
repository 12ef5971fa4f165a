"""Key tables against a naive model: any interleaving of enrolling, erasing, closing, rotating and being cut off."""

import tempfile
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consent_gateway.errors import Conflict, KeysUnavailable, NotFound
from consent_gateway.protection.hierarchy import Hierarchy, shard_of
from consent_gateway.protection.material import PersonKeys
from consent_gateway.protection.tables import EPOCHS, PERSON_KEYS, SHARD_KEYS
from tests.conftest import StillClock
from tests.keys_world import TENANT, KeyWorld, file_provider, read, silent

PEOPLE = st.sampled_from([f"ds_{n}" for n in range(8)])
MOMENTS = ["rotated", "opened", "epoch", "shard", "re-wrapped", "named", "backed-up", "retired", "dropped", "removed"]
CUTS = st.sampled_from([None, *MOMENTS, *(f"{moment} noted" for moment in MOMENTS if moment != "shard")])


class Cut(Exception):
    """A process that ends in the middle."""


class KeyTable(RuleBasedStateMachine):
    """The model: who has which keys, who is erased, and which work was cut off."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        place = Path(self._folder.name)
        self.world = KeyWorld(f"sqlite:///{place}/keys.db", place, StillClock(), file_provider(place))
        self.ring = self.world.ring()
        self.living: dict[str, PersonKeys] = {}
        self.erased: dict[str, int] = {}  # with the epoch that the evidence names
        self.seen: defaultdict[str, set[tuple[int, bytes]]] = defaultdict(set)  # rows that a back-up may hold
        self.unfinished: str | None = None
        self.meanwhile: tuple[str | None, str] | None = None  # at which moment of the work somebody is erased
        self.backups: list[tuple[Path, dict[str, PersonKeys], bool]] = []  # with whom it opens, and whether it is dead

    def teardown(self) -> None:
        self.world.dispose()
        self._folder.cleanup()

    @rule(one=PEOPLE)
    def enrol(self, one: str) -> None:
        """A person gets keys once, and none after they are erased."""
        if one in self.erased:
            try:
                self.ring.create(one)
            except KeysUnavailable:
                return
            raise AssertionError("an erased person got keys")
        keys = self.ring.create(one)
        assert keys == self.living.setdefault(one, keys)

    @rule(one=PEOPLE)
    def erase(self, one: str) -> None:
        """Only who has keys can be erased, and twice is once."""
        try:
            evidence = self.ring.destroy(one)
        except NotFound:
            assert one not in self.living
            assert one not in self.erased
        else:
            assert self.living.pop(one, None) is not None or one in self.erased
            assert self.erased.setdefault(one, evidence.epoch) == evidence.epoch

    @rule(one=PEOPLE, cut=CUTS)
    def erase_while_closing(self, one: str, cut: str | None) -> None:
        """Somebody is erased at some moment of a closing."""
        if self.unfinished in (None, "close-epoch") and one in self.living:
            self.meanwhile = (cut, one)
            self.work(None, close=True)
            self.meanwhile = None

    @precondition(lambda self: self.living or self.erased)
    @rule(cut=CUTS, close=st.booleans())
    def work(self, cut: str | None, *, close: bool) -> None:
        """A closing or a rotation, whole or cut off; the other kind is refused while one is unfinished."""
        kind = "close-epoch" if close else "rotate root"
        run = self.world.close_epoch if close else self.world.rotate_root

        def at(step: str) -> None:
            self.look()
            if self.meanwhile is not None and self.meanwhile[0] == step and self.meanwhile[1] in self.living:
                self.erase(self.meanwhile[1])
            if step == cut:
                raise Cut

        self.world.clock.moment += self._hour()  # type: ignore[attr-defined]
        try:
            run(at)
        except Cut:
            self.unfinished = kind
        except Conflict:
            assert self.unfinished not in (None, kind)
        else:
            assert self.unfinished in (None, kind)
            self.unfinished = None
            self.backups = [(file, who, True) for file, who, _ in self.backups]

    @precondition(lambda self: self.living and self.unfinished is None)
    @rule()
    def back_up(self) -> None:
        """A back-up at rest."""
        self.world.clock.moment += self._hour()  # type: ignore[attr-defined]
        self.backups.append((self.world.back_up().file, dict(self.living), False))

    @rule()
    def restart(self) -> None:
        """A process with nothing in memory takes over."""
        self.ring.close()
        self.ring = self.world.ring()

    @invariant()
    def look(self) -> None:
        """What anybody could have copied from the table until now."""
        for row in self.world.rows(PERSON_KEYS):
            if row.wrapped is not None:
                self.seen[row.data_subject].add((row.epoch, row.wrapped))

    @invariant()
    def who_counts_as_gone_opens_by_no_row_ever_seen(self) -> None:
        """Whatever old rows are held against the keys that there are, they open no erased person whose epoch is closed,
        and no more of them than are counted as readable still.
        """
        epochs = {row.epoch: row for row in self.world.rows(EPOCHS)}
        shards = self.world.rows(SHARD_KEYS)
        opening = {one for one in self.erased if any(self._opens(one, row, epochs[row.under]) for row in shards)}
        assert not {one for one in opening if epochs[self.erased[one]].closed_at is not None}
        assert len(opening) <= self.world.ring().inventory().erased_since_closing

    def _opens(self, one: str, shard: sa.Row[Any], epoch: sa.Row[Any]) -> bool:
        """Whether this key of a shard opens any row of this person that was ever seen."""
        if shard.shard != shard_of(one) or epoch.wrapped is None:
            return False
        derive = Hierarchy(TENANT)
        try:
            epoch_key = self.world.provider.unwrap(epoch.wrapped, derive.epoch_context(epoch.epoch))
        except KeysUnavailable:
            return False  # its root version is retired
        key = derive.open_shard(epoch_key, shard.shard, epoch.epoch, shard.wrapped)
        for drawn, wrapped in self.seen[one]:
            try:
                derive.people(key, drawn).open(one, wrapped)
            except KeysUnavailable:
                continue
            return True
        return False

    @invariant()
    def exactly_the_living_open(self) -> None:
        """Whatever was done and cut off: the living open with their own keys, nobody else does."""
        fresh = self.world.ring()
        for ring in (self.ring, fresh):
            assert {one: keys for n in range(8) if (keys := read(ring, one := f"ds_{n}"))} == self.living
        fresh.close()

    @invariant()
    def dead_back_ups_stay_dead(self) -> None:
        """A back-up older than a finished closing or rotation opens for nobody."""
        for file, _who, dead in self.backups[-2:]:
            if dead:
                try:
                    self.world.upkeep().verify(file, silent)
                except KeysUnavailable:
                    continue
                raise AssertionError("a dead back-up opened")

    def _hour(self) -> timedelta:
        return timedelta(hours=1)


KeyTable.TestCase.settings = settings(max_examples=40, stateful_step_count=20)
TestKeyTable = KeyTable.TestCase
