"""The in-process back-end: evaluates the rows of the intermediate form over fact bits. Pure; remembers nothing."""

from dataclasses import dataclass

from consent_gateway.policy.facts import BIT
from consent_gateway.policy.ir import BUILT_IN_DEFAULTS, REASON_RANK, Ground, Rows
from consent_gateway.vocabulary import Effect, Reason

BUILT_IN_PREFIX = "gateway."
_UNKNOWN_STATE = BIT["unknown_state"]

_DENIALS = 0  # ranks order the reasons of what is equally closed: built-in denials, stages, defaults, grounds
_STAGES = 10
_DEFAULTS = 100
_GROUNDS = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rules say about one category. `ground` is the rule that opened it, before anything tightened it."""

    effect: Effect
    reason: Reason
    rule: str
    rank: int
    ground: str | None = None


def built_in(reason: Reason, *, rank: int = _DENIALS) -> Outcome:
    """A denial of the gateway itself, such as `gateway.unknown-purpose`."""
    return Outcome(Effect.WITHHOLD, reason, f"{BUILT_IN_PREFIX}{reason.value.replace('_', '-')}", rank)


def evaluate(rows: Rows, bits: int) -> Outcome:
    """The outcome of one category's rows in one situation, as `ir` defines it."""
    for bar in rows.bars:
        if bits & bar.mask == bar.want and bar.reason is not None:
            return Outcome(Effect.WITHHOLD, bar.reason, bar.rule, _STAGES + bar.stage)
    ground = speaking_ground(rows, bits)
    if ground is None:
        return _closed_by_default(rows, bits)
    if bits & _UNKNOWN_STATE:
        return built_in(Reason.UNKNOWN_STATE, rank=_DEFAULTS)
    rank = _GROUNDS + REASON_RANK.get(ground.reason, len(REASON_RANK))
    for shape in rows.shapes:
        if shape.effect <= ground.effect:
            break
        if bits & shape.mask == shape.want:
            return Outcome(shape.effect, ground.reason, shape.rule, rank, ground.rule)
    return Outcome(ground.effect, ground.reason, ground.rule, rank, ground.rule)


def speaking_ground(rows: Rows, bits: int) -> Ground | None:
    """The ground that gives effect and reason, before shapes; None where nothing opens."""
    best: Ground | None = None
    for ground in rows.grounds:
        if bits & ground.mask != ground.want:
            continue
        if best is None or best.effect is not ground.effect:
            best = ground
        if not ground.relabel:
            return best
    return None


def _closed_by_default(rows: Rows, bits: int) -> Outcome:
    for default in rows.defaults:
        if bits & default.mask == default.want:
            return Outcome(Effect.WITHHOLD, default.reason, default.rule, _DEFAULTS)
    for mask, reason in BUILT_IN_DEFAULTS:
        if bits & mask:
            return built_in(reason, rank=_DEFAULTS)
    return built_in(Reason.NO_CONSENT, rank=_DEFAULTS)


def gravity(outcome: Outcome) -> tuple[int, int, str]:
    """Sorts the most closed outcome first, and among equals the one whose reason takes precedence."""
    return (-outcome.effect, outcome.rank, outcome.rule)
