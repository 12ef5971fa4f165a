"""A client's signed assertion to that client (RFC 7523, as tightened by RFC 8725 and the 7523bis draft).

The algorithm comes from the key's registration, never from the assertion. The audience is the issuer alone: an
assertion made for a token endpoint elsewhere must not work here. Every assertion works once.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError

from consent_gateway.callers.jose import JwtRefused, opened, refuse_out_of_time, verified
from consent_gateway.callers.keysets import ALGORITHMS
from consent_gateway.callers.registry import AuthMethod, Client, Registry
from consent_gateway.callers.replay import ReplayStore
from consent_gateway.ports import Clock

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_LIFE = timedelta(minutes=10)
LEEWAY = timedelta(seconds=30)
_LONGEST = 8192
_TYPES = ("JWT", "jwt", "client-authentication+jwt", None)
_CLAIMS = ("iss", "sub", "aud", "jti")


class AssertionCheck:
    """Checks assertions for one issuer."""

    def __init__(self, registry: Registry, replay: ReplayStore, clock: Clock, issuer: str) -> None:
        self._registry = registry
        self._replay = replay
        self._clock = clock
        self._issuer = issuer

    def client(self, assertion: str) -> Client:
        """The client that signed the assertion, now used up; else Authlib's `InvalidClientError`.

        Until the signature is verified every refusal reads the same; after it, the message names the claim.
        """
        try:
            unverified = opened(assertion, _LONGEST)
        except JwtRefused as error:
            raise _refused("not an assertion") from error
        if unverified.header.get("typ") not in _TYPES:
            raise _refused("not an assertion")
        client = self._registry.get(str(unverified.claims.get("sub")))
        kid = unverified.header.get("kid")
        key = client.key(str(kid)) if client and kid else None
        if client is None or key is None or client.auth_method is not AuthMethod.PRIVATE_KEY_JWT:
            raise _refused("unknown client or key")
        try:
            claims = verified(assertion, key, ALGORITHMS[key["alg"]])
        except JwtRefused as error:
            raise _refused("the signature or the algorithm is not right for the key") from error
        self._check(claims, client, self._clock.now())
        last_moment = datetime.fromtimestamp(claims["exp"], UTC) + LEEWAY
        if not self._replay.use(client.client_id, claims["jti"], last_moment):
            raise _refused("the assertion was used before: sign a fresh one for each call")
        return client

    def _check(self, claims: Mapping[str, Any], client: Client, now: datetime) -> None:
        try:
            refuse_out_of_time(claims, _CLAIMS, now, leeway=LEEWAY, longest_life=LONGEST_LIFE)
        except JwtRefused as error:
            raise _refused(
                f"{error}: exp, iat, iss, sub, aud and jti are needed, and an end within ten minutes"
            ) from error
        if claims["iss"] != client.client_id or claims["sub"] != client.client_id:
            raise _refused("iss and sub must both be the client id")
        if claims["aud"] not in (self._issuer, [self._issuer]):
            raise _refused("aud must be the issuer and nothing else")
        if not isinstance(claims["jti"], str) or len(claims["jti"]) > 256:
            raise _refused("jti must have 1 to 256 characters")


def _refused(why: str) -> InvalidClientError:
    return InvalidClientError(status_code=401, description=f"client authentication failed: {why}")
