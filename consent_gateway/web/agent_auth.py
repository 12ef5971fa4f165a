"""An authorised agent's token to the agent, and its signed body to bytes; verifies no signature and decides nothing.

Agents speak the Data Rights Protocol, whose errors have a form of their own (3.06).
"""

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from consent_gateway.drp.directory import Agent
from consent_gateway.drp.messages import MOST_BYTES
from consent_gateway.drp.room import AgentRoom
from consent_gateway.errors import CallerNotPermitted, NotFound, Unauthenticated
from consent_gateway.web.auth import bearer

_CHALLENGE = 'Bearer realm="consent-gateway"'
_NEVER = frozenset({400, 403, 409, 413, 415})
"""What no second sending of the same message mends."""


class AgentUnknown(Unauthenticated):
    """The call came without an agent's token, or with one that is over."""

    challenge = f'{_CHALLENGE}, error="invalid_token"'


def authenticate_agent(room: AgentRoom | None, request: Request, agent_id: str | None) -> Agent:
    """The agent of this request; with `agent_id`, that one and no other. Raises `Unauthenticated`, and for the latter
    `CallerNotPermitted`.
    """
    if room is None:
        raise NotFound("there is no such address")
    agent = room.protocol.agent(bearer(request))
    if agent_id is not None and (agent is None or agent.agent_id != agent_id):
        raise CallerNotPermitted("the token is not this agent's: set up a new one")
    if agent is None:
        raise AgentUnknown("the token is unknown or over: set up a new one")
    return agent


def signed_body(request: Request) -> bytes:
    """The body of a signed call, as it came. Raises 413 or 415."""
    request.max_content_length = MOST_BYTES + 1
    body = request.get_data(cache=False)
    if (request.content_type or "").partition(";")[0].strip().lower() != "text/plain":
        raise UnsupportedMediaType
    if len(body) > MOST_BYTES:
        raise RequestEntityTooLarge
    return body


def show_error(request: Request, problem: Mapping[str, Any]) -> Response:
    """A problem as the protocol shows one. `fatal`: no second sending of this message will be taken."""
    message = problem["detail"]
    if problem["code"] == "unsupported_media_type":
        message = "a signed message is sent as `text/plain`"
    faults = problem.get("errors", ())
    if faults:
        message = f"{message} ({', '.join(fault['pointer'] for fault in faults)})"
    shown: dict[str, Any] = {"code": str(problem["status"]), "message": message}
    if request.method != "GET" and problem["status"] in _NEVER:
        shown["fatal"] = True
    return Response(orjson.dumps(shown), status=problem["status"], content_type="application/json")
