"""Expands one rule of a kind into rows over fact bits; knows nothing of places, purposes or categories.

What each kind stands for is written in `EXPANSIONS`, and nowhere else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from consent_gateway.policy.documents import Rule
from consent_gateway.policy.facts import AGES, BIT
from consent_gateway.policy.ir import Bar, Default, Ground, Row, Stage
from consent_gateway.vocabulary import Effect, Reason


@dataclass(frozen=True, slots=True)
class Threshold:
    """The ages of a rule in years, after names were resolved for a place."""

    from_age: int | None
    below: int


@dataclass(frozen=True, slots=True)
class Condition:
    """A conjunction of facts: it speaks where `bits & mask == want`, never where it wants what it does not mask."""

    mask: int = 0
    want: int = 0

    def also(self, *literals: str) -> "Condition":
        """The same conjunction with further facts, each optionally with `not `."""
        mask, want = self.mask, self.want
        if want & ~mask:
            return self
        for literal in literals:
            bit = BIT[literal.removeprefix("not ")]
            wanted = 0 if literal.startswith("not ") else bit
            if mask & bit and (want & bit) != wanted:
                return Condition(0, 1)
            mask, want = mask | bit, want | wanted
        return Condition(mask, want)


def age_literals(threshold: Threshold | None) -> tuple[str, ...]:
    """The facts of an age from one threshold and below another."""
    if threshold is None:
        return ()
    lower = (f"not under_{threshold.from_age}",) if threshold.from_age else ()
    return (f"under_{threshold.below}", *lower)


def known_threshold(threshold: Threshold) -> bool:
    """Whether both ages are among the thresholds that facts exist for, in the right order."""
    lower = threshold.from_age or 0
    return threshold.below in AGES and (lower == 0 or lower in AGES) and lower < threshold.below


_ROLE_LITERALS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "controller": ("not processor", "not third_party"),
        "processor": ("processor",),
        "third_party": ("third_party",),
    }
)


def _ground(rule: Rule, at: Condition, reason: Reason, *literals: str, relabel: bool = False) -> Ground:
    condition = at.also(*literals)
    effect = Effect.ALLOW if rule.effect is None else rule.effect
    return Ground(condition.mask, condition.want, effect, reason, rule.id, relabel)


def _bar(rule: Rule, at: Condition, reason: Reason, stage: Stage, *literals: str) -> Bar:
    condition = at.also(*literals)
    own = stage if rule.stage is None else rule.stage
    return Bar(condition.mask, condition.want, Effect.WITHHOLD, reason, rule.id, own)


def _default(rule: Rule, at: Condition, reason: Reason, *literals: str) -> Default:
    condition = at.also(*literals)
    return Default(condition.mask, condition.want, reason, rule.id)


def _unless_chosen(rule: Rule, at: Condition, reason: Reason | None) -> list[Row]:
    """The reason while nothing is chosen: the rule's own, or the kind's."""
    named = rule.default_reason or reason
    return [_default(rule, at, named, "unknown")] if named else []


def _unconditional(reason: Reason) -> Callable[[Rule, Condition], list[Row]]:
    def expand(rule: Rule, at: Condition) -> list[Row]:
        rows: list[Row] = [_ground(rule, at, rule.reason or reason)]
        if rule.default_reason:  # speaks wherever `when` does not hold
            rows.append(_default(rule, Condition(), rule.default_reason))
        return rows

    return expand


def _consent(default: Reason | None) -> Callable[[Rule, Condition], list[Row]]:
    def expand(rule: Rule, at: Condition) -> list[Row]:
        return [
            _ground(rule, at, Reason.CONSENT, "granted"),
            _ground(rule, at, Reason.PARENTAL_CONSENT, "granted", "parental", "under_18", relabel=True),
            *_unless_chosen(rule, at, default),
        ]

    return expand


def _explicit_consent(rule: Rule, at: Condition) -> list[Row]:
    return [
        _ground(rule, at, Reason.EXPLICIT_CONSENT, "granted_explicit"),
        _default(rule, at, Reason.EXPLICIT_CONSENT_REQUIRED, "granted", "not granted_explicit"),
        *_unless_chosen(rule, at, None),
    ]


def _soft_opt_in(rule: Rule, at: Condition) -> list[Row]:
    conditions = ("existing_customer", "own_similar_products", "objection_offered_at_collection")
    return [
        _ground(rule, at, Reason.SOFT_OPT_IN, "soft_opt_in", *conditions),
        _default(rule, at, Reason.SOFT_OPT_IN_CONDITIONS, "soft_opt_in"),
    ]


def _implied(rule: Rule, at: Condition) -> list[Row]:
    return [_ground(rule, at, Reason.CASL_IMPLIED, "implied"), *_unless_chosen(rule, at, None)]


def _opt_out_model(rule: Rule, at: Condition) -> list[Row]:
    return [
        _ground(rule, at, rule.reason or Reason.OPT_OUT_MODEL),
        _ground(rule, at, Reason.CONSENT, "granted"),
        _ground(rule, at, Reason.OPT_IN_AFTER_OPT_OUT, "opted_in_again"),
    ]


def _parent(rule: Rule, at: Condition) -> list[Row]:
    return [_bar(rule, at, rule.reason or Reason.PARENT_REQUIRED, Stage.PROHIBITION, "not parental")]


def _minor_opt_in(rule: Rule, at: Condition) -> list[Row]:
    reason = rule.reason or Reason.MINOR_OPT_IN
    return [
        _bar(rule, at, reason, Stage.PROHIBITION, "not granted"),
        _ground(rule, at, Reason.MINOR_OPT_IN, "granted", relabel=True),
    ]


def _prohibited(rule: Rule, at: Condition) -> list[Row]:
    return [_bar(rule, at, rule.reason or Reason.NO_CONSENT, Stage.PROHIBITION)]


def _plain_ground(rule: Rule, at: Condition) -> list[Row]:
    rows: list[Row] = [_ground(rule, at, rule.reason or Reason.NO_CONSENT)]
    return [*rows, *_unless_chosen(rule, at, None)]


def _relabel(rule: Rule, at: Condition) -> list[Row]:
    return [_ground(rule, at, rule.reason or Reason.NO_CONSENT, relabel=True)]


def _shape(rule: Rule, at: Condition) -> list[Row]:
    effect = Effect.WITHHOLD if rule.effect is None else rule.effect
    return [Bar(at.mask, at.want, effect, None, rule.id, Stage.SHAPE)]


def _transfer(rule: Rule, at: Condition) -> list[Row]:
    reason = rule.reason or Reason.TRANSFER_WITHOUT_SAFEGUARD
    return [_bar(rule, at, reason, Stage.TRANSFER, "no_safeguard")]


EXPANSIONS: Mapping[str, Callable[[Rule, Condition], list[Row]]] = MappingProxyType(
    {
        "contract": _unconditional(Reason.CONTRACT),
        "legal_obligation": _unconditional(Reason.LEGAL_OBLIGATION),
        "legitimate_interest": _unconditional(Reason.LEGITIMATE_INTEREST),
        "consent": _consent(None),
        "explicit_consent": _explicit_consent,
        "sensitive_opt_in": _consent(Reason.SENSITIVE_OPT_IN),
        "soft_opt_in": _soft_opt_in,
        "implied": _implied,
        "opt_out_model": _opt_out_model,
        "off_by_default": _consent(Reason.OFF_BY_DEFAULT),
        "parent": _parent,
        "minor_opt_in": _minor_opt_in,
        "prohibited": _prohibited,
        "bar": _prohibited,  # stage and reason are its own, which the reference checks demand
        "ground": _plain_ground,
        "relabel": _relabel,
        "shape": _shape,
        "transfer": _transfer,
    }
)


def expand(rule: Rule, threshold: Threshold | None) -> tuple[Row, ...]:
    """All rows of a rule that may speak; none where the rule asks for a fact and for its absence."""
    base = Condition().also(*rule.when, *age_literals(threshold))
    alternatives: Iterable[tuple[str, ...]] = [_ROLE_LITERALS[role] for role in rule.roles] or [()]
    make = EXPANSIONS[rule.kind]
    rows = dict.fromkeys(row for literals in alternatives for row in make(rule, base.also(*literals)))
    return tuple(row for row in rows if not row.want & ~row.mask)
