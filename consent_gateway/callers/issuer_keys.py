"""The keys of one outside issuer as last fetched: refreshed, kept through an outage, then dropped; verifies nothing."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from consent_gateway.callers.fetching import Fetcher
from consent_gateway.callers.issuers import Issuer, host_of
from consent_gateway.callers.keysets import IssuerKey, issuer_keys
from consent_gateway.errors import InputRefused, IssuerUnavailable
from consent_gateway.ports import Clock

REFRESH_AFTER = timedelta(minutes=5)
KEEP_AT_MOST = timedelta(hours=1)
BETWEEN_FETCHES = timedelta(seconds=30)
_MOST_WAITING = 8  # threads that may wait for a fetch at once; the others are told to come back
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    keys: Mapping[str, IssuerKey]
    fetched_at: datetime


class IssuerKeys:
    """Keys by `kid`. Safe to share between threads: one of them fetches, and of the others few wait.

    A key the issuer withdraws is gone within `REFRESH_AFTER`. An unknown `kid` makes a fetch, but fetches, also failed
    ones, are `BETWEEN_FETCHES` apart; each failed one is logged with its cause. After `KEEP_AT_MOST` without a good
    fetch nothing verifies any more.
    """

    def __init__(self, issuer: Issuer, fetcher: Fetcher, clock: Clock) -> None:
        self._issuer = issuer
        self._fetcher = fetcher
        self._clock = clock
        self._held: _Held | None = None
        self._tried_at: datetime | None = None
        self._fetching = threading.Lock()
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)

    def key(self, kid: str) -> IssuerKey | None:
        """The key of that id, or None. Raises `IssuerUnavailable` where there are no keys to look among.

        Also where the key is not known and too many calls wait already: anyone may name a key that nobody has.
        """
        now = self._clock.now()
        held = self._held
        known = held is not None and kid in held.keys and now - held.fetched_at < KEEP_AT_MOST
        if held is None or not known or now - held.fetched_at >= REFRESH_AFTER:
            self._fetch_if_due(now, wait=not known)
            held = self._held
        if held is None or now - held.fetched_at >= KEEP_AT_MOST:
            raise IssuerUnavailable("the keys of the token's issuer cannot be fetched: try again later")
        return held.keys.get(kid)

    def _fetch_if_due(self, now: datetime, *, wait: bool) -> None:
        if not self._fetching.acquire(blocking=False) and not (wait and self._waited()):
            return  # another thread fetches, and the keys held are good enough for this token
        try:
            # who waited finds the fetch done; a clock set back must not stop fetching
            if self._tried_at is not None and timedelta(0) <= now - self._tried_at < BETWEEN_FETCHES:
                return
            self._tried_at = now
            self._held = _Held(issuer_keys(self._document(), self._issuer.algorithms), now)
        except (IssuerUnavailable, InputRefused) as error:
            cause = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
            _LOGGER.warning("the keys of the issuer %s were not fetched: %s%s", self._issuer.issuer, error, cause)
            return  # the keys held stay good until KEEP_AT_MOST, which `key` checks
        finally:
            self._fetching.release()

    def _waited(self) -> bool:
        """True once the lock is had. Raises `IssuerUnavailable` where too many wait for it already."""
        if not self._waiting.acquire(blocking=False):
            raise IssuerUnavailable("too many calls wait for the keys of the token's issuer: try again later")
        try:
            return self._fetching.acquire()
        finally:
            self._waiting.release()

    def _document(self) -> Any:
        issuer = self._issuer
        url = issuer.jwks_uri
        if url is None:
            described = self._fetcher.json(str(issuer.discovery), issuer.private_hosts)
            url = described.get("jwks_uri") if isinstance(described, dict) else None
            if not isinstance(url, str) or described.get("issuer") != issuer.issuer or host_of(url) not in issuer.hosts:
                raise IssuerUnavailable("the discovery document is not this issuer's, or its keys lie elsewhere")
        return self._fetcher.json(url, issuer.private_hosts)
