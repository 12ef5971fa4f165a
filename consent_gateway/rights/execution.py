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
    language: str | None = None
    waived: bool = False  # the person waived the time in which an erasure can be taken back


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. `reference` is the id of a package or an erasure; `leftovers` name what stayed: fields and places.

    What `waits` is made and not yet given: somebody looks at it and releases it first.
    """

    complete: bool
    reference: str | None = None
    leftovers: tuple[str, ...] = ()
    waits: bool = False


class Executor(Protocol):
    """Carries out one right. Asked again after it was killed, it goes on where it was and does nothing twice."""

    def execute(self, work: Work) -> Outcome:
        """Do it; returns when it is durable. Any `GatewayError` means that it is to be asked again."""
        ...

    def withdraw(self, request_id: str, by: str) -> None:
        """Take back what was prepared for a request that is refused or withdrawn; `Conflict` where it is too late."""
        ...
