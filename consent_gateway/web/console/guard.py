"""Whose console page it is and whose form is taken; changes nothing.

A form is taken only from our own page, shown to this very session: the browser says where it came from, and the form
carries a token of the session.
"""

import hmac
import re
import secrets
from dataclasses import dataclass

from flask import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from consent_gateway.console.sessions import LONGEST, ConsoleSession, ConsoleSessions
from consent_gateway.errors import FieldFault, FormRefused, InputRefused, NotSignedIn
from consent_gateway.web.customer.browser import refuse_foreign_site

COOKIE = "__Host-cg-console"
BROWSER_COOKIE = "__Host-cg-console-browser"
LANGUAGE_COOKIE = "__Host-cg-console-language"
FORM_BYTES = 64 * 1024  # a passkey's answer is the longest thing a form of ours sends
FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Visit:
    """One officer's browser: its session, the session's token, and what forms shown to it carry."""

    session: ConsoleSession
    token: str
    form_token: str

    def __repr__(self) -> str:
        return f"Visit(officer_id={self.session.officer.officer_id!r}, …)"


def visit_of(sessions: ConsoleSessions, request: Request) -> Visit:
    """The officer's visit. Raises `NotSignedIn`."""
    token = request.cookies.get(COOKIE, "")
    session = sessions.resolve(token)
    if session is None:
        raise NotSignedIn("sign in to see this page")
    return Visit(session, token, sessions.form_token(token))


def browser_of(request: Request) -> str:
    """The browser's own random name, for a form that is shown before a sign-in; a new one where it has none."""
    given = request.cookies.get(BROWSER_COOKIE, "")
    return given if _TOKEN.fullmatch(given) else secrets.token_urlsafe(32)


def fields_of(request: Request, form_token: str, issuer: str) -> dict[str, list[str]]:
    """The fields of a form of ours, without its token. Raises `FormRefused`, `InputRefused` for another's."""
    request.max_content_length = FORM_BYTES
    if (request.content_length or 0) > FORM_BYTES:
        raise RequestEntityTooLarge
    refuse_foreign_site(request, issuer)
    if request.mimetype != "application/x-www-form-urlencoded":
        raise InputRefused("a form is sent as `application/x-www-form-urlencoded`")
    given = request.form.getlist(FORM_TOKEN)
    if len(given) != 1 or not hmac.compare_digest(given[0].encode(), form_token.encode()):
        raise FormRefused("the form is old or from another session: open the page again and send it from there")
    return {name: values for name, values in request.form.to_dict(flat=False).items() if name != FORM_TOKEN}


def one(fields: dict[str, list[str]], name: str, *, longest: int = 256, needed: bool = True) -> str:
    """A field that is sent once, without the spaces around it. Raises `InputRefused` with the field's name."""
    values = fields.get(name, [])
    text = values[0].strip() if len(values) == 1 else ""
    if len(values) > 1 or len(text) > longest or (needed and not text) or not text.replace("\r\n", "").isprintable():
        raise InputRefused("a field of the form is missing or does not fit", (FieldFault(f"/{name}", "fill it in"),))
    return text


def keep(response: Response, name: str, value: str) -> None:
    """Let the browser keep a cookie of ours; an empty one is forgotten at once."""
    seconds = 0 if not value else int(LONGEST.total_seconds())
    # `__Host-` makes the browser refuse the cookie from another host or path, or without Secure. Lax, because the
    # provider sends the browser back from another site.
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="Lax")


def keep_language(response: Response, tag: str) -> None:
    """Let the browser keep the language that was chosen, for as long as it is open."""
    response.set_cookie(LANGUAGE_COOKIE, tag, path="/", secure=True, httponly=True, samesite="Lax")
