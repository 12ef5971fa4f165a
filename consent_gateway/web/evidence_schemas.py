"""The form of what the audit log's calls take and give; nothing unknown passes."""

from marshmallow import fields, validate

from consent_gateway.web.fields import ID, KEY, Anything, Moment, Text
from consent_gateway.web.schemas import Strict

_WORD = r"^[a-z][a-z0-9_]*$"
_NUMBER = r"^(0|[1-9][0-9]{0,15})$"
_ENTRY_ID = r"^[A-Za-z0-9_.:-]{1,32}$"


def _number(**rest: object) -> Text:
    return Text(longest=16, pattern=_NUMBER, form="a whole number", **rest)  # type: ignore[arg-type]


class _FilterSchema(Strict):
    since = Moment(metadata={"description": "Entries from this time on."})
    until = Moment(metadata={"description": "Entries before this time."})
    kind = Text(longest=32, pattern=_WORD, form="a kind of entry, as in `decision`")
    caller = Text(longest=128, metadata={"description": "Client or officer."})
    data_subject = Text(longest=64, pattern=ID, form="an id of a person")
    purpose = Text(longest=64, pattern=_WORD, form="a purpose, as in `order_fulfilment`")
    channel = Text(longest=64, pattern=KEY, form="a channel")
    outcome = Text(longest=64, pattern=_WORD, form="an outcome, as in `open`")


class EntriesQuerySchema(_FilterSchema):
    """Which entries to list. All that is given must fit."""

    before = _number(metadata={"description": "`next` of the page before."})
    limit = Text(longest=3, pattern=r"^([1-9][0-9]?|[1-4][0-9]{2}|500)$", form="a number from 1 to 500")


class ExportSchema(_FilterSchema):
    """Which entries to export. A period alone gives an unbroken run of the log, proved to be whole."""


class InclusionQuerySchema(Strict):
    """The entry to prove: a decision's id is its entry's."""

    entry_id = Text(longest=32, pattern=_ENTRY_ID, form="an id of an entry", required=True)


class ConsistencyQuerySchema(Strict):
    """Two sizes of the log."""

    old = _number(required=True, metadata={"description": "The smaller size, of a checkpoint kept from before."})
    size = _number(metadata={"description": "The larger size; that of the newest checkpoint if left out."})


class LoggedEntrySchema(Strict):
    """One entry. `leaf` is its exact text where it is text; `entry` is null for what is none of the gateway's."""

    index = fields.Integer(required=True)
    leaf_hash = fields.String(required=True)
    leaf = fields.String(required=True, allow_none=True)
    entry = fields.Dict(keys=fields.String(), values=Anything(allow_none=True), required=True, allow_none=True)


class EntriesSchema(Strict):
    """Entries from new to old. A page may hold fewer than asked for: read on while there is a `next`."""

    entries = fields.List(fields.Nested(LoggedEntrySchema), required=True)
    next = fields.Integer(required=True, allow_none=True)


class CheckpointSchema(Strict):
    """A signed tree head: `note` is the C2SP tlog-checkpoint, with the cosignatures that it has by now."""

    origin = fields.String(required=True)
    size = fields.Integer(required=True)
    root_hash = fields.String(required=True)
    note = fields.String(required=True)


class InclusionSchema(Strict):
    """Proof that a leaf is in the log (RFC 6962, 2.1.1), hashes in hex; `proof` is the same as a C2SP tlog-proof."""

    index = fields.Integer(required=True)
    size = fields.Integer(required=True)
    leaf_hash = fields.String(required=True)
    hashes = fields.List(fields.String(), required=True)
    checkpoint = fields.String(required=True)
    proof = fields.String(required=True)


class ConsistencySchema(Strict):
    """Proof that the log of `size` begins with that of `old_size` (RFC 6962, 2.1.2), hashes in hex."""

    old_size = fields.Integer(required=True)
    size = fields.Integer(required=True)
    old_root_hash = fields.String(required=True)
    root_hash = fields.String(required=True)
    hashes = fields.List(fields.String(), required=True)
    checkpoint = fields.String(required=True)


class ExportJobSchema(Strict):
    """An export. `read` of `total` entries were looked at; `summary` tells what it holds, or why it failed."""

    export_id = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["queued", "running", "done", "failed"]))
    query = fields.Dict(keys=fields.String(), values=fields.String(allow_none=True), required=True)
    requested_by = fields.String(required=True)
    requested_at = Moment(required=True)
    read = fields.Integer(required=True)
    total = fields.Integer(required=True, allow_none=True)
    ends_at = Moment(required=True, allow_none=True)
    summary = fields.Dict(keys=fields.String(), values=Anything(), required=True, allow_none=True)
