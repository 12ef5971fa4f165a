"""The form of what is asked and answered about unsubscribe links and consent forms."""

from marshmallow import Schema, fields

from consent_gateway.web.fields import ID, Moment, Text, language, purpose_key
from consent_gateway.web.schemas import PersonSchema, Strict


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


class NewFormSchema(PersonSchema):
    """Whom a consent form asks about what, in which language, and the origin of the page that shows it in a frame."""

    purpose = purpose_key(required=True)
    language = language(metadata={"example": "en"})
    origin = Text(longest=300, metadata={"example": "https://shop.example.com"})


class FormSchema(Schema):
    """A fresh consent form: its address, and the text it shows."""

    form_id = fields.String(required=True)
    url = fields.String(required=True)
    expires_at = Moment(required=True)
    notice = fields.String(required=True)
    notice_version = fields.String(required=True)
    notice_sha256 = fields.String(required=True)
    language = fields.String(required=True)
