"""The states of a request and every step between them; pure: stores nothing, tells no one and reads no clock.

A standing is where one request is. Its state is one word of `TABLE`; beside it stand what must not get lost on the
way: whether identity is proved, whether the time was extended, and the days for which the clock stood still.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from consent_gateway.errors import Conflict
from consent_gateway.rights.clocks import Pause


class State(StrEnum):
    """Where a request is; closed list."""

    RECEIVED = "received"
    IDENTITY_PENDING = "identity_pending"
    ON_HOLD = "on_hold"
    IN_PROGRESS = "in_progress"
    EXTENDED = "extended"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    FULFILLED = "fulfilled"
    DENIED = "denied"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Act(StrEnum):
    """What can be done to a request; closed list."""

    ASK_IDENTITY = "ask_identity"
    PROVE = "prove"
    BEGIN = "begin"
    HOLD = "hold"
    RESUME = "resume"
    EXTEND = "extend"
    APPROVE = "approve"  # what is about to be released or erased was looked at
    START = "start"  # the work itself begins: nothing else may happen until it ends
    PRESENT = "present"  # what it made waits to be looked at and released; the answer is owed still
    FAIL = "fail"  # it ended without an outcome and can be started again
    FINISH = "finish"
    FINISH_PARTLY = "finish_partly"
    DENY = "deny"
    CANCEL = "cancel"
    EXPIRE = "expire"


class HoldGround(StrEnum):
    """Why a request waits; closed list. Those of `AWAITS_PERSON` stop the clock where the law lets it stop."""

    CLARIFICATION = "clarification"
    IDENTITY_DOUBT = "identity_doubt"
    LEGAL_HOLD = "legal_hold"
    THIRD_PARTY = "third_party"
    INTERNAL = "internal"


class DenialGround(StrEnum):
    """Why a request is refused; closed list."""

    IDENTITY_NOT_PROVED = "identity_not_proved"
    AGENT_NOT_PERMITTED = "agent_not_permitted"
    UNFOUNDED = "unfounded"
    EXCESSIVE = "excessive"
    ABUSIVE = "abusive"
    LEGAL_OBLIGATION = "legal_obligation"
    LEGAL_CLAIMS = "legal_claims"
    FREE_EXPRESSION = "free_expression"
    PUBLIC_INTEREST = "public_interest"
    COMPELLING_GROUNDS = "compelling_grounds"
    RIGHTS_OF_OTHERS = "rights_of_others"
    HOUSEHOLD_DATA = "household_data"
    DATA_ACCURATE = "data_accurate"
    NO_SUCH_RIGHT = "no_such_right"


AWAITS_PERSON = frozenset({HoldGround.CLARIFICATION, HoldGround.IDENTITY_DOUBT})

_R, _P, _H = State.RECEIVED, State.IDENTITY_PENDING, State.ON_HOLD
_I, _E, _F = State.IN_PROGRESS, State.EXTENDED, State.FULFILLED
_SOME = State.PARTIALLY_FULFILLED
_ENDS: Mapping[Act, frozenset[State]] = MappingProxyType(
    {Act.DENY: frozenset({State.DENIED}), Act.CANCEL: frozenset({State.CANCELLED})}
)


def _work(state: State) -> dict[Act, frozenset[State]]:
    same = frozenset({state})
    done = {Act.FINISH: frozenset({_F}), Act.FINISH_PARTLY: frozenset({_SOME})}
    return {Act.START: same, Act.PRESENT: same, Act.FAIL: same, **done}


TABLE: Mapping[State, Mapping[Act, frozenset[State]]] = MappingProxyType(
    {
        _R: {
            Act.ASK_IDENTITY: frozenset({_P}),
            Act.BEGIN: frozenset({_I}),
            Act.HOLD: frozenset({_H}),
            Act.EXTEND: frozenset({_E}),
            **_ENDS,
        },
        _P: {
            Act.PROVE: frozenset({_I, _E}),
            Act.EXTEND: frozenset({_P}),
            Act.EXPIRE: frozenset({State.EXPIRED}),
            **_ENDS,
        },
        _H: {Act.RESUME: frozenset({_R, _I, _E}), Act.EXTEND: frozenset({_H}), **_ENDS},
        _I: {
            Act.HOLD: frozenset({_H}),
            Act.EXTEND: frozenset({_E}),
            Act.APPROVE: frozenset({_I}),
            **_work(_I),
            **_ENDS,
        },
        _E: {
            Act.ASK_IDENTITY: frozenset({_P}),
            Act.HOLD: frozenset({_H}),
            Act.APPROVE: frozenset({_E}),
            **_work(_E),
            **_ENDS,
        },
        _SOME: _work(_SOME),
        _F: {},
        State.DENIED: {},
        State.CANCELLED: {},
        State.EXPIRED: {},
    }
)
"""Every step there is: from a state by an act to one of the states named."""

OPEN = frozenset({_R, _P, _H, _I, _E})
"""States in which an answer is still owed."""

IN_REVIEW = frozenset({_I, _E})
_OF_WORK = frozenset({Act.PRESENT, Act.FAIL, Act.FINISH, Act.FINISH_PARTLY})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one request is. `pauses` are in time order; the last is open while the person's answer is awaited.

    `begun` is whether work was ever taken up, `approved` whether its result may be released, `running` whether the
    work itself goes on at this moment. `ground` is that of a hold or a denial.
    """

    state: State = State.RECEIVED
    proved: bool = False
    begun: bool = False
    extended: bool = False
    approved: bool = False
    running: bool = False
    ground: str | None = None
    pauses: tuple[Pause, ...] = ()

    @property
    def open(self) -> bool:
        """Whether an answer is still owed."""
        return self.state in OPEN

    @property
    def waits(self) -> bool:
        """Whether the person was asked something and has not answered."""
        return bool(self.pauses) and self.pauses[-1].end is None


def step(standing: Standing, act: Act, day: date, ground: str | None = None) -> Standing:
    """The standing after an act. Raises `Conflict` for a step that is not in the table or not to be taken now."""
    if act not in TABLE[standing.state]:
        raise Conflict(f"a request that is {standing.state} cannot be changed by `{act}`")
    if standing.running is not (act in _OF_WORK):
        raise Conflict("the work on the request is going on: wait for its end" if standing.running else _NOT_STARTED)
    after = _CHANGES[act](standing, day, ground)
    if after.state not in TABLE[standing.state][act]:
        raise Conflict(f"`{act}` cannot lead a request from {standing.state} to {after.state}")
    return after


_NOT_STARTED = "no work on the request has been started"


def _ask_identity(standing: Standing, day: date, _ground: str | None) -> Standing:
    if standing.proved:
        raise Conflict("identity is proved already")
    return replace(_asked(standing, day), state=_P)


def _prove(standing: Standing, day: date, _ground: str | None) -> Standing:
    answered = _answered(standing, day)
    return replace(answered, state=_E if standing.extended else _I, proved=True, begun=True)


def _begin(standing: Standing, _day: date, _ground: str | None) -> Standing:
    _needs_proof(standing)
    return replace(standing, state=_I, begun=True)


def _hold(standing: Standing, day: date, ground: str | None) -> Standing:
    held = replace(standing, state=_H, ground=HoldGround(ground or "internal").value, approved=False)
    return _asked(held, day) if held.ground in AWAITS_PERSON else held


def _resume(standing: Standing, day: date, _ground: str | None) -> Standing:
    back = _E if standing.extended else _I if standing.begun else _R
    return replace(_answered(standing, day), state=back, ground=None)


def _extend(standing: Standing, _day: date, _ground: str | None) -> Standing:
    if standing.extended:
        raise Conflict("the time was extended already: it can be once")
    return replace(standing, extended=True, state=_E if standing.state in (_R, _I) else standing.state)


def _approve(standing: Standing, _day: date, _ground: str | None) -> Standing:
    _needs_proof(standing)
    return replace(standing, approved=True, begun=True)


def _start(standing: Standing, _day: date, _ground: str | None) -> Standing:
    _needs_proof(standing)
    if not standing.approved:
        raise Conflict("nobody has approved what is to be released or erased: approve it first")
    return replace(standing, running=True)


def _stop(standing: Standing, _day: date, _ground: str | None) -> Standing:
    return replace(standing, running=False)


def _finish(standing: Standing, _day: date, _ground: str | None) -> Standing:
    return replace(standing, running=False, state=_F, ground=None)


def _finish_partly(standing: Standing, _day: date, _ground: str | None) -> Standing:
    return replace(standing, running=False, state=_SOME, ground=None)


def _deny(standing: Standing, day: date, ground: str | None) -> Standing:
    if ground not in set(DenialGround):
        raise Conflict("a denial needs its ground")
    return replace(_answered(standing, day), state=State.DENIED, ground=ground)


def _cancel(standing: Standing, day: date, _ground: str | None) -> Standing:
    return replace(_answered(standing, day), state=State.CANCELLED, ground=None)


def _expire(standing: Standing, day: date, _ground: str | None) -> Standing:
    return replace(_answered(standing, day), state=State.EXPIRED, ground=None)


def _needs_proof(standing: Standing) -> None:
    if not standing.proved:
        raise Conflict("identity is not proved: ask for proof first")


def _asked(standing: Standing, day: date) -> Standing:
    return replace(standing, pauses=(*standing.pauses, Pause(day)))


def _answered(standing: Standing, day: date) -> Standing:
    if not standing.waits:
        return standing
    *earlier, last = standing.pauses
    return replace(standing, pauses=(*earlier, Pause(last.begin, max(day, last.begin))))


_CHANGES = MappingProxyType(
    {
        Act.ASK_IDENTITY: _ask_identity,
        Act.PROVE: _prove,
        Act.BEGIN: _begin,
        Act.HOLD: _hold,
        Act.RESUME: _resume,
        Act.EXTEND: _extend,
        Act.APPROVE: _approve,
        Act.START: _start,
        Act.PRESENT: _stop,
        Act.FAIL: _stop,
        Act.FINISH: _finish,
        Act.FINISH_PARTLY: _finish_partly,
        Act.DENY: _deny,
        Act.CANCEL: _cancel,
        Act.EXPIRE: _expire,
    }
)
