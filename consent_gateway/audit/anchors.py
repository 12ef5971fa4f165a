"""Puts checkpoints where the operator's database does not reach, and reads them back; decides nothing.

Whoever holds one of them can tell a log that was rolled back or rewritten since. A sink may be a directory on another
machine, a mailbox, a partner's webhook: whatever keeps a text of some hundred bytes.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from consent_gateway.audit.log import size_of
from consent_gateway.audit.sealer import last_note
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import DatabaseUnavailable, LogDamaged
from consent_gateway.ports import Clock

EVERY = timedelta(hours=1)


class AnchorSink(Protocol):
    """Keeps checkpoints outside. Used by one worker at a time; what it has taken it never changes."""

    def keep(self, size: int, note: str) -> None:
        """Keep this checkpoint; keeping it twice is harmless. Raises `OSError`: it is tried again."""
        ...

    def newest(self) -> str | None:
        """The checkpoint of the largest size that it can still show; None where it keeps none or cannot tell."""
        ...


class FolderAnchor:
    """A directory with a file for each checkpoint, best on another machine. A file there is never written twice."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, size: int, note: str) -> None:
        """Write the checkpoint's file, whole or not at all."""
        path = self._folder / f"checkpoint-{size:012}.txt"
        draft = self._folder / f".{path.name}.{os.getpid()}"
        draft.write_text(note)
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        finally:
            draft.unlink()

    def newest(self) -> str | None:
        """The last file's text."""
        names = sorted(path.name for path in self._folder.glob("checkpoint-*.txt"))
        return (self._folder / names[-1]).read_text() if names else None


class Anchoring:
    """Anchors a checkpoint an hour in every sink, where the log has grown."""

    def __init__(self, engine: sa.Engine, sinks: tuple[AnchorSink, ...], clock: Clock) -> None:
        self._engine = engine
        self._sinks = sinks
        self._clock = clock
        self._done: datetime | None = None

    def round(self) -> int:
        """Anchor if it is time; into how many sinks. Raises `LogDamaged` where a sink knows of a larger log."""
        now = self._clock.now()
        if not self._sinks or (self._done is not None and now - self._done < EVERY):
            return 0
        try:
            with reading_connection(self._engine) as connection:
                note = last_note(connection)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the newest checkpoint could not be read: it will be anchored later") from error
        if note is None:
            return 0
        size = size_of(note)
        for sink in self._sinks:
            try:
                known = sink.newest()
                if known is not None and size_of(known) > size:
                    raise LogDamaged(f"{size_of(known)} entries were anchored, the log has {size}: verify it", size)
                sink.keep(size, note)
            except (OSError, ValueError) as error:  # away, or holding what is no text
                raise DatabaseUnavailable("a checkpoint could not be anchored: it will be tried again") from error
        self._done = now
        return len(self._sinks)
