"""Turns a change into the CloudEvents 1.0 document that its audience gets; tells ids and choices and no profile.

An outside recipient gets names of its own: for the person the pseudonym of its domain, for the message an id of its
own, times to the minute and no count, so that two recipients cannot find by them that they speak of one person.
"""

from collections.abc import Callable
from datetime import datetime

import orjson
import sqlalchemy as sa

from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import DatabaseUnavailable, KeysDestroyed
from consent_gateway.ports import ChangeMessage
from consent_gateway.propagation.changes import Audience, Change
from consent_gateway.propagation.outbox import Names
from consent_gateway.propagation.tables import PARTING_NAMES
from consent_gateway.vocabulary import ANY_PURPOSE, OPENING, EventKind

TYPE = "consent-gateway.choice."
"""Begins the type of every event; the kind of the choice ends it."""

MessageId = Callable[[str, str, str], str]
"""Purpose, recipient and event id to the id that the recipient gets."""


class Envelopes:
    """Makes the messages of one gateway; `source` is its base URL."""

    def __init__(self, engine: sa.Engine, names: Names, message_id: MessageId, source: str) -> None:
        self._engine = engine
        self._names = names
        self._message_id = message_id
        self._source = source

    def message(self, audience: Audience, change: Change) -> ChangeMessage | None:
        """The message, or None where the audience knows this person by no name any more.

        Raises `KeysUnavailable` and `DatabaseUnavailable`.
        """
        document = self.document(audience, change)
        if document is None:
            return None
        return ChangeMessage(str(document["id"]), str(document["subject"]), orjson.dumps(document))

    def document(self, audience: Audience, change: Change) -> dict[str, object] | None:
        """The same, as a document."""
        committed, event = change.committed, change.committed.event
        if audience.is_company:
            message_id, person, shown = committed.event_id, event.data_subject, _exactly
        else:
            name = self._name(audience, change)
            if name is None:
                return None
            message_id, person, shown = self._message_id(*audience.domain, committed.event_id), name, _to_the_minute
        data: dict[str, object] = {
            "person": person,
            "recipient": audience.recipient,
            "purpose": None if event.purpose == ANY_PURPOSE else event.purpose,
            "kind": event.kind.value,
            "opens": event.kind in OPENING,
            "occurred_at": shown(event.occurred_at),
            "valid_until": None if event.valid_until is None else shown(event.valid_until),
            "frequency": event.frequency,
        }
        if audience.is_company:
            data |= {"channel": event.evidence.channel, "position": committed.position}
        return {
            "specversion": "1.0",
            "id": message_id,
            "source": self._source,
            "type": TYPE + event.kind.value,
            "subject": person,
            "time": shown(committed.recorded_at),
            "datacontenttype": "application/json",
            "partitionkey": person,
            "data": data,
        }

    def _name(self, audience: Audience, change: Change) -> str | None:
        """What this recipient calls the person. Of someone erased only the erasure itself is told, and in time."""
        event = change.committed.event
        try:
            if event.kind is not EventKind.ERASED:
                return self._names.name(*audience.domain, event.data_subject)
        except KeysDestroyed:
            return None
        purpose, recipient = audience.domain
        kept = sa.select(PARTING_NAMES.c.name).where(
            PARTING_NAMES.c.event_id == change.committed.event_id,
            PARTING_NAMES.c.purpose == purpose,
            PARTING_NAMES.c.recipient == recipient,
        )
        try:
            with reading_connection(self._engine) as connection:
                name: str | None = connection.execute(kept).scalar_one_or_none()
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("a parting name could not be read: ask again") from error
        return name


def _exactly(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _to_the_minute(moment: datetime) -> str:
    return _exactly(moment.replace(second=0, microsecond=0))
