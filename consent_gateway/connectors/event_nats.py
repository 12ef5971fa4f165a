"""A sink that publishes changes to a NATS JetStream stream and waits for its acknowledgement; makes no stream.

The target is `nats://HOST:PORT/SUBJECT` (`tls://` for TLS). The operator makes the stream that takes the subject;
JetStream drops a message it had already, by its id, within the stream's own window. Needs the extra `nats`.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as NotInTime
from typing import Any
from urllib.parse import urlsplit

from consent_gateway.errors import SettingsRefused, Undelivered
from consent_gateway.ports import ChangeMessage

SECONDS = 5.0
ID_HEADER = "Nats-Msg-Id"
PERSON_HEADER = "Consent-Gateway-Person"


class NatsSink:
    """Implements `ports.EventSink` on one subject. Connects at the first message, and again after a failure."""

    def __init__(self, target: str, seconds: float = SECONDS) -> None:
        parts = urlsplit(target)
        self._channel = parts.path.strip("/")
        if parts.scheme not in ("nats", "tls") or not parts.hostname or not self._channel or "*" in self._channel:
            raise SettingsRefused("a NATS sink is `nats://HOST:PORT/SUBJECT`, the subject without wildcards")
        self._server = f"{parts.scheme}://{parts.netloc}"
        self._seconds = seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()
        self._connection: Any = None

    def send(self, message: ChangeMessage) -> None:
        """Publish and wait until the stream has the message. Raises `Undelivered`."""
        try:
            self._wait(self._publish(message))
        except Exception as error:  # the client library has many errors, and any of them means that it may not be there
            self._disconnect()
            raise Undelivered(f"nats: {type(error).__name__}"[:64]) from error

    def close(self) -> None:
        """Disconnect."""
        self._disconnect()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _publish(self, message: ChangeMessage) -> None:
        import nats  # noqa: PLC0415 - an extra: only who delivers to NATS needs it

        if self._connection is None:
            self._connection = await nats.connect(
                self._server,
                allow_reconnect=False,
                connect_timeout=int(self._seconds),
                error_cb=_told_by_the_call,
            )
        await self._connection.jetstream(timeout=self._seconds).publish(
            self._channel,
            message.body,
            headers={ID_HEADER: message.message_id, PERSON_HEADER: message.person},
        )

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                self._wait(connection.close())
            except Exception:  # noqa: BLE001 - it is broken already, which is why it is closed
                return

    def _wait(self, work: Coroutine[Any, Any, Any]) -> None:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result(self._seconds * 2)
        except NotInTime:
            future.cancel()
            raise


async def _told_by_the_call(_error: Exception) -> None:
    """What fails is raised by the call that waits for it."""
