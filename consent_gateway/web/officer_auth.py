"""An officer's token to the officer, and roles and freshness against the call; issues nothing, decides nothing else."""

from flask import Request

from consent_gateway.console.permissions import Doing, may, not_permitted
from consent_gateway.errors import SignInStale
from consent_gateway.officers.sessions import PREFIX, Sessions, SignedIn
from consent_gateway.ports import Clock
from consent_gateway.web.auth import TokenRefused, bearer


class Stale(SignInStale):
    """The officer signed in too long ago for this call."""

    def __init__(self, fresh_seconds: int) -> None:
        super().__init__(f"this call needs a sign-in of the last {fresh_seconds // 60} minutes: sign in again")
        self.challenge = (
            f'Bearer realm="consent-gateway", error="insufficient_user_authentication", max_age="{fresh_seconds}"'
        )


def authenticate_officer(
    sessions: Sessions, clock: Clock, request: Request, doing: Doing | None, fresh_seconds: int | None
) -> SignedIn:
    """The officer of this request, whose roles permit the act and who signed in not longer ago than `fresh_seconds`.

    Raises `Unauthenticated`, `OfficerNotPermitted` and, with a challenge as of RFC 9470, `SignInStale`.
    """
    officer = sessions.resolve(bearer(request))
    if officer is None:
        raise TokenRefused("the officer token is unknown, expired or revoked: sign in again")
    if doing is not None and not may(officer.roles, doing):
        raise not_permitted(doing)
    if fresh_seconds is not None and (clock.now() - officer.auth_time).total_seconds() > fresh_seconds:
        raise Stale(fresh_seconds)
    return officer


def bearer_of_officer(request: Request) -> bool:
    """Whether the call came with a token of the form that officers get; looks nothing up."""
    _scheme, _, token = (request.environ.get("HTTP_AUTHORIZATION") or "").partition(" ")
    return bool(token.strip().startswith(PREFIX))
