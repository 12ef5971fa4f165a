"""The audit log for outsiders: entries, checkpoint, proofs, tiles, exports; reads the log and holds no rule of its own.

Checkpoint, hash tiles and proofs hold hashes of entries with random ids in them, and are public, so that whoever
checks the log needs nobody's leave. What the entries say is for auditors, and each look at it is an entry.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Response

from consent_gateway.audit.checkpoint import read_body, signatures
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.log import EntryFilter, Found, readable
from consent_gateway.audit.merkle import leaf_hash
from consent_gateway.console.permissions import Doing
from consent_gateway.errors import AuditUnavailable, Conflict, DatabaseUnavailable, InputRefused, LogDamaged, NotFound
from consent_gateway.ids import new_id
from consent_gateway.web import evidence_schemas as schemas
from consent_gateway.web.operations import Answer, Call, OfficerAuth, Public, json_answer, operation

_SEES = OfficerAuth(Doing.SEE_LOG)
_EXPORTS = OfficerAuth(Doing.EXPORT_LOG)
_HASHES = Public("it holds hashes alone, and a log that only its friends can check proves nothing")
_TILE = "application/octet-stream"
_TEXT = "text/plain"
_ZIP = "application/zip"
_FOREVER = "public, max-age=31536000, immutable"
_BLOCK = 1 << 16
_FILTERS = ("since", "until", "kind", "caller", "data_subject", "purpose", "channel", "outcome")


@operation(
    "GET",
    "/log/checkpoint",
    auth=_HASHES,
    answers=(Answer(200, "The newest signed checkpoint, as a note.", content_type=_TEXT),),
    raises=(NotFound, DatabaseUnavailable),
)
def log_checkpoint(call: Call) -> Response:
    """Read the log's newest checkpoint as C2SP tlog-tiles serves it."""
    response = Response(call.services.evidence.log.checkpoint(), content_type=f"{_TEXT}; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    return response


@operation(
    "GET",
    "/log/tile/{level}/{index}",
    auth=_HASHES,
    rule="/log/tile/<level>/<path:index>",
    answers=(Answer(200, "Up to 256 hashes of 32 bytes.", content_type=_TILE),),
    raises=(NotFound, DatabaseUnavailable, LogDamaged),
)
def log_tile(call: Call) -> Response:
    """Read a tile of hashes (C2SP tlog-tiles).

    `index` is written in groups of three digits with slashes, as `x001/x234/067`, and ends in `.p/W` for a partial
    tile of W hashes.
    """
    level = call.path["level"]
    return _tile(call.services.evidence.log.tile("" if level == "entries" else level, call.path["index"]))


@operation(
    "GET",
    "/log/tile/entries/{index}",
    auth=_SEES,
    rule="/log/tile/entries/<path:index>",
    answers=(Answer(200, "Up to 256 entries, each behind its length in two bytes.", content_type=_TILE),),
    raises=(NotFound, DatabaseUnavailable, LogDamaged, AuditUnavailable),
)
def log_entries(call: Call) -> Response:
    """Read a bundle of entries (C2SP tlog-tiles). The look is itself an entry."""
    content = call.services.evidence.log.tile("entries", call.path["index"])
    _account_for(call, "bundle", {"tile": call.path["index"]})
    return _tile(content)


@operation(
    "GET",
    "/v1/audit/entries",
    auth=_SEES,
    query=schemas.EntriesQuerySchema,
    answers=(Answer(200, "Entries, newest first.", schemas.EntriesSchema),),
    raises=(DatabaseUnavailable, AuditUnavailable),
)
def audit_entries(call: Call) -> Response:
    """List entries of the log. The look is itself an entry."""
    query = call.query
    before, limit = query.get("before"), int(query.get("limit", 100))
    _account_for(call, "entries", {name: str(query[name]) for name in _FILTERS if name in query})
    page = call.services.evidence.log.page(_filter(query), before=None if before is None else int(before), limit=limit)
    return json_answer({"entries": [_told(found) for found in page.found], "next": page.before})


@operation(
    "GET",
    "/v1/audit/checkpoint",
    auth=_HASHES,
    answers=(Answer(200, "The newest checkpoint.", schemas.CheckpointSchema),),
    raises=(NotFound, DatabaseUnavailable),
)
def audit_checkpoint(call: Call) -> Response:
    """Read the log's newest checkpoint. Keep it outside, and nobody can roll the log back unnoticed."""
    note = call.services.evidence.log.checkpoint()
    head = read_body(signatures(note)[0])
    return json_answer({"origin": head.origin, "size": head.size, "root_hash": head.root.hex(), "note": note})


@operation(
    "GET",
    "/v1/audit/proofs/inclusion",
    auth=_HASHES,
    query=schemas.InclusionQuerySchema,
    answers=(Answer(200, "The proof.", schemas.InclusionSchema),),
    raises=(NotFound, DatabaseUnavailable, LogDamaged),
)
def audit_inclusion(call: Call) -> Response:
    """Prove that an entry is in the log, as that of a call: its `decision_id` is the entry's id.

    Sealing takes a second or two. Whoever holds the entry and the log's public key can check the proof offline.
    """
    proof = call.services.evidence.log.inclusion(call.query["entry_id"])
    return json_answer(
        {
            "index": proof.index,
            "size": proof.size,
            "leaf_hash": proof.leaf_hash.hex(),
            "hashes": [one.hex() for one in proof.path],
            "checkpoint": proof.note,
            "proof": proof.text,
        }
    )


@operation(
    "GET",
    "/v1/audit/proofs/consistency",
    auth=_HASHES,
    query=schemas.ConsistencyQuerySchema,
    answers=(Answer(200, "The proof.", schemas.ConsistencySchema),),
    raises=(NotFound, DatabaseUnavailable, LogDamaged),
)
def audit_consistency(call: Call) -> Response:
    """Prove that the log still begins with what it was at an earlier size."""
    size = call.query.get("size")
    proof = call.services.evidence.log.consistency(int(call.query["old"]), None if size is None else int(size))
    return json_answer(
        {
            "old_size": proof.old_size,
            "size": proof.size,
            "old_root_hash": proof.old_root.hex(),
            "root_hash": proof.root.hex(),
            "hashes": [one.hex() for one in proof.path],
            "checkpoint": proof.note,
        }
    )


@operation(
    "POST",
    "/v1/audit/exports",
    auth=_EXPORTS,
    body=schemas.ExportSchema,
    answers=(Answer(202, "The export waits for the worker.", schemas.ExportJobSchema),),
    raises=(DatabaseUnavailable,),
    example={"since": "2026-10-01T00:00:00Z", "until": "2026-11-01T00:00:00Z"},
)
def ask_export(call: Call) -> Response:
    """Ask for an export: entries, proofs, checkpoints, a signed manifest and a verifier in one ZIP file.

    All times in it are UTC. Asking, writing and fetching are entries of the log.
    """
    which = _filter(call.body)
    if which.since is not None and which.until is not None and which.since >= which.until:
        raise InputRefused("the window ends before it begins: give `since` before `until`")
    return json_answer(call.services.evidence.exports.request(call.officer.officer_id, which).as_json(), 202)


@operation(
    "GET",
    "/v1/audit/exports/{export_id}",
    auth=_EXPORTS,
    answers=(Answer(200, "The export as it stands.", schemas.ExportJobSchema),),
    raises=(NotFound, DatabaseUnavailable),
)
def read_export(call: Call) -> Response:
    """Read how far an export is."""
    return json_answer(call.services.evidence.exports.get(call.path["export_id"]).as_json())


@operation(
    "GET",
    "/v1/audit/exports/{export_id}/package",
    auth=_EXPORTS,
    answers=(Answer(200, "The ZIP file.", content_type=_ZIP),),
    raises=(NotFound, Conflict, DatabaseUnavailable),
)
def fetch_export(call: Call) -> Response:
    """Fetch a finished export. It is kept for seven days."""
    path = call.services.evidence.exports.package(call.path["export_id"], call.officer.officer_id)
    file = path.open("rb")

    def blocks() -> Iterator[bytes]:
        with file:
            while block := file.read(_BLOCK):
                yield block

    response = Response(blocks(), content_type=_ZIP)
    response.headers["Content-Length"] = str(path.stat().st_size)
    response.headers["Content-Disposition"] = f'attachment; filename="{path.name}"'
    return response


def _tile(content: bytes) -> Response:
    response = Response(content, content_type=_TILE)
    response.headers["Cache-Control"] = _FOREVER
    return response


def _account_for(call: Call, action: str, detail: Mapping[str, str]) -> None:
    """A look at the entries is itself one, durable before the answer leaves."""
    evidence = call.services.evidence
    now = evidence.clock.now()
    by = call.officer.officer_id
    evidence.recorder.record(
        Entry(new_id("log", now), EntryKind.LOG_READ, now, caller=by, action=action, detail=detail)
    )


def _filter(given: Mapping[str, Any]) -> EntryFilter:
    return EntryFilter(**{name: given[name] for name in _FILTERS if name in given})


def _told(found: Found) -> dict[str, Any]:
    try:
        leaf = found.leaf.decode()
    except UnicodeDecodeError:
        leaf = None
    return {
        "index": found.leaf_index,
        "leaf_hash": leaf_hash(found.leaf).hex(),
        "leaf": leaf,
        "entry": readable(found.leaf) or None,
    }


OPERATIONS = (
    log_checkpoint,
    log_tile,
    log_entries,
    audit_entries,
    audit_checkpoint,
    audit_inclusion,
    audit_consistency,
    ask_export,
    read_export,
    fetch_export,
)
