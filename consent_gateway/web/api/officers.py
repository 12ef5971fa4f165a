"""Ceremonies of officers: a code becomes a passkey, a passkey a session; holds no rule of its own.

The public calls keep no row until a passkey has answered (`officers.challenges`), and what they take is unguessable:
whoever repeats them gains nothing and costs no more than any refused call.
"""

from typing import Any

from flask import Response

from consent_gateway.errors import AssertionRefused, DatabaseUnavailable
from consent_gateway.web import officer_schemas as schemas
from consent_gateway.web.auth import bearer
from consent_gateway.web.operations import Answer, Call, OfficerAuth, Public, json_answer, operation

_CODE = Public("a one-time code of 192 random bits proves who is meant")
_PASSKEY = Public("it is where officers prove themselves: by passkey")


@operation(
    "POST",
    "/v1/officers/enrolments/options",
    auth=_CODE,
    body=schemas.EnrolmentOptionsSchema,
    answers=(Answer(200, "Options for a new passkey.", schemas.OptionsSchema),),
    raises=(AssertionRefused, DatabaseUnavailable),
)
def enrolment_options(call: Call) -> Response:
    """Get what a browser needs to make an officer's passkey.

    User verification is required and attestation is not asked for. The options are good for five minutes.
    """
    return json_answer({"publicKey": call.services.desk.enrolment.options(call.body["code"])})


@operation(
    "POST",
    "/v1/officers/enrolments",
    auth=_CODE,
    body=schemas.EnrolmentSchema,
    answers=(Answer(201, "The passkey is registered, the code spent.", schemas.EnrolledSchema),),
    raises=(AssertionRefused, DatabaseUnavailable),
)
def enrol(call: Call) -> Response:
    """Register the passkey made for an enrolment code."""
    officer_id = call.services.desk.enrolment.complete(call.body["code"], credential_of(call.body))
    return json_answer({"officer_id": officer_id}, 201)


@operation(
    "POST",
    "/v1/officers/sessions/options",
    auth=_PASSKEY,
    answers=(Answer(200, "Options to sign in.", schemas.OptionsSchema),),
)
def session_options(call: Call) -> Response:
    """Get what a browser needs to sign an officer in; names nobody, and is good for five minutes."""
    return json_answer({"publicKey": call.services.desk.sessions.options()})


@operation(
    "POST",
    "/v1/officers/sessions",
    auth=_PASSKEY,
    body=schemas.SignedSchema,
    answers=(Answer(201, "An officer token.", schemas.SessionSchema),),
    raises=(AssertionRefused, DatabaseUnavailable),
)
def sign_in(call: Call) -> Response:
    """Sign in with a passkey.

    The token is opaque, lives 15 minutes and goes into the `Authorization` header. Calls that need a fresh sign-in
    refuse it earlier, with `sign_in_stale`.
    """
    issued = call.services.desk.sessions.begin(credential_of(call.body))
    return json_answer(
        {
            "token": issued.token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "officer_id": issued.officer_id,
            "roles": sorted(issued.roles),
        },
        201,
    )


@operation(
    "DELETE",
    "/v1/officers/sessions",
    auth=OfficerAuth(),
    answers=(Answer(204, "The token is over.", None),),
)
def sign_out(call: Call) -> Response:
    """Sign out: the token of this call ends at once."""
    call.services.desk.sessions.end(bearer(call.request))
    return Response(status=204)


def credential_of(body: Any) -> dict[str, Any]:
    """The checked credential in the form and under the names of WebAuthn's JSON."""
    given = body["credential"]
    kind = schemas.NewCredentialSchema if "attestation_object" in given["response"] else schemas.CredentialSchema
    dumped: dict[str, Any] = kind().dump(given)
    return dumped


OPERATIONS = (enrolment_options, enrol, session_options, sign_in, sign_out)
