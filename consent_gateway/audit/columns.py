"""What the log's table repeats of a leaf so that it can be searched; never the source of truth, which is the leaf."""

from datetime import datetime
from typing import Any

from consent_gateway.audit.chain import opened
from consent_gateway.audit.merkle import leaf_hash
from consent_gateway.database import to_micros

UNREADABLE = "unreadable"
_WIDTHS = {"id": 32, "kind": 32, "caller": 128, "data_subject": 32}


def columns_of(leaf: bytes, entry_id: str) -> dict[str, Any]:
    """The values of the columns of `audit_log` but `leaf_index`.

    A leaf that is not one of ours is still sealed, as kind `unreadable`, under the id it was queued with:
    what somebody slipped into the queue must neither vanish nor stop the log.
    """
    values: dict[str, Any] = {"entry": leaf, "leaf_hash": leaf_hash(leaf)}
    try:
        entry = opened(leaf)
        for name, width in _WIDTHS.items():
            value = entry.get(name)
            if value is not None and (not isinstance(value, str) or len(value) > width):
                raise ValueError(name)
        if entry["id"] != entry_id:
            raise ValueError("id")
        return values | {
            "entry_id": entry["id"],
            "kind": entry["kind"],
            "recorded_at": to_micros(datetime.fromisoformat(entry["at"])),
            "caller": entry.get("caller"),
            "data_subject": entry.get("data_subject"),
        }
    except (ValueError, KeyError, TypeError):
        return values | {
            "entry_id": entry_id,
            "kind": UNREADABLE,
            "recorded_at": 0,
            "caller": None,
            "data_subject": None,
        }


def raw(stored: object) -> bytes:
    """The bytes of a column, also where somebody changed its type in the database: the hash then tells the rest."""
    return stored.encode() if isinstance(stored, str) else bytes(stored)  # type: ignore[call-overload]
