"""The sealer's view of the SQLite writers' files: reads them, tells the living from the dead, removes the sealed.

It never writes to a file whose writer lives: one writer per file is the law of SQLite.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from consent_gateway.audit.stores import Row


@dataclass(frozen=True, slots=True)
class WriterFile:
    """One writer's file; `writer` is its name without the ending."""

    path: Path

    @property
    def writer(self) -> str:
        """The writer's id."""
        return self.path.stem

    def rows(self, after: int, limit: int) -> list[Row]:
        """Leaves in the order written, from the dense number `after` + 1. Raises sqlite3.Error if unreadable."""
        with closing(self._open()) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'leaves'").fetchone():
                return []  # its writer has only just begun, or died then
            statement = "SELECT entry_id, entry FROM leaves WHERE n > ? ORDER BY n LIMIT ?"
            return connection.execute(statement, (after, limit)).fetchall()

    def find(self, entry_id: str) -> bytes | None:
        """The leaf of this entry, if it is here."""
        with closing(self._open()) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'leaves'").fetchone():
                return None
            row = connection.execute("SELECT entry FROM leaves WHERE entry_id = ?", (entry_id,)).fetchone()
            return None if row is None else bytes(row[0])

    def remove_if_done(self, sealed: int) -> bool:
        """Remove the file if its writer is gone and nothing lies past number `sealed`; whether it was removed."""
        with held(self.path.with_suffix(".lock")) as mine:
            if not mine or self.rows(sealed, 1):
                return False
            for name in (f"{self.path.name}-wal", f"{self.path.name}-shm", self.path.name):
                self.path.with_name(name).unlink(missing_ok=True)
            self.path.with_suffix(".lock").unlink(missing_ok=True)
            return True

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, timeout=2, isolation_level=None)


def writer_files(folder: Path) -> list[WriterFile]:
    """All writers' files of the folder, in the order of their names."""
    return [WriterFile(path) for path in sorted(folder.glob("wrt_*.db"))]


@contextmanager
def held(lock: Path) -> Iterator[bool]:
    """Hold a lock file while the block runs; False if somebody else holds it."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
