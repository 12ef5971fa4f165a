"""What one application has besides the services: the door, the token endpoint, documents made when first asked for."""

from collections.abc import Callable
from dataclasses import dataclass

from consent_gateway.web.auth import Door
from consent_gateway.web.customer.provider import Provider
from consent_gateway.web.oauth import TokenEndpoint


@dataclass(frozen=True, slots=True)
class Site:
    """The parts a handler may answer with. The documents are complete bodies, ready to send.

    What describes the API takes as long to write as many requests, and most processes are never asked for it.
    """

    door: Door
    token_endpoint: TokenEndpoint
    openapi: Callable[[], bytes]
    reference: Callable[[], bytes]  # as the next, needs an application context
    errors: Callable[[], bytes]
    stylesheet: bytes
    icon: bytes
    provider: Provider | None  # of customers; None where the settings name none
