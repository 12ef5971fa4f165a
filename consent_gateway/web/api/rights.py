"""What people ask for, as channels bring it: a request in, proof of identity, how far it is; decides nothing.

Whether the person is known changes no answer here. Only officers are shown whose request it is.
"""

from typing import Any

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.console.permissions import Doing
from consent_gateway.errors import (
    Conflict,
    FieldFault,
    IdentifierRefused,
    InputRefused,
    KeysUnavailable,
    NotFound,
    ProofRefused,
    StoreUnavailable,
    Suppressed,
    UnknownPurpose,
)
from consent_gateway.policy.rights_terms import Way
from consent_gateway.rights.answers import dates_of
from consent_gateway.rights.intake import NewRequest
from consent_gateway.rights.requests import By, Request, Via
from consent_gateway.rights.states import State
from consent_gateway.web import rights_schemas as schemas
from consent_gateway.web.operations import Answer, Call, EitherAuth, json_answer, operation
from consent_gateway.web.persons import person_of

EITHER = EitherAuth(Scope.RIGHTS_REQUEST, Doing.WORK_REQUESTS)
_OF_CALLERS = frozenset({Via.API, Via.AGENT, Via.AUTHORISED_AGENT})
_STATE = schemas.RightsRequestSchema


@operation(
    "POST",
    "/v1/rights-requests",
    auth=EITHER,
    body=schemas.NewRightsRequestSchema,
    answers=(Answer(201, "The request is taken; this answer is its acknowledgement.", _STATE),),
    raises=(InputRefused, IdentifierRefused, UnknownPurpose, NotFound, Suppressed, Conflict, KeysUnavailable),
    idempotent=True,
    example={
        "identifier": {"kind": "email", "value": "ada@example.com"},
        "right": "access",
        "jurisdiction": "DE",
        "language": "de",
    },
)
def request_right(call: Call) -> Response:
    """Take in what a person asks for: access, erasure, correction, an opt-out and so on.

    Opt-outs, limits, objections and restrictions bind every later call when this returns, and ask for no proof. Other
    rights wait for proof of identity: `proof` says which. Officers enter letters with `via` `post` and `received_at`.
    """
    body = call.body
    via = Via(body["via"])
    officer = call.signed_in
    if officer is None and (via not in _OF_CALLERS or "received_at" in body):
        fault = FieldFault("/via", "letters and past days are entered by officers")
        raise InputRefused("a channel cannot enter this: letters and past days are entered by officers", (fault,))
    room = call.services.rights
    new = NewRequest(
        right=body["right"],
        person=person_of(body),
        via=via,
        received_at=body.get("received_at") or call.services.clock.now(),
        channel=room.channel if officer is not None else call.caller.channel,
        jurisdiction=body.get("jurisdiction"),
        calendar=body.get("calendar"),
        language=body.get("language"),
        purposes=tuple(body["purposes"]),
        text=body.get("text"),
        agent_permission=body.get("agent_permission"),
    )
    return json_answer(document(call, room.intake.receive(new, by_of(call))), 201)


@operation(
    "GET",
    "/v1/rights-requests/{request_id}",
    auth=EITHER,
    answers=(Answer(200, "The request as it stands.", _STATE),),
    raises=(NotFound,),
)
def read_right(call: Call) -> Response:
    """See how far a request is. A channel sees those it brought; officers see all, and whose they are."""
    return json_answer(document(call, _own(call)))


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/verify",
    auth=EITHER,
    body=schemas.ProveSchema,
    answers=(Answer(200, "A code is on its way, or identity is proved.", schemas.ProvedSchema),),
    raises=(InputRefused, NotFound, Conflict, ProofRefused, StoreUnavailable, KeysUnavailable, Suppressed),
)
def prove_right(call: Call) -> Response:
    """Prove whose request it is: by a mailed code, by data points, or by what an officer saw.

    `{"method": "code"}` sends a code to the request's address and answers the same for an address that is nobody's.
    What is shown is compared and not kept; attempts are limited.
    """
    proofs, body = call.services.rights.proofs, call.body
    asked, by = _own(call), by_of(call)
    if body["method"] == Way.SEEN:
        if call.signed_in is None or "reference" not in body:
            raise InputRefused("what was seen is said by an officer, with its `reference`")
        proved = proofs.by_officer(asked.request_id, body["reference"], body.get("data_subject"), by)
    elif body["method"] == Way.POINTS:
        proved = proofs.by_points(asked.request_id, body["points"], body.get("declaration"), by)
    elif "code" in body:
        proved = proofs.by_code(asked.request_id, body["code"], by)
    else:
        proofs.send_code(asked.request_id, by)
        return json_answer({"sent": True, "request": document(call, _own(call))})
    proofs.close_reads(proved)
    return json_answer({"sent": False, "request": document(call, proved)})


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/cancel",
    auth=EITHER,
    answers=(Answer(200, "The request is withdrawn.", _STATE),),
    raises=(NotFound, Conflict, Suppressed),
)
def cancel_right(call: Call) -> Response:
    """Withdraw a request, as its person wishes; not while it is being carried out."""
    asked = _own(call)
    return json_answer(document(call, call.services.rights.handling.cancel(asked.request_id, by_of(call))))


def by_of(call: Call) -> By:
    """Who acts: the officer or the client of this call."""
    if call.signed_in is not None:
        return By(officer=call.signed_in.officer_id, channel=call.services.rights.channel)
    return By(client=call.caller.client_id, channel=call.caller.channel)


def _own(call: Call) -> Request:
    client = None if call.signed_in is not None else call.caller.client_id
    return call.services.rights.handling.read(call.path["request_id"], client)


def document(call: Call, request: Request) -> dict[str, Any]:
    """A request as it is shown: to officers with what nobody else is told."""
    room = call.services.rights
    today = room.handling.today
    due, state = room.handling.book.dates(request), request.at(today)
    needed = room.proofs.needed(request.right) if state is State.IDENTITY_PENDING else None
    own = call.path.get("request_id") if call.signed_in is None else None
    shown: dict[str, Any] = {
        "id": own or request.request_id,  # of a request that was joined to another, its own
        "right": request.right,
        "regime": request.regime,
        "jurisdiction": request.jurisdiction,
        "via": request.via.value,
        "state": state.value,
        "ground": request.standing.ground,
        "received_at": request.received_at,
        "acknowledged_at": request.acknowledged_at,
        "answered_at": request.answered_at,
        "extension_reason": request.extension_reason,
        "due": dict(dates_of(due)),
        "suspended": due.suspended and state is request.state,
        "proof": None
        if needed is None
        else {
            "ways": sorted(way.value for way in needed.ways),
            "points": needed.points,
            "declaration": needed.declaration,
            "until": request.prove_until,
        },
    }
    return shown if call.signed_in is None else {**shown, **_for_officers(call, request, due.paused_days)}


def _for_officers(call: Call, request: Request, paused_days: int) -> dict[str, Any]:
    handling = call.services.rights.handling
    owed = handling.book.owed(request) if request.standing.open else []
    return {
        "data_subject": request.data_subject,
        "channel": request.channel,
        "calendar": request.calendar,
        "warnings": list(request.warnings),
        "purposes": list(request.purposes),
        "text": handling.details(request).text,
        "agent_permission": request.agent_permission,
        "approved": request.standing.approved,
        "running": request.standing.running,
        "paused_days": paused_days,
        "owed": [{"by": day, "what": what} for day, what in owed],
        "outcome": None if request.outcome is None else dict(request.outcome),
    }


OPERATIONS = (request_right, read_right, prove_right, cancel_right)
