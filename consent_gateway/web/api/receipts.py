"""Receipts of choices, the key that verifies them, and the evidence of one choice for an officer; records no choice."""

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.consent.evidence import SUFFICES
from consent_gateway.errors import AuditUnavailable, NotFound
from consent_gateway.web import answer_schemas
from consent_gateway.web.api.consents import event_document
from consent_gateway.web.api.evidence import shown_document
from consent_gateway.web.operations import JSON, Answer, Call, Public, json_answer, operation


@operation(
    "GET",
    "/v1/receipts/{event_id}",
    auth=Scope.CONSENTS_READ,
    answers=(Answer(200, "The signed receipt.", answer_schemas.ReceiptSchema),),
    raises=(NotFound, AuditUnavailable),
)
def read_receipt(call: Call) -> Response:
    """Read the signed receipt of one choice, after ISO/IEC TS 27560.

    Keep the body as it came: `consent-gateway consent verify-receipt` checks it byte for byte, without the gateway.
    """
    receipts, event_id = call.services.receipts, call.path["event_id"]
    file = receipts.file(event_id)
    committed, _ = receipts.evidence(event_id)
    call.services.choices.account_for(call.caller, "read_receipt", committed.event.data_subject)
    return Response(file, content_type=JSON)


@operation(
    "GET",
    "/.well-known/jwks.json",
    auth=Public("whoever holds a receipt verifies it with this key, without an account"),
    answers=(Answer(200, "The key set.", answer_schemas.KeySetSchema),),
)
def read_receipt_keys(call: Call) -> Response:
    """Read the public key that verifies receipts."""
    return json_answer(call.services.receipts.key_set)


@operation(
    "GET",
    "/v1/consents/{event_id}/evidence",
    auth=Scope.AUDIT_READ,
    answers=(Answer(200, "The evidence.", answer_schemas.EventEvidenceSchema),),
    raises=(NotFound, AuditUnavailable),
)
def read_evidence(call: Call) -> Response:
    """Read what shows that a choice was made: who, how, when, and the text then shown (GDPR Art. 7(1)).

    `suffices` says what evidence this way of choosing needs; an opening choice without it was never recorded.
    """
    committed, shown = call.services.receipts.evidence(call.path["event_id"])
    event = committed.event
    call.services.choices.account_for(call.caller, "read_evidence", event.data_subject)
    text = None if shown is None else shown_document(shown)
    suffices = {str(how): told for how, told in SUFFICES.items()}[event.evidence.how]
    document = {"data_subject": event.data_subject, "event": event_document(committed), "suffices": suffices}
    return json_answer({**document, "shown": text})


OPERATIONS = (read_receipt, read_receipt_keys, read_evidence)
