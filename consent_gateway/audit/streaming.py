"""Tells a SIEM of every sealed entry, by the log's position, at least once and in order; alters no entry.

Each stream keeps how far it is. A place that is away is asked again and misses nothing; no request ever waits for it.
"""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from consent_gateway.audit.columns import raw
from consent_gateway.audit.log import readable, size_of
from consent_gateway.audit.ocsf import event
from consent_gateway.audit.sealer import last_note
from consent_gateway.audit.syslog import Message
from consent_gateway.audit.tables import AUDIT_LOG, AUDIT_STREAMS
from consent_gateway.database import DRIVER_ERRORS, reading_connection, to_micros
from consent_gateway.errors import DatabaseUnavailable
from consent_gateway.ports import Clock

BATCH = 500
MOST_BATCHES = 20  # in one round, so that a long way is told of on the way
MOST_BYTES = 64 * 1024 * 1024
PRESENT = "events.ndjson"
_LOG = logging.getLogger(__name__)
_FAILURE = 2


class Place(Protocol):
    """Where events go: syslog over TLS, or a file."""

    def send(self, messages: Sequence[Message]) -> None:
        """Hand a batch over; it has arrived when this returns. Raises `OSError`: it is sent again."""
        ...


class EventFile:
    """Appends events to `events.ndjson` in a folder, a line each, on the disk before they count as delivered.

    A file that has grown large is renamed after the last index in it and never touched again.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most = most_bytes

    def send(self, messages: Sequence[Message]) -> None:
        """Append the batch, whole or not at all."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / PRESENT
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            torn = _torn(path, end)
            file.seek(end - torn)
            file.truncate()  # what a killed run left of a line
            file.write(b"".join(message.text + b"\n" for message in messages))
            file.flush()
            os.fsync(file.fileno())
            grown = file.tell() >= self._most
        if grown:
            path.rename(self._folder / f"events-{messages[-1].index:012}.ndjson")
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # else the file itself could be gone after a loss of power
        finally:
            os.close(folder)


class Streaming:
    """Follows the log for one place, which `name` is kept under."""

    def __init__(self, engine: sa.Engine, name: str, place: Place, origin: str, clock: Clock) -> None:
        self._engine = engine
        self._name = name
        self._place = place
        self._origin = origin
        self._clock = clock

    def round(self) -> int:
        """Send what was sealed since; how many events. A place that is away is logged and asked again."""
        sent = 0
        try:
            for _batch in range(MOST_BATCHES):
                position, messages = self._next()
                if not messages:
                    break
                self._place.send(messages)
                self._keep(position, position + len(messages))
                sent += len(messages)
        except OSError as error:
            _LOG.warning("the stream `%s` did not take its events: %s", self._name, type(error).__name__)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("a stream of the log could not be carried on: it will be tried again") from error
        return sent

    def _next(self) -> tuple[int, list[Message]]:
        """Where the stream is, and the next sealed entries past it."""
        log, stream = AUDIT_LOG.c, AUDIT_STREAMS.c
        with reading_connection(self._engine) as connection:
            at = connection.execute(sa.select(stream.position).where(stream.name == self._name)).scalar_one_or_none()
            note, position = last_note(connection), at or 0
            size = 0 if note is None else size_of(note)
            rows = connection.execute(
                sa.select(log.leaf_index, log.entry)
                .where(log.leaf_index >= position, log.leaf_index < size)
                .order_by(log.leaf_index)
                .limit(BATCH)
            ).all()
        return position, [self._message(row.leaf_index, raw(row.entry)) for row in rows]

    def _message(self, index: int, leaf: bytes) -> Message:
        entry = readable(leaf)
        told = event(index, leaf, entry, self._origin)
        text = json.dumps(told, separators=(",", ":")).encode()
        kind, warns = str(told["unmapped"]["kind"]), told["status_id"] == _FAILURE
        return Message(str(entry.get("at", "")), kind, index, text, warns)

    def _keep(self, before: int, after: int) -> None:
        """Note the position, unless another worker went on from the same one meanwhile."""
        stream, now = AUDIT_STREAMS.c, to_micros(self._clock.now())
        with self._engine.begin() as connection:
            mine = sa.update(AUDIT_STREAMS).where(stream.name == self._name, stream.position == before)
            moved = connection.execute(mine.values(position=after, sent_at=now)).rowcount
            known = sa.select(stream.name).where(stream.name == self._name)
            if not moved and connection.execute(known).first() is None:
                connection.execute(sa.insert(AUDIT_STREAMS).values(name=self._name, position=after, sent_at=now))


def _torn(path: Path, end: int) -> int:
    """How many bytes stand behind the last line end."""
    with path.open("rb") as file:
        at = end
        while at:
            begin = max(0, at - 65_536)
            file.seek(begin)
            place = file.read(at - begin).rfind(b"\n")
            if place >= 0:
                return end - begin - place - 1
            at = begin
    return end
