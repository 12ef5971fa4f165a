"""Entries as OCSF events, for a SIEM; pure, and a view: the evidence is the leaf, which each event names by its hash.

What an officer or client account underwent becomes Account Change (3001), everything else API Activity (6003). What
OCSF has no place for stands in `unmapped` under the entry's own member names.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

SCHEMA_VERSION = "1.5.0"
PRODUCT: Mapping[str, str] = {"name": "consent-gateway", "vendor_name": "consent-gateway"}
API_ACTIVITY, ACCOUNT_CHANGE = 6003, 3001
_INFORMATIONAL, _MEDIUM = 1, 3
_SUCCESS, _FAILURE = 1, 2
_OTHER = 99
_ACCOUNT_KINDS = frozenset({"officer", "client"})
_API_ACTIVITIES: Mapping[str, int] = {
    "add": 1, "enrol": 1, "import": 1, "receive": 1,
    "read": 2, "decide": 2, "export": 2, "report": 2, "fetch": 2, "entries": 2, "explain": 2, "reveal": 2,
    "write": 3,
    "shred": 4, "retention": 4, "erase": 4,
}  # fmt: skip
_ACCOUNT_ACTIVITIES: Mapping[str, int] = {"add": 1, "enable": 2, "revoke": 5, "remove": 6, "delete": 6}
_FAILED = ("withheld", "refused", "denied", "failed", "caller_not_permitted")
_MAPPED = frozenset({"at", "id", "caller", "channel", "action", "data_subject", "outcome", "kind"})


def event(index: int, leaf: bytes, entry: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The event of the entry at this index of the log called `origin`. A leaf that is no entry gives a bare one."""
    kind, action = str(entry.get("kind", "unreadable")), str(entry.get("action", ""))
    is_account = kind in _ACCOUNT_KINDS
    class_uid = ACCOUNT_CHANGE if is_account else API_ACTIVITY
    activity = (_ACCOUNT_ACTIVITIES if is_account else _API_ACTIVITIES).get(action, _OTHER)
    failed = str(entry.get("outcome", "")).startswith(_FAILED)
    told: dict[str, Any] = {
        "activity_id": activity,
        "category_uid": class_uid // 1000,
        "class_uid": class_uid,
        "type_uid": class_uid * 100 + activity,
        "severity_id": _MEDIUM if failed else _INFORMATIONAL,
        "status_id": _FAILURE if failed else _SUCCESS,
        "status_detail": entry.get("outcome"),
        "time": _millis(entry.get("at")),
        "metadata": {
            "version": SCHEMA_VERSION,
            "product": dict(PRODUCT),
            "uid": entry.get("id"),
            "sequence": index,
            "log_name": origin,
        },
        "actor": {"app_uid": entry.get("caller", "gateway")},
        "unmapped": {name: value for name, value in entry.items() if name not in _MAPPED}
        | {"kind": kind, "leaf_hash": hashlib.sha256(b"\x00" + leaf).hexdigest()},
    }
    if activity == _OTHER:
        told["activity_name"] = action or kind
    return _present(told | (_account(entry) if is_account else _api(kind, action, entry, is_open=not failed)))


def _api(kind: str, action: str, entry: Mapping[str, Any], *, is_open: bool) -> dict[str, Any]:
    person = entry.get("data_subject")
    policy = _present({"uid": entry.get("pack"), "version": entry.get("revision")})
    return {
        "api": {"operation": f"{kind}.{action}" if action else kind},
        "src_endpoint": {"name": entry.get("channel", "gateway")},
        "resources": [{"uid": person, "type": "data_subject"}] if person else None,
        "authorizations": [{"decision": "Allowed" if is_open else "Denied", "policy": policy}] if policy else None,
    }


def _account(entry: Mapping[str, Any]) -> dict[str, Any]:
    detail = entry.get("detail")
    words = detail if isinstance(detail, dict) else {}
    return {"user": {"uid": words.get("officer") or words.get("client") or entry.get("caller", "unknown")}}


def _millis(at: object) -> int:
    return round(datetime.fromisoformat(str(at)).timestamp() * 1000) if at else 0


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
