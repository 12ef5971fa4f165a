"""The sink of a webhook: signs each message and posts it; orders and repeats nothing."""

from consent_gateway.ports import ChangeMessage, Clock
from consent_gateway.propagation import signing
from consent_gateway.propagation.destinations import Destination, Destinations
from consent_gateway.propagation.posting import Poster


class WebhookSink:
    """Implements `ports.EventSink` for one webhook."""

    def __init__(self, destination: Destination, destinations: Destinations, poster: Poster, clock: Clock) -> None:
        self._destination = destination
        self._destinations = destinations
        self._poster = poster
        self._clock = clock

    def send(self, message: ChangeMessage) -> None:
        """Post the message, signed under the secrets in force at this moment."""
        present = self._destinations.living(self._destination.destination_id) or self._destination
        now = int(self._clock.now().timestamp())
        signed = signing.headers(self._destinations.secrets(present), message.message_id, now, message.body)
        self._poster.post(
            present.target,
            message.body,
            {"Content-Type": "application/cloudevents+json; charset=utf-8", "Accept-Encoding": "identity", **signed},
        )

    def close(self) -> None:
        """Nothing is held between two posts."""
