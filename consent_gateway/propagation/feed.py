"""The feed of changes by an opaque cursor, as pages and as a stream; keeps nothing of who has read what.

A cursor says how far its client has read, is bound to that client and cannot be made by anyone else.
"""

import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import orjson
import sqlalchemy as sa

from consent_gateway.callers.transactions import reading
from consent_gateway.errors import FieldFault, GatewayError, InputRefused, KeysUnavailable, TooManyRequests
from consent_gateway.ports import Clock
from consent_gateway.propagation.changes import Audience, read
from consent_gateway.propagation.envelope import Envelopes
from consent_gateway.propagation.outbox import number
from consent_gateway.protection.primitives import bind, expand, siv_decrypt, siv_encrypt

LATEST = "latest"
MOST = 500
LONGEST_WAIT = 20
STREAM_LIFE = timedelta(seconds=60)
"""After so long a stream ends and its reader connects again: a revoked token reads no longer."""

HEART_BEAT = timedelta(seconds=15)
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Some changes in order, the cursor past them, and whether there are more right now."""

    changes: tuple[dict[str, object], ...]
    cursor: str
    more: bool


class Feed:
    """Reads changes for clients. At most `most_waiting` calls of this process wait or stream at a time.

    `pause` waits for so many seconds; every waiting call holds a thread of the web worker, hence the bound.
    """

    def __init__(
        self,
        engine: sa.Engine,
        envelopes: Envelopes,
        clock: Clock,
        key: bytes,
        most_waiting: int,
        pause: Callable[[float], object],
    ) -> None:
        self._engine = engine
        self._envelopes = envelopes
        self._clock = clock
        self._key = expand(key, bind("change-cursor/1"), 64)
        self._places = threading.BoundedSemaphore(most_waiting)
        self._pause = pause

    def page(self, client_id: str, audience: Audience, after: str | None, limit: int, wait: int = 0) -> FeedPage:
        """The changes after the cursor; from the first one without it, none and the newest cursor for `latest`.

        With `wait` an empty page is answered only after so many seconds, while there is a place to wait in. Raises
        `InputRefused` for a cursor that is not this client's.
        """
        at = self._at(client_id, after)
        found = self._page(client_id, audience, at, limit)
        if found.changes or found.more or wait == 0 or after == LATEST:
            return found
        try:
            with self._place():
                until = self._clock.now() + timedelta(seconds=min(wait, LONGEST_WAIT))
                while not (found.changes or found.more) and self._clock.now() < until:
                    self._pause(_LOOK_SECONDS)
                    found = self._page(client_id, audience, self._at(client_id, found.cursor), limit)
        except TooManyRequests:
            return found
        return found

    def stream(self, client_id: str, audience: Audience, after: str | None) -> Iterator[bytes]:
        """The changes after the cursor as server-sent events, each with its cursor as id, and heart-beats between.

        Ends after a minute. Raises before the first byte, as `page` does, and `TooManyRequests` without a place.
        """
        at = self._at(client_id, after)
        if not self._places.acquire(blocking=False):
            raise _no_place()
        return _Held(self._events(client_id, audience, at), self._places.release)

    def _events(self, client_id: str, audience: Audience, at: int) -> Iterator[bytes]:
        began = beat = self._clock.now()
        yield b"retry: 1000\nid: " + self._cursor(client_id, at).encode() + b"\n\n"
        while self._clock.now() - began < STREAM_LIFE:
            try:
                told, at = self._some(audience, at, MOST)
            except GatewayError:
                return  # the reader connects again and is told why
            for reached, document in told:
                cursor = self._cursor(client_id, reached).encode()
                yield b"event: change\nid: " + cursor + b"\ndata: " + orjson.dumps(document) + b"\n\n"
            now = self._clock.now()
            if told:
                beat = now
            elif now - beat >= HEART_BEAT:  # its id moves the reader past what concerned others
                yield b": here\nid: " + self._cursor(client_id, at).encode() + b"\n\n"
                beat = now
            else:
                self._pause(_LOOK_SECONDS)

    def _page(self, client_id: str, audience: Audience, at: int, limit: int) -> FeedPage:
        told, reached = self._some(audience, at, limit)
        more = reached < number(self._engine)
        return FeedPage(tuple(document for _, document in told), self._cursor(client_id, reached), more)

    def _some(self, audience: Audience, at: int, limit: int) -> tuple[list[tuple[int, dict[str, object]]], int]:
        """Up to `limit` documents with their numbers, and the number up to which nothing was left out."""
        last = number(self._engine)
        with reading(self._engine) as connection:
            changes = read(connection, audience, at, last, limit)
        told = [(change.number, self._envelopes.document(audience, change)) for change in changes]
        reached = changes[-1].number if len(changes) == limit else max(at, last)
        return [(at_number, document) for at_number, document in told if document is not None], reached

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise _no_place()
        try:
            yield
        finally:
            self._places.release()

    def _cursor(self, client_id: str, at: int) -> str:
        return urlsafe_b64encode(siv_encrypt(self._key, at.to_bytes(8, "big"), [client_id.encode()])).decode()

    def _at(self, client_id: str, cursor: str | None) -> int:
        if cursor is None:
            return 0
        if cursor == LATEST:
            return number(self._engine)
        try:
            return int.from_bytes(siv_decrypt(self._key, urlsafe_b64decode(cursor), [client_id.encode()]), "big")
        except (ValueError, KeysUnavailable) as error:
            fault = FieldFault("/after", "not a cursor of this client")
            raise InputRefused(
                "the cursor is not one that this client was given: start without one", (fault,)
            ) from error

    def read_cursor(self, client_id: str, cursor: str) -> int:
        """The number a cursor stands for; for replays."""
        return self._at(client_id, cursor)


class _Held(Iterator[bytes]):
    """An iterator that gives its place back once, when it ends or is closed."""

    def __init__(self, inner: Iterator[bytes], give_back: Callable[[], None]) -> None:
        self._inner = inner
        self._give_back: Callable[[], None] | None = give_back

    def __next__(self) -> bytes:
        try:
            return next(self._inner)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Called by the server when the reader has gone."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


def _no_place() -> TooManyRequests:
    return TooManyRequests("this process serves as many streams as it may: ask for pages, or try again", 5)
