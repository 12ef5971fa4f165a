"""Says whether this process lives and whether every part that a call needs answers; mends nothing."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_gateway import __version__
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import Recorder
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import AuditUnavailable, GatewayError
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock, CustomerStore

SEALING_SECONDS = 60  # an entry that waits longer says that no worker seals


class Health:
    """The state of one process and of the parts behind it."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        store: CustomerStore,
        recorder: Recorder,
        revision: str,
        clock: Clock,
        state_dir: Path,
    ) -> None:
        self._clock = clock
        self._log = AuditLog(engine, state_dir)
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
            "audit": self._audit(),
        }
        ready = all(state == "ok" for state in parts.values())
        return {
            "ready": ready,
            "parts": {**parts, "sealing": self._sealing()},  # delays proofs, not decisions: shown, not a reason to stop
            "policy_revision": self._revision,
        }

    def _audit(self) -> str:
        """After a failure only an entry that becomes durable shows that the next call would succeed."""
        if self._recorder.failure is None:
            return "ok"
        now = self._clock.now()
        try:
            self._recorder.record(Entry(new_id("sys", now), EntryKind.SYSTEM, now, action="audit_recovered"))
        except AuditUnavailable:
            return "failing"
        return "ok"

    def _sealing(self) -> str:
        try:
            since = self._log.waiting_since()
        except (GatewayError, sqlite3.Error):
            return "unknown"
        late = since is not None and (self._clock.now() - since).total_seconds() > SEALING_SECONDS
        return "behind" if late else "ok"

    def _database(self) -> str:
        try:
            with reading_connection(self._engine) as connection:
                connection.exec_driver_sql("SELECT 1")
        except DRIVER_ERRORS:
            return "away"
        return "ok"

    def _customer_store(self) -> str:
        try:
            return "ok" if not self._store.faults() else "catalogue_mismatch"
        except GatewayError:
            return "away"
