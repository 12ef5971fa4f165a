"""Turning pseudonyms back: ask, sign, tell once; what may be told is decided in `reidentification`, not here."""

from typing import Any

from flask import Response, g

from consent_gateway.console.permissions import Doing
from consent_gateway.errors import (
    AssertionRefused,
    Conflict,
    InputRefused,
    KeysUnavailable,
    NotFound,
    OfficerHalted,
    OfficerNotPermitted,
    ReidentificationRefused,
    UnknownField,
    UnknownPurpose,
)
from consent_gateway.reidentification.canonical import Ask, AskedToken
from consent_gateway.reidentification.requests import Asked
from consent_gateway.web import officer_schemas as schemas
from consent_gateway.web.api.officers import credential_of
from consent_gateway.web.operations import Answer, Call, OfficerAuth, json_answer, operation

FRESH_SECONDS = 300
_ASKS = OfficerAuth(Doing.ASK_REIDENTIFICATION, FRESH_SECONDS)
_SIGNS = OfficerAuth(None, FRESH_SECONDS)  # who may sign depends on the request: its approver, or its requester alone
_STATE = schemas.ReidentificationSchema


@operation(
    "POST",
    "/v1/reidentifications",
    auth=_ASKS,
    body=schemas.ReidentifySchema,
    answers=(Answer(201, "The request waits for its signature.", _STATE),),
    raises=(InputRefused, UnknownPurpose, UnknownField, OfficerHalted, KeysUnavailable),
)
def ask_reidentification(call: Call) -> Response:
    """Ask that pseudonyms be turned back.

    Needs a sign-in of the last five minutes. Whether a token stands for anyone is not looked at yet. One request too
    many in an hour halts the officer.
    """
    body = call.body
    tokens = tuple(
        AskedToken(one["token"], one.get("field"), one.get("key_id"), one.get("transform")) for one in body["tokens"]
    )
    ask = Ask(tokens, body["purpose"], body["recipient"], body["reason"], body["text"], body["case_id"])
    return json_answer(_state(call, call.services.desk.requests.ask(call.officer, ask)), 201)


@operation(
    "GET",
    "/v1/reidentifications/{request_id}",
    auth=OfficerAuth(),
    answers=(Answer(200, "The request as it stands.", _STATE),),
    raises=(NotFound, KeysUnavailable),
)
def read_reidentification(call: Call) -> Response:
    """Read a request: for its requester and for who may approve. It never holds what was told."""
    return json_answer(_state(call, call.services.desk.requests.get(call.officer, call.path["request_id"])))


@operation(
    "POST",
    "/v1/reidentifications/{request_id}/approve/options",
    auth=_SIGNS,
    answers=(Answer(200, "The request, and options to sign it.", schemas.ApprovalOptionsSchema),),
    raises=(NotFound, Conflict, OfficerNotPermitted, KeysUnavailable),
)
def approval_options(call: Call) -> Response:
    """Get what is to be read and what a browser needs to sign it.

    The challenge is the SHA-256 of `canonical`: compare before you sign.
    """
    asked, options = call.services.desk.approvals.options(call.officer, call.path["request_id"])
    return json_answer({"publicKey": options, "reidentification": _state(call, asked)})


@operation(
    "POST",
    "/v1/reidentifications/{request_id}/approve",
    auth=_SIGNS,
    body=schemas.SignedSchema,
    answers=(Answer(200, "The grant stands, for the minutes of its terms.", _STATE),),
    raises=(NotFound, Conflict, OfficerNotPermitted, AssertionRefused, KeysUnavailable),
)
def approve_reidentification(call: Call) -> Response:
    """Approve a request with a passkey's signature over exactly this request.

    Another person than the requester does, with the role `approve_reidentification`; where the policy lets one person
    act alone, the requester does.
    """
    approvals = call.services.desk.approvals
    asked = approvals.approve(call.officer, call.path["request_id"], credential_of(call.body))
    return json_answer(_state(call, asked))


@operation(
    "POST",
    "/v1/reidentifications/{request_id}/deny",
    auth=OfficerAuth(),
    answers=(Answer(200, "The request is denied, for good.", _STATE),),
    raises=(NotFound, Conflict, KeysUnavailable),
)
def deny_reidentification(call: Call) -> Response:
    """Deny a request, or withdraw an own one; a grant not used yet ends too."""
    return json_answer(_state(call, call.services.desk.approvals.deny(call.officer, call.path["request_id"])))


@operation(
    "POST",
    "/v1/reidentifications/{request_id}/reveal",
    auth=_ASKS,
    answers=(Answer(200, "What the tokens stand for: told once.", schemas.RevealedSchema),),
    raises=(NotFound, Conflict, OfficerHalted, ReidentificationRefused, KeysUnavailable),
)
def reveal_reidentification(call: Call) -> Response:
    """Be told what the tokens of a grant stand for: once, and only its requester.

    Each person's choices are asked at this moment, as for any read of the purpose. A token that stands for nothing and
    one whose person's choices close it are answered alike.
    """
    revealed = call.services.desk.reveals.reveal(call.officer, call.path["request_id"])
    g.decision_id = revealed.entry_id
    response = json_answer(
        {
            "id": revealed.request_id,
            "results": [{"data_subject": one.data_subject, "value": one.value} for one in revealed.results],
            "salt": revealed.salt,
            "entry_id": revealed.entry_id,
        }
    )
    response.headers["Cache-Control"] = "no-store"  # whatever the default of other answers becomes
    return response


def _state(call: Call, asked: Asked) -> dict[str, Any]:
    payload = call.services.desk.requests.payload(asked)
    return {
        "id": asked.request_id,
        "state": asked.state,
        "until": asked.until,
        "text": None if payload is None else payload.text,
        "decided_by": asked.decided_by,
        "canonical": asked.canonical,
        "request": asked.members,
    }


OPERATIONS = (
    ask_reidentification,
    read_reidentification,
    approval_options,
    approve_reidentification,
    deny_reidentification,
    reveal_reidentification,
)
