# ruff: noqa: S101 - asserting is what a suite is for
"""What every `ports.EventSink` must do; each test's docstring is one clause of the contract."""

import orjson

from consent_gateway.conformance.refusal import refused
from consent_gateway.errors import Undelivered
from consent_gateway.ports import ChangeMessage, EventSink


def sample(number: int, person: str = "ds_1") -> ChangeMessage:
    """A message with a body of its own."""
    message_id = f"cev_{number:026d}"
    document = {"specversion": "1.0", "id": message_id, "source": "https://gateway.example", "data": {"n": number}}
    return ChangeMessage(message_id, person, orjson.dumps(document))


class EventSinkConformance:
    """What every `ports.EventSink` must do."""

    def make_sink(self) -> EventSink:
        """A sink on a fresh place; a second call is another sink on the same place, as after a restart."""
        raise NotImplementedError

    def received(self) -> list[bytes]:
        """The bodies that are on the other side now, in its order, with repetitions if it keeps them."""
        raise NotImplementedError

    def lose(self) -> None:
        """Make the other side unreachable, as a network or a disk that fails does."""
        raise NotImplementedError

    def test_what_was_sent_is_there(self) -> None:
        """When `send` returns the message is on the other side, byte for byte."""
        sink = self.make_sink()
        message = sample(1)
        sink.send(message)
        assert self.received() == [message.body]
        sink.close()

    def test_order_is_kept(self) -> None:
        """Messages arrive in the order in which they were sent, of one person and of several."""
        sink = self.make_sink()
        messages = [sample(number, f"ds_{number % 3}") for number in range(30)]
        for message in messages:
            sink.send(message)
        assert self.received() == [message.body for message in messages]
        sink.close()

    def test_the_same_message_again_is_taken(self) -> None:
        """A message that comes again is no error, and is there at least once and as the same."""
        sink = self.make_sink()
        message = sample(1)
        for _ in range(3):
            sink.send(message)
        assert set(self.received()) == {message.body}
        sink.close()

    def test_another_sink_goes_on_after_a_restart(self) -> None:
        """A sink on the same place, opened after the first was closed or was killed, adds to what is there."""
        first = self.make_sink()
        first.send(sample(1))
        second = self.make_sink()
        second.send(sample(2))
        first.close()
        second.close()
        third = self.make_sink()
        third.send(sample(3))
        third.close()
        assert self.received() == [sample(number).body for number in (1, 2, 3)]

    def test_a_large_message_arrives_whole(self) -> None:
        """A message of 60 kB arrives byte for byte."""
        sink = self.make_sink()
        message = ChangeMessage("cev_large", "ds_1", orjson.dumps({"id": "cev_large", "data": "x" * 60_000}))
        sink.send(message)
        assert self.received() == [message.body]
        sink.close()

    def test_what_cannot_be_sent_is_told(self) -> None:
        """`Undelivered` is raised while the other side is away, at the first message and after earlier ones."""
        sink = self.make_sink()
        sink.send(sample(1))
        self.lose()
        refused(Undelivered, lambda: sink.send(sample(2)))
        refused(Undelivered, lambda: sink.send(sample(2)))
        sink.close()
        fresh = self.make_sink()
        refused(Undelivered, lambda: fresh.send(sample(2)))
        fresh.close()

    def test_closing_twice_is_no_error(self) -> None:
        """`close` may be called on a sink that never sent, and again."""
        sink = self.make_sink()
        sink.close()
        sink.close()
