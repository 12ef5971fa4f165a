"""The form of what is asked and answered about unsubscribe links."""

from marshmallow import Schema, fields

from consent_gateway.web.fields import ID, Moment, Text, purpose_key
from consent_gateway.web.schemas import Strict


class NewLinkSchema(Strict):
    """Whom an unsubscribe link is for, and from what it unsubscribes."""

    data_subject = Text(longest=64, pattern=ID, form="an id as the gateway gives it", required=True)
    purpose = purpose_key(required=True)


class LinkHeadersSchema(Schema):
    """Headers of the message, ready to send (RFC 2369, RFC 8058)."""

    list_unsubscribe = fields.String(required=True, data_key="List-Unsubscribe")
    list_unsubscribe_post = fields.String(required=True, data_key="List-Unsubscribe-Post")


class LinkSchema(Schema):
    """A fresh unsubscribe link. The URL is shown once."""

    link_id = fields.String(required=True)
    url = fields.String(required=True)
    headers = fields.Nested(LinkHeadersSchema, required=True)
    expires_at = Moment(required=True)
