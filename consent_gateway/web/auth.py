"""A token to a caller, its binding and its scope against the call; issues nothing and decides nothing else.

The token is taken from the `Authorization` header alone: one in a query or a form would end up in logs
(RFC 6750, 5.3; ASVS 14.2.1). A bound token passes only with what it is bound to, under the scheme of its binding.
"""

import hmac
import re

from flask import Request

from consent_gateway.callers.dpop import PROOF_ALGORITHMS, ProofCheck, ProofRefused
from consent_gateway.callers.grants import Grant
from consent_gateway.callers.outside import LONGEST_TOKEN, OutsideTokens
from consent_gateway.callers.registry import Scope
from consent_gateway.callers.tokens import PREFIX, Tokens
from consent_gateway.errors import CallerNotPermitted, Unauthenticated
from consent_gateway.vocabulary import Caller
from consent_gateway.web.client_certificate import CertificateHeader

_BEARER = 'Bearer realm="consent-gateway"'
_DPOP = f'DPoP realm="consent-gateway", algs="{" ".join(PROOF_ALGORITHMS)}"'
_TOKEN_FORM = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # token68 of RFC 9110: no comma, which joins two headers


class TokenMissing(Unauthenticated):
    """The call came without a token."""

    challenge = f"{_BEARER}, {_DPOP}"


class TokenRefused(Unauthenticated):
    """The call came with a token that is unknown, expired or revoked, or not sent as it must be."""

    def __init__(self, message: str, challenge: str = _BEARER) -> None:
        super().__init__(message)
        self.challenge = f'{challenge}, error="invalid_token"'


class ProofNotTaken(Unauthenticated):
    """The call came with a DPoP proof that does not stand, or without one."""

    challenge = f'{_DPOP}, error="invalid_dpop_proof"'


class ScopeMissing(CallerNotPermitted):
    """The token does not carry the scope of this call."""

    def __init__(self, scope: Scope, challenge: str) -> None:
        super().__init__(
            f"the token does not carry the scope `{scope.value}`: ask the operator to register the scope, "
            "then for a new token"
        )
        self.challenge = f'{challenge}, error="insufficient_scope", scope="{scope.value}"'


class Door:
    """Lets callers in. `certificates` is None where no proxy tells which certificate a client showed."""

    def __init__(
        self, tokens: Tokens, outside: OutsideTokens, proofs: ProofCheck, certificates: CertificateHeader | None
    ) -> None:
        self._tokens = tokens
        self._outside = outside
        self._proofs = proofs
        self._certificates = certificates

    def caller(self, request: Request, scope: Scope) -> Caller:
        """The caller of this request, who may make calls of that scope.

        Raises `Unauthenticated`, `CallerNotPermitted`, `IssuerUnavailable`, and `InputRefused` for a certificate
        header that may not be there.
        """
        is_dpop, token = _presented(request.environ.get("HTTP_AUTHORIZATION"))
        certificate = None if self._certificates is None else self._certificates.thumbprint(request)
        ours = token.startswith(PREFIX)
        grant = self._tokens.resolve(token) if ours else self._outside.resolve(token)
        if grant is None:
            raise TokenRefused(
                "the access token is unknown, expired, revoked or not meant for the gateway: get a new one",
                _DPOP if is_dpop else _BEARER,
            )
        self._refuse_unproved(request, grant, token, is_dpop=is_dpop)
        if grant.certificate_thumbprint is not None and not hmac.compare_digest(
            grant.certificate_thumbprint, certificate or ""
        ):
            raise TokenRefused("the access token is bound to a client certificate, and this call did not show it")
        if scope.value not in grant.caller.scopes:
            raise ScopeMissing(scope, _DPOP if is_dpop else _BEARER)
        return grant.caller

    def _refuse_unproved(self, request: Request, grant: Grant, token: str, *, is_dpop: bool) -> None:
        proof = request.environ.get("HTTP_DPOP")
        if grant.key_thumbprint is None:
            if is_dpop or proof is not None:
                raise TokenRefused(
                    "the access token is not bound to a key: get a bound one, or send it as `Authorization: Bearer …`"
                    " without a proof",
                    _DPOP,
                )
            return
        if not is_dpop:
            raise TokenRefused("the access token is bound to a key: send `Authorization: DPoP …` and a proof", _DPOP)
        if proof is None:
            raise ProofNotTaken("the access token is bound to a key: send a proof in the header `DPoP`")
        try:
            signer = self._proofs.key_thumbprint(proof, request.method, request.path, token)
        except ProofRefused as error:
            raise ProofNotTaken(f"the DPoP proof is refused: {error}") from error
        if not hmac.compare_digest(signer, grant.key_thumbprint):
            raise TokenRefused("the DPoP proof was signed by another key than the token is bound to", _DPOP)


def bearer(request: Request) -> str:
    """The bearer token of the `Authorization` header, of whatever kind. Raises `Unauthenticated`."""
    is_dpop, token = _presented(request.environ.get("HTTP_AUTHORIZATION"))
    if is_dpop:
        raise TokenRefused("the token is a bearer token: send `Authorization: Bearer …`")
    return token


def _presented(header: str | None) -> tuple[bool, str]:
    """Whether the scheme is DPoP, and the token."""
    if header is None:
        raise TokenMissing("no access token came with the call: send `Authorization: Bearer …`")
    scheme, _, token = header.partition(" ")
    token, scheme = token.strip(), scheme.lower()
    challenge = _DPOP if scheme == "dpop" else _BEARER
    if scheme not in ("bearer", "dpop") or len(token) > LONGEST_TOKEN or _TOKEN_FORM.fullmatch(token) is None:
        raise TokenRefused("the authorization header does not hold one access token", challenge)
    return scheme == "dpop", token
