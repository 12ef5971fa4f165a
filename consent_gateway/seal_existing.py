"""Seals what a sealed column of the store already holds in the clear, when the catalogue first calls it sealed.

Reads and writes by way of the store's port, one record at a time and each on condition that nobody changed it
meanwhile, so it can run beside a shop that is open, be interrupted and be run again. It is an operator's act and holds
every key class, by a grant that says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder
from consent_gateway.database import reading_connection
from consent_gateway.errors import Conflict
from consent_gateway.ids import new_id
from consent_gateway.people.directory import by_store_keys
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.ports import Clock, CustomerStore, Page
from consent_gateway.protection.fields import is_sealed
from consent_gateway.protection.material import KeyGrant
from consent_gateway.protection.sealing import Sealing
from consent_gateway.store_scan import Cause, cause_unsealed

Progress = Callable[[int, int], None]
_PAGE = 500
_NO_ROWS = Page(limit=0)


@dataclass(frozen=True, slots=True)
class SealReport:
    """What a run came to, in records.

    `busy` ones changed while they were sealed: run again. `unenrolled`: enrol them first. `refused` hold a value that
    is sealed already and cannot be read, damaged or in an earlier format: they are left as they are, `doctor` names it.
    """

    read: int = 0
    sealed: int = 0
    busy: int = 0
    unenrolled: int = 0
    refused: int = 0


class SealExisting:
    """Seals the root fields that the catalogue calls sealed, over the whole store."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        store: CustomerStore,
        catalogue: Catalogue,
        sealing: Sealing,
        grant: KeyGrant,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._store = store
        self._sealing = sealing
        self._grant = grant
        self._recorder = recorder
        self._clock = clock
        fields = catalogue.fields.values()
        root = catalogue.root.name
        self._fields = tuple(each.name for each in fields if each.protection == "sealed" and each.collection == root)

    def run(self, progress: Progress) -> SealReport:
        """Seal every value that stands in the clear. Raises what the store, the keys and the audit log raise."""
        report, after, total = SealReport(), None, self._store.count()
        while self._fields and (rows := self._store.identities(after, _PAGE)):
            with reading_connection(self._engine) as connection:
                people = by_store_keys(connection, [row.store_key for row in rows])
            outcomes = [self._record(row.store_key, people.get(row.store_key)) for row in rows]
            report = SealReport(
                report.read + len(rows),
                report.sealed + outcomes.count("sealed"),
                report.busy + outcomes.count("busy"),
                report.unenrolled + outcomes.count("unenrolled"),
                report.refused + outcomes.count("refused"),
            )
            after = rows[-1].store_key
            progress(report.read, total)
        now = self._clock.now()
        counts = {"read": str(report.read), "sealed": str(report.sealed), "busy": str(report.busy)}
        counts["refused"] = str(report.refused)
        self._recorder.record(Entry(new_id("sys", now), EntryKind.SYSTEM, now, action="seal_existing", detail=counts))
        return report

    def _record(self, store_key: str, data_subject: str | None) -> str:
        record = self._store.read(store_key, self._fields, _NO_ROWS)
        clear = {
            name: value
            for name, value in ({} if record is None else record.values).items()
            if value is not None and not (isinstance(value, str) and is_sealed(value))
        }
        if record is None or not clear:
            return "nothing"
        if any(cause_unsealed(value) is not Cause.PLAIN_TEXT for value in clear.values()):
            return "refused"
        if data_subject is None:
            return "unenrolled"
        try:
            self._store.update(store_key, self._sealing.sealed(clear, data_subject, self._grant), record.version)
        except Conflict:
            return "busy"
        return "sealed"
