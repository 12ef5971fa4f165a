"""The form of requests and answers about changes; nothing unknown passes."""

from typing import Any

from marshmallow import fields, validate

from consent_gateway.propagation.changes import TOLD_WITHIN
from consent_gateway.propagation.envelope import TYPE
from consent_gateway.propagation.feed import LONGEST_WAIT, MOST
from consent_gateway.vocabulary import FREQUENCIES, PERSON_WIDE, EventKind
from consent_gateway.web.fields import Moment, Names, Text, key, purpose_key
from consent_gateway.web.schemas import Strict

_CURSOR = r"^[A-Za-z0-9_-]{6,64}$"
_KINDS = sorted(kind.value for kind in (frozenset(EventKind) - PERSON_WIDE) | TOLD_WITHIN)


def _cursor(**rest: Any) -> Text:
    return Text(longest=64, pattern=_CURSOR, form="a cursor of this feed, or `latest`", **rest)


class StreamSchema(Strict):
    """What to listen to, and from where on."""

    after = _cursor(metadata={"description": "A cursor, or `latest`; left out: from the first change on."})
    purposes = Names(metadata={"description": "Purposes separated by commas; left out: all of the registration."})
    recipient = key(metadata={"description": "As whom to listen; left out: as the company."})


class FeedSchema(StreamSchema):
    """What to read, from where on, and how much."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, MOST))
    wait = fields.Integer(load_default=0, validate=validate.Range(0, LONGEST_WAIT))


class ChoiceDataSchema(Strict):
    """The choice itself. `channel` and `position` are told to the company's own channels only."""

    person = fields.String(required=True)
    recipient = fields.String(required=True)
    purpose = fields.String(required=True, allow_none=True)
    kind = fields.String(required=True, validate=validate.OneOf(_KINDS))
    opens = fields.Boolean(required=True)
    occurred_at = Moment(required=True)
    valid_until = Moment(required=True, allow_none=True)
    frequency = fields.String(required=True, allow_none=True, validate=validate.OneOf(FREQUENCIES))
    channel = fields.String()
    position = fields.Integer()


class ChangeEventSchema(Strict):
    """One change as a CloudEvents 1.0 document; see docs/formats/change-event.md."""

    specversion = fields.String(required=True, validate=validate.OneOf(["1.0"]))
    event_id = fields.String(required=True, data_key="id")
    source = fields.String(required=True)
    event_type = fields.String(required=True, data_key="type", validate=validate.Regexp("^" + TYPE.replace(".", r"\.")))
    about = fields.String(required=True, data_key="subject")
    time = Moment(required=True)
    datacontenttype = fields.String(required=True)
    partitionkey = fields.String(required=True)
    choice = fields.Nested(ChoiceDataSchema, required=True, data_key="data")


class FeedAnswerSchema(Strict):
    """A page of the feed. Where `more` is true, ask again at once."""

    changes = fields.List(fields.Nested(ChangeEventSchema), required=True)
    cursor = fields.String(required=True)
    more = fields.Boolean(required=True)


class NewWebhookSchema(Strict):
    """A webhook on its way in."""

    url = Text(longest=500, required=True, metadata={"example": "https://hooks.example.com/consent"})
    purposes = fields.List(
        purpose_key(),
        validate=validate.Length(1, 100),
        metadata={"description": "Left out: all of the client's registration. An outside recipient names one."},
    )
    recipient = key(metadata={"description": "As whom to listen; left out: as the company."})


class ReplaySchema(Strict):
    """From where on to deliver again."""

    after = Text(longest=64, pattern=_CURSOR, form="a cursor of `/v1/changes`", required=True)


class WebhookSchema(Strict):
    """A webhook. `untold` changes are still to come, `waiting` are tried again beside them, `dead` were given up."""

    webhook_id = fields.String(required=True)
    url = fields.String(required=True)
    purposes = fields.List(fields.String(), required=True)
    recipient = fields.String(required=True)
    created_at = Moment(required=True)
    delivered_at = Moment(required=True, allow_none=True)
    failures = fields.Integer(required=True)
    untold = fields.Integer(required=True)
    untold_since = Moment(required=True, allow_none=True)
    waiting = fields.Integer(required=True)
    dead = fields.Integer(required=True)


class WebhooksSchema(Strict):
    """A client's webhooks, oldest first."""

    webhooks = fields.List(fields.Nested(WebhookSchema), required=True)


class NewWebhookAnswerSchema(Strict):
    """A webhook with what its messages are verified by."""

    webhook = fields.Nested(WebhookSchema, required=True)
    secret = fields.String(required=True)
    public_key = fields.String(required=True)
