"""What a trace may tell: the steps of the line and a closed list of what is said of each; sends nothing.

A trace leaves the gateway for whoever keeps traces, so nothing of a person, no value, no address as it was sent and no
words of an error may be in it. What is not in `Said` cannot be said.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import Protocol

from consent_gateway.errors import GatewayError
from consent_gateway.vocabulary import Decision

Value = str | int | tuple[str, ...]


class Step(StrEnum):
    """What is timed on its own within a request, and the one act that the background worker traces."""

    FACTS = "facts.read"
    DECISION = "decision"
    STORE_READ = "store.read"
    STORE_WRITE = "store.write"
    KEY_USE = "key.use"
    AUDIT_COMMIT = "audit.commit"
    CHOICE_COMMIT = "choice.commit"
    DELIVERY = "change.delivery"


class Said(StrEnum):
    """Everything that is ever said of a step: names of OpenTelemetry where it has one, else our own."""

    METHOD = "http.request.method"
    ROUTE = "http.route"
    STATUS = "http.response.status_code"
    ERROR = "error.type"
    PURPOSE = "consent_gateway.purpose"
    OUTCOME = "consent_gateway.outcome"
    REASONS = "consent_gateway.reasons"
    CONNECTOR = "consent_gateway.connector"
    COUNT = "consent_gateway.count"


Told = Mapping[Said, Value]
NOTHING: Told = MappingProxyType({})


class Span(Protocol):
    """One step while it runs."""

    def tell(self, told: Callable[[], Told]) -> None:
        """Say something of it; `told` is called only where somebody listens."""
        ...


class Tracer(Protocol):
    """Times requests and their steps. Never slows, fails or changes what it times. Every thread may call it."""

    def request(self, method: str, route: str | None, traceparent: str | None) -> AbstractContextManager[Span]:
        """A request: the child of what the caller's W3C `traceparent` names. `route` is a template, never a path."""
        ...

    def step(self, step: Step, told: Told = NOTHING) -> AbstractContextManager[Span]:
        """A step of the request that this thread answers; outside of one only a delivery is timed."""
        ...

    def close(self) -> None:
        """Send what waits, within a bounded time, and stop."""
        ...


class NoSpan:
    """Says nothing."""

    def __enter__(self) -> "NoSpan":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        """Whatever was raised goes on."""

    def tell(self, _told: Callable[[], Told]) -> None:
        """Nobody listens."""


NO_SPAN = NoSpan()


class NoTracer:
    """Times nothing: what runs unless the settings name a place for traces."""

    def request(self, _method: str, _route: str | None, _traceparent: str | None) -> NoSpan:
        """Nothing."""
        return NO_SPAN

    def step(self, _step: Step, _told: Told = NOTHING) -> NoSpan:
        """Nothing."""
        return NO_SPAN

    def close(self) -> None:
        """Nothing is open."""


NO_TRACER = NoTracer()


def decision_told(purpose: str, decision: Decision) -> Told:
    """What is said of a decision: its purpose, whether anything is open, why, and of how many fields."""
    return {
        Said.PURPOSE: purpose,
        Said.OUTCOME: "open" if decision.open_fields else "withheld",
        Said.REASONS: tuple(sorted({verdict.reason.value for verdict in decision.verdicts.values()})),
        Said.COUNT: len(decision.verdicts),
    }


def error_code(error: BaseException) -> str:
    """The stable code of a named cause; whatever else went wrong is `internal`, and its words are nobody's."""
    return error.code if isinstance(error, GatewayError) else "internal"
