"""Reads one line of an import of choices; pure.

A line is a JSON object: `identifier: {kind, value}` or `store_key`; `kind` and `occurred_at` (RFC 3339 with offset);
`channel`; `purpose`, which may be left out or `*` where the choice concerns everything; and, if known, `how`,
`notice`, `notice_version`, `language`, `reference`, `conditions`, `frequency` and `valid_until`. Null stands for
absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.vocabulary import ANY_PURPOSE, EventKind, Evidence, Identifier, NewConsentEvent

_TEXTS = ("purpose", "channel", "how", "notice", "notice_version", "language", "reference", "store_key", "frequency")
_KEYS = frozenset({*_TEXTS, "identifier", "kind", "occurred_at", "valid_until", "conditions"})
_KINDS: Mapping[str, EventKind] = {kind.value: kind for kind in EventKind}


@dataclass(frozen=True, slots=True)
class Line:
    """One choice to import, of a person who is yet to be found; `event.data_subject` is empty."""

    store_key: str | None
    identifier: Identifier | None
    event: NewConsentEvent


def read_line(line: Mapping[str, object], recorded_by: str) -> Line:
    """The choice that a line tells of. Raises `InputRefused`, naming the key at fault and never a value."""
    if unknown := sorted(set(line) - _KEYS):
        raise _fault(unknown[0] if unknown[0].isidentifier() else "", "not a key of a choice: leave it out")
    texts = {name: _text(line, name) for name in _TEXTS}
    identifier = _identifier(line.get("identifier"))
    if (identifier is None) == (texts["store_key"] is None):
        raise _fault("identifier", "give either `identifier` or `store_key`")
    kind = _KINDS.get(_needed(line, "kind"))
    if kind is None:
        raise _fault("kind", f"use one of {', '.join(_KINDS)}")
    if kind is EventKind.ERASED:
        raise _fault("kind", "an erasure is carried out here, not imported")
    evidence = Evidence(
        channel=_needed(line, "channel"),
        how=texts["how"] or "import",
        recorded_by=recorded_by,
        notice=texts["notice"],
        notice_version=texts["notice_version"],
        language=texts["language"],
        reference=texts["reference"],
        conditions=_conditions(line.get("conditions")),
    )
    event = NewConsentEvent(
        data_subject="",
        purpose=texts["purpose"] or ANY_PURPOSE,
        kind=kind,
        occurred_at=_moment(_needed(line, "occurred_at"), "occurred_at"),
        evidence=evidence,
        valid_until=_moment(text, "valid_until") if (text := _text(line, "valid_until")) else None,
        frequency=texts["frequency"],
    )
    return Line(texts["store_key"], identifier, event)


def _text(line: Mapping[str, object], name: str) -> str | None:
    value = line.get(name)
    if value is not None and not isinstance(value, str):
        raise _fault(name, "must be text")
    return value or None


def _needed(line: Mapping[str, object], name: str) -> str:
    value = _text(line, name)
    if value is None:
        raise _fault(name, "is missing")
    return value


def _identifier(value: object) -> Identifier | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"kind", "value"}:
        raise _fault("identifier", "must be an object of `kind` and `value`")
    if not all(isinstance(part, str) for part in value.values()):
        raise _fault("identifier", "must hold text")
    return Identifier(value["kind"], value["value"])


def _conditions(value: object) -> frozenset[str]:
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _fault("conditions", "must be a list of names")
    return frozenset(value)


def _moment(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _fault(name, "must be a time as in RFC 3339") from None  # the cause quotes the value
    if moment.tzinfo is None:
        raise _fault(name, "must have an offset, such as `Z`")
    return moment


def _fault(name: str, message: str) -> InputRefused:
    return InputRefused(f"`{name}` {message}", (FieldFault(f"/{name}", message),))
