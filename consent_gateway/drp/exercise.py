"""What an agent asks for, read from the claims of its message; pure: takes nothing in and finds nobody.

Claims that the protocol does not know are passed over and kept nowhere. So are the person's name and address but for
the officers' eyes, sealed with the request and deleted when it is answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from consent_gateway.drp.directory import REGIMES, Agent
from consent_gateway.drp.messages import Message
from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.ids import REFERENCE
from consent_gateway.rights.own import LONGEST_TEXT
from consent_gateway.vocabulary import Identifier

ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "sale:opt-out": "opt_out_sale_share",
        "deletion": "delete",
        "access": "access",
        "access:specific": "access",
        "access:categories": "know",
    }
)
"""The protocol's rights actions, and our rights. `sale:opt-in` is none: it takes two steps of the consumer's own."""

OPT_IN = "sale:opt-in"
_KINDS = (("email", "email"), ("phone_number", "phone"))
_SPELT = MappingProxyType({"sale:opt_out": "sale:opt-out", "sale:opt_in": OPT_IN})  # 2.01 writes one, 3.01 the other
_LONGEST = 512
_MOST_HINTS = 20


@dataclass(frozen=True, slots=True)
class Exercise:
    """A request as an agent sent it. `person` is by what we look for them, `also` what else names them."""

    action: str
    regime: str
    person: Identifier
    also: tuple[Identifier, ...]
    permission: str
    text: str | None
    agent_request_id: str | None
    callback: str | None

    @property
    def right(self) -> str:
        """What we call it."""
        return ACTIONS[self.action]

    def __repr__(self) -> str:
        return f"Exercise(action={self.action!r}, …)"


def exercise_of(message: Message, agent: Agent) -> Exercise:
    """What the message asks for. Raises `InputRefused`, which quotes nothing of it."""
    claims = message.claims
    if "drp.version" not in claims:
        raise _refused("/drp.version", "the version is missing: send `drp.version`")
    named = [Identifier(kind, text) for claim, kind in _KINDS if (text := _text(claims, claim)) is not None]
    if not named:
        raise _refused("/email", "nobody can be found without `email` or `phone_number`: send one")
    return Exercise(
        action=_action(claims),
        regime=_regime(claims),
        person=named[0],
        also=tuple(named[1:]),
        permission=_permission(claims, message, agent),
        text=_for_officers(claims, agent),
        agent_request_id=_own_id(claims),
        callback=_callback(claims, agent),
    )


def _action(claims: Mapping[str, Any]) -> str:
    given = _text(claims, "exercise") or ""
    action = _SPELT.get(given, given)
    if action == OPT_IN:
        raise _refused(
            "/exercise", "an opt-in takes two steps of the consumer's own: let them choose on our preference page"
        )
    if action not in ACTIONS:
        raise _refused("/exercise", f"unsupported rights action: these are supported: {', '.join(ACTIONS)}")
    return action


def _regime(claims: Mapping[str, Any]) -> str:
    regime = _text(claims, "regime") or "voluntary"
    if regime not in REGIMES:
        raise _refused("/regime", f"unsupported regime: these are supported: {', '.join(REGIMES)}")
    return regime


def _permission(claims: Mapping[str, Any], message: Message, agent: Agent) -> str:
    """A reference to what the person signed; where the agent sends none, to the message in which it attests it."""
    given = _text(claims, "power_of_attorney")
    if given is not None and len(given) <= 128 and REFERENCE.fullmatch(given):
        return given
    return f"{agent.caller}:{message.digest}"


def _own_id(claims: Mapping[str, Any]) -> str | None:
    given = _text(claims, "agent-request-id")
    if given is not None and (len(given) > 128 or REFERENCE.fullmatch(given) is None):
        raise _refused("/agent-request-id", "this is no id: send up to 128 letters, digits and marks, without `@`")
    return given


def _callback(claims: Mapping[str, Any], agent: Agent) -> str | None:
    url = _text(claims, "status_callback")
    if url is not None and agent.hosts.fault(url) is not None:
        raise _refused("/status_callback", "this is no https address on a host that the directory names for this agent")
    return url


def _for_officers(claims: Mapping[str, Any], agent: Agent) -> str | None:
    """What else the agent says of the person, as officers read it who have to find them."""
    said = []
    for claim in ("name", "email", "phone_number", "address", "power_of_attorney"):
        text = _address(claims) if claim == "address" else _text(claims, claim)
        if text is not None:
            verified = claims.get(f"{claim}_verified") is True
            said.append(f"{claim}: {text}" + (" (verified by the agent)" if verified else ""))
    hints = claims.get("relationships", [])
    if not isinstance(hints, list) or len(hints) > _MOST_HINTS or not all(isinstance(one, str) for one in hints):
        raise _refused("/relationships", f"this is no list of up to {_MOST_HINTS} words")
    if hints:
        said.append("relationships: " + ", ".join(one[:64] for one in hints))
    return "\n".join((f"From {agent.name}", *said))[:LONGEST_TEXT]


def _address(claims: Mapping[str, Any]) -> str | None:
    """An address, as text or by the members of OpenID Connect."""
    given = claims.get("address")
    if isinstance(given, dict):
        parts = [value for value in given.values() if isinstance(value, str) and value]
        return ", ".join(parts)[:_LONGEST] or None
    return _text(claims, "address")


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    given = claims.get(name)
    if given is None:
        return None
    if not isinstance(given, str) or len(given) > _LONGEST:
        raise _refused(f"/{name}", f"this is no text of up to {_LONGEST} characters")
    return given or None


def _refused(pointer: str, message: str) -> InputRefused:
    return InputRefused(message, (FieldFault(pointer, message),))
