"""A log to work on: entries, a recorder, a sealer with its key, all over real databases."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder, open_recorder
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import Signer, open_signer
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock

MakeEntry = Callable[..., Entry]


@pytest.fixture
def make_entry(clock: Any) -> MakeEntry:
    """Makes entries, each a second after the one before; members may be given by name."""

    def make(**members: Any) -> Entry:
        clock.moment += timedelta(seconds=1)
        now = clock.now()
        given: dict[str, Any] = {
            "entry_id": new_id("dec", now),
            "kind": EntryKind.DECISION,
            "at": now,
            "caller": "web-shop",
            "purpose": "order_fulfilment",
            "data_subject": "ds_1",
            "fields": {"email": ("allow", "contract", "eea.contract")},
        }
        return Entry(**(given | members))

    return make


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A fresh state directory."""
    return tmp_path / "state"


@pytest.fixture
def signer(state_dir: Path) -> Signer:
    """A fresh signing key."""
    return open_signer(state_dir / "audit" / "log.key", "log.example/audit")


@pytest.fixture
def recorder(gateway_engine: sa.Engine, state_dir: Path) -> Iterator[Recorder]:
    """A recorder over the fresh gateway database."""
    opened = open_recorder(gateway_engine, state_dir)
    yield opened
    opened.close()


@pytest.fixture
def sealer(gateway_engine: sa.Engine, state_dir: Path, signer: Signer, clock: Clock) -> Sealer:
    """The sealer of the same log."""
    return Sealer(gateway_engine, state_dir, signer, clock)
