"""The shipped laws, read once."""

from pathlib import Path

import pytest

from consent_gateway.policy import Policies, load_policies
from consent_gateway.rights.regimes import Laws

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def shipped() -> Policies:
    """The policy as it ships."""
    return load_policies(ROOT / "policies")


@pytest.fixture(scope="session")
def laws(shipped: Policies) -> Laws:
    """The laws of the policy as it ships."""
    return Laws(shipped.documents.packs)
