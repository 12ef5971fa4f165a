"""The audit entry: what was asked, decided and done, as ids and words; never holds a personal value.

An entry becomes canonical JSON (RFC 8785: sorted keys, UTF-8, no floats). What could not be stored and
read back exactly is refused here with `InputRefused`, before the decision it describes is carried out.
The format is written down in docs/formats/audit-log.md.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from consent_gateway.errors import InputRefused

MAX_ENTRY_BYTES = 65_000
"""With the envelope of `chain` a leaf stays within the 65,535 bytes that C2SP tlog-tiles grants an entry."""

MAX_DETAIL_CHARACTERS = 256

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,32}")
_DETAIL_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ESCAPE = re.compile(r"\\(.)")
# C0, DEL, C1, line separators, direction marks and overrides, byte order mark, and what lies past the first
# 65,536 characters, where RFC 8785 sorts keys in another order than the encoder does.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U00010000-\U0010ffff]")


class EntryKind(StrEnum):
    """What an entry is about; closed list, extend and never rename."""

    DECISION = "decision"  # a read, or a decision without data, answered
    WRITE_INTENT = "write_intent"  # durable before the store is touched
    WRITE_OUTCOME = "write_outcome"  # `reference` is the intent
    CONSENT_EVENT = "consent_event"
    CONSENT_READ = "consent_read"  # somebody was told what a person chose
    PERSON = "person"  # enrolled, linked, merged
    RIGHTS_REQUEST = "rights_request"
    ERASURE = "erasure"
    CORRECTION = "correction"
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    CLIENT = "client"
    CUSTOMER_SESSION = "customer_session"  # a customer signed in or out, or said that it was not them
    OFFICER = "officer"
    KEY = "key"
    REIDENTIFICATION = "reidentification"
    POLICY = "policy"
    EXPORT = "export"
    LOG_READ = "log_read"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the audit log. `at` is UTC; every string is an id or a word of a closed list.

    `fields` maps a catalogue field name to (effect word, reason, rule id). `reference` is the id of an
    earlier entry, as of the intent of an outcome. `detail` holds short words that have no place of their own.
    """

    entry_id: str
    kind: EntryKind
    at: datetime
    caller: str | None = None
    channel: str | None = None
    purpose: str | None = None
    action: str | None = None
    data_subject: str | None = None
    recipient: str | None = None
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    facts: Sequence[str] = ()
    jurisdiction: str | None = None
    pack: str | None = None
    revision: str | None = None
    consent_event: str | None = None
    outcome: str | None = None
    reference: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict)

    def canonical(self) -> bytes:
        """The entry as canonical JSON; absent members are left out. Raises `InputRefused` if unloggable."""
        self._refuse_bad_shape()
        document: dict[str, Any] = {
            "action": self.action,
            "at": written_time(self.at),
            "caller": self.caller,
            "channel": self.channel,
            "consent_event": self.consent_event,
            "data_subject": self.data_subject,
            "detail": dict(self.detail),
            "facts": list(self.facts),
            "fields": dict(self.fields),
            "id": self.entry_id,
            "jurisdiction": self.jurisdiction,
            "kind": self.kind.value,
            "outcome": self.outcome,
            "pack": self.pack,
            "purpose": self.purpose,
            "recipient": self.recipient,
            "reference": self.reference,
            "revision": self.revision,
        }
        present = {name: value for name, value in document.items() if value}
        try:
            body = orjson.dumps(present, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:
            raise InputRefused("the audit entry holds text that is not valid unicode: send well-formed text") from error
        _refuse_unsafe(body)
        return body

    def _refuse_bad_shape(self) -> None:
        for name, value in (
            ("id", self.entry_id),
            ("data_subject", self.data_subject),
            ("reference", self.reference),
            ("consent_event", self.consent_event),
        ):
            if value is not None and not _ID.fullmatch(value):
                raise InputRefused(f"the audit entry's {name} is not an id: use 1 to 32 letters, digits and `_.:-`")
        if self.at.tzinfo is None:
            raise InputRefused("the audit entry's time has no time zone: give it in UTC")
        if self.caller is not None and len(self.caller) > 128:
            raise InputRefused("the audit entry's caller is longer than 128 characters")
        for name, value in self.detail.items():
            if not _DETAIL_KEY.fullmatch(name) or len(value) > MAX_DETAIL_CHARACTERS:
                raise InputRefused("the audit entry's detail must be short words under lower-case names")


def written_time(moment: datetime) -> str:
    """RFC 3339 in UTC with six digits of a second, so that text order is time order."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _refuse_unsafe(body: bytes) -> None:
    if len(body) > MAX_ENTRY_BYTES:
        raise InputRefused(f"the audit entry would exceed {MAX_ENTRY_BYTES} bytes: name fewer or shorter fields")
    if body.isascii() and b"\\" not in body and b"\x7f" not in body:
        return
    text = body.decode()
    if _UNSAFE.search(text) or any(escaped not in '"\\' for escaped in _ESCAPE.findall(text)):
        raise InputRefused("the audit entry holds control characters: send printable text")


def spread(name: str, text: str) -> dict[str, str]:
    """A text that is longer than a detail may be, over details `name_1`, `name_2` and so on, in order."""
    parts = range(0, max(len(text), 1), MAX_DETAIL_CHARACTERS)
    return {f"{name}_{at}": text[start : start + MAX_DETAIL_CHARACTERS] for at, start in enumerate(parts, 1)}
