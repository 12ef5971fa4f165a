"""Runs cases against a policy and tells what failed and which rules no case reached; reads no clock and no file."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from consent_gateway.policy.case_files import Case
from consent_gateway.policy.decide import decide_category
from consent_gateway.policy.loading import Policies
from consent_gateway.policy.rulebook import Rulebook
from consent_gateway.vocabulary import Verdict


@dataclass(frozen=True, slots=True)
class Result:
    """One case and what the policy says about it; `faults` is empty where they agree."""

    case: Case
    verdict: Verdict
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All results, and the rules of the policy that no case reached."""

    results: tuple[Result, ...]
    rules: int
    unreached: tuple[str, ...]

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results that do not agree."""
        return tuple(result for result in self.results if result.faults)


def run_cases(policies: Policies, cases: Iterable[Case], today: date) -> Report:
    """Decide every case on its own day, or today."""
    results = []
    reached: set[str] = set()
    for case in cases:
        day = case.day or today
        verdict = decide_category(policies.rulebook, case.jurisdiction, case.purpose, case.category, case.bits, day)
        reached.update(deciding_rules(policies.rulebook, case, day))
        results.append(Result(case, verdict, _faults(case, verdict)))
    rules = policies.documents.rules()
    return Report(tuple(results), len(rules), tuple(sorted(set(rules) - reached)))


def deciding_rules(rulebook: Rulebook, case: Case, day: date) -> Iterable[str]:
    """The rule that decided, and the ground below it where another rule tightened what it opened."""
    segment = rulebook.segment(case.jurisdiction, day)
    if segment is None or case.purpose not in segment.plans:
        return ()
    outcome = rulebook.outcome(segment.plans[case.purpose], case.category, case.bits)
    return (outcome.rule,) if outcome.ground is None else (outcome.rule, outcome.ground)


def _faults(case: Case, verdict: Verdict) -> tuple[str, ...]:
    faults = []
    if verdict.effect is not case.effect:
        faults.append(f"effect: expected {case.effect.word}, got {verdict.effect.word}")
    if case.reason is not None and verdict.reason is not case.reason:
        faults.append(f"reason: expected {case.reason.value}, got {verdict.reason.value}")
    got = tuple(sorted(obligation.transform for obligation in verdict.obligations))
    if case.obligations is not None and got != case.obligations:
        faults.append(f"obligations: expected {', '.join(case.obligations) or 'none'}, got {', '.join(got) or 'none'}")
    return tuple(faults)
