"""Fixtures of the protocol's tests."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.conftest import StillClock
from tests.drp.world import World, open_world
from tests.unit.rights.conftest import opened_rights


@pytest.fixture
def world(gateway_engine: sa.Engine, clock: StillClock) -> Iterator[World]:
    """The protocol on both databases: Ada is known by her address, two people share one, nobody has the third."""
    with opened_rights(gateway_engine, clock) as rights:
        yield open_world(rights)
