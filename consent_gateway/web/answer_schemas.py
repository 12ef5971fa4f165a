"""The form of every answer, for the OpenAPI document and the tests that hold answers to it; checks no request."""

from marshmallow import INCLUDE, Schema, fields, validate

from consent_gateway.callers.registry import Scope
from consent_gateway.vocabulary import FREQUENCIES, ChoiceStatus, Effect, EventKind, Reason
from consent_gateway.web.fields import Anything, Moment
from consent_gateway.web.schemas import Strict


class VerdictSchema(Strict):
    """What was decided for one field."""

    effect = fields.String(required=True, validate=validate.OneOf([effect.word for effect in Effect]))
    reason = fields.String(required=True, validate=validate.OneOf([reason.value for reason in Reason]))
    rule = fields.String(required=True)
    obligations = fields.List(fields.String(), required=True)


def _verdicts() -> fields.Dict:
    return fields.Dict(keys=fields.String(), values=fields.Nested(VerdictSchema), required=True, data_key="fields")


class RecordAnswerSchema(Strict):
    """What may go out of one record. `data_subject` is null where nothing may be told of the person."""

    data_subject = fields.String(required=True, allow_none=True)
    record = fields.Dict(keys=fields.String(), values=Anything(allow_none=True), required=True)
    more = fields.List(fields.String(), required=True)
    verdicts = _verdicts()
    decision_id = fields.String(required=True)
    policy_revision = fields.String(required=True)
    version = fields.String(required=True, allow_none=True)


class SearchAnswerSchema(Strict):
    """Everybody who was found and of whom something may be told, in no order that means anything."""

    candidates = fields.List(fields.Nested(RecordAnswerSchema), required=True)
    more = fields.Boolean(
        required=True, metadata={"description": "20 are told and there are others: search more narrowly."}
    )
    policy_revision = fields.String(required=True)


class WriteAnswerSchema(Strict):
    """What was written."""

    data_subject = fields.String(required=True)
    version = fields.String(required=True, allow_none=True)
    written = fields.List(fields.String(), required=True)
    decision_id = fields.String(required=True)
    policy_revision = fields.String(required=True)


class DecisionAnswerSchema(Strict):
    """The verdicts for one person."""

    data_subject = fields.String(required=True, allow_none=True)
    verdicts = _verdicts()
    decision_id = fields.String(required=True)
    policy_revision = fields.String(required=True)


class BatchResultSchema(Strict):
    """The answer for the person at `index` of the request; `allowed` if every field asked for is open."""

    index = fields.Integer(required=True)
    allowed = fields.Boolean(required=True)
    data_subject = fields.String(required=True, allow_none=True)
    verdicts = _verdicts()
    decision_id = fields.String(required=True)


class BatchAnswerSchema(Strict):
    """One result per person, in the order asked."""

    results = fields.List(fields.Nested(BatchResultSchema), required=True)
    policy_revision = fields.String(required=True)


class ChoiceSchema(Strict):
    """Where a person stands on one purpose."""

    status = fields.String(required=True, validate=validate.OneOf([status.value for status in ChoiceStatus]))
    given_at = Moment(required=True, allow_none=True)
    valid_until = Moment(required=True, allow_none=True)
    notice_version = fields.String(required=True, allow_none=True)
    objected = fields.Boolean(required=True)
    opted_out = fields.Boolean(required=True)
    opted_in_again = fields.Boolean(required=True)
    unsubscribed = fields.Boolean(required=True)
    paused_until = Moment(required=True, allow_none=True)
    frequency = fields.String(required=True, allow_none=True, validate=validate.OneOf(FREQUENCIES))
    event_id = fields.String(required=True, allow_none=True)


class StateSchema(Strict):
    """Where a person stands. `shared` is true of an identifier that several people use."""

    data_subject = fields.String(required=True, allow_none=True)
    shared = fields.Boolean(required=True)
    purposes = fields.Dict(keys=fields.String(), values=fields.Nested(ChoiceSchema), required=True)
    restricted = fields.Boolean(required=True)
    limited = fields.Boolean(required=True)
    gpc = fields.Boolean(required=True)
    member = fields.Boolean(required=True)
    parental_authorisation = fields.Boolean(required=True)
    erasure_pending = fields.Boolean(required=True)
    erased = fields.Boolean(required=True)
    legal_hold = fields.Boolean(required=True)


class RecordedSchema(Strict):
    """What was recorded: an event for each purpose and person the choice concerns, and the state after it."""

    event_ids = fields.List(fields.String(), required=True)
    entry_id = fields.String(required=True)
    state = fields.Nested(StateSchema)


class GivenEvidenceSchema(Strict):
    """The evidence kept with an event."""

    channel = fields.String(required=True)
    how = fields.String(required=True)
    recorded_by = fields.String(required=True)
    notice = fields.String(required=True, allow_none=True)
    notice_version = fields.String(required=True, allow_none=True)
    notice_sha256 = fields.String(required=True, allow_none=True)
    language = fields.String(required=True, allow_none=True)
    reference = fields.String(required=True, allow_none=True)
    conditions = fields.List(fields.String(), required=True)


class ReceiptSchema(Strict):
    """A receipt, signed: keep the file as it came, byte for byte."""

    jws = fields.String(required=True, metadata={"description": "The signed receipt (RFC 7515, EdDSA)."})
    receipt = fields.Dict(required=True, metadata={"description": "The same in the clear, as JSON-LD."})


class KeySetSchema(Strict):
    """Public keys as a JWK set (RFC 7517)."""

    keys = fields.List(fields.Dict(), required=True)


class EventSchema(Strict):
    """One event of the history. `purpose` is null where it concerns the whole person."""

    event_id = fields.String(required=True)
    position = fields.Integer(required=True)
    recorded_at = Moment(required=True)
    occurred_at = Moment(required=True)
    valid_until = Moment(required=True, allow_none=True)
    frequency = fields.String(required=True, allow_none=True)
    purpose = fields.String(required=True, allow_none=True)
    kind = fields.String(required=True, validate=validate.OneOf([kind.value for kind in EventKind]))
    evidence = fields.Nested(GivenEvidenceSchema, required=True)


class ShownTextSchema(Strict):
    """A notice as it was shown, word for word."""

    notice = fields.String(required=True)
    version = fields.String(required=True)
    language = fields.String(required=True)
    sha256 = fields.String(required=True)
    title = fields.String(required=True)
    text = fields.String(required=True)


class EventEvidenceSchema(Strict):
    """What shows that the choice was made. `shown` is null where no text of ours was named."""

    data_subject = fields.String(required=True)
    event = fields.Nested(EventSchema, required=True)
    suffices = fields.String(required=True)
    shown = fields.Nested(ShownTextSchema, required=True, allow_none=True)


class HistorySchema(Strict):
    """Everything a person ever chose."""

    data_subject = fields.String(required=True)
    events = fields.List(fields.Nested(EventSchema), required=True)


class ExplainedFieldSchema(Strict):
    """Why one field's verdict fell as it did; pack, source and text are there while the policy archive has the rule."""

    effect = fields.String(required=True, validate=validate.OneOf([effect.word for effect in Effect]))
    reason = fields.String(required=True, validate=validate.OneOf([reason.value for reason in Reason]))
    rule = fields.String(required=True)
    pack = fields.String()
    source = fields.String(metadata={"description": "The article or section the rule comes from."})
    text = fields.String()


class LogPlaceSchema(Strict):
    """Where the decision stands in the audit log; `index` is null until the log is sealed past it."""

    sealed = fields.Boolean(required=True)
    index = fields.Integer(required=True, allow_none=True)


class ExplainAnswerSchema(Schema):
    """Why a decision fell as it did, from the audit log, the archived policy and the ledger."""

    decision_id = fields.String(required=True)
    decided_at = fields.String(required=True)
    kind = fields.String(required=True)
    outcome = fields.String(required=True, allow_none=True)
    caller = fields.String(required=True, allow_none=True)
    channel = fields.String(required=True, allow_none=True)
    purpose = fields.String(required=True, allow_none=True)
    recipient = fields.String(required=True, allow_none=True)
    data_subject = fields.String(required=True, allow_none=True)
    jurisdiction = fields.String(required=True, allow_none=True)
    pack = fields.String(required=True, allow_none=True)
    policy_revision = fields.String(required=True, allow_none=True)
    facts = fields.List(fields.String(), required=True)
    explained = fields.Dict(
        keys=fields.String(), values=fields.Nested(ExplainedFieldSchema), required=True, data_key="fields"
    )
    consent_event = fields.Dict(keys=fields.String(), values=Anything(allow_none=True), required=True, allow_none=True)
    replayed_alike = fields.Boolean(required=True, allow_none=True)
    log = fields.Nested(LogPlaceSchema, required=True)

    class Meta:
        """Marshmallow's options."""

        unknown = INCLUDE


class HealthSchema(Schema):
    """The state of the process or of its parts."""

    class Meta:
        """Marshmallow's options."""

        unknown = INCLUDE


class OpenApiSchema(Schema):
    """An OpenAPI document."""

    openapi = fields.String(required=True)

    class Meta:
        """Marshmallow's options."""

        unknown = INCLUDE


class TokenAnswerSchema(Strict):
    """An access token; it is opaque and shown once."""

    access_token = fields.String(required=True)
    token_type = fields.String(required=True, validate=validate.OneOf(["Bearer", "DPoP"]))
    expires_in = fields.Integer(required=True)
    scope = fields.String(required=True)


class NothingSchema(Strict):
    """An empty object."""


class ConfirmationSchema(Strict):
    """What a token is bound to (RFC 7800): thumbprints of a key, of a certificate, or of both."""

    jkt = fields.String()
    x5t = fields.String(data_key="x5t#S256")


class IntrospectionSchema(Strict):
    """What a token is good for (RFC 7662); `active` alone where it is good for nothing."""

    active = fields.Boolean(required=True)
    iss = fields.String()
    client_id = fields.String()
    sub = fields.String()
    scope = fields.String()
    token_type = fields.String(validate=validate.OneOf(["Bearer", "DPoP"]))
    iat = fields.Integer()
    exp = fields.Integer()
    cnf = fields.Nested(ConfirmationSchema)


class OAuthErrorSchema(Strict):
    """An error of the token endpoint (RFC 6749, 5.2)."""

    error = fields.String(required=True)
    error_description = fields.String()


class MetadataSchema(Strict):
    """Authorization server metadata (RFC 8414)."""

    issuer = fields.String(required=True)
    token_endpoint = fields.String(required=True)
    revocation_endpoint = fields.String(required=True)
    introspection_endpoint = fields.String(required=True)
    grant_types_supported = fields.List(fields.String(), required=True)
    response_types_supported = fields.List(fields.String(), required=True)
    scopes_supported = fields.List(fields.String(validate=validate.OneOf(list(Scope))), required=True)
    token_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    token_endpoint_auth_signing_alg_values_supported = fields.List(fields.String(), required=True)
    revocation_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    revocation_endpoint_auth_signing_alg_values_supported = fields.List(fields.String(), required=True)
    introspection_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    introspection_endpoint_auth_signing_alg_values_supported = fields.List(fields.String(), required=True)
    dpop_signing_alg_values_supported = fields.List(fields.String(), required=True)
    tls_client_certificate_bound_access_tokens = fields.Boolean(required=True)
    service_documentation = fields.String(required=True)


class FaultSchema(Strict):
    """One fault of the request."""

    pointer = fields.String(required=True, metadata={"description": "JSON pointer into the body, or parameter."})
    message = fields.String(required=True)


class ProblemSchema(Strict):
    """An error (RFC 9457). `code` is stable; `errors` and `refused` name parts of the request."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True)
    request_id = fields.String(required=True, allow_none=True)
    errors = fields.List(fields.Nested(FaultSchema))
    refused = fields.Dict(keys=fields.String(), values=fields.String())
