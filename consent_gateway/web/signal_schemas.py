"""The form of every answer about signals, for the OpenAPI document and the tests; checks no request."""

from marshmallow import fields

from consent_gateway.web.fields import Moment
from consent_gateway.web.schemas import Strict


class UsSectionSchema(Strict):
    """What one section of US law in a GPP string says; `gpc` is null where it has no such sub-section."""

    section = fields.String(required=True)
    opted_out = fields.List(fields.String(), required=True)
    sensitive_refused = fields.Boolean(required=True)
    gpc = fields.Boolean(required=True, allow_none=True)


class TcfSchema(Strict):
    """What a TC string says, in the framework's numbers; `disclosed` is null where it does not say."""

    created = Moment(required=True)
    purposes = fields.List(fields.Integer(), required=True)
    legitimate_interests = fields.List(fields.Integer(), required=True)
    vendors = fields.List(fields.Integer(), required=True)
    disclosed = fields.List(fields.Integer(), required=True, allow_none=True)


class ReadSignalSchema(Strict):
    """What was understood of a signal."""

    gpc = fields.Boolean(required=True)
    us = fields.List(fields.Nested(UsSectionSchema), required=True)
    usp_opted_out = fields.Boolean(required=True, allow_none=True)
    tcf = fields.Nested(TcfSchema, required=True, allow_none=True)


class HeardSchema(Strict):
    """The new events a signal made, none where all of it was on file, and what was understood."""

    event_ids = fields.List(fields.String(), required=True)
    read = fields.Nested(ReadSignalSchema, required=True)


class DutySchema(Strict):
    """Whether, and since when, the law of a residence demands that the signal be honoured."""

    required = fields.Boolean(required=True)
    since = fields.Date(required=True, allow_none=True)
    source = fields.String(required=True)


class ContradictionSchema(Strict):
    """An earlier choice that a signal went against, by their events."""

    purpose = fields.String(required=True)
    choice = fields.String(required=True)
    signal = fields.String(required=True)
    since = Moment(required=True)


class ProgrammeSchema(Strict):
    """Where the loyalty programme and the signal meet. `ask`: tell the member, and ask whether they want to leave."""

    member = fields.Boolean(required=True)
    ask = fields.Boolean(required=True)


class SignalStatusSchema(Strict):
    """What the signal does for a person, to be shown to them."""

    data_subject = fields.String(required=True, allow_none=True)
    gpc = fields.Boolean(required=True)
    honoured = fields.Boolean(required=True)
    since = Moment(required=True, allow_none=True)
    event_id = fields.String(required=True, allow_none=True)
    turned_off = fields.List(fields.String(), required=True)
    duty = fields.Nested(DutySchema, required=True, allow_none=True)
    contradicts = fields.List(fields.Nested(ContradictionSchema), required=True)
    programme = fields.Nested(ProgrammeSchema, required=True)


class GpcSupportSchema(Strict):
    """That the signal is honoured (Global Privacy Control, `gpc.json`)."""

    gpc = fields.Boolean(required=True)
    last_update = fields.String(required=True, data_key="lastUpdate")
