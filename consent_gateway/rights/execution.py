"""The port behind which a right is carried out: packages and erasures are made elsewhere; makes nothing itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be carried out, for whom and on whose approval."""

    request_id: str
    right: str
    data_subject: str
    jurisdiction: str
    received_at: datetime
    officer: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. `reference` is the id of a package or certificate; `leftovers` name what stayed, as field names."""

    complete: bool
    reference: str | None = None
    leftovers: tuple[str, ...] = ()


class Executor(Protocol):
    """Carries out one right. Asked again after it was killed, it goes on where it was and does nothing twice."""

    def execute(self, work: Work) -> Outcome:
        """Do it; returns when it is durable. Any `GatewayError` means that it is to be asked again."""
        ...
