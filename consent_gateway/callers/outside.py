"""Access tokens of outside issuers to a caller: verified or asked about, then looked up in our own registry.

A token says who calls; what that caller may claim comes from its registration here, and the token's `scope` can only
narrow it. JWTs must be RFC 9068 access tokens. What was verified is remembered for at most the cache's time.
"""

import hashlib
import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import sqlalchemy as sa

from consent_gateway.callers.fetching import Fetcher
from consent_gateway.callers.grants import Grant, GrantCache
from consent_gateway.callers.issuer_keys import IssuerKeys
from consent_gateway.callers.issuers import Introspection, Issuer
from consent_gateway.callers.jose import JwtRefused, opened, refuse_out_of_time, verified
from consent_gateway.callers.registry import Bound
from consent_gateway.callers.tables import CLIENTS
from consent_gateway.database import HeldConnections, PreparedRead, to_micros
from consent_gateway.errors import IssuerUnavailable
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import Caller

LONGEST_TOKEN = 4096
LEEWAY = timedelta(seconds=30)
_TYPES = ("at+jwt", "application/at+jwt")
_CONFIRMATIONS = frozenset({"jkt", "x5t#S256"})
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes in base64url
_CLIENT = re.compile(r"[\x20-\x7e]+")  # what RFC 6749, A.1 lets a client id be
_MOST_ASKING = 8  # threads that may wait for introspection at once; the others are told to come back


class OutsideTokens:
    """Resolves tokens of the issuers given. Safe to share between threads."""

    def __init__(
        self,
        issuers: Iterable[Issuer],
        fetcher: Fetcher,
        engine: sa.Engine,
        held: HeldConnections,
        clock: Clock,
        *,
        cache_seconds: int,
        cache_entries: int = 10_000,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._keys = {name: IssuerKeys(issuer, fetcher, clock) for name, issuer in self._issuers.items()}
        self._fetcher = fetcher
        self._clock = clock
        self._cache = GrantCache(cache_seconds, cache_entries)
        self._read = PreparedRead(held, engine.dialect, _registered())
        self._asking = threading.BoundedSemaphore(_MOST_ASKING)

    @property
    def issuers(self) -> frozenset[str]:
        """The names of the issuers whose tokens are taken."""
        return frozenset(self._issuers)

    def resolve(self, token: str) -> Grant | None:
        """What the token stands for, or None for one that is not taken.

        Raises `IssuerUnavailable` where the issuer would have to be asked and does not answer.
        """
        if not self._issuers or len(token) > LONGEST_TOKEN:
            return None
        now = self._clock.now()
        digest = hashlib.sha256(token.encode()).digest()
        found = self._cache.get(digest, to_micros(now))
        if found is not None:
            return found
        try:
            issuer, claims = self._verified(token) if token.count(".") == 2 else self._asked(token)
            grant = self._grant(issuer, claims)
        except JwtRefused:
            grant = None
        if grant is None:
            self._cache.forget(digest)
            return None
        self._cache.remember(digest, grant, to_micros(now), int(claims["exp"] * 1_000_000))
        return grant

    def forget_all(self) -> None:
        """Empty this process's cache."""
        self._cache.clear()

    def _verified(self, token: str) -> tuple[Issuer, Mapping[str, Any]]:
        unverified = opened(token, LONGEST_TOKEN)
        name, kid, kind = unverified.claims.get("iss"), unverified.header.get("kid"), unverified.header.get("typ")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise JwtRefused("the issuer is not one whose tokens are taken")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise JwtRefused("it is no access token: `typ` must be at+jwt")
        if not isinstance(kid, str):
            raise JwtRefused("its header names no key")
        key = self._keys[issuer.issuer].key(kid)
        if key is None:
            raise JwtRefused("its key is not the issuer's")
        claims = verified(token, key.document, key.accepted)
        needed = ("iss", "aud", "sub", "jti", issuer.client_claim)
        refuse_out_of_time(claims, needed, self._clock.now(), leeway=LEEWAY, longest_life=issuer.longest_life)
        return issuer, claims

    def _asked(self, token: str) -> tuple[Issuer, Mapping[str, Any]]:
        issuer = next((one for one in self._issuers.values() if one.introspection is not None), None)
        if issuer is None or issuer.introspection is None:
            raise JwtRefused("no issuer can be asked about opaque tokens")
        if not self._asking.acquire(blocking=False):
            raise IssuerUnavailable("too many calls wait for the token's issuer: try again later")
        try:
            form, headers = _question(issuer.introspection, token)
            claims = self._fetcher.json(issuer.introspection.endpoint, issuer.private_hosts, form=form, headers=headers)
        finally:
            self._asking.release()
        if not isinstance(claims, dict) or claims.get("active") is not True:
            raise JwtRefused("the issuer does not vouch for it")
        if claims.get("iss", issuer.issuer) != issuer.issuer:
            raise JwtRefused("it is another issuer's")
        needed = ("aud", issuer.client_claim)
        refuse_out_of_time(claims, needed, self._clock.now(), leeway=LEEWAY, longest_life=issuer.longest_life)
        return issuer, claims

    def _grant(self, issuer: Issuer, claims: Mapping[str, Any]) -> Grant | None:
        audience, client, scope = claims["aud"], claims[issuer.client_claim], claims.get("scope", "")
        if issuer.audience not in (audience if isinstance(audience, list) else [audience]):
            raise JwtRefused("it is meant for another audience")
        if issuer.acr and claims.get("acr") not in issuer.acr:
            raise JwtRefused("its holder did not sign in as strongly as is demanded")
        if not isinstance(client, str) or not isinstance(scope, str):
            raise JwtRefused("its client or its scope is no text")
        if _CLIENT.fullmatch(client) is None:
            raise JwtRefused("its client is not written in printable ASCII")
        key, certificate = _confirmation(claims)
        rows = self._read.rows(issuer=issuer.issuer, external_id=client)
        if not rows:
            return None
        client_id, channel, purposes, recipients, scopes, bound = rows[0]
        if (bound == Bound.DPOP and key is None) or (bound == Bound.CERTIFICATE and certificate is None):
            return None
        caller = Caller(
            client_id=client_id,
            channel=channel,
            purposes=frozenset(json.loads(purposes)),
            recipients=frozenset(json.loads(recipients)),
            scopes=frozenset(json.loads(scopes)) & frozenset(scope.split()),
        )
        return Grant(caller, key, certificate)


def _question(introspection: Introspection, token: str) -> tuple[bytes, dict[str, str]]:
    pair = f"{quote(introspection.client_id, safe='')}:{quote(introspection.client_secret, safe='')}"
    headers = {
        "Authorization": "Basic " + b64encode(pair.encode()).decode(),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return urlencode({"token": token, "token_type_hint": "access_token"}).encode(), headers


def _confirmation(claims: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Thumbprints of the key and of the certificate the token is bound to. A binding not understood is refused."""
    if "cnf" not in claims:
        return None, None
    cnf = claims["cnf"]
    if not isinstance(cnf, dict) or not cnf or not cnf.keys() <= _CONFIRMATIONS:
        raise JwtRefused("it is bound in a way that is not understood")
    if not all(isinstance(value, str) and _THUMBPRINT.fullmatch(value) for value in cnf.values()):
        raise JwtRefused("it is bound to something that is no thumbprint")
    return cnf.get("jkt"), cnf.get("x5t#S256")


def _registered() -> sa.Select[tuple[object, ...]]:
    return sa.select(
        CLIENTS.c.client_id,
        CLIENTS.c.channel,
        CLIENTS.c.purposes,
        CLIENTS.c.recipients,
        CLIENTS.c.scopes,
        CLIENTS.c.bound,
    ).where(
        CLIENTS.c.issuer == sa.bindparam("issuer", type_=sa.String),
        CLIENTS.c.external_id == sa.bindparam("external_id", type_=sa.String),
        CLIENTS.c.revoked_at.is_(None),
    )
