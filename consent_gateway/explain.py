"""Says why a past decision fell as it did, from the audit log, the archived policy and the ledger; decides nothing new.

The decision is also replayed: the archived revision is compiled again and asked with the facts that held. A replay
that differs is told, not hidden.
"""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import record_alone
from consent_gateway.consent.ledger import find_event
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import DatabaseUnavailable, NotFound
from consent_gateway.ids import new_id
from consent_gateway.policy import Policies, Rulebook, archive, policies_from
from consent_gateway.policy.facts import BIT
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import Caller, ConsentEvent, Effect

AUDIT_SCOPE = "audit:read"
_DECIDING = frozenset({EntryKind.DECISION.value, EntryKind.WRITE_INTENT.value})
_MOST_REVISIONS = 4  # compiled old revisions kept in memory


class Explain:
    """Explanations of decisions. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, state_dir: Path, policies: Policies, clock: Clock) -> None:
        self._clock = clock
        self._engine = engine
        self._log = AuditLog(engine, state_dir)
        self._rulebooks = {policies.revision: policies.rulebook}
        self._present = policies.revision
        self._lock = Lock()

    def decision(self, caller: Caller, decision_id: str) -> Mapping[str, Any]:
        """Everything about one decision, ready for JSON.

        A client may ask about its own decisions, one with `audit:read` about all. Raises `NotFound` for any other.
        """
        found = self._log.find(decision_id)
        entry = {} if found is None else found.entry
        mine = entry.get("caller") == caller.client_id or AUDIT_SCOPE in caller.scopes
        if found is None or not mine or entry.get("kind") not in _DECIDING:
            raise NotFound("no decision of this client has this id")
        self._account_for(caller, decision_id)
        rulebook = self._rulebook(entry["revision"])
        event = self._event(entry.get("consent_event"))
        return {
            "decision_id": decision_id,
            "decided_at": entry["at"],
            "kind": entry["kind"],
            "outcome": entry.get("outcome"),
            "caller": entry.get("caller"),
            "channel": entry.get("channel"),
            "purpose": entry.get("purpose"),
            "recipient": entry.get("recipient"),
            "data_subject": _told_person(entry, caller),
            "jurisdiction": entry.get("jurisdiction"),
            "pack": entry.get("pack"),
            "policy_revision": entry["revision"],
            "facts": entry.get("facts", []),
            "fields": {name: _told(verdict, rulebook) for name, verdict in entry.get("fields", {}).items()},
            "consent_event": None if event is None else _told_evidence(event, entry, caller),
            "replayed_alike": None if rulebook is None else _replays(entry, rulebook),
            "log": {"sealed": found.leaf_index is not None, "index": found.leaf_index},
        }

    def _account_for(self, caller: Caller, decision_id: str) -> None:
        now = self._clock.now()
        entry = Entry(
            entry_id=new_id("log", now),
            kind=EntryKind.LOG_READ,
            at=now,
            caller=caller.client_id,
            channel=caller.channel,
            action="explain",
            reference=decision_id,
        )
        record_alone(self._engine, entry)

    def _rulebook(self, revision: str) -> Rulebook | None:
        """The rules that decided then; None where the archive does not have them."""
        with self._lock:
            known = self._rulebooks.get(revision)
        if known is not None:
            return known
        try:
            with reading_connection(self._engine) as connection:
                sources = archive.load(connection, revision)
        except NotFound:
            return None
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the policy archive did not answer") from error
        rulebook = policies_from(sources).rulebook
        with self._lock:
            while len(self._rulebooks) > _MOST_REVISIONS:
                oldest = next(key for key in self._rulebooks if key != self._present)
                del self._rulebooks[oldest]
            self._rulebooks[revision] = rulebook
        return rulebook

    def _event(self, event_id: str | None) -> ConsentEvent | None:
        if event_id is None:
            return None
        try:
            with reading_connection(self._engine) as connection:
                return find_event(connection, event_id)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the ledger did not answer") from error


def _must_not_link(entry: Mapping[str, Any], caller: Caller) -> bool:
    """Whether the client got pseudonyms: beside one, nothing may stand that is the same for every recipient."""
    pseudonymous = any(effect == Effect.PSEUDONYMISE.word for effect, _, _ in entry.get("fields", {}).values())
    return pseudonymous and AUDIT_SCOPE not in caller.scopes


def _told_person(entry: Mapping[str, Any], caller: Caller) -> str | None:
    told: str | None = entry.get("data_subject")
    return None if _must_not_link(entry, caller) else told


def _told_evidence(event: ConsentEvent, entry: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """The evidence; for who must not link, without what names this one event: its id, reference, and time of day."""
    told = _evidence(event)
    if not _must_not_link(entry, caller):
        return told
    days = {name: told[name][:10] for name in ("occurred_at", "recorded_at")}
    return told | days | dict.fromkeys(("event_id", "reference", "recorded_by"))


def _told(verdict: list[str], rulebook: Rulebook | None) -> dict[str, Any]:
    effect, reason, rule_id = verdict
    told: dict[str, Any] = {"effect": effect, "reason": reason, "rule": rule_id}
    if rulebook is not None:
        rule = rulebook.rule(rule_id)
        told |= {"pack": f"{rule.pack}@{rule.version}", "source": rule.source, "text": rule.text}
    return told


def _evidence(event: ConsentEvent) -> dict[str, Any]:
    evidence = event.event.evidence
    return {
        "event_id": event.event_id,
        "kind": event.event.kind.value,
        "purpose": event.event.purpose,
        "occurred_at": event.event.occurred_at.isoformat(),
        "recorded_at": event.recorded_at.isoformat(),
        "channel": evidence.channel,
        "how": evidence.how,
        "recorded_by": evidence.recorded_by,
        "notice": evidence.notice,
        "notice_version": evidence.notice_version,
        "language": evidence.language,
        "reference": evidence.reference,
    }


def _replays(entry: Mapping[str, Any], rulebook: Rulebook) -> bool | None:
    """Whether the same rules and facts give the same verdicts again; None for a denial that no rule made."""
    facts, fields = entry.get("facts", []), entry.get("fields", {})
    day: date = datetime.fromisoformat(entry["at"]).date()
    segment = rulebook.segment(entry.get("jurisdiction"), day)
    if segment is None or entry.get("purpose") not in segment.plans or any(name not in BIT for name in facts):
        return None
    if all(rule.startswith("gateway.") for _, _, rule in fields.values()):
        return None
    bits = sum(BIT[name] for name in facts)
    verdicts = rulebook.verdicts(segment.plans[entry["purpose"]], tuple(fields), bits)
    return all(
        [verdict.effect.word, verdict.reason.value, verdict.rule] == fields[name] for name, verdict in verdicts.items()
    )
