"""Whose page it is and whose form is taken; changes nothing.

A form is taken only from our own page, shown to this very session: the browser says where it came from, and the form
carries a token of the session. One that a foreign site made, or that was open when somebody else signed in, is refused.
"""

from flask import Request

from consent_gateway.errors import CallerNotPermitted, InputRefused, Unauthenticated
from consent_gateway.preferences.centre import PreferenceCentre
from consent_gateway.preferences.visits import Visit, Visits

FORM_BYTES = 32 * 1024
TOKEN_FIELD = "form"  # noqa: S105 - a field's name
_FOREIGN = "the form was not sent from our own page"


def visit_of(visits: Visits, request: Request) -> Visit:
    """The visit of a whole session. Raises `Unauthenticated`."""
    visit = visits.current(request.cookies)
    if visit is None or visit.purpose is not None:
        raise Unauthenticated("sign in to see this page")
    return visit


def refuse_foreign(centre: PreferenceCentre, visit: Visit, request: Request, issuer: str) -> None:
    """Raise `CallerNotPermitted` unless the form was shown by us to this session, `InputRefused` if it is malformed."""
    request.max_content_length = FORM_BYTES
    if request.mimetype != "application/x-www-form-urlencoded":
        raise InputRefused("a form is sent as `application/x-www-form-urlencoded`")
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    # Our pages send no referrer, so browsers write the origin of our own forms as `null`; they then name the site.
    ours = origin == issuer or (origin in (None, "null") and site is not None)
    if site not in (None, "same-origin") or not ours:
        raise CallerNotPermitted(_FOREIGN)
    tokens = request.form.getlist(TOKEN_FIELD)
    if len(tokens) != 1 or not centre.is_form_token(visit.session_id, tokens[0]):
        raise CallerNotPermitted(_FOREIGN)
