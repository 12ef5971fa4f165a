"""The worker's verification: stretch by stretch to the newest checkpoint, each day from the start again, with alarm."""

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from consent_gateway.audit.append_only import drop_append_only_ddl
from consent_gateway.audit.log import AuditLog, EntryFilter
from consent_gateway.audit.recorder import Recorder
from consent_gateway.audit.sealer import NOTED_CHECKPOINT, Sealer
from consent_gateway.audit.signer import Signer
from consent_gateway.audit.status import log_status
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_COSIGNATURES, AUDIT_LOG, AUDIT_NODES
from consent_gateway.audit.verification import Standing, Verification, standing
from consent_gateway.cli.audit import audit
from consent_gateway.database import open_engine
from consent_gateway.errors import DatabaseUnavailable


class World:
    """A log that grows, and its verification."""

    def __init__(self, engine: sa.Engine, recorder: Recorder, sealer: Sealer, signer: Signer, make: Any, clock: Any):
        self.engine, self.clock = engine, clock
        self._recorder, self._sealer, self._signer, self._make = recorder, sealer, signer, make
        self.outside: list[str] = []
        self.verification = self.fresh()

    def fresh(self, step: int = 100) -> Verification:
        """A verification as a worker that starts has it."""
        return Verification(self.engine, self._signer.published, self.clock, lambda: self.outside, step)

    def grow(self, *sizes: int) -> None:
        """Seal so many entries, each number under a checkpoint of its own."""
        for size in sizes:
            self._recorder.record_all([self._make() for _ in range(size)])
            self._sealer.seal_once()

    def seal(self) -> None:
        """Seal what waits."""
        self._sealer.seal_once()

    def stands(self) -> Standing:
        """Where verification stands."""
        with self.engine.connect() as connection:
            found = standing(connection)
        assert found is not None
        return found

    def tamper(self, *statements: Any) -> None:
        """Change the database as its administrator can."""
        with self.engine.begin() as connection:
            for statement in drop_append_only_ddl(self.engine.dialect.name):
                connection.exec_driver_sql(statement)
            for statement in statements:
                connection.execute(statement)

    def acts(self) -> list[tuple[str, Any]]:
        """Outcome and detail of each entry about verification, newest first; what waits is sealed before."""
        self.seal()
        found = AuditLog(self.engine, Path()).entries(EntryFilter(kind="system"))
        return [(one.entry["outcome"], one.entry.get("detail")) for one in found]


@pytest.fixture
def world(
    gateway_engine: sa.Engine, recorder: Recorder, sealer: Sealer, signer: Signer, make_entry: Any, clock: Any
) -> World:
    """An empty log, on both databases."""
    return World(gateway_engine, recorder, sealer, signer, make_entry, clock)


def test_it_goes_from_checkpoint_to_checkpoint_and_follows_the_end(world: World) -> None:
    """Each round verifies up to a checkpoint within its step, or the next one; at the end it waits for more."""
    assert world.verification.round() == 0
    world.grow(40, 40, 40, 130)
    assert [world.verification.round() for _ in range(5)] == [80, 40, 130, 0, 0]
    found = world.stands()
    assert (found.position, found.whole_size, found.failure, found.verified_at) == (250, 250, (), world.clock.now())
    world.grow(7)
    assert world.verification.round() == 7
    assert world.stands().position == 257


def test_a_worker_that_starts_goes_on_where_the_last_one_was(world: World) -> None:
    """After a restart the verified beginning is taken from the tree, which the next checkpoint must prove."""
    world.grow(90, 90, 90)
    assert world.verification.round() == 90
    assert [world.fresh().round() for _ in range(3)] == [90, 90, 0]
    assert world.stands().failure == ()
    assert world.acts() == []


def test_a_day_later_it_begins_anew_and_finds_an_old_entry_altered(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An entry altered behind the verified position is found by the next pass, told once, and again when mended."""
    world.grow(90, 90)
    for _ in range(3):
        world.verification.round()
    column = AUDIT_LOG.c
    with world.engine.connect() as connection:
        good = connection.execute(sa.select(column.entry).where(column.leaf_index == 5)).scalar_one()
    at_5 = sa.update(AUDIT_LOG).where(column.leaf_index == 5)
    world.tamper(at_5.values(entry=bytes(good).replace(b"web-shop", b"web-shoq")))
    world.verification.round()
    assert world.stands().failure == ()
    world.clock.moment += timedelta(days=1)
    with caplog.at_level(logging.CRITICAL):
        assert [world.verification.round() for _ in range(3)] == [0, 0, 0]
    found = world.stands()
    assert (found.position, found.whole_size, found.failed_at) == (0, 180, world.clock.now())
    assert (found.failure[0]["code"], found.failure[0]["index"]) == ("altered", 5)
    assert caplog.text.count("audit log does not verify") == 1
    assert [(outcome, detail["code"], detail["index"]) for outcome, detail in world.acts()] == [
        ("failed", "altered", "5")
    ]
    world.clock.moment += timedelta(minutes=2)
    world.verification.round()
    assert world.stands().failed_at == world.clock.now() - timedelta(minutes=2)
    world.tamper(at_5.values(entry=good))
    world.clock.moment += timedelta(minutes=2)
    assert world.verification.round() == 90
    assert (world.stands().failure, world.stands().failed_at) == ((), None)
    assert [outcome for outcome, _detail in world.acts()] == ["verified", "failed"]


@pytest.mark.parametrize(
    ("statement", "code", "index"),
    [
        (sa.delete(AUDIT_LOG).where(AUDIT_LOG.c.leaf_index == 60), "gap", 60),
        (sa.update(AUDIT_LOG).where(AUDIT_LOG.c.leaf_index == 60).values(caller="other"), "column", 60),
        (sa.update(AUDIT_CHECKPOINTS).where(AUDIT_CHECKPOINTS.c.size == 90).values(note="none"), "checkpoint", 50),
        (sa.delete(AUDIT_CHECKPOINTS).where(AUDIT_CHECKPOINTS.c.size > 50), "rolled_back", 50),
    ],
    ids=["gap", "column", "checkpoint", "no-checkpoint"],
)
def test_what_is_wrong_ahead_is_found(world: World, statement: Any, code: str, index: int) -> None:
    """What was altered before it was verified is found in its turn, and verification does not pass over it."""
    world.grow(50, 40)
    assert world.fresh(60).round() == 50
    if code == "rolled_back":
        world.verification.round()
    world.tamper(statement)
    world.verification.round()
    assert code in {one["code"] for one in world.stands().failure}
    assert min(one["index"] for one in world.stands().failure if one["index"] is not None) == index
    assert world.stands().position in (50, 90)


def test_a_checkpoint_kept_outside_shows_a_roll_back_and_a_fork(world: World, signer: Signer) -> None:
    """One outside checkpoint is enough: of a larger log, of another one, or a damaged one, is a finding."""
    world.grow(30)
    world.outside = [AuditLog(world.engine, Path()).checkpoint()]
    assert world.verification.round() == 30
    for note, code in (
        (signer.sign(31, bytes(32)), "rolled_back"),
        (signer.sign(30, bytes(32)), "tree"),
        ("nothing", "checkpoint"),
    ):
        world.outside = [note]
        world.clock.moment += timedelta(minutes=2)
        world.verification.round()
        assert [one["code"] for one in world.stands().failure] == [code]


def test_a_missing_hash_is_a_finding_and_an_absent_database_is_not(world: World, tmp_path: Path) -> None:
    """A tree that cannot be read is told as damage; a database that does not answer is tried again."""
    world.grow(300, 10)
    assert world.fresh().round() == 300
    world.tamper(sa.delete(AUDIT_NODES), sa.delete(AUDIT_LOG).where(AUDIT_LOG.c.leaf_index == 299))
    world.fresh().round()
    assert [one["code"] for one in world.stands().failure] == ["damaged"]
    bare = open_engine(f"sqlite:///{tmp_path / 'bare.db'}", threads=1)
    with pytest.raises(DatabaseUnavailable):
        Verification(bare, "", world.clock).round()
    bare.dispose()


def test_status_tells_how_far_it_is(world: World, state_dir: Path) -> None:
    """`audit status` gives sizes, times, findings and metrics; its exit code says whether all is well."""
    url = world.engine.url.render_as_string(hide_password=False)

    def run(*options: str) -> tuple[int, str]:
        result = CliRunner().invoke(audit, ["status", "--database", url, *options])
        return result.exit_code, result.output

    world.grow(30)
    assert (state_dir / "audit" / NOTED_CHECKPOINT).exists()
    with world.engine.connect() as connection:
        before = log_status(connection, world.clock.now())
    assert (before.ok, before.stale, before.size) == (False, True, 30)
    assert "does the worker run?" in before.as_text()
    while world.verification.round():
        pass
    world.verification.round()
    with world.engine.begin() as connection:
        connection.execute(sa.insert(AUDIT_COSIGNATURES).values(size=30, witness="w.example+00+AA", line="x"))
        now = log_status(connection, world.clock.now() + timedelta(minutes=14))
        later = log_status(connection, world.clock.now() + timedelta(minutes=16))
    assert (now.ok, later.ok) == (True, False)
    assert now.as_text().endswith("cosigned by w.example up to 30 entries\nok")
    told = now.as_json()
    assert (told["verified"], told["whole_size"], told["witnesses"]) == (30, 30, {"w.example": 30})
    lines = now.as_prometheus().splitlines()
    assert "consent_gateway_log_verified_entries 30" in lines
    assert "consent_gateway_log_verification_ok 1" in lines
    assert sum(line.startswith("# TYPE") for line in lines) == 6
    world.tamper(sa.update(AUDIT_LOG).where(AUDIT_LOG.c.leaf_index == 3).values(kind="other"))
    world.clock.moment += timedelta(days=1)
    world.verification.round()
    world.verification.round()
    code, text = run()
    assert code == 1
    assert "BAD column: its column `kind` does not say what the entry says" in text
    assert json.loads(run("--json")[1])["findings"][0]["index"] == 3
    assert "consent_gateway_log_verification_ok 0" in run("--prometheus")[1]
