"""Our states in the protocol's words (3.02, 3.03), by two small tables; pure, and decides nothing.

What an agent is told is the same whether the person is known or not, so no request ends as `no_match`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from consent_gateway.rights.answers import written
from consent_gateway.rights.clocks import Due
from consent_gateway.rights.requests import Request
from consent_gateway.rights.states import DenialGround, State

VERIFY = "need_user_verification"

STATUSES: Mapping[State, tuple[str, str | None]] = MappingProxyType(
    {
        State.RECEIVED: ("open", None),
        State.IDENTITY_PENDING: ("in_progress", VERIFY),
        State.ON_HOLD: ("in_progress", None),
        State.IN_PROGRESS: ("in_progress", None),
        State.EXTENDED: ("in_progress", None),
        State.PARTIALLY_FULFILLED: ("fulfilled", None),
        State.FULFILLED: ("fulfilled", None),
        State.DENIED: ("denied", "other"),  # the reason is the ground's, by the next table
        State.CANCELLED: ("revoked", None),
        State.EXPIRED: ("expired", None),
    }
)
"""Each state as `status` and `reason`."""

_NOT_COVERED = "claim_not_covered"
REASONS: Mapping[DenialGround, tuple[str, str]] = MappingProxyType(
    {
        DenialGround.IDENTITY_NOT_PROVED: ("insuf_verification", "The consumer's identity was not proved."),
        DenialGround.AGENT_NOT_PERMITTED: ("other", "The agent could not show the consumer's signed permission."),
        DenialGround.UNFOUNDED: ("other", "The request is manifestly unfounded."),
        DenialGround.EXCESSIVE: ("too_many_requests", "More was asked for than the law obliges us to answer."),
        DenialGround.ABUSIVE: ("other", "The request abuses the right."),
        DenialGround.LEGAL_OBLIGATION: (_NOT_COVERED, "A law obliges us to keep the data."),
        DenialGround.LEGAL_CLAIMS: (_NOT_COVERED, "The data is needed for legal claims."),
        DenialGround.FREE_EXPRESSION: (_NOT_COVERED, "The freedom of expression stands against it."),
        DenialGround.PUBLIC_INTEREST: (_NOT_COVERED, "A public interest stands against it."),
        DenialGround.COMPELLING_GROUNDS: (_NOT_COVERED, "Compelling legitimate grounds stand against it."),
        DenialGround.RIGHTS_OF_OTHERS: (_NOT_COVERED, "The rights of others stand against it."),
        DenialGround.HOUSEHOLD_DATA: (_NOT_COVERED, "The data is that of a household."),
        DenialGround.DATA_ACCURATE: (_NOT_COVERED, "The data is accurate."),
        DenialGround.NO_SUCH_RIGHT: ("outside_jurisdiction", "No law gives the consumer this right."),
    }
)
"""Each ground of a denial as `reason`, and in a sentence."""

_EXTENDED = MappingProxyType(
    {
        "complexity": "More time is needed: it is a lot of work to answer this request.",
        "number_of_requests": "More time is needed: many requests are being answered.",
    }
)
_MORE_TIME = "More time is needed."
_PAUSED = "The time stood still while the consumer was asked something."
_PARTLY = "Some data is kept on a legal ground; the consumer is told which."
_TOO_LATE = "The consumer's identity was not proved in time."
FINAL = frozenset({"fulfilled", "revoked", "denied", "expired"})
_WITH_FILES = frozenset({"access", "know"})


@dataclass(frozen=True, slots=True)
class Told:
    """What is the agent's own of a request: our number for it, theirs, the first day that they were told, and whether
    they revoked it while it goes on for others.
    """

    request_id: str
    agent_request_id: str | None
    expected_by: str | None
    left: bool = False


def status_of(told: Told, request: Request, due: Due, today: date, page: str) -> dict[str, Any]:
    """The status of a request. `page` is where its person signs in, proves it and fetches what was made.

    `expected_by` never moves from what the agent was told first without `processing_details`.
    """
    state = State.CANCELLED if told.left else request.at(today)
    status, reason = STATUSES[state]
    details = _details(request, state)
    expected = expected_by(request, due)
    if told.expected_by not in (None, expected) and not details:
        details.append(_PAUSED)
    if state is State.DENIED:
        reason = REASONS[DenialGround(request.standing.ground or "")][0]
    shown: dict[str, Any] = {
        "request_id": told.request_id,
        "received_at": written(request.received_at),
        "expected_by": expected,
        "status": status,
        "reason": reason,
        "processing_details": " ".join(details) or None,
    }
    if told.agent_request_id is not None:
        shown["agent_request_id"] = told.agent_request_id
    if reason == VERIFY:
        shown["user_verification_url"] = page
        if request.prove_until is not None:
            shown["expires_at"] = f"{request.prove_until.isoformat()}T23:59:59Z"
    if status == "fulfilled" and request.right in _WITH_FILES:
        shown["results_url"] = page
    return shown


def expected_by(request: Request, due: Due) -> str | None:
    """The day by which the answer is owed."""
    end = due.extended_respond_by if request.standing.extended else None
    day = end or due.respond_by or due.effective_by
    return None if day is None else written(day)


def _details(request: Request, state: State) -> list[str]:
    details = []
    if state is State.DENIED:
        details.append(REASONS[DenialGround(request.standing.ground or "")][1])
    elif state is State.PARTIALLY_FULFILLED:
        details.append(_PARTLY)
    elif state is State.EXPIRED:
        details.append(_TOO_LATE)
    if request.standing.extended:
        details.append(_EXTENDED.get(request.extension_reason or "", _MORE_TIME))
    return details
