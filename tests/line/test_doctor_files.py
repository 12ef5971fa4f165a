"""The doctor and the files of an installation: which ones are to be there, and which only their owner may read."""

import dataclasses
import sqlite3
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from consent_gateway.database import open_engine
from consent_gateway.doctor import Check, Standing
from consent_gateway.settings import Settings
from consent_gateway.wiring import open_doctor, open_sealer
from tests.line.conftest import Line
from tests.line.test_doctor import bad, examined


def test_what_the_gateway_makes_only_its_owner_can_read(line: Line) -> None:
    """Whatever the umask: databases, what SQLite lays beside them, and the noted checkpoint have mode 0600."""
    state = line.deployment.settings.state_dir
    examined(line, 1)
    while open_sealer(line.deployment.settings, line.services).seal_once().sealed:
        pass
    files = [path for path in state.rglob("*") if path.is_file()]
    assert state / "audit" / "checkpoint.txt" in files
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files if path.stat().st_mode & 0o077} == {}


def test_sqlite_files_are_made_private(tmp_path: Path) -> None:
    """A database that opening makes, and its write-ahead log, can be read by nobody else."""
    engine = open_engine(f"sqlite:///{tmp_path / 'new.db'}", threads=1)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (n INTEGER)"))
        names = {path.name for path in tmp_path.iterdir() if not path.stat().st_mode & 0o077}
    engine.dispose()
    assert {"new.db", "new.db-wal", "new.db-shm"} == names


def test_open_databases_copies_and_back_ups_are_named(line: Line, tmp_path: Path) -> None:
    """Each file with a secret in it that others can read is bad, with the command that mends it."""
    settings = line.deployment.settings
    copy, other = tmp_path / "root.copy", tmp_path / "other.db"
    copy.write_bytes(settings.key_file.read_bytes())
    backup = settings.key_backup_dir / "kept.db"
    backup.touch(0o600)
    sqlite3.connect(other).close()
    other.touch()
    for path in (copy, other, backup):
        path.chmod(0o600)
    changed = {"key_file_copy": copy, "database_url": f"sqlite:///{other}"}
    try:
        for path in (copy, other, backup):
            path.chmod(0o644)
            told = bad(examined(line, 1, **changed))["files"]
            path.chmod(0o600)
            assert f"run `chmod 600 {path}`" in told
    finally:
        backup.unlink()


def test_a_root_key_file_is_asked_for_with_the_file_provider_alone(line: Line) -> None:
    """With another provider no root key lies in a file, so none is missing; with ours a missing one is bad."""
    settings = dataclasses.replace(line.deployment.settings, key_file=line.deployment.settings.state_dir / "gone.key")
    assert "is not there" in {one.name: one.found for one in _files_of(settings)}["files"]
    elsewhere = dataclasses.replace(settings.key_source, provider="openbao")
    other = dataclasses.replace(settings, key_source=elsewhere)
    assert {one.name: one.standing for one in _files_of(other)}["files"] is Standing.OK


def _files_of(settings: Settings) -> tuple[Check, ...]:
    return open_doctor(settings).examine(1, lambda _done, _total: None).checks


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_an_open_log_key_has_one_mend(line: Line, mode: int) -> None:
    """A log key that others can read is told with `chmod`, and nobody is sent to a back-up for it."""
    key = line.deployment.settings.log_key_file
    key.chmod(mode)
    try:
        found = bad(examined(line, 1))
    finally:
        key.chmod(0o600)
    assert f"run `chmod 600 {key}`" in found["files"]
    assert found["log key"].endswith(f"run `chmod 600 {key}`")
    assert "back-up" not in found["log key"]
