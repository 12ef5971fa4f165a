"""The sinks we ship keep the contract of `ports.EventSink`; the broker's against a real NATS server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from consent_gateway.conformance import EventSinkConformance
from consent_gateway.conformance.event_sink import sample
from consent_gateway.connectors.event_file import PRESENT, FileSink
from consent_gateway.connectors.event_nats import NatsSink
from consent_gateway.errors import SettingsRefused, Undelivered
from consent_gateway.ports import ChangeMessage
from consent_gateway.propagation.sinks import WebhookSink
from tests.conftest import StillClock
from tests.peers.nats import NatsServer
from tests.propagation.world import COMPANY_EMAIL, KEY, World, receiving


class TestFileSink(EventSinkConformance):
    """The file sink."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "out"

    def make_sink(self) -> FileSink:
        return FileSink(self.folder, most_bytes=10_000)

    def received(self) -> list[bytes]:
        files = [*sorted(self.folder.glob("changes-*.ndjson")), self.folder / PRESENT]
        return [line for file in files for line in file.read_bytes().splitlines()]

    def lose(self) -> None:
        for file in self.folder.glob("*"):
            file.unlink()
        self.folder.rmdir()
        self.folder.write_text("a file where the directory was")

    def test_what_cannot_be_sent_is_told(self) -> None:
        """A directory that cannot be made raises `Undelivered`, and so does every later message."""
        self.folder.write_text("a file where the directory would be")
        sink = self.make_sink()
        for _ in range(2):
            with pytest.raises(Undelivered):
                sink.send(sample(1))

    def test_half_a_line_of_a_killed_writer_is_cut_off(self) -> None:
        """What a killed writer left without its line feed is gone, and the next line is whole."""
        sink = self.make_sink()
        sink.send(sample(1))
        sink.close()
        with (self.folder / PRESENT).open("ab") as file:
            file.write(b'{"half')
        again = self.make_sink()
        again.send(sample(2))
        again.close()
        assert self.received() == [sample(1).body, sample(2).body]

    def test_files_rotate_by_size_and_lose_nothing(self) -> None:
        """Past its size a file is renamed and never grows again."""
        sink = self.make_sink()
        messages = [sample(number) for number in range(300)]
        for message in messages:
            sink.send(message)
        sink.close()
        rotated = sorted(self.folder.glob("changes-*.ndjson"))
        assert len(rotated) > 1
        assert all(file.stat().st_size <= 10_000 for file in rotated)
        assert self.received() == [message.body for message in messages]

    def test_a_full_disk_leaves_no_half_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write that fails half-way is undone and told; the next line is whole."""
        sink = self.make_sink()
        sink.send(sample(1))
        write = os.write

        def half(handle: int, line: bytes) -> int:
            monkeypatch.setattr(os, "write", full)
            return write(handle, line[:10])

        def full(_handle: int, _line: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(Undelivered):
            sink.send(sample(2))
        monkeypatch.setattr(os, "write", write)
        sink.send(sample(3))
        sink.close()
        assert self.received() == [sample(1).body, sample(3).body]


class TestNatsSink(EventSinkConformance):
    """The sink of the broker, on a real server with JetStream."""

    @pytest.fixture(autouse=True)
    def _server(self, tmp_path: Path) -> Iterator[None]:
        self.server = NatsServer(tmp_path)
        yield
        self.server.stop()

    def make_sink(self) -> NatsSink:
        return NatsSink(self.server.target)

    def received(self) -> list[bytes]:
        return self.server.bodies()

    def lose(self) -> None:
        self.server.stop()

    def test_the_stream_drops_a_message_it_had(self) -> None:
        """JetStream keeps a message once, by its id, also from another sink."""
        for _ in range(2):
            sink = self.make_sink()
            sink.send(sample(1))
            sink.close()
        assert self.received() == [sample(1).body]

    def test_a_subject_that_no_stream_takes_is_undelivered(self) -> None:
        """Without a stream nothing is durable, so nothing counts as delivered."""
        sink = NatsSink(self.server.target.replace("choices", "nobodys"))
        with pytest.raises(Undelivered):
            sink.send(sample(1))
        sink.close()


@pytest.mark.parametrize("target", ["http://x/y", "nats://host", "nats://host/a.*", "nats:///y"])
def test_a_target_that_is_no_subject_is_refused(target: str) -> None:
    """Another scheme, no subject, a wildcard or no host ends with the mend."""
    with pytest.raises(SettingsRefused):
        NatsSink(target)


class TestWebhookSink(EventSinkConformance):
    """The webhook sink, to a real HTTP server."""

    @pytest.fixture(autouse=True)
    def _receiver(self, gateway_engine: object, clock: StillClock) -> Iterator[None]:
        self.clock = clock
        self.world = World(gateway_engine, clock)  # type: ignore[arg-type]
        self.away = False
        with receiving() as self.receiver:
            self.destination = self.world.destinations.add_sink("webhook", self.receiver.url, ["email_marketing"], 0)
            yield

    def make_sink(self) -> WebhookSink:
        return WebhookSink(self.destination, self.world.destinations, self.world.poster, self.clock)

    def received(self) -> list[bytes]:
        return [body for _, body in self.receiver.requests]

    def lose(self) -> None:
        self.receiver.answer = lambda handler, _number: handler.connection.close()

    def test_a_message_carries_the_three_headers_and_its_type(self) -> None:
        """Id, time in seconds and signatures, and the media type of CloudEvents; the audience plays no part in it."""
        assert self.destination.audience == COMPANY_EMAIL
        assert KEY not in self.destination.target.encode()
        self.make_sink().send(ChangeMessage("cev_1", "ds_1", b"{}"))
        headers, _ = self.receiver.requests[0]
        assert headers["webhook-id"] == "cev_1"
        assert headers["webhook-timestamp"] == str(int(self.clock.now().timestamp()))
        assert headers["content-type"].startswith("application/cloudevents+json")
