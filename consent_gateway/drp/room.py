"""The room put together, as other rooms get it; decides nothing."""

from dataclasses import dataclass

from consent_gateway.drp.callbacks import Callbacks
from consent_gateway.drp.protocol import Protocol


@dataclass(frozen=True, slots=True)
class AgentRoom:
    """What answers agents, and what tells them of changes."""

    protocol: Protocol
    callbacks: Callbacks
