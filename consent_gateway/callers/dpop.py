"""DPoP proofs (RFC 9449): whether this call was signed by the key a token is bound to; issues no token.

The checks of section 4.3 in its order, the replay store last, so that a proof refused for another reason is not
used up. There are no server nonces: a proof lives a minute, works once, and for one method, address and token.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult, urlsplit

from consent_gateway.callers.jose import JwtRefused, opened, verified
from consent_gateway.callers.keysets import ALGORITHMS, proof_key, thumbprint
from consent_gateway.callers.replay import ReplayStore
from consent_gateway.errors import InputRefused
from consent_gateway.ports import Clock

OLDEST = timedelta(seconds=60)
AHEAD = timedelta(seconds=10)
_LONGEST = 4096
_LONGEST_JTI = 256
_PORTS = {"http": 80, "https": 443}
PROOF_ALGORITHMS = tuple(dict.fromkeys(value for values in ALGORITHMS.values() for value in values))
"""The `alg` values a proof may carry: asymmetric ones only."""


class ProofRefused(Exception):
    """The proof does not stand; the message says why and quotes nothing of it."""


class ProofCheck:
    """Checks proofs for calls to the gateway at `issuer`, the base URL under which clients reach it."""

    def __init__(self, replay: ReplayStore, clock: Clock, issuer: str) -> None:
        self._replay = replay
        self._clock = clock
        self._issuer = issuer

    def key_thumbprint(self, proof: str, method: str, path: str, token: str | None) -> str:
        """Thumbprint of the key that signed the proof for this call, now used up. Raises `ProofRefused`.

        `path` is the call's path without query; `token` the access token sent along, None at the token endpoint.
        """
        try:
            unverified = opened(proof, _LONGEST, brings_key=True)
            if str(unverified.header.get("typ")).lower() not in ("dpop+jwt", "application/dpop+jwt"):
                raise ProofRefused("its `typ` is not dpop+jwt")
            algorithm = unverified.header.get("alg")
            if algorithm not in PROOF_ALGORITHMS:
                raise ProofRefused(f"its `alg` must be one of {', '.join(PROOF_ALGORITHMS)}")
            key = proof_key(unverified.header.get("jwk"), algorithm)
            claims = verified(proof, key, (str(algorithm),))
        except (JwtRefused, InputRefused) as error:
            raise ProofRefused(str(error)) from error
        jti, issued_at = claims.get("jti"), claims.get("iat")
        if not isinstance(jti, str) or not 1 <= len(jti) <= _LONGEST_JTI:
            raise ProofRefused(f"its `jti` must have 1 to {_LONGEST_JTI} characters")
        if not jti.isprintable():
            raise ProofRefused("its `jti` must hold printable characters only")
        if claims.get("htm") != method:
            raise ProofRefused("its `htm` is not the method of the call")
        if not self._is_here(claims.get("htu"), path):
            raise ProofRefused("its `htu` is not the address of the call, without query, under the issuer's URL")
        expires_at = self._fresh_until(issued_at)
        self._refuse_other_token(claims.get("ath"), token)
        signer = thumbprint(key)
        if not self._replay.use(f"dpop:{signer}", jti, expires_at):
            raise ProofRefused("it was used before: sign a fresh one for each call")
        return signer

    def _is_here(self, htu: object, path: str) -> bool:
        if not isinstance(htu, str) or not htu.isascii() or not htu.isprintable():
            return False  # `urlsplit` would pass over a line break or a tab
        try:
            return _normal(urlsplit(htu)) == _normal(urlsplit(self._issuer + path))
        except ValueError:
            return False

    def _fresh_until(self, issued_at: object) -> datetime:
        """The last moment at which the proof could be accepted."""
        now = self._clock.now()
        if not isinstance(issued_at, int | float) or isinstance(issued_at, bool):
            raise ProofRefused("its `iat` is no time")
        try:
            made = datetime.fromtimestamp(issued_at, UTC)
        except (OverflowError, ValueError, OSError) as error:
            raise ProofRefused("its `iat` is no time") from error
        if not now - OLDEST <= made <= now + AHEAD:
            raise ProofRefused(f"its `iat` must lie within {int(OLDEST.total_seconds())} seconds of our clock")
        return made + OLDEST

    @staticmethod
    def _refuse_other_token(ath: object, token: str | None) -> None:
        if token is None:
            return
        expected = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=")
        if not isinstance(ath, str) or not hmac.compare_digest(ath.encode(), expected):
            raise ProofRefused("its `ath` is not the hash of the access token")


def _normal(url: SplitResult) -> tuple[object, ...]:
    """What must be equal of two addresses (RFC 3986, 6.2.2 and 6.2.3): case of scheme and host, the usual port."""
    named = "@" in url.netloc  # nobody's address names a person
    return (
        url.scheme.lower(),
        url.hostname,
        url.port or _PORTS.get(url.scheme),
        url.path,
        url.query + url.fragment,
        named,
    )
