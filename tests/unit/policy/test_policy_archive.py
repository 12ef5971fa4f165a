"""Claims about the archive of policy revisions, on both databases."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from consent_gateway.database import to_micros
from consent_gateway.errors import NotFound
from consent_gateway.policy import Policies, policies_from
from consent_gateway.policy.archive import POLICY_REVISIONS, load, save
from tests.unit.policy.conftest import NOON, ask, told


def test_a_kept_revision_decides_as_it_did(gateway_engine: sa.Engine, policies: Policies) -> None:
    """What is kept loads again with the same revision and the same verdicts, and keeps its first time of use."""
    with gateway_engine.begin() as connection:
        save(connection, policies, NOON)
        save(connection, policies, NOON + timedelta(days=1))
    with gateway_engine.begin() as connection:
        again = policies_from(load(connection, policies.revision))
        times = connection.execute(sa.select(POLICY_REVISIONS.c.first_used_at)).scalars().all()
    assert times == [to_micros(NOON)]
    assert again.revision == policies.revision
    assert told(ask(again, "orders")) == told(ask(policies, "orders"))


def test_an_unknown_revision_is_not_found(gateway_engine: sa.Engine) -> None:
    """A revision that was never kept is said not to be."""
    with gateway_engine.begin() as connection, pytest.raises(NotFound, match="no policy revision"):
        load(connection, "0" * 16)
