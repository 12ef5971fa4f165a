"""The Data Rights Protocol 1.0: authorised agents set up a token, bring requests, follow and revoke them.

These routes exist only where `CONSENT_GATEWAY_DRP_DIRECTORY` names the agents. What is checked, and in which order, is
`drp`'s; this file knows HTTP alone.
"""

import logging

from flask import Response
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from consent_gateway.drp.room import AgentRoom
from consent_gateway.errors import (
    CallerNotPermitted,
    Conflict,
    IdentifierRefused,
    InputRefused,
    KeysUnavailable,
    NotFound,
    Suppressed,
)
from consent_gateway.web import agent_schemas as schemas
from consent_gateway.web.agent_auth import show_error, signed_body
from consent_gateway.web.operations import AgentAuth, Answer, Call, ErrorForm, Public, json_answer, operation

_LOGGER = logging.getLogger(__name__)
ERROR = ErrorForm(schemas.AgentErrorSchema, show_error)
_STATUS = schemas.ExerciseStatusSchema
_REQUESTS = "/v1/data-rights-request"


@operation(
    "POST",
    "/v1/agent/{agent_id}",
    auth=Public("the message is signed by the key that the directory has of this agent"),
    signed=True,
    answers=(
        Answer(200, "The token.", schemas.AgentTokenSchema),
        Answer(403, "The message does not stand; nothing more is said."),
    ),
    rule="/v1/agent/<agent_id>",
    error=ERROR,
)
def set_up_agent(call: Call) -> Response:
    """Set up the token of an authorised agent.

    The body is a signed message that names agent, business and time. The token takes the place of the agent's last one.
    """
    try:
        token = _room(call).protocol.set_up(call.path["agent_id"], signed_body(call.request))
    except (InputRefused, CallerNotPermitted, Conflict) as error:
        _LOGGER.warning("the set-up of an agent was refused: %s", error.message)
        return Response(status=403)  # 2.05.1: no body; what is wrong is found out between people, so the log says it
    except (UnsupportedMediaType, RequestEntityTooLarge) as error:
        _LOGGER.warning("the set-up of an agent was refused: %s", error.name)
        return Response(status=403)
    return json_answer({"agent-id": call.path["agent_id"], "token": token})


@operation(
    "GET",
    "/v1/agent/{agent_id}",
    auth=AgentAuth(of_path=True),
    answers=(Answer(200, "The token is good.", schemas.AgentKnownSchema),),
    rule="/v1/agent/<agent_id>",
    error=ERROR,
)
def read_agent(_call: Call) -> Response:
    """See whether an agent's token is still good."""
    return json_answer({})


@operation(
    "POST",
    _REQUESTS,
    auth=AgentAuth(),
    signed=True,
    answers=(Answer(200, "The request is taken.", _STATUS),),
    raises=(InputRefused, IdentifierRefused, Conflict, Suppressed, KeysUnavailable),
    error=ERROR,
)
def exercise_right(call: Call) -> Response:
    """Exercise a right for a consumer, by a signed message.

    An opt-out binds when this returns. Other rights wait until the consumer has proved that it is them. The answer is
    the same whether the consumer is known or not.
    """
    return json_answer(_room(call).protocol.exercise(call.agent, signed_body(call.request)))


@operation(
    "GET",
    f"{_REQUESTS}/{{request_id}}",
    auth=AgentAuth(),
    answers=(Answer(200, "The request as it stands.", _STATUS),),
    error=ERROR,
)
def read_exercised(call: Call) -> Response:
    """See how a request stands that this agent brought."""
    return json_answer(_room(call).protocol.status(call.agent, call.path["request_id"]))


@operation(
    "DELETE",
    f"{_REQUESTS}/{{request_id}}",
    auth=AgentAuth(),
    signed=True,
    answers=(Answer(200, "The request is revoked.", _STATUS),),
    raises=(InputRefused, Conflict, Suppressed, KeysUnavailable),
    error=ERROR,
)
def revoke_exercised(call: Call) -> Response:
    """Revoke a request that this agent brought, as the consumer wishes; not once it is carried out or being so."""
    return json_answer(_room(call).protocol.revoke(call.agent, call.path["request_id"], signed_body(call.request)))


def _room(call: Call) -> AgentRoom:
    room = call.services.agents
    if room is None:
        raise NotFound("there is no such address")
    return room


OPERATIONS = (set_up_agent, read_agent, exercise_right, read_exercised, revoke_exercised)
