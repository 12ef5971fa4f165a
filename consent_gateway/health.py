"""Says whether this process lives and whether every part that a call needs answers; mends nothing."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from consent_gateway import __version__
from consent_gateway.audit.recorder import Recorder
from consent_gateway.database import DRIVER_ERRORS
from consent_gateway.errors import GatewayError
from consent_gateway.ports import CustomerStore


class Health:
    """The state of one process and of the parts behind it."""

    def __init__(self, engine: sa.Engine, store: CustomerStore, recorder: Recorder, revision: str) -> None:
        self._engine = engine
        self._store = store
        self._recorder = recorder
        self._revision = revision

    def live(self) -> Mapping[str, Any]:
        """What this process knows of itself; touches nothing outside it."""
        return {"live": True, "version": __version__, "policy_revision": self._revision}

    def ready(self) -> Mapping[str, Any]:
        """The state of every part a call needs; `ready` is true where all of them answer."""
        parts = {
            "database": self._database(),
            "customer_store": self._customer_store(),
            "audit": "ok" if self._recorder.failure is None else "failing",
        }
        return {
            "ready": all(state == "ok" for state in parts.values()),
            "parts": parts,
            "policy_revision": self._revision,
        }

    def _database(self) -> str:
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("SELECT 1")
        except DRIVER_ERRORS:
            return "away"
        return "ok"

    def _customer_store(self) -> str:
        try:
            return "ok" if not self._store.faults() else "catalogue_mismatch"
        except GatewayError:
            return "away"
