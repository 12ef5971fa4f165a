"""A bearer token to a caller, and the caller's scope against the call's; issues nothing and decides nothing else.

The token is taken from the `Authorization` header alone: one in a query or a form would end up in logs
(RFC 6750, 5.3; ASVS 14.2.1).
"""

from flask import Request

from consent_gateway.callers.registry import Scope
from consent_gateway.callers.tokens import Tokens
from consent_gateway.errors import CallerNotPermitted, OfficerNotPermitted, SignInStale, Unauthenticated
from consent_gateway.officers.registry import Role
from consent_gateway.officers.sessions import Sessions, SignedIn
from consent_gateway.ports import Clock
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


class Stale(SignInStale):
    """The officer signed in too long ago for this call."""

    def __init__(self, fresh_seconds: int) -> None:
        super().__init__(f"this call needs a sign-in of the last {fresh_seconds // 60} minutes: sign in again")
        self.challenge = f'{_REALM}, error="insufficient_user_authentication", max_age="{fresh_seconds}"'


def authenticate(tokens: Tokens, request: Request, scope: Scope) -> Caller:
    """The caller of this request, who may make calls of that scope. Raises `Unauthenticated`, `CallerNotPermitted`."""
    caller = tokens.resolve(bearer(request))
    if caller is None:
        raise TokenRefused("the access token is unknown, expired or revoked: get a new one")
    if scope.value not in caller.scopes:
        raise ScopeMissing(scope)
    return caller


def authenticate_officer(
    sessions: Sessions, clock: Clock, request: Request, role: Role | None, fresh_seconds: int | None
) -> SignedIn:
    """The officer of this request, who holds the role and signed in not longer ago than `fresh_seconds`.

    Raises `Unauthenticated`, `OfficerNotPermitted` and, with a challenge as of RFC 9470, `SignInStale`.
    """
    officer = sessions.resolve(bearer(request))
    if officer is None:
        raise TokenRefused("the officer token is unknown, expired or revoked: sign in again")
    if role is not None and role not in officer.roles:
        raise OfficerNotPermitted(f"you do not hold the role `{role.value}`: ask the operator for it")
    if fresh_seconds is not None and (clock.now() - officer.auth_time).total_seconds() > fresh_seconds:
        raise Stale(fresh_seconds)
    return officer


def bearer(request: Request) -> str:
    """The token of the `Authorization` header. Raises `Unauthenticated`."""
    header = request.headers.get("Authorization")
    if header is None:
        raise TokenMissing("no access token came with the call: send `Authorization: Bearer …`")
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not 1 <= len(token) <= _LONGEST:
        raise TokenRefused("the authorization header does not hold a bearer token")
    return token
