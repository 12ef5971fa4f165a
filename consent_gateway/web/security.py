"""Headers on every answer, the request's id, and the request's line in the log; decides nothing."""

import logging
import re
import time

from flask import Flask, Response, g, request

from consent_gateway.ids import new_id
from consent_gateway.ports import Clock
from consent_gateway.web.logs import EVENT

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Strict-Transport-Security", "max-age=63072000; includeSubDomains"),  # two years; ignored over plain HTTP
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),  # for browsers that do not know frame-ancestors
)
REQUEST_ID = "X-Request-ID"
_REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{7,63}")
_LOGGER = logging.getLogger(__name__)


def install(app: Flask, clock: Clock) -> None:
    """Put the headers on every answer of the application and write one line per request."""

    @app.before_request
    def _arrive() -> None:
        g.started = time.perf_counter_ns()
        sent = request.headers.get(REQUEST_ID)
        g.request_id = sent if sent and _REQUEST_ID_FORM.fullmatch(sent) else new_id("req", clock.now())

    @app.after_request
    def _leave(response: Response) -> Response:
        headers = response.headers
        for name, value in HEADERS:
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
        headers[REQUEST_ID] = g.request_id
        if _LOGGER.isEnabledFor(logging.INFO):
            _LOGGER.info("request", extra={EVENT: _line(response)})
        return response


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
