"""How a choice came to be, for an officer, and whom one may ask, for a channel; records no choice."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.consent.notices import ShownNotice
from consent_gateway.consent.proof import Step
from consent_gateway.errors import (
    AuditUnavailable,
    Conflict,
    FieldFault,
    IdentifierRefused,
    NotFound,
    TooManyRequests,
    UnknownPurpose,
)
from consent_gateway.people.directory import PersonRef
from consent_gateway.web import confirmation_schemas, schemas
from consent_gateway.web.api.consents import event_document
from consent_gateway.web.operations import Answer, Call, json_answer, operation
from consent_gateway.web.persons import person_of

Answered = TypeVar("Answered")
_RAISES = (IdentifierRefused, NotFound, Conflict, TooManyRequests, AuditUnavailable)


@operation(
    "POST",
    "/v1/consents/evidence",
    auth=Scope.AUDIT_READ,
    body=confirmation_schemas.OfPurposeSchema,
    answers=(Answer(200, "The evidence, step by step.", confirmation_schemas.ProofSchema),),
    raises=(UnknownPurpose, *_RAISES),
    example={"data_subject": "ds_01jd80000000000000000000ad", "purpose": "email_marketing"},
)
def read_proof(call: Call) -> Response:
    """Read what shows a person's choice on one purpose: who, when, how, in which channel, by which text.

    Every step is there: the request and what confirmed it, a parent's authorisation, a withdrawal. Each has the text
    then shown word for word with its hash, what its way of choosing needs as evidence, and the id of its receipt.
    """
    purpose = call.body["purpose"]
    if purpose not in call.services.choices.purposes:
        raise UnknownPurpose("the purpose is not one of the policy's purposes", (FieldFault("/purpose", "unknown"),))
    proof = _looked_up(call, lambda person: call.services.choosing.proofs.of(call.caller, person, purpose))
    return json_answer(
        {
            "data_subject": proof.data_subject,
            "purpose": proof.purpose,
            "status": proof.choice.status.value,
            "rests_on": proof.choice.event_id,
            "steps": [_step(each) for each in proof.steps],
        }
    )


@operation(
    "POST",
    "/v1/consents/questions",
    auth=Scope.CONSENTS_READ,
    body=schemas.PersonSchema,
    answers=(Answer(200, "Whether the person may be asked.", confirmation_schemas.QuestionsSchema),),
    raises=_RAISES,
    example={"identifier": {"kind": "email", "value": "ada@example.com"}},
)
def read_questions(call: Call) -> Response:
    """Read about which purposes a person may be asked now, of those the client is registered for.

    Who said no is left alone for the time their place's pack names, also where a text has changed its meaning since;
    so is who is asked already, or said yes. They may still change their mind themselves at any time.
    """
    return json_answer(
        {"may_ask": _looked_up(call, lambda who: call.services.choosing.questions.open(call.caller, who))}
    )


def _looked_up(call: Call, answer: Callable[[PersonRef], Answered]) -> Answered:
    """The answer about the person the body names; one named by an identifier counts as a look-up."""
    person = person_of(call.body)
    if person.identifier is None:
        return answer(person)
    with call.services.limits.look_up(call.caller.client_id) as lookup:
        try:
            return answer(person)
        except NotFound:
            lookup.missed()
            raise


def _step(step: Step) -> dict[str, Any]:
    return {
        "event": event_document(step.committed),
        "suffices": step.suffices,
        "witness": dict(step.witness),
        "shown": None if step.shown is None else shown_document(step.shown),
        "receipt_id": step.receipt_id,
    }


def shown_document(shown: ShownNotice) -> dict[str, str]:
    """A text as it was shown, word for word."""
    return {
        "notice": shown.notice_id,
        "version": shown.version,
        "language": shown.language,
        "sha256": shown.sha256,
        "title": shown.title,
        "text": shown.text,
    }


OPERATIONS = (read_proof, read_questions)
