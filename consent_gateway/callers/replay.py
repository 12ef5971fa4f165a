"""One-time proofs already used, so that none passes twice in any process; does not verify them.

A proof is a client's assertion or a DPoP proof. One insert decides: the primary key lets exactly one of any number
of racing processes in.
"""

import hashlib
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.callers.tables import USED_PROOFS
from consent_gateway.callers.transactions import transaction
from consent_gateway.database import to_micros
from consent_gateway.ports import Clock


class ReplayStore:
    """Remembers the `jti` of each proof. It is no secret, so its plain digest stands for it, whatever its length."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def use(self, signer: str, jti: str, expires_at: datetime) -> bool:
        """True for the first use of a signer's `jti`, False for every other until `purge` after `expires_at`.

        `signer` is the client id of an assertion; for a DPoP proof it is `dpop:` and the thumbprint of its key, which
        no client id can be. `expires_at` must be the last moment at which the proof could still be accepted.
        """
        if not jti.isprintable():
            return False  # lone surrogates and controls: no honest client makes such an id
        row = {
            "signer": signer,
            "jti": hashlib.sha256(jti.encode()).hexdigest(),
            "expires_at": to_micros(expires_at),
        }
        try:
            with transaction(self._engine) as connection:
                connection.execute(sa.insert(USED_PROOFS).values(row))
        except sa.exc.IntegrityError:
            return False
        return True

    def release(self, signer: str, jti: str) -> None:
        """Forget a use after which nothing was done, so that the same proof may come again."""
        digest = hashlib.sha256(jti.encode()).hexdigest()
        with transaction(self._engine) as connection:
            connection.execute(
                sa.delete(USED_PROOFS).where(USED_PROOFS.c.signer == signer, USED_PROOFS.c.jti == digest)
            )

    def purge(self) -> int:
        """Delete what no proof could still replay, and say how many."""
        with transaction(self._engine) as connection:
            result = connection.execute(
                sa.delete(USED_PROOFS).where(USED_PROOFS.c.expires_at < to_micros(self._clock.now()))
            )
        return result.rowcount
