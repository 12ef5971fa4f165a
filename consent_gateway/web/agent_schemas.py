"""The form of the Data Rights Protocol on the wire, as far as it is answered; what agents send is signed text."""

from marshmallow import fields, validate

from consent_gateway.drp.statuses import REASONS, STATUSES, VERIFY
from consent_gateway.web.schemas import Strict


class AgentTokenSchema(Strict):
    """The token of an agent. It is good until the agent sets up another."""

    agent_id = fields.String(required=True, data_key="agent-id")
    token = fields.String(required=True)


class AgentKnownSchema(Strict):
    """The token is good; there is nothing more to say."""


class ExerciseStatusSchema(Strict):
    """How a request stands, in the words of the Data Rights Protocol (3.03)."""

    request_id = fields.String(required=True)
    received_at = fields.String(required=True)
    expected_by = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The day by which the law wants the answer. It moves only with `processing_details`."},
    )
    status = fields.String(
        required=True, validate=validate.OneOf(sorted({status for status, _reason in STATUSES.values()}))
    )
    reason = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([VERIFY, *sorted({reason for reason, _words in REASONS.values()})]),
    )
    processing_details = fields.String(required=True, allow_none=True)
    agent_request_id = fields.String(metadata={"description": "As the agent sent it in `agent-request-id`."})
    user_verification_url = fields.String(metadata={"description": "Where the consumer signs in and proves it."})
    expires_at = fields.String(metadata={"description": "Until when they can."})
    results_url = fields.String(metadata={"description": "Where the consumer signs in and fetches their data."})


class AgentErrorSchema(Strict):
    """An error, in the form of the Data Rights Protocol (3.06)."""

    code = fields.String(required=True, metadata={"description": "The status of the answer."})
    message = fields.String(required=True)
    fatal = fields.Boolean(metadata={"description": "No second sending of the same message will be taken."})
