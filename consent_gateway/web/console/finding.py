"""Decisions and entries of the log: filter, page by cursor, why, proof; each look at entries is itself an entry.

What a filter may name are ids and words of closed lists, so an address of these pages holds nothing of anyone.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Request, Response

from consent_gateway.audit.checkpoint import read_body, signatures
from consent_gateway.audit.csv_view import csv_head, csv_row
from consent_gateway.audit.entry import EntryKind
from consent_gateway.audit.log import EntryFilter, Found, FoundPage, readable
from consent_gateway.audit.merkle import inclusion_holds, leaf_hash
from consent_gateway.callers.transactions import reading
from consent_gateway.console.overview import log_state
from consent_gateway.console.permissions import Doing
from consent_gateway.errors import FieldFault, InputRefused, LogDamaged, NotFound
from consent_gateway.explain import AUDIT_SCOPE
from consent_gateway.vocabulary import Caller
from consent_gateway.web.console.routes import PageCall, page
from consent_gateway.web.console.showing import HOME, see_other

DECISIONS, LOG = f"{HOME}/decisions", f"{HOME}/log"
ON_A_PAGE = 50
_DECISION_KINDS = (EntryKind.DECISION.value, EntryKind.WRITE_INTENT.value)
_LOG_KINDS = tuple(kind.value for kind in EntryKind)
_WORDS = ("caller", "channel", "purpose", "outcome", "data_subject")
_NAMES = ("since", "until", "kind", *_WORDS)


@page("GET", DECISIONS, Doing.SEE_DECISIONS)
def decisions(call: PageCall) -> Response:
    """List decisions, newest first, as a page, CSV or JSON of the same rows."""
    return _listed(call, DECISIONS, _DECISION_KINDS)


@page("GET", f"{DECISIONS}/{{item}}", Doing.SEE_DECISIONS)
def why(call: PageCall) -> Response:
    """Why a decision fell as it did: rule, source, consent event, policy revision, and whether it replays alike."""
    officer = Caller(
        call.officer.officer_id,
        call.services.rights.channel,
        purposes=frozenset(),
        recipients=frozenset(),
        scopes=frozenset({AUDIT_SCOPE}),
    )
    return call.show("why", told=call.services.explain.decision(officer, call.item))


@page("GET", LOG, Doing.SEE_LOG)
def log(call: PageCall) -> Response:
    """List entries of every kind, newest first, and say how the log stands."""
    return _listed(call, LOG, _LOG_KINDS)


@page("GET", f"{LOG}/{{item}}", Doing.SEE_LOG)
def entry(call: PageCall) -> Response:
    """One entry, its proof, and what checking both at this moment gives."""
    found = call.services.evidence.log.find(call.item)
    if found is None:
        raise NotFound("the log holds no entry of this id")
    call.console.looks.looked(call.officer.officer_id, "entry", {}, call.item)
    told = dict(readable(found.leaf))
    shown = orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
    return call.show("entry", item=call.item, found=found, told=told, text=shown, proof=proof_of(call, found))


@page("GET", f"{LOG}/{{item}}/proof", Doing.SEE_LOG)
def proof(call: PageCall) -> Response:
    """The entry's inclusion proof as a C2SP tlog-proof, to check offline."""
    text = call.services.evidence.log.inclusion(call.item).text
    return _file(text.encode(), "text/plain; charset=utf-8", f"{call.item}.tlog-proof")


@page("POST", f"{LOG}/{{item}}/verify", Doing.SEE_LOG)
def verify(call: PageCall) -> Response:
    """Check the entry anew: the page it leads to always does."""
    return see_other(f"{LOG}/{call.item}", {"verified": "now"})


def proof_of(call: PageCall, found: Found) -> dict[str, Any]:
    """What the entry's proof says now: `state` is `waiting`, `holds` or `fails`, with the numbers behind it."""
    if found.leaf_index is None:
        return {"state": "waiting"}
    try:
        proved = call.services.evidence.log.inclusion(call.item)
    except LogDamaged as error:
        return {"state": "fails", "because": error.message, "leaf_hash": leaf_hash(found.leaf).hex()}
    head = read_body(signatures(proved.note)[0])
    hashed = leaf_hash(found.leaf)
    holds = inclusion_holds(proved.index, proved.size, hashed, proved.path, head.root)
    return {
        "state": "holds" if holds else "fails",
        "because": "" if holds else "the entry's own hash does not lead to the root that the checkpoint signs",
        "index": proved.index,
        "size": proved.size,
        "leaf_hash": hashed.hex(),
        "path": [one.hex() for one in proved.path],
        "root": head.root.hex(),
        "note": proved.note,
    }


def _listed(call: PageCall, path: str, kinds: tuple[str, ...]) -> Response:
    given = {name: call.request.args.get(name, "").strip() for name in _NAMES}
    which, before = filter_of(given, kinds), _cursor(call.request)
    action = "decisions" if path == DECISIONS else "entries"
    kept = {name: value for name, value in given.items() if value}
    call.console.looks.looked(call.officer.officer_id, action, kept)
    found = call.services.evidence.log.page(which, before=before, limit=ON_A_PAGE)
    wanted = call.request.args.get("format", "")
    if wanted in ("csv", "json"):
        return _table(found, wanted)
    with reading(call.console.engine) as connection:
        state = log_state(connection, call.services.clock.now())
    rows = [(one, readable(one.leaf)) for one in found.found]
    more = None if found.before is None else f"{path}?{urlencode({**kept, 'before': found.before})}"
    here = {**kept, **({} if before is None else {"before": str(before)})}
    files = [(word, f"{path}?{urlencode({**here, 'format': word})}") for word in ("csv", "json")]
    template = "decisions" if path == DECISIONS else "log"
    return call.show(template, given=given, kinds=kinds, rows=rows, more=more, files=files, state=state, path=path)


def filter_of(given: Mapping[str, str], kinds: tuple[str, ...]) -> EntryFilter:
    """The filter that a page's address asks for. Raises `InputRefused` naming the field."""
    kind = given.get("kind") or (kinds[0] if len(kinds) == len(_DECISION_KINDS) else None)
    if kind is not None and kind not in kinds:
        raise _faulty("kind")
    words = {name: given.get(name) or None for name in _WORDS}
    for name, value in words.items():
        if value is not None and (len(value) > 128 or not value.isascii() or not value.isprintable() or "@" in value):
            raise _faulty(name)
    since, until = _day(given, "since"), _day(given, "until")
    if until is not None:
        until += timedelta(days=1)  # the day that is named is part of the period
    return EntryFilter(since=since, until=until, kind=kind, **words)


def _day(given: Mapping[str, str], name: str) -> datetime | None:
    text = given.get(name)
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError as error:
        raise _faulty(name) from error


def _cursor(request: Request) -> int | None:
    text = request.args.get("before", "")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise _faulty("before")
    return int(text)


def _faulty(name: str) -> InputRefused:
    return InputRefused(f"`{name}` of the filter does not fit: mend it and search again", (FieldFault(f"/{name}", ""),))


def _table(found: FoundPage, wanted: str) -> Response:
    entries = [(-1 if one.leaf_index is None else one.leaf_index, readable(one.leaf)) for one in found.found]
    if wanted == "csv":
        rows = "".join(csv_row(index, one) for index, one in entries)
        return _file(csv_head() + rows.encode(), "text/csv; charset=utf-8", "entries.csv")
    told = {"entries": [{"index": index, **one} for index, one in entries], "next": found.before}
    return _file(orjson.dumps(told), "application/json", "entries.json")


def _file(content: bytes, content_type: str, name: str) -> Response:
    response = Response(content, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


PAGES = (decisions, why, log, entry, proof, verify)
