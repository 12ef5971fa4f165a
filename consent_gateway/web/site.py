"""What one application has besides the services: the door, the token endpoint, documents made once at its start."""

from dataclasses import dataclass

from consent_gateway.web.auth import Door
from consent_gateway.web.customer.provider import Provider
from consent_gateway.web.oauth import TokenEndpoint


@dataclass(frozen=True, slots=True)
class Site:
    """The parts a handler may answer with. The documents are complete bodies, ready to send."""

    door: Door
    token_endpoint: TokenEndpoint
    openapi: bytes
    reference: bytes
    errors: bytes
    stylesheet: bytes
    icon: bytes
    provider: Provider | None  # of customers; None where the settings name none
