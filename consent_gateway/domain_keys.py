"""Rotates and retires the keys of a domain and maps its tokens, each written into the audit log before and after.

The key database and the audit log are two: the entry of the intent is durable before a key is touched, the one of the
outcome after. An intent without an outcome says that the work was cut off; `keys status` then tells what stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.retoken import Progress, Retokened, Retokener
from consent_gateway.vocabulary import COMPANY


@dataclass(frozen=True, slots=True)
class DomainChange:
    """What was done to the keys of one domain; `entry_id` is the audit entry of its outcome."""

    purpose: str
    recipient: str
    version: int
    key_ids: tuple[str, ...]
    entry_id: str


class DomainKeys:
    """The operator's work on the keys of domains. Raises what the key ring raises, and `AuditUnavailable`."""

    def __init__(self, keyring: KeyRing, recorder: Recorder, fields: Sequence[str], clock: Clock) -> None:
        self._keyring = keyring
        self._recorder = recorder
        self._retokener = Retokener(keyring, keyring.tenant, fields)
        self._clock = clock

    def rotate(self, purpose: str, recipient: str | None) -> DomainChange:
        """A new pseudonym and token key for all that is new in this domain; old tokens still reverse."""
        intent = self._intend("rotate_domain", purpose, recipient, {})
        made = self._keyring.rotate_domain(purpose, recipient)
        return self._done(intent, made[0].version, tuple(key.key_id for key in made))

    def retire(self, purpose: str, recipient: str | None, version: int) -> DomainChange:
        """Delete the keys of a version: from then on nobody can reverse or link what was handed out under them."""
        intent = self._intend("retire_domain", purpose, recipient, {"version": str(version)})
        return self._done(intent, version, self._keyring.retire_domain(purpose, recipient, version))

    def retoken(self, texts: Sequence[str], purpose: str, recipient: str | None, progress: Progress) -> Retokened:
        """New tokens for old ones; how many and under which keys is in the log before they are handed over."""
        intent = self._intend("retoken", purpose, recipient, {"asked": str(len(texts))})
        mapped = self._retokener.map(texts, purpose, recipient, progress)
        counts = {
            "asked": str(len(texts)),
            "mapped": str(len(texts) - len(mapped.faults)),
            "refused": str(len(mapped.faults)),
            "key_ids": _told_ids(sorted(mapped.key_ids)),
        }
        self._record(intent, "done", counts)
        return mapped

    def _intend(self, action: str, purpose: str, recipient: str | None, detail: Mapping[str, str]) -> Entry:
        entry = Entry(
            new_id("key", self._clock.now()),
            EntryKind.KEY,
            self._clock.now(),
            purpose=purpose,
            recipient=COMPANY if recipient is None else recipient,
            action=action,
            outcome="intended",
            detail=detail,
        )
        self._recorder.record(entry)
        return entry

    def _done(self, intent: Entry, version: int, key_ids: tuple[str, ...]) -> DomainChange:
        entry_id = self._record(intent, "done", {"version": str(version), "key_ids": _told_ids(key_ids)})
        return DomainChange(str(intent.purpose), str(intent.recipient), version, key_ids, entry_id)

    def _record(self, intent: Entry, outcome: str, detail: Mapping[str, str]) -> str:
        now: datetime = self._clock.now()
        entry = Entry(
            new_id("key", now),
            EntryKind.KEY,
            now,
            purpose=intent.purpose,
            recipient=intent.recipient,
            action=intent.action,
            outcome=outcome,
            reference=intent.entry_id,
            detail=detail,
        )
        self._recorder.record(entry)
        return entry.entry_id


def _told_ids(key_ids: Sequence[str]) -> str:
    told = " ".join(key_ids[:40])  # a detail holds 256 characters
    return told if len(key_ids) <= 40 else f"{told} and {len(key_ids) - 40} more"
