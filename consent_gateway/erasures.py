"""Looks at erasures from outside: which there were, whether their keys are really gone, what the store still holds.

It changes nothing. Carrying an erasure out is `shredding`'s.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.database import DRIVER_ERRORS, from_micros, reading_connection, to_micros
from consent_gateway.errors import DatabaseUnavailable, KeysDestroyed, KeysUnavailable, NotFound
from consent_gateway.people.tables import PEOPLE, SHREDDINGS
from consent_gateway.ports import CustomerStore, Page
from consent_gateway.protection.keys import KeyRing

_NO_ROWS = Page(limit=0)


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure. `finished_at` and `outcome_entry` are None until the keys are destroyed and that is recorded."""

    data_subject: str
    reference: str
    begun_at: datetime
    finished_at: datetime | None
    outcome_entry: str | None


class Erasures:
    """Looks at the erasures of one installation. Safe to share between threads."""

    def __init__(self, *, engine: sa.Engine, store: CustomerStore, keyring: KeyRing) -> None:
        self._engine = engine
        self._store = store
        self._keyring = keyring

    def since(self, begin: datetime | None) -> tuple[Erasure, ...]:
        """Every erasure begun then or later, in order; all of them without one; may raise `DatabaseUnavailable`."""
        columns = SHREDDINGS.c
        asked = sa.select(SHREDDINGS).order_by(columns.begun_at, columns.shredding_id)
        if begin is not None:
            asked = asked.where(columns.begun_at >= to_micros(begin))
        with self._reading() as connection:
            rows = connection.execute(asked).all()
        return tuple(
            Erasure(
                row.data_subject,
                row.reference,
                from_micros(row.begun_at),
                None if row.finished_at is None else from_micros(row.finished_at),
                row.outcome_entry,
            )
            for row in rows
        )

    def undone(self) -> tuple[str, ...]:
        """Ids of people whose erasure is finished and whose keys this key table does not call destroyed.

        So it is after an older key table was restored. A row that is gone counts too: keys could be made again.
        """
        return tuple(one.data_subject for one in self.since(None) if one.finished_at and self._alive(one.data_subject))

    def store_row(self, data_subject: str) -> str | None:
        """The store's key of the person's row, where the store holds it still; to be asked before the erasure.

        Raises `NotFound` for an id that is nobody's, `StoreUnavailable`.
        """
        known = sa.select(PEOPLE.c.store_key).where(PEOPLE.c.data_subject == data_subject)
        with self._reading() as connection:
            row = connection.execute(known).one_or_none()
        if row is None:
            raise NotFound("no person has this id: check the id with `consent-gateway consent show --by email`")
        if row.store_key is None or self._store.read(row.store_key, (), _NO_ROWS) is None:
            return None
        return str(row.store_key)

    def _alive(self, data_subject: str) -> bool:
        try:
            self._keyring.person_keys(data_subject)
        except KeysDestroyed:
            return False
        except KeysUnavailable:  # the row is not empty, or not there
            return True
        self._keyring.forget(data_subject)
        return True

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with reading_connection(self._engine) as connection:
                yield connection
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the erasures could not be read: ask again") from error
