"""Changed choices on their way out: the feed by cursor and as a stream, and webhooks of the client's own."""

from typing import Any

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.errors import CallerNotPermitted, Conflict, KeysUnavailable, NotFound, TooManyRequests
from consent_gateway.propagation.destinations import Destination, audience_of
from consent_gateway.propagation.signing import Secret
from consent_gateway.web import change_schemas as schemas
from consent_gateway.web.operations import Answer, Call, json_answer, operation

_EVENT_STREAM = "text/event-stream"


@operation(
    "GET",
    "/v1/changes",
    auth=Scope.CHANGES_READ,
    query=schemas.FeedSchema,
    answers=(Answer(200, "The changes after the cursor, in order.", schemas.FeedAnswerSchema),),
    raises=(CallerNotPermitted, KeysUnavailable),
)
def read_changes(call: Call) -> Response:
    """Read the changes after a cursor.

    A client hears of the purposes it is registered for, and of what concerns the whole person. Keep the cursor of each
    answer and send it as `after`; without it the feed begins with the first change, with `latest` after the last.
    `wait` holds an empty answer back for so many seconds, at most 20, while this process has a place for it.
    """
    query = call.query
    audience = _audience(call, query)
    page = call.services.outward.feed.page(
        call.caller.client_id, audience, query.get("after"), query["limit"], query["wait"]
    )
    return json_answer({"changes": page.changes, "cursor": page.cursor, "more": page.more})


@operation(
    "GET",
    "/v1/changes/stream",
    auth=Scope.CHANGES_READ,
    query=schemas.StreamSchema,
    answers=(Answer(200, "Server-sent events, until a minute is over.", content_type=_EVENT_STREAM),),
    raises=(CallerNotPermitted, TooManyRequests),
)
def stream_changes(call: Call) -> Response:
    """Listen to changes as server-sent events.

    Each event carries the cursor past it as its id, so a reader that connects again with `Last-Event-ID` goes on where
    it was. A comment comes every 15 seconds. A stream ends after a minute, and a process serves a quarter of its
    threads at a time; past that the answer is 429 and pages are the way.
    """
    after = call.request.headers.get("Last-Event-ID") or call.query.get("after")
    events = call.services.outward.feed.stream(call.caller.client_id, _audience(call, call.query), after)
    response = Response(events, content_type=f"{_EVENT_STREAM}; charset=utf-8")
    response.headers["X-Accel-Buffering"] = "no"  # a proxy must not hold events back
    return response


@operation(
    "POST",
    "/v1/webhooks",
    auth=Scope.CHANGES_SUBSCRIBE,
    body=schemas.NewWebhookSchema,
    answers=(Answer(201, "The webhook, with its secret, which is shown only now.", schemas.NewWebhookAnswerSchema),),
    raises=(CallerNotPermitted, Conflict),
    example={"url": "https://hooks.example.com/consent", "purposes": ["email_marketing"]},
)
def add_webhook(call: Call) -> Response:
    """Have changes delivered to an address of yours, from now on.

    Each is signed as the Standard Webhooks specification says, under the secret (`v1`) and under the key pair whose
    public half is `public_key` (`v1a`). The operator says which hosts may be named.
    """
    made, secret = call.services.outward.destinations.add_webhook(
        call.caller, call.body["url"], _audience(call, call.body)
    )
    return json_answer(_with_secret(call, made, secret), 201)


@operation(
    "GET",
    "/v1/webhooks",
    auth=Scope.CHANGES_SUBSCRIBE,
    answers=(Answer(200, "The client's webhooks and how far each is behind.", schemas.WebhooksSchema),),
)
def list_webhooks(call: Call) -> Response:
    """See your webhooks, and how far each is behind."""
    found = call.services.outward.destinations.of_client(call.caller.client_id)
    return json_answer({"webhooks": [_described(call, each) for each in found]})


@operation(
    "DELETE",
    "/v1/webhooks/{webhook_id}",
    auth=Scope.CHANGES_SUBSCRIBE,
    answers=(Answer(204, "The webhook has ended."),),
    raises=(NotFound,),
)
def delete_webhook(call: Call) -> Response:
    """End a webhook; what it had not got is not delivered any more."""
    call.services.outward.destinations.end(_mine(call), "deleted")
    return Response(status=204)


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/rotate",
    auth=Scope.CHANGES_SUBSCRIBE,
    answers=(Answer(200, "The webhook, with its new secret.", schemas.NewWebhookAnswerSchema),),
    raises=(NotFound, Conflict),
)
def rotate_webhook(call: Call) -> Response:
    """Give a webhook a new secret; for 24 hours messages carry signatures under both."""
    secret = call.services.outward.destinations.rotate(_mine(call))
    return json_answer(_with_secret(call, _mine(call), secret))


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/replay",
    auth=Scope.CHANGES_SUBSCRIBE,
    body=schemas.ReplaySchema,
    answers=(Answer(204, "Whatever comes after the cursor is delivered again."),),
    raises=(NotFound,),
)
def replay_webhook(call: Call) -> Response:
    """Have everything after a cursor of `/v1/changes` delivered again, in order."""
    outward = call.services.outward
    after = outward.feed.read_cursor(call.caller.client_id, call.body["after"])
    outward.destinations.replay(_mine(call), after)
    return Response(status=204)


def _audience(call: Call, given: Any) -> Any:
    return audience_of(call.caller, given.get("purposes"), given.get("recipient"))


def _mine(call: Call) -> Destination:
    return call.services.outward.destinations.one_of_client(call.caller.client_id, call.path["webhook_id"])


def _with_secret(call: Call, destination: Destination, secret: Secret) -> dict[str, Any]:
    return {"webhook": _described(call, destination), "secret": secret.text, "public_key": secret.public_key}


def _described(call: Call, destination: Destination) -> dict[str, Any]:
    lag = call.services.outward.destinations.lag(destination)
    return {
        "webhook_id": destination.destination_id,
        "url": destination.target,
        "purposes": sorted(destination.audience.purposes),
        "recipient": destination.audience.recipient,
        "created_at": destination.created_at,
        "delivered_at": destination.delivered_at,
        "failures": destination.failures,
        "untold": lag.untold,
        "untold_since": lag.since,
        "waiting": lag.waiting,
        "dead": lag.dead,
    }


OPERATIONS = (
    read_changes,
    stream_changes,
    add_webhook,
    list_webhooks,
    delete_webhook,
    rotate_webhook,
    replay_webhook,
)
