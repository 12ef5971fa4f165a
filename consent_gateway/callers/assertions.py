"""Client assertions already used, so that none passes twice; does not verify them.

One insert decides: the primary key lets exactly one of any number of racing processes in.
"""

import hashlib
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.callers.tables import USED_ASSERTIONS
from consent_gateway.callers.transactions import transaction
from consent_gateway.database import to_micros
from consent_gateway.ports import Clock


class Assertions:
    """The replay store of assertions. A `jti` is no secret, so its plain digest stands for it, whatever its length."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def use(self, client_id: str, jti: str, expires_at: datetime) -> bool:
        """True for the first use of a client's `jti`, False for every other until `purge` after `expires_at`.

        `expires_at` must be the last moment at which the assertion could still be accepted, leeway included.
        """
        if not jti.isprintable():
            return False  # lone surrogates and controls: no honest client makes such an id
        row = {
            "client_id": client_id,
            "jti": hashlib.sha256(jti.encode()).hexdigest(),
            "expires_at": to_micros(expires_at),
        }
        try:
            with transaction(self._engine) as connection:
                connection.execute(sa.insert(USED_ASSERTIONS).values(row))
        except sa.exc.IntegrityError:
            return False
        return True

    def purge(self) -> int:
        """Delete what no assertion could still replay, and say how many."""
        with transaction(self._engine) as connection:
            result = connection.execute(
                sa.delete(USED_ASSERTIONS).where(USED_ASSERTIONS.c.expires_at < to_micros(self._clock.now()))
            )
        return result.rowcount
