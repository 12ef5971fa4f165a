"""Explains one verdict: which rule, by which law, on which facts, and what single change would flip it. Pure."""

from dataclasses import dataclass
from datetime import date

from consent_gateway.policy.decide import decide_category
from consent_gateway.policy.facts import AGE_MASK, VARIABLES, names_of
from consent_gateway.policy.rulebook import Rulebook, RuleText
from consent_gateway.vocabulary import Effect, Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A single change of the situation: the facts that begin to hold and those that cease, and the new verdict."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict with its rule's text and the nearest change that would turn open into closed or back."""

    verdict: Verdict
    rule: RuleText
    pack: str | None
    facts: tuple[str, ...]
    nearest: Change | None


def explain(rulebook: Rulebook, place: str, purpose: str, category: str, bits: int, day: date) -> Explanation:
    """Why a category is open or closed in a situation of fact bits."""
    verdict = decide_category(rulebook, place, purpose, category, bits, day)
    segment = rulebook.segment(place, day)
    return Explanation(
        verdict=verdict,
        rule=rulebook.rule(verdict.rule),
        pack=segment.pack if segment else None,
        facts=names_of(bits),
        nearest=_nearest(rulebook, place, purpose, category, bits, day, verdict),
    )


def _nearest(
    rulebook: Rulebook, place: str, purpose: str, category: str, bits: int, day: date, verdict: Verdict
) -> Change | None:
    """The flip that changes the fewest facts; among equals the one declared first. Another age comes last of all."""
    flips: list[tuple[bool, int, Change]] = []
    for variable in VARIABLES:
        every = 0
        for value in variable.alternatives:
            every |= value
        for value in variable.alternatives:
            changed = (bits & ~every) | value
            if changed == bits:
                continue
            other = decide_category(rulebook, place, purpose, category, changed, day)
            if (other.effect is Effect.WITHHOLD) != (verdict.effect is Effect.WITHHOLD):
                change = Change(names_of(changed & ~bits), names_of(bits & ~changed), other)
                flips.append((bool(every & AGE_MASK), (changed ^ bits).bit_count(), change))
    return min(flips, key=lambda flip: flip[:2])[2] if flips else None
