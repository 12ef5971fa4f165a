"""A client's signed assertion to that client (RFC 7523, as tightened by RFC 8725 and the 7523bis draft).

The algorithm comes from the key's registration, never from the assertion. The audience is the issuer alone: an
assertion made for a token endpoint elsewhere must not work here. Every assertion works once.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError
from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from consent_gateway.callers.assertions import Assertions
from consent_gateway.callers.keysets import ALGORITHMS, KeyDocument
from consent_gateway.callers.registry import AuthMethod, Client, Registry
from consent_gateway.ports import Clock

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_LIFE = timedelta(minutes=10)
LEEWAY = timedelta(seconds=30)
_LONGEST = 8192
_TYPES = ("JWT", "jwt", "client-authentication+jwt", None)
_KEYS: dict[str, type[OKPKey | ECKey | RSAKey]] = {"OKP": OKPKey, "EC": ECKey, "RSA": RSAKey}


class AssertionCheck:
    """Checks assertions for one issuer."""

    def __init__(self, registry: Registry, assertions: Assertions, clock: Clock, issuer: str) -> None:
        self._registry = registry
        self._assertions = assertions
        self._clock = clock
        self._issuer = issuer

    def client(self, assertion: str) -> Client:
        """The client that signed the assertion, now used up; else Authlib's `InvalidClientError`.

        Until the signature is verified every refusal reads the same; after it, the message names the claim.
        """
        header, unverified = _opened(assertion)
        client = self._registry.get(str(unverified.get("sub")))
        key = client.key(str(header.get("kid"))) if client and header.get("kid") else None
        if client is None or key is None or client.auth_method is not AuthMethod.PRIVATE_KEY_JWT:
            raise _refused("unknown client or key")
        claims = _verified(assertion, key)
        self._check(claims, client, self._clock.now())
        if not self._assertions.use(client.client_id, claims["jti"], _moment(claims["exp"]) + LEEWAY):
            raise _refused("the assertion was used before: sign a fresh one for each call")
        return client

    def _check(self, claims: dict[str, Any], client: Client, now: datetime) -> None:
        essential = {name: {"essential": True} for name in ("iss", "sub", "aud", "exp", "iat", "jti")}
        rules = jwt.JWTClaimsRegistry(now=int(now.timestamp()), leeway=int(LEEWAY.total_seconds()), **essential)  # type: ignore[arg-type] # the options are TypedDicts
        try:
            rules.validate(claims)
        except JoseError as error:
            raise _refused(
                "a claim is missing, malformed or out of time: exp, iat, iss, sub, aud and jti are needed"
            ) from error
        if claims["iss"] != client.client_id or claims["sub"] != client.client_id:
            raise _refused("iss and sub must both be the client id")
        if claims["aud"] not in (self._issuer, [self._issuer]):
            raise _refused("aud must be the issuer and nothing else")
        latest = (now + LONGEST_LIFE).timestamp()
        if claims["exp"] > latest or claims["iat"] < (now - LONGEST_LIFE - LEEWAY).timestamp():
            raise _refused("the assertion must be fresh and end within ten minutes")
        if not 1 <= len(claims["jti"]) <= 256:
            raise _refused("jti must have 1 to 256 characters")


class _OneKeyAlgorithms(JWSRegistry):
    """Only the algorithms of one registered key; `EdDSA` is read as Ed25519, the one curve we register."""

    def get_alg(self, name: str) -> Any:
        """The algorithm of that name, if it is one of the key's."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("the algorithm is not the key's")
        return self.algorithms["Ed25519" if name == "EdDSA" else name]


def _opened(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, not yet verified: good for finding the key and for nothing else."""
    if len(assertion) > _LONGEST:
        raise _refused("not an assertion")
    try:
        signed = jws.extract_compact(assertion.encode())
        header, claims = signed.headers(), json.loads(signed.payload or b"")
    except (JoseError, ValueError, RecursionError) as error:
        raise _refused("not an assertion") from error
    if not isinstance(claims, dict) or header.get("typ") not in _TYPES:
        raise _refused("not an assertion")
    return dict(header), claims


def _verified(assertion: str, key: KeyDocument) -> dict[str, Any]:
    algorithms = ALGORITHMS[key["alg"]]
    public = _KEYS[key["kty"]].import_key({name: value for name, value in key.items() if name != "alg"})
    try:
        token = jwt.decode(assertion, public, algorithms=algorithms, registry=_OneKeyAlgorithms(algorithms=algorithms))
    except (JoseError, ValueError) as error:
        raise _refused("the signature or the algorithm is not right for the key") from error
    return dict(token.claims)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _refused(why: str) -> InvalidClientError:
    return InvalidClientError(status_code=401, description=f"client authentication failed: {why}")
