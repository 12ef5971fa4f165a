"""The form of what the reports' calls take and give; nothing unknown passes."""

from marshmallow import fields, validate

from consent_gateway.reports.book import MOST_SAMPLED, REPORTS
from consent_gateway.web.fields import ID, KEY, Anything, Moment, Text
from consent_gateway.web.schemas import Strict

_WORD = r"^[a-z][a-z0-9_]*$"


class AskedSchema(Strict):
    """What to report on. A report refuses what does not count for it: `GET /v1/reports` says what does."""

    since = Moment(metadata={"description": "From this time on."})
    until = Moment(metadata={"description": "Before this time."})
    data_subject = Text(longest=64, pattern=ID, form="an id of a person")
    sample = fields.Integer(strict=True, validate=validate.Range(1, MOST_SAMPLED))
    seed = Text(longest=128, metadata={"description": "What a sample is drawn by; the checkpoint's root hash if none."})
    caller = Text(longest=128, pattern=KEY, form="a client or officer")
    key_class = Text(longest=32, pattern=_WORD, form="a class of keys")
    regime = Text(longest=32, pattern=r"^[A-Z][A-Z0-9_]*$", form="a law, as in `US_CA_CCPA`")
    aware_at = Moment(metadata={"description": "When a breach became known."})


class KindSchema(Strict):
    """One report there is; `takes` names the members that count for it."""

    name = fields.String(required=True, validate=validate.OneOf(list(REPORTS)))
    title = fields.String(required=True)
    takes = fields.List(fields.String(), required=True)


class KindsSchema(Strict):
    """The reports there are."""

    reports = fields.List(fields.Nested(KindSchema), required=True)


class RestsOnSchema(Strict):
    """The signed checkpoint a report rests on: nothing after it was counted from the log."""

    origin = fields.String(required=True)
    size = fields.Integer(required=True)
    root_hash = fields.String(required=True)
    checkpoint = fields.String(required=True)


class ReportTableSchema(Strict):
    """One table; each row is an object by column. A column that ends in `_utc` holds times in UTC."""

    title = fields.String(required=True)
    note = fields.String(required=True)
    columns = fields.List(fields.String(), required=True)
    count = fields.Integer(required=True)
    rows = fields.List(fields.Dict(keys=fields.String(), values=Anything(allow_none=True)), required=True)


class ReportSchema(Strict):
    """A report. People stand under their ids."""

    report = fields.String(required=True)
    title = fields.String(required=True)
    made_at = Moment(required=True)
    time_zone = fields.String(required=True, validate=validate.OneOf(["UTC"]))
    policy_revision = fields.String(required=True)
    asked = fields.Dict(keys=fields.String(), values=Anything(), required=True)
    rests_on = fields.Nested(RestsOnSchema, required=True)
    figures = fields.Dict(keys=fields.String(), values=Anything(allow_none=True), required=True)
    tables = fields.Dict(keys=fields.String(), values=fields.Nested(ReportTableSchema), required=True)
    notes = fields.List(fields.String(), required=True)
