"""What the web room needs of the rest of the gateway, by name; builds none of it.

`wiring` makes the real one. Web code takes this protocol, so that tests may hand in services of their own.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from consent_gateway.audit.evidence import LogEvidence
from consent_gateway.callers.idempotency import Idempotency
from consent_gateway.callers.limits import Limits
from consent_gateway.callers.outside import OutsideTokens
from consent_gateway.callers.registry import Registry
from consent_gateway.callers.replay import ReplayStore
from consent_gateway.callers.tokens import Tokens
from consent_gateway.choosing import Choosing
from consent_gateway.consent.choices import Choices
from consent_gateway.consent.hearing import Hearing
from consent_gateway.consent.receipts import Receipts
from consent_gateway.console.room import Console
from consent_gateway.customer_desk import CustomerDesk
from consent_gateway.desk import Desk
from consent_gateway.drp.room import AgentRoom
from consent_gateway.gateway import Gateway
from consent_gateway.policy import Policies
from consent_gateway.ports import Clock
from consent_gateway.preferences.centre import PreferenceCentre
from consent_gateway.preferences.visits import Visits
from consent_gateway.propagation.destinations import Destinations
from consent_gateway.propagation.feed import Feed
from consent_gateway.proxy_settings import CertificateProxies
from consent_gateway.reports.book import Reports
from consent_gateway.reports.metrics import Metrics
from consent_gateway.rights.room import RightsRoom
from consent_gateway.searches import Searches
from consent_gateway.vocabulary import Caller
from consent_gateway.writes import Writes


class Explains(Protocol):
    """Tells why a past decision fell as it did."""

    def decision(self, caller: Caller, decision_id: str) -> Mapping[str, Any]:
        """The explanation, ready for JSON. Raises `NotFound` for an id the caller may not know."""
        ...


class Health(Protocol):
    """Tells whether the gateway lives and can serve."""

    def live(self) -> Mapping[str, Any]:
        """What this process knows of itself; touches nothing outside it."""
        ...

    def ready(self) -> Mapping[str, Any]:
        """The state of every part a call needs; `ready` is true where all are."""
        ...


class Outward(Protocol):
    """What tells others of changes."""

    @property
    def feed(self) -> Feed:
        """Changes by cursor."""
        ...

    @property
    def destinations(self) -> Destinations:
        """Where changes are delivered."""
        ...


class Services(Protocol):
    """The services behind the API. All are safe to share between threads."""

    @property
    def gateway(self) -> Gateway:
        """Reads and decisions."""
        ...

    @property
    def writes(self) -> Writes:
        """Changes to customer records."""
        ...

    @property
    def searches(self) -> Searches:
        """Searches by a part of an identifier."""
        ...

    @property
    def limits(self) -> Limits:
        """What each client may look up."""
        ...

    @property
    def choices(self) -> Choices:
        """What people chose."""
        ...

    @property
    def hearing(self) -> Hearing:
        """The signals of browsers and consent strings."""
        ...

    @property
    def receipts(self) -> Receipts:
        """Their receipts, and the evidence behind each choice."""
        ...

    @property
    def outward(self) -> Outward:
        """What tells others of changes."""
        ...

    @property
    def registry(self) -> Registry:
        """Who may call."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Their tokens."""
        ...

    @property
    def outside(self) -> OutsideTokens:
        """Tokens of outside issuers."""
        ...

    @property
    def replay(self) -> ReplayStore:
        """One-time proofs already used."""
        ...

    @property
    def certificate_proxies(self) -> CertificateProxies | None:
        """Who may tell which certificate a client showed; None for nobody."""
        ...

    @property
    def idempotency(self) -> Idempotency:
        """Answers to repeated writes."""
        ...

    @property
    def explain(self) -> Explains:
        """Why past decisions fell as they did."""
        ...

    @property
    def evidence(self) -> LogEvidence:
        """The audit log as others may see it."""
        ...

    @property
    def reports(self) -> Reports:
        """What officers and auditors count."""
        ...

    @property
    def metrics(self) -> Metrics:
        """What Prometheus is told."""
        ...

    @property
    def health(self) -> Health:
        """Whether the gateway lives and can serve."""
        ...

    @property
    def desk(self) -> Desk:
        """What officers work with."""
        ...

    @property
    def rights(self) -> RightsRoom:
        """What people ask for, and the work on it."""
        ...

    @property
    def agents(self) -> AgentRoom | None:
        """What answers authorised agents; None where the settings name none."""
        ...

    @property
    def choosing(self) -> Choosing:
        """Choices in several steps, what shows them, and whom one may ask."""
        ...

    @property
    def customers(self) -> CustomerDesk:
        """What customers sign in with."""
        ...

    @property
    def preferences(self) -> PreferenceCentre:
        """What the customers' pages show and record."""
        ...

    @property
    def visits(self) -> Visits:
        """Which customer is looking."""
        ...

    @property
    def console(self) -> Console:
        """What officers' pages work with."""
        ...

    @property
    def policies(self) -> Policies:
        """The policy in force."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def issuer(self) -> str:
        """Base URL under which clients reach the gateway, and the audience they sign for."""
        ...
