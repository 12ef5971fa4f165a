"""Fixtures of the propagation tests."""

import pytest
import sqlalchemy as sa

from tests.conftest import StillClock
from tests.propagation.world import World


@pytest.fixture
def world(gateway_engine: sa.Engine, clock: StillClock) -> World:
    """A ledger with its outbox and a courier, on both databases; people a, b and c."""
    made = World(gateway_engine, clock)
    made.people("ds_a", "ds_b", "ds_c")
    return made
