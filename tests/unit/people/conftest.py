"""What the people tests share: a blind index, and a carry that says yes and remembers."""

import pytest
import sqlalchemy as sa

from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.suppression import SuppressionTags
from tests.conftest import FixedIndexKeys


class Carried:
    """Stands for the consent room: takes choices over unless told that the person is erased."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.erased: set[str] = set()

    def __call__(self, _connection: sa.Connection, early: str, person: str) -> bool:
        """Remember the pair; False for an erased one."""
        if early in self.erased:
            return False
        self.pairs.append((early, person))
        return True


@pytest.fixture
def carry() -> Carried:
    """A carry that records what it was asked."""
    return Carried()


@pytest.fixture
def indexes() -> BlindIndex:
    """Blind indexes under fixed keys, for German telephone numbers."""
    return BlindIndex(FixedIndexKeys(), "DE")


@pytest.fixture
def tags() -> SuppressionTags:
    """Suppression tags under a fixed key, for German telephone numbers."""
    return SuppressionTags(bytes(range(32)), "DE")
