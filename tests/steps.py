"""The step check of the shipped packs, over a policy that is read once for the whole test process."""

import gc
from functools import cache
from pathlib import Path

from consent_gateway.consent.step_check import StepCheck
from consent_gateway.policy import Policies, load_policies
from consent_gateway.policy.step_book import StepBook

SHIPPED = Path(__file__).resolve().parent.parent / "policies"


@cache
def shipped_policies() -> Policies:
    """The policy as it ships, read once for a test process, and out of the garbage collector's sight."""
    policies = load_policies(SHIPPED)
    gc.collect()
    gc.freeze()
    return policies


def shipped_steps() -> StepCheck:
    """The check of steps of the shipped packs."""
    return StepCheck(StepBook(shipped_policies()))
