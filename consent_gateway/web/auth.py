"""A bearer token to a caller, and the caller's scope against the call's; issues nothing and decides nothing else.

The token is taken from the `Authorization` header alone: one in a query or a form would end up in logs
(RFC 6750, 5.3; ASVS 14.2.1).
"""

from flask import Request

from consent_gateway.callers.registry import Scope
from consent_gateway.callers.tokens import Tokens
from consent_gateway.errors import CallerNotPermitted, Unauthenticated
from consent_gateway.vocabulary import Caller

_REALM = 'Bearer realm="consent-gateway"'
_LONGEST = 512


class TokenMissing(Unauthenticated):
    """The call came without a token."""

    challenge = _REALM


class TokenRefused(Unauthenticated):
    """The call came with a token that is unknown, expired or revoked, or not sent as it must be."""

    challenge = f'{_REALM}, error="invalid_token"'


class ScopeMissing(CallerNotPermitted):
    """The token does not carry the scope of this call."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            f"the token does not carry the scope `{scope.value}`: ask the operator to register the scope, "
            "then for a new token"
        )
        self.challenge = f'{_REALM}, error="insufficient_scope", scope="{scope.value}"'


def authenticate(tokens: Tokens, request: Request, scope: Scope) -> Caller:
    """The caller of this request, who may make calls of that scope. Raises `Unauthenticated`, `CallerNotPermitted`."""
    header = request.headers.get("Authorization")
    if header is None:
        raise TokenMissing("no access token came with the call: send `Authorization: Bearer …`")
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not 1 <= len(token) <= _LONGEST:
        raise TokenRefused("the authorization header does not hold a bearer token")
    caller = tokens.resolve(token)
    if caller is None:
        raise TokenRefused("the access token is unknown, expired or revoked: get a new one")
    if scope.value not in caller.scopes:
        raise ScopeMissing(scope)
    return caller
