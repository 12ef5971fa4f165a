"""Counts what telemetry lost on this machine, in a file its processes share; knows nothing of what was lost."""

import fcntl
import os
from pathlib import Path


class DropCount:
    """A number that only goes up, kept in a file that is made at the first loss. Every process and thread may add."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, lost: int) -> None:
        """Count these too."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            os.pwrite(handle, b"%020d\n" % (_number(os.pread(handle, 32, 0)) + lost), 0)
        finally:
            os.close(handle)

    def read(self) -> int:
        """How many were lost since the state directory was made."""
        try:
            return _number(self._path.read_bytes())
        except FileNotFoundError:
            return 0


def _number(raw: bytes) -> int:
    text = raw.strip()
    return int(text) if text.isdigit() else 0
