"""The one way a signed JWT is opened and verified here; knows no issuer, no client and no store.

A header can only be refused by what is in it, never widen what is accepted: the key and the algorithms come
from whoever calls. A key or an address that a header brings along (`jwk`, `jku`, `x5u`, `x5c`) is refused rather than
passed over, and so is every critical extension, because none is understood here (RFC 8725).
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

_BROUGHT_KEYS = ("jwk", "jku", "x5u", "x5c")
_KEYS: dict[str, type[OKPKey | ECKey | RSAKey]] = {"OKP": OKPKey, "EC": ECKey, "RSA": RSAKey}
_MOST_HEADER_BYTES = 2048  # a proof's header holds a whole RSA key
_TIMES = ("exp", "iat", "nbf")


class JwtRefused(Exception):
    """The text is no JWT that may be accepted; the message says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """Header and claims as they came: good for finding the key, and for nothing else."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


def opened(text: str, longest: int, *, brings_key: bool = False) -> Unverified:
    """Header and claims of a compact JWT of at most `longest` characters. Raises `JwtRefused`.

    With `brings_key` the header may hold the key itself, as that of a DPoP proof must.
    """
    if len(text) > longest or not text.isascii():
        raise JwtRefused("it is no JWT of a length that is taken")
    try:
        signed = jws.extract_compact(text.encode(), registry=_registry(()))
        header, claims = _object(signed.segments["header"]), strict_json(signed.payload or b"")
    except (JoseError, ValueError, RecursionError) as error:
        raise JwtRefused("it is no JWT") from error
    if not isinstance(claims, dict):
        raise JwtRefused("its claims are no JSON object")
    if "crit" in header:
        raise JwtRefused("it has a critical extension, and none is understood")
    brought = [name for name in _BROUGHT_KEYS if name in header and not (name == "jwk" and brings_key)]
    if brought:
        raise JwtRefused(f"its header brings a key (`{brought[0]}`): name a known one by `kid`")
    return Unverified(header, claims)


def verified(text: str, key: Mapping[str, Any], accepted: Collection[str]) -> dict[str, Any]:
    """The claims, after the signature was verified with this public key under one of the `accepted` `alg` values.

    Raises `JwtRefused`. Times are not checked: that is `refuse_out_of_time`.
    """
    algorithms = tuple(accepted)
    if not algorithms:
        raise JwtRefused("no algorithm is accepted for the key")
    try:
        public = _KEYS[key["kty"]].import_key({name: value for name, value in key.items() if name != "alg"})
        token = jwt.decode(text, public, algorithms=algorithms, registry=_registry(algorithms))
    except (JoseError, ValueError, KeyError) as error:
        raise JwtRefused("the signature or the algorithm is not right for the key") from error
    return dict(token.claims)


def refuse_out_of_time(
    claims: Mapping[str, Any], needed: Collection[str], now: datetime, *, leeway: timedelta, longest_life: timedelta
) -> None:
    """Raise `JwtRefused` where a needed claim is missing or empty, a time is no number or a life is too long.

    `exp` and `iat` are always needed: without them the library would let a token live for ever.
    """
    absent = sorted(name for name in {*needed, "exp", "iat"} if claims.get(name) in (None, "", [], {}))
    if absent:
        raise JwtRefused(f"the claim `{absent[0]}` is missing")
    malformed = sorted(name for name in _TIMES if name in claims and type(claims[name]) not in (int, float))
    if malformed:
        raise JwtRefused(f"the claim `{malformed[0]}` is no time")
    rules = jwt.JWTClaimsRegistry(now=int(now.timestamp()), leeway=int(leeway.total_seconds()))
    try:
        rules.validate(dict(claims))
    except (JoseError, OverflowError) as error:
        raise JwtRefused("it is out of time") from error
    if not 0 < claims["exp"] - claims["iat"] <= longest_life.total_seconds():
        raise JwtRefused(f"its life is longer than the {int(longest_life.total_seconds())} seconds that are taken")


class _Registry(JWSRegistry):
    """Only the algorithms given; `EdDSA` is read as Ed25519, the one curve taken here."""

    max_header_length = _MOST_HEADER_BYTES

    def get_alg(self, name: str) -> Any:
        """The algorithm of that name, if it is one of those given."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("the algorithm is not the key's")
        return self.algorithms["Ed25519" if name == "EdDSA" else name]


def _registry(algorithms: Collection[str]) -> JWSRegistry:
    # not strict: RFC 7515 has unknown members passed over, and issuers add their own
    return _Registry(algorithms=algorithms, strict_check_header=False)


def _object(segment: bytes) -> dict[str, Any]:
    value = strict_json(urlsafe_b64decode(segment))
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - every fault of the text is one kind of error
    return value


def strict_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises `ValueError`, also for a member that stands twice and for NaN."""
    return json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member that stands twice is read one way by us and another way by the next."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_constant(_name: str) -> Any:
    raise ValueError("NaN is no number")
