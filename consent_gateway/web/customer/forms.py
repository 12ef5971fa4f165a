"""The forms of customers' pages, for checking and for the OpenAPI document."""

from marshmallow import fields

from consent_gateway.web.fields import Text
from consent_gateway.web.schemas import LONGEST_IDENTIFIER, Strict

_TOKEN = r"^[A-Za-z0-9_-]{43}$"  # noqa: S105 - the form of one


class PlainFormSchema(Strict):
    """A form that holds its token alone."""


class MailFormSchema(Strict):
    """The address a sign-in link is asked for."""

    email = Text(longest=LONGEST_IDENTIFIER, required=True)


class LinkFormSchema(Strict):
    """The link that is to be used."""

    t = Text(longest=43, pattern=_TOKEN, required=True)


class AnswerFormSchema(LinkFormSchema):
    """The link that is to be used, and the SHA-256 of the text that stood on its page."""

    shown = Text(longest=64, pattern=r"^[0-9a-f]{64}$", required=True)


class OneClickSchema(Strict):
    """What RFC 8058 has a mail program send; the link's token stands in the address."""

    list_unsubscribe = fields.String(data_key="List-Unsubscribe", required=True)
