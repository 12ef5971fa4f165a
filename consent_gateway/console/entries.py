"""Entries that the console itself makes: who looked at what, and who was kept out; holds ids and words alone."""

from collections.abc import Mapping

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder
from consent_gateway.ids import new_id
from consent_gateway.officers.registry import officer_entry
from consent_gateway.ports import Clock


class Looks:
    """Records looks at the log, durable before the page leaves. Safe to share between threads."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock

    def looked(self, officer_id: str, action: str, detail: Mapping[str, str], reference: str | None = None) -> None:
        """Record that an officer looked at entries, under which filter. Raises `AuditUnavailable`."""
        now = self._clock.now()
        self._recorder.record(
            Entry(
                new_id("log", now),
                EntryKind.LOG_READ,
                now,
                caller=officer_id,
                action=action,
                reference=reference,
                detail=detail,
            )
        )

    def refused(self, officer_id: str, doing: str) -> None:
        """Record that an officer asked for what their roles do not give them. Raises `AuditUnavailable`."""
        self._recorder.record(officer_entry("refused", officer_id, self._clock.now(), doing=doing))
