"""The console's parts put together, as the pages get them; decides nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from consent_gateway.callers.fetching import Fetcher
from consent_gateway.console.accounts import Accounts
from consent_gateway.console.counting import Counting
from consent_gateway.console.entries import Looks
from consent_gateway.console.overview import Overviews
from consent_gateway.console.revisions import Revisions
from consent_gateway.console.sessions import ConsoleSessions
from consent_gateway.customer_settings import CustomerProvider
from consent_gateway.customers.handshakes import Handshakes
from consent_gateway.protection.inventory import KeyInventory


@dataclass(frozen=True, slots=True)
class OfficerSignIn:
    """The officers' OpenID provider. `accepted` are the values of `acr` that mean more than one factor."""

    provider: CustomerProvider
    accepted: frozenset[str]
    fetcher: Fetcher


@dataclass(frozen=True, slots=True)
class Console:
    """What officers' pages work with, beside the rooms they show. `provider` is None where none is set.

    `settings` maps each setting's name to its value as shown, None where it is at its default; `keys` counts the keys.
    """

    engine: sa.Engine
    sessions: ConsoleSessions
    accounts: Accounts
    handshakes: Handshakes
    counting: Counting
    overviews: Overviews
    revisions: Revisions
    looks: Looks
    settings: Mapping[str, str | None]
    keys: Callable[[], KeyInventory]
    provider: OfficerSignIn | None = None

    @property
    def purges(self) -> tuple[Callable[[], int], ...]:
        """What the background worker deletes when its time is over."""
        return (self.sessions.purge, self.handshakes.purge)
