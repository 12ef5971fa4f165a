"""Public keys that may verify what clients and issuers sign: which are taken; verifies nothing itself.

A key is taken only with a `kid` and with the one algorithm it will be used with, so that the algorithm of an
assertion never chooses how it is checked (RFC 8725, 3.1). Private and symmetric keys are refused.
"""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from consent_gateway.errors import InputRefused

KeyDocument = Mapping[str, Any]
"""One JSON Web Key as parsed from JSON."""

ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "EdDSA": ("EdDSA", "Ed25519"),  # RFC 9864 renamed it; clients send either for the same key
    "Ed25519": ("EdDSA", "Ed25519"),
    "ES256": ("ES256",),
    "PS256": ("PS256",),
    "RS256": ("RS256",),
}
"""The algorithm a key is registered with, and the `alg` values an assertion signed with it may carry."""

MOST_KEYS = 10
MOST_ISSUER_KEYS = 100
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_LEAST_RSA_BITS = 2048
_MOST_RSA_BITS = 8192  # a bigger one is a way to make us compute


def checked_keys(document: object) -> tuple[dict[str, Any], ...]:
    """The keys of a JWKS document, each fit to verify assertions, or `InputRefused` with the mend.

    What is returned holds public members only, and of those only what is needed.
    """
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MOST_KEYS:
        raise InputRefused(f"the key set must be a JSON object with `keys`, a list of 1 to {MOST_KEYS} public keys")
    checked = tuple(_checked_key(key) for key in keys)
    if len({key["kid"] for key in checked}) != len(checked):
        raise InputRefused("two keys have the same `kid`: give each its own")
    return checked


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """One key of an outside issuer, and the `alg` values that a token signed with it may carry."""

    document: KeyDocument
    accepted: tuple[str, ...]


def issuer_keys(document: object, algorithms: Collection[str]) -> dict[str, IssuerKey]:
    """The keys of an issuer's JWKS document that verify with one of `algorithms`, by `kid`.

    An issuer publishes for others too, so keys that do not fit are passed over; a `kid` that stands for two fitting
    keys, a private key or a document that is no key set is `InputRefused`.
    """
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list) or len(keys) > MOST_ISSUER_KEYS:
        raise InputRefused(f"the key set must be a JSON object with `keys`, a list of at most {MOST_ISSUER_KEYS}")
    fitting: dict[str, IssuerKey] = {}
    for key in keys:
        if not isinstance(key, Mapping) or key.get("kty") == "oct":
            continue
        if _PRIVATE_MEMBERS & key.keys():
            raise InputRefused("the issuer publishes a private key: nothing it signs can be trusted")
        found = _issuer_key(key, algorithms)
        if found is None:
            continue
        if found.document["kid"] in fitting:
            raise InputRefused("two keys of the issuer have the same `kid`")
        fitting[found.document["kid"]] = found
    return fitting


def _issuer_key(key: Mapping[str, Any], algorithms: Collection[str]) -> IssuerKey | None:
    family, named = key.get("kty"), key.get("alg")
    candidates = [
        word for word in algorithms if _FAMILY[word] == family and (named is None or word in ALGORITHMS.get(named, ()))
    ]
    if not candidates:
        return None
    try:
        checked = _checked_key({**key, "alg": candidates[0]})
    except InputRefused:
        return None
    return IssuerKey(checked, tuple(dict.fromkeys(value for word in candidates for value in ALGORITHMS[word])))


def proof_key(jwk: object, algorithm: object) -> dict[str, Any]:
    """The public key that a DPoP proof brings along, fit for its `alg`. Raises `InputRefused`."""
    if not isinstance(jwk, Mapping):
        raise InputRefused("the proof's header needs `jwk`, its public key")
    return _checked_key({**jwk, "alg": algorithm, "kid": "proof"})


def thumbprint(key: KeyDocument) -> str:
    """RFC 7638 thumbprint (SHA-256, base64url) of a key that was taken."""
    members = {name: value for name, value in key.items() if name not in ("alg", "kid", "use")}
    return _CLASSES[key["kty"]].import_key(members).thumbprint()


def _checked_key(key: object) -> dict[str, Any]:
    if not isinstance(key, Mapping):
        raise InputRefused("each of `keys` must be a JSON object")
    if _PRIVATE_MEMBERS & key.keys():
        raise InputRefused(
            "the key set holds a private or symmetric key: register public keys only, and replace this one"
        )
    kid, algorithm = key.get("kid"), key.get("alg")
    if not isinstance(kid, str) or not 1 <= len(kid) <= 128 or not kid.isprintable():
        raise InputRefused("each key needs a `kid` of 1 to 128 characters")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InputRefused(f"each key needs an `alg`, one of {', '.join(ALGORITHMS)}")
    if key.get("use", "sig") != "sig":
        raise InputRefused("a key with a `use` other than `sig` cannot sign assertions")
    members = _MEMBERS[_FAMILY[algorithm]]
    public = {name: key[name] for name in members if isinstance(key.get(name), str)}
    _refuse_unfit(public, algorithm)
    return {**public, "kid": kid, "alg": algorithm, "use": "sig"}


_FAMILY = {"EdDSA": "OKP", "Ed25519": "OKP", "ES256": "EC", "PS256": "RSA", "RS256": "RSA"}
_CLASSES: Mapping[str, type[OKPKey | ECKey | RSAKey]] = {"OKP": OKPKey, "EC": ECKey, "RSA": RSAKey}
_MEMBERS = {"OKP": ("kty", "crv", "x"), "EC": ("kty", "crv", "x", "y"), "RSA": ("kty", "n", "e")}


def _refuse_unfit(public: dict[str, str], algorithm: str) -> None:
    family = _FAMILY[algorithm]
    if public.get("kty") != family:
        raise InputRefused(f"a key for {algorithm} must have `kty` {family}")
    curve = {"OKP": "Ed25519", "EC": "P-256", "RSA": None}[family]
    if public.get("crv") != curve:
        raise InputRefused(f"a key for {algorithm} must have `crv` {curve}")
    try:
        if family == "RSA" and not _LEAST_RSA_BITS <= _bits(public["n"]) <= _MOST_RSA_BITS:
            raise InputRefused(f"an RSA key must have {_LEAST_RSA_BITS} to {_MOST_RSA_BITS} bits")
        _CLASSES[family].import_key(dict(public))
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise InputRefused("a key cannot be read: check its members against RFC 7518") from error


def _bits(modulus: str) -> int:
    """Size of an RSA modulus as a JWK writes it; known before anything is computed with it."""
    return int.from_bytes(base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))).bit_length()
