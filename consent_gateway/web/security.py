"""Headers on every answer, the request's id, and the request's line in the log; decides nothing."""

import logging
import re
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request

from consent_gateway.web.logs import EVENT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "
CONTENT_SECURITY_POLICY = f"{_POLICY}'none'"
HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Strict-Transport-Security", "max-age=63072000; includeSubDomains"),  # two years; ignored over plain HTTP
    ("Referrer-Policy", "same-origin"),  # under no-referrer a browser sends our own forms with `Origin: null`
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),  # for browsers that do not know frame-ancestors
)
_NOT_FRAMED = ("Content-Security-Policy", "X-Frame-Options")
_FRAMED_BY = "consent_gateway.framed_by"
_SCRIPTED = "consent_gateway.scripted"
SCRIPTED_POLICY = CONTENT_SECURITY_POLICY.replace("style-src", "script-src 'self'; style-src", 1)
"""The one policy with our own script: of pages on which a passkey answers, which no browser does without one."""
REQUEST_ID = "X-Request-ID"
_REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{7,63}")
_LOGGER = logging.getLogger(__name__)


def install(app: Flask) -> None:
    """Put the headers on every answer of the application and write one line per request."""
    app.wsgi_app = _with_headers(app.wsgi_app)  # type: ignore[assignment, method-assign] # Flask's documented way

    @app.before_request
    def _arrive() -> None:
        g.started = time.perf_counter_ns()
        sent = request.headers.get(REQUEST_ID)
        g.request_id = sent if sent and _REQUEST_ID_FORM.fullmatch(sent) else f"req_{secrets.token_hex(12)}"

    @app.after_request
    def _leave(response: Response) -> Response:
        headers = response.headers
        if "Cache-Control" not in headers:
            headers.add("Cache-Control", "no-store")
        headers.add(REQUEST_ID, g.request_id)
        if _LOGGER.isEnabledFor(logging.INFO):
            _LOGGER.info("request", extra={EVENT: _line(response)})
        return response


def let_frame(environ: "WSGIEnvironment", origins: Iterable[str]) -> None:
    """Let exactly these origins frame the answer to this request, and nobody where there are none."""
    environ[_FRAMED_BY] = tuple(origins)


def let_script(environ: "WSGIEnvironment") -> None:
    """Let the page that answers this request load our own script."""
    environ[_SCRIPTED] = True


def framed_by(origins: Iterable[str]) -> str:
    """The one policy with these origins in place of nobody."""
    return f"{_POLICY}{' '.join(origins)}"


def _headers_of(environ: "WSGIEnvironment") -> tuple[tuple[str, str], ...]:
    origins = environ.get(_FRAMED_BY)
    if environ.get(_SCRIPTED):
        others = tuple(header for header in HEADERS if header[0] != _NOT_FRAMED[0])
        return (("Content-Security-Policy", SCRIPTED_POLICY), *others)
    if not origins:
        return HEADERS
    others = tuple(header for header in HEADERS if header[0] not in _NOT_FRAMED)
    return (("Content-Security-Policy", framed_by(origins)), *others)


def _with_headers(inner: "WSGIApplication") -> "WSGIApplication":
    """The fixed headers, added as the answer leaves: no handler, hook or error can do without them."""

    def outer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *_headers_of(environ)], *rest)

        return inner(environ, start)

    return outer


def _line(response: Response) -> dict[str, object]:
    line: dict[str, object] = {
        "request_id": g.request_id,
        "method": request.method if request.method.isalpha() and len(request.method) < 10 else "?",
        "route": request.url_rule.rule if request.url_rule else None,
        "status": response.status_code,
        "milliseconds": round((time.perf_counter_ns() - g.started) / 1e6, 2),
    }
    for name in ("client_id", "decision_id", "problem"):
        value = g.get(name)
        if value is not None:
            line[name] = value
    return line
