"""What must hold of every decision, over generated people, packs and requests."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_gateway.policy import Policies, decide, policies_from
from consent_gateway.policy.source import parse
from consent_gateway.vocabulary import AccessRequest, Choice, ChoiceStatus, Decision, Effect, Facts, Reason
from tests.properties.policy_cases import CaseMaker, wide_sources
from tests.properties.random_packs import random_packs

seeds = st.integers(0, 2**32)
CLOSED_STATUSES = {"refused", "withdrawn", "expired", "notice_changed", "unknown_state"}
CASES = 40  # drawn in each example, since loading dwarfs deciding


@cache
def sources() -> dict[str, str]:
    """The shipped packs and random ones, with a catalogue that reaches every category."""
    wide = wide_sources()
    return {**wide, **random_packs(11, wide)}


@cache
def shipped() -> Policies:
    """The shipped packs alone, which `policy check` holds to be monotone."""
    return policies_from(wide_sources())


@pytest.fixture(scope="module")
def policies() -> Policies:
    """Shipped and random packs, loaded once."""
    return policies_from(sources())


def cases(policies: Policies, seed: int, number: int = CASES) -> Iterator[tuple[AccessRequest, Facts]]:
    """Requests and facts drawn from a seed."""
    maker = CaseMaker(policies, random.Random(seed))
    for _ in range(number):
        yield maker.request(4)


def said(decision: Decision) -> Any:
    """All of a decision but the revision, which names the documents and not their meaning."""
    return replace(decision, revision="", verdicts=dict(decision.verdicts))


@settings(max_examples=4)
@given(seed=seeds)
def test_the_order_of_packs_and_rules_never_matters(policies: Policies, seed: int) -> None:
    """A policy whose files, rules, purposes and transforms are shuffled decides everything alike."""
    draw = random.Random(seed)
    shuffled = []
    for path, text in sources().items():
        document = parse(path, text, []).value  # the gateway's reading: in plain YAML 1.1 `off` is no key
        for key in ("rules", "purposes", "transforms", "recipients", "channels", "replaces"):
            if isinstance(document.get(key), list):
                draw.shuffle(document[key])
        shuffled.append((path, yaml.safe_dump(document)))
    draw.shuffle(shuffled)
    other = policies_from(dict(shuffled))
    for request, facts in cases(policies, seed, 400):
        assert said(decide(other.rulebook, request, facts)) == said(decide(policies.rulebook, request, facts))


def restrictions(facts: Facts, request: AccessRequest, held: tuple[str, ...]) -> Iterator[Facts]:
    """The same person with one more fact that restricts. `held` names the facts that hold already."""
    for name in ("restricted", "limited", "gpc", "erasure_pending", "erased"):
        yield replace(facts, **{name: True})
    choice = facts.choices.get(request.purpose, Choice(request.purpose))
    closing: list[dict[str, Any]] = [{name: True} for name in ("objected", "opted_out", "unsubscribed")]
    closing.append({"paused_until": request.time + timedelta(days=1)})
    if not CLOSED_STATUSES & set(held):
        closing += [{"status": status} for status in (ChoiceStatus.REFUSED, ChoiceStatus.WITHDRAWN, "maybe")]
        closing += [{"valid_until": request.time}, {"notice_version": "0"}]
    for change in closing:
        yield replace(facts, choices={**facts.choices, request.purpose: replace(choice, **change)})
    if facts.minor_born is None:
        day = request.time.date()
        for age in (17, 15, 13, 8):
            yield replace(facts, minor_born=date(day.year - age, 1, 1))


@given(seed=seeds)
def test_a_restricting_fact_never_opens(seed: int) -> None:
    """With one restricting fact more, no field of the shipped policy is more open than before."""
    policies = shipped()
    for request, facts in cases(policies, seed, 10):
        decision = decide(policies.rulebook, request, facts)
        before = decision.verdicts
        for restricted in restrictions(facts, request, decision.facts):
            after = decide(policies.rulebook, request, restricted).verdicts
            for name, verdict in after.items():
                assert verdict.effect >= before[name].effect, f"{name}: {before[name]} became {verdict}"


@given(seed=seeds, word=st.text(max_size=12))
def test_an_unknown_word_denies(policies: Policies, seed: int, word: str) -> None:
    """An unknown purpose, field, place, channel or recipient withholds every field it concerns."""
    unknown = f"?{word}"
    for request, facts in cases(policies, seed, 5):
        for asked, known, reason in (
            (replace(request, purpose=unknown), facts, Reason.UNKNOWN_PURPOSE),
            (replace(request, fields=(unknown,)), facts, None),
            (request, replace(facts, jurisdiction=unknown), None),
            (request, replace(facts, jurisdiction=None), None),
            (replace(request, channel=unknown), facts, None),
            (replace(request, recipient=unknown), facts, None),
        ):
            verdicts = decide(policies.rulebook, asked, known).verdicts
            assert {verdict.effect for verdict in verdicts.values()} == {Effect.WITHHOLD}
            assert reason is None or {verdict.reason for verdict in verdicts.values()} == {reason}


@given(seed=seeds)
def test_the_answer_depends_on_the_inputs_alone(policies: Policies, seed: int) -> None:
    """A rulebook that has decided thousands of times answers as one that never did, and so does the next call."""
    fresh = _fresh()
    for request, facts in cases(policies, seed):
        warm = decide(policies.rulebook, request, facts)
        assert decide(fresh.rulebook, request, facts) == warm
        assert decide(policies.rulebook, request, facts) == warm


@cache
def _fresh() -> Policies:
    return policies_from(sources())


@given(seed=seeds)
def test_fields_are_decided_one_by_one(policies: Policies, seed: int) -> None:
    """A field's verdict does not depend on which other fields are asked for."""
    for request, facts in cases(policies, seed, 10):
        together = decide(policies.rulebook, request, facts).verdicts
        assert tuple(together) == tuple(dict.fromkeys(request.fields))
        for name in request.fields:
            alone = decide(policies.rulebook, replace(request, fields=(name,)), facts).verdicts
            assert alone[name] == together[name]


@given(seed=seeds)
def test_every_verdict_names_a_rule_that_can_be_read(policies: Policies, seed: int) -> None:
    """The rule of each verdict has a text and a source, and what is transformed carries its obligation."""
    for request, facts in cases(policies, seed, 10):
        for verdict in decide(policies.rulebook, request, facts).verdicts.values():
            rule = policies.rulebook.rule(verdict.rule)
            assert rule.text
            assert rule.source
            assert bool(verdict.obligations) == (Effect.ALLOW < verdict.effect < Effect.WITHHOLD)
