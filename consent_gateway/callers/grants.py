"""What an access token stands for: its caller and what the token is bound to; and how long that is remembered."""

import threading
from dataclasses import dataclass

from consent_gateway.vocabulary import Caller

MOST_CACHE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Grant:
    """A token's caller, and whom alone it works for.

    `key_thumbprint` is the RFC 7638 thumbprint of the key that must sign a DPoP proof (`cnf.jkt`, RFC 9449),
    `certificate_thumbprint` the SHA-256 of the certificate the client must show (`cnf.x5t#S256`, RFC 8705). A token
    with neither works for whoever holds it.
    """

    caller: Caller
    key_thumbprint: str | None = None
    certificate_thumbprint: str | None = None


class GrantCache:
    """Grants of one process by the SHA-256 of their token, each to a moment in microseconds; the oldest makes room.

    `seconds`, at most 60, bounds how long a token outlives its revocation. Safe to share between threads.
    """

    def __init__(self, seconds: int, entries: int) -> None:
        self._micros = min(max(seconds, 0), MOST_CACHE_SECONDS) * 1_000_000
        self._entries = entries
        self._held: dict[bytes, tuple[Grant, int]] = {}
        self._lock = threading.Lock()  # for writing; a read is one atomic dict look-up

    def get(self, digest: bytes, now: int) -> Grant | None:
        """The grant remembered, if its time is not up."""
        found = self._held.get(digest)
        return found[0] if found is not None and now < found[1] else None

    def remember(self, digest: bytes, grant: Grant, now: int, expires_at: int) -> None:
        """Keep a grant for the cache's time, never past the token's own end."""
        if not self._micros:
            return
        with self._lock:
            self._held.pop(digest, None)
            while len(self._held) >= self._entries:
                del self._held[next(iter(self._held))]  # the oldest: dicts keep the order of insertion
            self._held[digest] = (grant, min(now + self._micros, expires_at))

    def forget(self, digest: bytes) -> None:
        """Let go of one grant."""
        with self._lock:
            self._held.pop(digest, None)

    def clear(self) -> None:
        """Let go of every grant."""
        with self._lock:
            self._held.clear()
