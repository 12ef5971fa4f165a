"""What shows others what the log holds, put together for one process: its read side, and exports; decides nothing."""

from dataclasses import dataclass

from consent_gateway.audit.export_jobs import Exports
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import Recorder
from consent_gateway.ports import Clock


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """The log as the API shows it. Safe to share between threads."""

    log: AuditLog
    exports: Exports
    recorder: Recorder
    clock: Clock
