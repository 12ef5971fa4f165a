"""A sink that appends changes to a file, one JSON document a line, each durable before it counts as delivered.

The file being written is `changes.ndjson` in the given directory. Past its size it is renamed after the moment's
highest number, `changes-000001.ndjson` and so on, and never touched again. One process writes at a time.
"""

import os
from pathlib import Path

from consent_gateway.errors import Undelivered
from consent_gateway.ports import ChangeMessage

PRESENT = "changes.ndjson"
MOST_BYTES = 64 * 1024 * 1024


class FileSink:
    """Implements `ports.EventSink` on a directory, which is made with mode 0700."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most = most_bytes
        self._open: int | None = None

    def send(self, message: ChangeMessage) -> None:
        """Append the line and wait until the disk has it. Raises `Undelivered` where it cannot be written whole."""
        line = message.body + b"\n"
        try:
            handle = self._handle()
            began = os.fstat(handle).st_size
            if began and began + len(line) > self._most:
                handle, began = self._rotated(), 0
            try:
                written = 0
                while written < len(line):
                    written += os.write(handle, line[written:])
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, began)  # half a line would spoil the next one
                raise
        except OSError as error:
            self.close()
            raise Undelivered(f"file: {os.strerror(error.errno or 0)}"[:64]) from error

    def close(self) -> None:
        """Close the file."""
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def _handle(self) -> int:
        if self._open is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / PRESENT
            self._open = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            _cut_torn_line(self._open)
            _sync_folder(self._folder)
        return self._open

    def _rotated(self) -> int:
        self.close()
        last = max((int(path.stem.rpartition("-")[2]) for path in self._folder.glob("changes-*.ndjson")), default=0)
        (self._folder / PRESENT).rename(self._folder / f"changes-{last + 1:06d}.ndjson")
        return self._handle()


def _cut_torn_line(handle: int) -> None:
    """Cut off what a writer that was killed left without its end; it was never counted as delivered."""
    size = os.fstat(handle).st_size
    end = size
    while end > 0:
        start = max(0, end - 4096)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end != size:
        os.ftruncate(handle, end)
        os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
