"""What officers do to requests: the queue, and each step; which step may be taken is decided in `rights`, not here."""

from flask import Response

from consent_gateway.console.permissions import Doing
from consent_gateway.errors import Conflict, InputRefused, KeysUnavailable, NotFound, StoreUnavailable, Suppressed
from consent_gateway.rights.carrying import Handing
from consent_gateway.rights.execution import Outcome
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.states import DenialGround, HoldGround
from consent_gateway.web import rights_schemas as schemas
from consent_gateway.web.api.rights import by_of, document
from consent_gateway.web.operations import Answer, Call, OfficerAuth, json_answer, operation

_OFFICER = OfficerAuth(Doing.WORK_REQUESTS)
_STATE = Answer(200, "The request as it stands now.", schemas.RightsRequestSchema)
_RAISES = (NotFound, Conflict)


@operation(
    "GET",
    "/v1/rights-requests",
    auth=_OFFICER,
    query=schemas.QueueQuerySchema,
    answers=(Answer(200, "The queue.", schemas.QueueSchema),),
)
def read_queue(call: Call) -> Response:
    """List open requests, what is due first before the rest, each with what is owed by when."""
    handling = call.services.rights.handling
    lines = [{**document(call, one.request), "joined": one.joined} for one in handling.queue(call.query["limit"])]
    return json_answer({"today": handling.today, "requests": lines})


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/acknowledge",
    auth=_OFFICER,
    answers=(_STATE,),
    raises=_RAISES,
)
def acknowledge_right(call: Call) -> Response:
    """Record that the person was told that their letter came. A request over the API is acknowledged by its answer."""
    handling = call.services.rights.handling
    return json_answer(document(call, handling.acknowledge(call.path["request_id"], by_of(call))))


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/extend",
    auth=_OFFICER,
    body=schemas.ExtendSchema,
    answers=(_STATE,),
    raises=_RAISES,
)
def extend_right(call: Call) -> Response:
    """Take the longer time, once, while the law still lets the person be told of it."""
    reason = ExtensionReason(call.body["reason"])
    extended = call.services.rights.handling.extend(call.path["request_id"], reason, by_of(call))
    return json_answer(document(call, extended))


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/hold",
    auth=_OFFICER,
    body=schemas.HoldSchema,
    answers=(_STATE,),
    raises=_RAISES,
)
def hold_right(call: Call) -> Response:
    """Let a request wait. The clock stands still only where the person is awaited and the law lets it."""
    ground = HoldGround(call.body["ground"])
    return json_answer(document(call, call.services.rights.handling.hold(call.path["request_id"], ground, by_of(call))))


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/approve",
    auth=_OFFICER,
    answers=(_STATE,),
    raises=_RAISES,
)
def approve_right(call: Call) -> Response:
    """Say go on: to a request on hold, to one just received, or to what is about to be released or erased."""
    handling = call.services.rights.handling
    return json_answer(document(call, handling.approve(call.path["request_id"], by_of(call))))


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/deny",
    auth=_OFFICER,
    body=schemas.DenySchema,
    answers=(_STATE,),
    raises=(*_RAISES, Suppressed),
)
def deny_right(call: Call) -> Response:
    """Refuse a request, with its ground."""
    ground = DenialGround(call.body["ground"])
    return json_answer(document(call, call.services.rights.handling.deny(call.path["request_id"], ground, by_of(call))))


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/execute",
    auth=_OFFICER,
    body=schemas.ExecuteSchema,
    answers=(_STATE,),
    raises=(*_RAISES, InputRefused, StoreUnavailable, KeysUnavailable, Suppressed),
)
def execute_right(call: Call) -> Response:
    """Carry out an approved request. Killed on the way, it can be asked for again and does nothing twice.

    An erasure waits for as long as its person may take it back. A package waits to be released, and its request with
    it. Where the gateway does not carry a right out itself, `done` says that an officer did.
    """
    body = call.body
    done = Outcome(body["done"], body.get("reference")) if "done" in body else None
    handling, request_id = call.services.rights.handling, call.path["request_id"]
    return json_answer(document(call, handling.execute(request_id, by_of(call), done, waived=body["waived"])))


@operation(
    "GET",
    "/v1/rights-requests/{request_id}/package",
    auth=_OFFICER,
    answers=(Answer(200, "The package.", schemas.PackageSchema),),
    raises=(NotFound, KeysUnavailable),
)
def review_package(call: Call) -> Response:
    """Look at what was made for a request before it is released. Each look is recorded."""
    made, document = _handing(call).review(call.path["request_id"], call.officer.officer_id)
    shown = {"id": made.package_id, "kind": made.kind, "state": made.state, "expires_at": made.expires_at}
    return json_answer({**shown, "document": document})


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/release",
    auth=_OFFICER,
    body=schemas.ReleaseSchema,
    answers=(Answer(200, "The package is released.", schemas.ReleasedSchema),),
    raises=(*_RAISES, InputRefused, StoreUnavailable, KeysUnavailable),
)
def release_package(call: Call) -> Response:
    """Release a package, without the fields in `blank`; its request is fulfilled.

    `secret` opens it once for the person, and is told once. Released again, the one before is over.
    """
    secret, request = _handing(call).release(call.path["request_id"], by_of(call), call.body["blank"])
    return json_answer({"secret": secret, "request": document(call, request)})


def _handing(call: Call) -> Handing:
    handing = call.services.rights.handing
    if handing is None:
        raise NotFound("no packages are made here")
    return handing


OPERATIONS = (
    read_queue,
    acknowledge_right,
    extend_right,
    hold_right,
    approve_right,
    deny_right,
    execute_right,
    review_package,
    release_package,
)
