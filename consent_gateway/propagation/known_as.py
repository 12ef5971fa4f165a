"""What a recipient calls a person, of somebody who was just erased too; keeps nothing and tells nobody."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.errors import KeysDestroyed
from consent_gateway.propagation.outbox import Names
from consent_gateway.propagation.tables import PARTING_NAMES


class KnownAs:
    """`purposes` maps a recipient to those it receives for: in each it has a name of its own for a person."""

    def __init__(self, names: Names, purposes: Mapping[str, Sequence[str]]) -> None:
        self._names = names
        self._purposes = purposes

    def __call__(self, connection: sa.Connection, recipient: str, data_subject: str) -> tuple[str, ...]:
        """The names, in the order of the purposes; none once those of somebody erased are forgotten.

        Raises `KeysUnavailable`.
        """
        purposes = self._purposes.get(recipient, ())
        try:
            return tuple(self._names.name(purpose, recipient, data_subject) for purpose in purposes)
        except KeysDestroyed:
            kept, event = PARTING_NAMES.c, CONSENT_EVENTS.c
            found = sa.select(kept.purpose, kept.name).where(kept.recipient == recipient)
            theirs = found.join(CONSENT_EVENTS, event.event_id == kept.event_id).where(
                event.data_subject == data_subject
            )
            named = {row.purpose: row.name for row in connection.execute(theirs)}
            return tuple(named[purpose] for purpose in purposes if purpose in named)
