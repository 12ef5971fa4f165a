"""A visitor's browser: its two cookies, the session they lead to, and whether a form is our own; holds no route.

A form counts only where the browser says that it comes from our own page (`Sec-Fetch-Site`, `Origin`) and where it
brings the token that only that page had. Both, because either has had holes in some browser.
"""

import hmac
import ipaddress
import re
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.customer_desk import SESSION_COOKIE, CustomerDesk
from consent_gateway.customer_settings import Networks
from consent_gateway.customers.sessions import Assurance, CustomerSession, IssuedToken
from consent_gateway.errors import FieldFault, FormRefused, InputRefused, NotSignedIn

BROWSER_COOKIE = "__Host-cg-browser"
FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field
LANGUAGE = "lang"
"""The field in which each form says in which language its answer is to be; an unknown one is passed over."""

FORM_BYTES = 16 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a browser. `browser` is its cookie's value, which is new to it where `is_new`."""

    browser: str
    is_new: bool
    session_token: str | None
    session: CustomerSession | None
    form_token: str

    def __repr__(self) -> str:
        return f"Visit(session={self.session!r}, …)"


def visit_of(request: Request, desk: CustomerDesk) -> Visit:
    """The browser behind a request, and its customer where one is signed in."""
    browser = request.cookies.get(BROWSER_COOKIE, "")
    is_new = _TOKEN.fullmatch(browser) is None
    if is_new:
        browser = secrets.token_urlsafe(32)
    token = request.cookies.get(SESSION_COOKIE)
    session = None if token is None else desk.sessions.resolve(token)
    if token is None or session is None:
        form_token = keyed_digest(desk.form_key, "visitor-form", browser.encode())
    else:
        form_token = desk.sessions.form_token(token)
    return Visit(browser, is_new, token, session, form_token)


def refuse_unless_signed_in(visit: Visit, assurances: frozenset[Assurance]) -> None:
    """Raise `NotSignedIn` where nobody is, or not in one of these ways."""
    if visit.session is None:
        raise NotSignedIn("nobody is signed in here, or the sign-in is over: sign in again")
    if visit.session.assurance not in assurances:
        raise NotSignedIn("this page needs another way of signing in than the link you came by")


def refuse_foreign_form(request: Request, visit: Visit, issuer: str) -> None:
    """Raise `FormRefused` unless the form was sent by a page of ours, in this browser."""
    refuse_foreign_site(request, issuer)
    request.max_content_length = FORM_BYTES + 1
    if (request.content_length or 0) > FORM_BYTES:
        raise RequestEntityTooLarge
    given = request.form.get(FORM_TOKEN, "")
    if not hmac.compare_digest(given.encode(), visit.form_token.encode()):
        raise FormRefused("the form is old or from another browser: open the page again and send it from there")


def refuse_foreign_site(request: Request, issuer: str) -> None:
    """Raise `FormRefused` unless the browser says that our own page sent this: by one header, and by none otherwise."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is None and origin is None:
        raise FormRefused("the browser does not say which page sent the form: use a newer one")
    if site not in (None, "same-origin") or origin not in (None, origin_of(issuer)):
        raise FormRefused("the form was sent by another page than ours: nothing was changed")


def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, each given once, without its token and language. Raises `InputRefused`."""
    fields = {name: request.form.getlist(name) for name in request.form if name not in (FORM_TOKEN, LANGUAGE)}
    twice = tuple(FieldFault(f"/{name}", "given twice") for name, values in fields.items() if len(values) > 1)
    if twice:
        raise InputRefused("a field of the form is given twice", twice)
    return {name: values[0] for name, values in fields.items()}


def keep(response: Response, visit: Visit) -> None:
    """Let a browser that came without one keep its cookie."""
    if visit.is_new:
        _set(response, BROWSER_COOKIE, visit.browser, None)  # for as long as the browser is open


def sign_in(response: Response, issued: IssuedToken) -> None:
    """Let the browser keep the session's token, until the session's absolute end."""
    _set(response, SESSION_COOKIE, issued.token, issued.seconds)


def sign_out(response: Response) -> None:
    """Let the browser forget its session and its own cookie; the session itself is ended elsewhere."""
    for name in (SESSION_COOKIE, BROWSER_COOKIE):
        _set(response, name, "", 0)


def visitor_address(request: Request, proxies: Networks) -> str:
    """The network address of the visitor: the peer's, or what the last proxy of ours says of whom it speaks for."""
    address = request.remote_addr or ""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
    while hops and hops[-1] and _is_in(address, proxies):
        address = hops.pop()
    return address


def origin_of(url: str) -> str:
    """The origin of a URL as browsers write it (RFC 6454): scheme, host, and the port where it is not the usual one."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = parts.port
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}")


def _set(response: Response, name: str, value: str, seconds: int | None) -> None:
    # `__Host-` makes the browser refuse the cookie from another host or path, or without Secure.
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="Lax")


def _is_in(address: str, networks: Networks) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in networks)
