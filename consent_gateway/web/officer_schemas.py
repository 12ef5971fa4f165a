"""The form of what officers send and get: ceremonies of WebAuthn and re-identification; nothing unknown passes.

Names inside a credential are those of WebAuthn's own JSON, as `PublicKeyCredential.toJSON()` of a browser gives it.
"""

from typing import Any

from marshmallow import fields, validate

from consent_gateway.officers.registry import Role
from consent_gateway.web.fields import Anything, Moment, Text, key, purpose_key
from consent_gateway.web.schemas import Strict

_BASE64URL = r"^[A-Za-z0-9_-]+$"
_TOKEN = 4096


def _bytes(longest: int, **rest: Any) -> Text:
    return Text(longest=longest, pattern=_BASE64URL, form="base64url without padding", required=True, **rest)


class _CredentialSchema(Strict):
    credential_id = _bytes(1400, data_key="id")
    raw_id = _bytes(1400, data_key="rawId")
    kind = fields.String(required=True, data_key="type", validate=validate.OneOf(["public-key"]))
    attachment = fields.String(data_key="authenticatorAttachment", allow_none=True, validate=validate.Length(max=32))
    extensions = fields.Dict(keys=fields.String(), values=Anything(allow_none=True), data_key="clientExtensionResults")


class AttestationSchema(Strict):
    """What an authenticator made. The optional members repeat, for convenience, what the object holds."""

    client_data = _bytes(1400, data_key="clientDataJSON")
    attestation_object = _bytes(16_384, data_key="attestationObject")
    authenticator_data = Text(longest=8192, data_key="authenticatorData")
    public_key = Text(longest=4096, data_key="publicKey")
    public_key_algorithm = fields.Integer(strict=True, data_key="publicKeyAlgorithm")
    transports = fields.List(fields.String(validate=validate.Length(max=32)), validate=validate.Length(max=10))


class NewCredentialSchema(_CredentialSchema):
    """A new passkey."""

    response = fields.Nested(AttestationSchema, required=True)


class AssertionPartsSchema(Strict):
    """What an authenticator signed."""

    client_data = _bytes(1400, data_key="clientDataJSON")
    authenticator_data = _bytes(1400, data_key="authenticatorData")
    signature = _bytes(1400)
    handle = Text(longest=128, data_key="userHandle", allow_none=True)


class CredentialSchema(_CredentialSchema):
    """An answer of a passkey."""

    response = fields.Nested(AssertionPartsSchema, required=True)


def _code() -> Text:
    return Text(longest=64, pattern=r"^gw_oc_[A-Za-z0-9_-]{32}$", form="a code of `officers add`", required=True)


class EnrolmentOptionsSchema(Strict):
    """The enrolment code an operator handed over."""

    code = _code()


class EnrolmentSchema(Strict):
    """The enrolment code, and the passkey made for it."""

    code = _code()
    credential = fields.Nested(NewCredentialSchema, required=True)


class SignedSchema(Strict):
    """An answer of a passkey to the options given."""

    credential = fields.Nested(CredentialSchema, required=True)


class AskedTokenSchema(Strict):
    """One token. A token whose text does not say its field, key or transform needs them beside it."""

    token = Text(longest=_TOKEN, required=True)
    field = Text(longest=128)
    key_id = Text(longest=32)
    transform = Text(longest=32)


class ReidentifySchema(Strict):
    """What is to be turned back, for what, and why. `text` may hold personal data: it is kept encrypted."""

    tokens = fields.List(fields.Nested(AskedTokenSchema), required=True, validate=validate.Length(min=1, max=100))
    purpose = purpose_key(required=True)
    recipient = key(load_default="company")
    reason = key(required=True, metadata={"description": "A reason of `policies/reidentification.yaml`."})
    text = Text(longest=2000, required=True)
    case_id = key(required=True, metadata={"description": "Goes into the log: an opaque id, never a personal value."})


class OptionsSchema(Strict):
    """What the browser's `navigator.credentials` is to be given; binary members are base64url."""

    public_key = fields.Dict(keys=fields.String(), values=Anything(), required=True, data_key="publicKey")


class EnrolledSchema(Strict):
    """The officer who has a passkey now."""

    officer_id = fields.String(required=True)


class SessionSchema(Strict):
    """An officer token, shown once. `expires_in` is in seconds."""

    token = fields.String(required=True)
    token_type = fields.String(required=True, validate=validate.OneOf(["Bearer"]))
    expires_in = fields.Integer(required=True)
    officer_id = fields.String(required=True)
    roles = fields.List(fields.String(validate=validate.OneOf([role.value for role in Role])), required=True)


class ReidentificationSchema(Strict):
    """A request as it stands; never what was told. `text` is null once the request is over."""

    request_id = fields.String(required=True, data_key="id")
    state = fields.String(
        required=True, validate=validate.OneOf(["open", "approved", "denied", "told", "refused", "expired"])
    )
    until = Moment(required=True)
    text = fields.String(required=True, allow_none=True)
    decided_by = fields.String(required=True, allow_none=True)
    canonical = fields.String(required=True, metadata={"description": "The exact text whose SHA-256 is signed."})
    request = fields.Dict(
        keys=fields.String(), values=Anything(), required=True, metadata={"description": "The same, parsed."}
    )


class ApprovalOptionsSchema(OptionsSchema):
    """The request to be read, and what the browser is to be given to sign it."""

    reidentification = fields.Nested(ReidentificationSchema, required=True)


class ToldSchema(Strict):
    """What one token stands for. Both are null where it stands for nothing, or nothing may be told."""

    data_subject = fields.String(required=True, allow_none=True)
    value = Anything(required=True, allow_none=True)


class RevealedSchema(Strict):
    """The one answer to a grant, in the order of the tokens asked for."""

    request_id = fields.String(required=True, data_key="id")
    results = fields.List(fields.Nested(ToldSchema), required=True)
    salt = fields.String(
        required=True, metadata={"description": "Hexadecimal; shows later what the log's digests stand for."}
    )
    entry_id = fields.String(required=True)
