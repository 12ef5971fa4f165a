"""Choices that a mailbox confirms: ask, ask a parent, mail again, look, end. The person answers by the mailed link."""

from typing import Any

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.customers.confirmations import Confirmation
from consent_gateway.customers.confirming import Wish
from consent_gateway.errors import (
    AuditUnavailable,
    Conflict,
    ConsentNotRaised,
    IdentifierRefused,
    NotFound,
    Suppressed,
    TooManyRequests,
    UnknownPurpose,
)
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import EventKind, Identifier
from consent_gateway.web import confirmation_schemas as schemas
from consent_gateway.web.operations import Answer, Call, json_answer, operation
from consent_gateway.web.persons import person_of

_RAISES = (
    UnknownPurpose,
    IdentifierRefused,
    ConsentNotRaised,
    Conflict,
    Suppressed,
    NotFound,
    TooManyRequests,
    AuditUnavailable,
)
_SHOWN = {"how": "web_form", "notice": "messages", "notice_version": "5", "language": "de"}


@operation(
    "POST",
    "/v1/confirmations",
    auth=Scope.CONSENTS_WRITE,
    body=schemas.NewConfirmationSchema,
    answers=(Answer(201, "The request is recorded and the mail is on its way.", schemas.PendingSchema),),
    raises=_RAISES,
    idempotent=True,
    example={"email": "ada@example.com", "purpose": "email_marketing", "evidence": _SHOWN},
)
def ask_to_confirm(call: Call) -> Response:
    """Record a choice that counts once its person confirms it from their mailbox (double opt-in).

    Until the mailed link is used, once and in time, the choice is `requested`, which opens nothing. Packs say where a
    yes on a form needs it, and how long the link is good.
    """
    person = PersonRef(identifier=Identifier("email", call.body["email"]))
    pending = call.services.choosing.confirming.ask(call.caller, _wish(call, person))
    return json_answer({**_document(call, pending.confirmation), "event_id": pending.event_id}, 201)


@operation(
    "POST",
    "/v1/confirmations/parent",
    auth=Scope.CONSENTS_WRITE,
    body=schemas.NewParentalSchema,
    answers=(Answer(201, "The request is recorded and the mail is on its way.", schemas.PendingSchema),),
    raises=_RAISES,
    idempotent=True,
    example={
        "data_subject": "ds_01jd80000000000000000000ad",
        "parent_email": "parent@example.com",
        "purpose": "order_fulfilment",
        "evidence": _SHOWN,
    },
)
def ask_a_parent(call: Call) -> Response:
    """Record a child's choice that counts once a parent allows it by a mailed link (GDPR Art. 8).

    Ages are those of the packs, and so is where a mailed link is enough and for which purposes. The parent can take
    the permission back at any time by a second link; `parental_revocation` does the same in any channel.
    """
    confirming = call.services.choosing.confirming
    pending = confirming.ask_parent(call.caller, _wish(call, person_of(call.body)), call.body["parent_email"])
    return json_answer({**_document(call, pending.confirmation), "event_id": pending.event_id}, 201)


@operation(
    "POST",
    "/v1/confirmations/{confirmation_id}/resend",
    auth=Scope.CONSENTS_WRITE,
    answers=(Answer(200, "A new link is on its way, and the old one is over.", schemas.LinkStateSchema),),
    raises=(NotFound, Conflict, TooManyRequests),
    idempotent=True,
)
def resend_confirmation(call: Call) -> Response:
    """Mail a new link for a confirmation of this client that is still open; the time it is good until stays."""
    renewed = call.services.choosing.confirming.resend(call.caller, call.path["confirmation_id"])
    return json_answer(_document(call, renewed))


@operation(
    "GET",
    "/v1/confirmations/{confirmation_id}",
    auth=Scope.CONSENTS_WRITE,
    answers=(Answer(200, "How it stands now.", schemas.LinkStateSchema),),
    raises=(NotFound,),
)
def read_confirmation(call: Call) -> Response:
    """Read how a confirmation of this client stands at this moment."""
    links = call.services.choosing.links
    return json_answer(_document(call, links.of(call.path["confirmation_id"], call.caller.client_id)))


@operation(
    "DELETE",
    "/v1/confirmations/{confirmation_id}",
    auth=Scope.CONSENTS_WRITE,
    answers=(Answer(204, "The link is over.", None),),
    raises=(NotFound,),
)
def end_confirmation(call: Call) -> Response:
    """End a link of this client that nobody used."""
    call.services.choosing.links.end(call.path["confirmation_id"], call.caller.client_id)
    return Response(status=204)


def _wish(call: Call, person: PersonRef) -> Wish:
    body, evidence = call.body, call.body["evidence"]
    return Wish(
        person=person,
        purpose=body["purpose"],
        kind=EventKind(body["kind"]),
        how=evidence["how"],
        notice=evidence["notice"],
        notice_version=evidence["notice_version"],
        language=evidence["language"],
    )


def _document(call: Call, confirmation: Confirmation) -> dict[str, Any]:
    status = "pending"
    if confirmation.used_at is not None:
        status = "confirmed"
    elif confirmation.expires_at <= call.services.clock.now():
        status = "expired"
    return {
        "confirmation_id": confirmation.confirmation_id,
        "status": status,
        "expires_at": confirmation.expires_at,
        "mails": confirmation.sent,
    }


OPERATIONS = (ask_to_confirm, ask_a_parent, resend_confirmation, read_confirmation, end_confirmation)
