"""Writes what was done to the keys into the audit log, once each; does nothing to a key itself."""

from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import record_alone
from consent_gateway.protection.upkeep import KeyEvidence


class AccountForKeys:
    """Makes the entry of a closing or a rotation durable; called again with the same evidence it adds nothing."""

    def __init__(self, engine: sa.Engine, state_dir: Path) -> None:
        self._engine = engine
        self._log = AuditLog(engine, state_dir)

    def __call__(self, evidence: KeyEvidence) -> None:
        """Record it. Raises `AuditUnavailable` where it cannot be made durable: run the same work again."""
        if self._log.find(evidence.entry_id) is None:
            record_alone(self._engine, entry_of(evidence))


def entry_of(evidence: KeyEvidence) -> Entry:
    """The entry: root versions before and after as the provider tells them, counts, the back-up and its digest."""
    detail = {
        "backup": evidence.backup,
        "backup_digest": evidence.digest,
        "destruction_delay_days": str(evidence.destruction_delay_days),
        "epoch": str(evidence.epoch),
        "people": str(evidence.people),
        "removed_backups": str(len(evidence.removed)),
        "started_at": evidence.started_at.isoformat(),
        "versions_after": _told(evidence.versions_after),
        "versions_before": _told(evidence.versions_before),
    }
    if evidence.closed is not None:
        detail |= {"epoch_closed": str(evidence.closed), "erased": str(evidence.erased)}
    action = evidence.work.replace("-", "_").replace(" ", "_")
    return Entry(evidence.entry_id, EntryKind.KEY, evidence.at, action=action, outcome="done", detail=detail)


def _told(versions: tuple[int, ...]) -> str:
    """The newest versions, as many as fit."""
    shown = " ".join(map(str, versions[-30:]))
    return shown if len(versions) <= 30 else f"… {shown}"
