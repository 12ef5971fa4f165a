"""Decisions a second in process, one thread: 20 fields with reasons; warm, and over ever new situations."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from consent_gateway.policy import load_policies
from consent_gateway.policy.decide import decide
from consent_gateway.vocabulary import AccessRequest, Choice, ChoiceStatus, Facts

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def decisions_a_second(quick: bool) -> Iterator[str]:  # noqa: FBT001 - a switch of the command line
    """Two lines: warm and cold."""
    policies = load_policies(ROOT / "policies")
    names = tuple(policies.catalogue.fields)[:20]
    turn = random.Random(1)
    places = ["DE", "FR", "IE", "GB", "CH", "US-CA", "US-TX", "US-MD", "US-NY", "BR", "CA-QC", "JP", "AU"]
    purposes = sorted(policies.purposes)
    cases = [
        (
            AccessRequest("bench", "web_shop", turn.choice(purposes), names, NOW, gpc=turn.random() < 0.2),
            _facts(turn, places, purposes),
        )
        for _ in range(2_000 if quick else 20_000)
    ]
    yield f"decisions a second, {len(names)} fields with reasons, facts computed per call, one thread:"
    begun = time.perf_counter()
    for request, facts in cases:
        decide(policies.rulebook, request, facts)
    yield f"   cold, {len(cases)} new situations: {len(cases) / (time.perf_counter() - begun):10.0f}"
    rounds = 5
    begun = time.perf_counter()
    for _ in range(rounds):
        for request, facts in cases:
            decide(policies.rulebook, request, facts)
    yield f"   warm, the same again:     {rounds * len(cases) / (time.perf_counter() - begun):10.0f}"


def _facts(turn: random.Random, places: list[str], purposes: list[str]) -> Facts:
    statuses = list(ChoiceStatus)
    choices = {
        purpose: Choice(purpose, turn.choice(statuses), NOW - timedelta(days=turn.randrange(1, 900)), event_id="ce_1")
        for purpose in turn.sample(purposes, 4)
    }
    return Facts(
        jurisdiction=turn.choice(places), choices=choices, member=turn.random() < 0.6, limited=turn.random() < 0.1
    )
