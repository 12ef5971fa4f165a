"""The policy's revisions for officers: which there were, what changed between two, what its cases say; changes none."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.callers.transactions import reading
from consent_gateway.database import from_micros
from consent_gateway.policy import Policies, archive
from consent_gateway.policy.archive import POLICY_REVISIONS
from consent_gateway.policy.case_files import read_cases
from consent_gateway.policy.cases import Report, run_cases
from consent_gateway.ports import Clock

MOST = 200


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision that decided, and since when."""

    revision: str
    first_used_at: datetime
    is_present: bool


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that differs: what happened to it, and the lines as a unified diff without its head."""

    path: str
    what: str  # added | removed | changed
    lines: Sequence[str]


class Revisions:
    """Reads the policy archive and runs the cases in force. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, policies: Policies, folder: Path, clock: Clock) -> None:
        self._engine = engine
        self._policies = policies
        self._folder = folder
        self._clock = clock

    def all(self) -> tuple[Revision, ...]:
        """Every revision that is kept, the newest first."""
        column = POLICY_REVISIONS.c
        newest = sa.select(column.revision, column.first_used_at).order_by(column.first_used_at.desc(), column.revision)
        with reading(self._engine) as connection:
            return tuple(
                Revision(row.revision, from_micros(row.first_used_at), row.revision == self._policies.revision)
                for row in connection.execute(newest.limit(MOST))
            )

    def between(self, old: str, new: str) -> tuple[FileChange, ...]:
        """What changed from one revision to another, file by file. Raises `NotFound`."""
        with reading(self._engine) as connection:
            before, after = archive.load(connection, old), archive.load(connection, new)
        changes = []
        for path in sorted({*before, *after}):
            if before.get(path) == after.get(path):
                continue
            what = "added" if path not in before else "removed" if path not in after else "changed"
            lines = difflib.unified_diff(
                before.get(path, "").splitlines(), after.get(path, "").splitlines(), lineterm="", n=3
            )
            changes.append(FileChange(path, what, list(lines)[2:]))
        return tuple(changes)

    def files(self, revision: str) -> tuple[tuple[str, str], ...]:
        """The documents of a revision, path and text. Raises `NotFound`."""
        with reading(self._engine) as connection:
            return tuple(sorted(archive.load(connection, revision).items()))

    def cases(self) -> Report | None:
        """What the policy in force says to its own cases; None where it has none. Raises `PolicyInvalid`."""
        folder = self._folder / "cases"
        if not folder.is_dir():
            return None
        return run_cases(self._policies, read_cases((folder,)), self._clock.now().date())
