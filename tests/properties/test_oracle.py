"""The engine against a second reading of the policy language that shares nothing with it."""

import os
import random
from collections import Counter

import pytest

from consent_gateway.policy import decide, policies_from
from tests.properties.naive_oracle import NaivePolicy
from tests.properties.policy_cases import CaseMaker, wide_sources
from tests.properties.random_packs import random_packs

VERDICTS = 1_000_000 if os.environ.get("SOAK") == "1" else 200_000
FIELDS = 5


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    """The shipped packs and random ones, with a catalogue that reaches every category."""
    wide = wide_sources()
    return {**wide, **random_packs(3, wide)}


def test_the_engine_agrees_with_the_naive_reading(sources: dict[str, str]) -> None:
    """On 200,000 verdicts (1,000,000 with SOAK=1) effect, reason, rule and transform are those of the naive reading."""
    policies = policies_from(sources)
    naive = NaivePolicy(sources)
    maker = CaseMaker(policies, random.Random(20261122))
    effects: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    rules: set[str] = set()
    for _ in range(VERDICTS // FIELDS):
        request, facts = maker.request(FIELDS)
        decision = decide(policies.rulebook, request, facts)
        told = naive.verdicts(request, facts)
        for name in request.fields:
            verdict = decision.verdicts[name]
            transform = verdict.obligations[0].transform if verdict.obligations else None
            got = (verdict.effect.word, verdict.reason.value, verdict.rule, transform)
            assert got == told[name], f"{name}: {got} is not {told[name]} for {request} and {facts}"
            effects[got[0]] += 1
            reasons[got[1]] += 1
            rules.add(got[2])
    assert set(effects) == {"allow", "generalise", "mask", "pseudonymise", "withhold"}
    assert len(reasons) > 35, f"the cases are too narrow: {sorted(reasons)}"
    assert effects["withhold"] < 0.85 * VERDICTS
    assert len(rules) > 0.7 * len(policies.documents.rules()), f"only {len(rules)} rules decided"
