"""The form of what is asked and answered about confirmations, evidence by purpose, and whom one may ask."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from consent_gateway.customers.confirmations import MOST_MAILS
from consent_gateway.customers.confirming import CONFIRMABLE
from consent_gateway.vocabulary import ChoiceStatus
from consent_gateway.web.answer_schemas import EventSchema, ShownTextSchema
from consent_gateway.web.fields import Moment, Text, key, language, purpose_key
from consent_gateway.web.schemas import LONGEST_IDENTIFIER, PersonSchema, Strict

WAYS = ("web_form", "app_form", "spoken", "paper", "api")
_TEXT: Mapping[str, Any] = {"metadata": {"description": "Of the text the person read or heard."}}


class ShownSchema(Strict):
    """The text a person was shown, and how they answered it."""

    how = fields.String(required=True, validate=validate.OneOf(WAYS))
    notice = key(required=True, **_TEXT)
    notice_version = Text(longest=64, required=True)
    language = language(required=True, metadata={"description": "The mail is written in it too.", "example": "de"})


class NewConfirmationSchema(Strict):
    """A choice that its person is to confirm from their mailbox."""

    email = Text(longest=LONGEST_IDENTIFIER, required=True, metadata={"example": "ada@example.com"})
    purpose = purpose_key(required=True)
    kind = fields.String(load_default="grant", validate=validate.OneOf([kind.value for kind in CONFIRMABLE]))
    evidence = fields.Nested(ShownSchema, required=True)


class NewParentalSchema(PersonSchema):
    """A choice of a child that a parent is to allow. The person named is the child."""

    parent_email = Text(longest=LONGEST_IDENTIFIER, required=True)
    purpose = purpose_key(required=True)
    kind = fields.String(load_default="grant", validate=validate.OneOf(["grant", "grant_explicit"]))
    evidence = fields.Nested(ShownSchema, required=True)


class LinkStateSchema(Schema):
    """A confirmation as it stands at this moment. Who answers it is never told."""

    confirmation_id = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["pending", "confirmed", "expired"]))
    expires_at = Moment(required=True)
    mails = fields.Integer(required=True, metadata={"description": f"How many were sent, {MOST_MAILS} at most."})


class PendingSchema(LinkStateSchema):
    """A fresh confirmation, and the event of the request, which grants nothing."""

    event_id = fields.String(required=True)


class OfPurposeSchema(PersonSchema):
    """A person and one purpose."""

    purpose = purpose_key(required=True)


class WitnessSchema(Schema):
    """What the evidence's `reference` says, by member."""

    agent = fields.String()
    script_version = fields.String()
    image_sha256 = fields.String()
    reference = fields.String()


class StepSchema(Schema):
    """One step of a choice. `shown` is null where no text of ours was named."""

    event = fields.Nested(EventSchema, required=True)
    suffices = fields.String(required=True)
    witness = fields.Nested(WitnessSchema, required=True)
    shown = fields.Nested(ShownTextSchema, required=True, allow_none=True)
    receipt_id = fields.String(required=True, allow_none=True)


class ProofSchema(Schema):
    """How a choice stands and came to be, in order."""

    data_subject = fields.String(required=True)
    purpose = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf([status.value for status in ChoiceStatus]))
    rests_on = fields.String(required=True, allow_none=True)
    steps = fields.List(fields.Nested(StepSchema), required=True)


class QuestionsSchema(Schema):
    """Whether the person may be asked now, by purpose."""

    may_ask = fields.Dict(keys=fields.String(), values=fields.Boolean(), required=True)
