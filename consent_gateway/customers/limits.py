"""How often an address and a network may ask for a sign-in in an hour, across all processes; keeps keyed digests only.

The bound is the same for addresses that are known and those that are not, so it tells nothing about either.
"""

import ipaddress

import sqlalchemy as sa

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import transaction
from consent_gateway.customers.tables import CUSTOMER_REQUESTS
from consent_gateway.database import to_micros
from consent_gateway.errors import TooManyRequests
from consent_gateway.people.linking import insert_ignoring
from consent_gateway.ports import Clock

BY_ADDRESS = 5
BY_NETWORK = 60
_HOUR = 3_600_000_000  # microseconds
_INSERT = insert_ignoring(CUSTOMER_REQUESTS)


class SignInLimits:
    """The bounds of sign-ins. `key` keys the digests of who asked."""

    def __init__(self, engine: sa.Engine, clock: Clock, key: bytes) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key

    def take(self, network: str, address: str | None = None) -> None:
        """Count one request of a network, and of a mail address in its normal form where one is named.

        Raises `TooManyRequests` where either has none left in this hour; a refused request counts for neither.
        """
        now = to_micros(self._clock.now())
        with transaction(self._engine) as connection:
            self._count(connection, self._digest("network", _block(network)), now, BY_NETWORK)
            if address is not None:
                self._count(connection, self._digest("address", address), now, BY_ADDRESS)

    def take_address(self, connection: sa.Connection, address: str) -> None:
        """Count one mail to an address, in normal form, that a channel asked for. Raises `TooManyRequests`."""
        self._count(connection, self._digest("mailed", address), to_micros(self._clock.now()), BY_ADDRESS)

    def purge(self) -> int:
        """Delete the counts of hours that are over, and say how many."""
        with transaction(self._engine) as connection:
            over = CUSTOMER_REQUESTS.c.hour < to_micros(self._clock.now()) // _HOUR
            return connection.execute(sa.delete(CUSTOMER_REQUESTS).where(over)).rowcount

    def _count(self, connection: sa.Connection, asker: str, now: int, most: int) -> None:
        key = {"asker_hash": asker, "hour": now // _HOUR}
        connection.execute(_INSERT[connection.dialect.name], [{**key, "taken": 0}])
        one = sa.and_(*(CUSTOMER_REQUESTS.c[name] == value for name, value in key.items()))
        free = sa.and_(one, CUSTOMER_REQUESTS.c.taken < most)
        taken = sa.update(CUSTOMER_REQUESTS).where(free).values(taken=CUSTOMER_REQUESTS.c.taken + 1)
        if connection.execute(taken).rowcount == 0:
            seconds = -(-(_HOUR - now % _HOUR) // 1_000_000)
            raise TooManyRequests("too many mails were asked for in this hour: wait as `Retry-After` says", seconds)

    def _digest(self, use: str, asker: str) -> str:
        return keyed_digest(self._key, f"sign-in-{use}", asker.encode())


def _block(network: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address, which is one household's; one bucket for what is neither."""
    try:
        address = ipaddress.ip_address(network)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
