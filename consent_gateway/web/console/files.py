"""What the console's pages are drawn with: the stylesheet, and the one script that lets a passkey answer."""

from importlib.resources import files

from flask import Response

from consent_gateway.web.console.routes import PageCall, page
from consent_gateway.web.console.showing import HOME
from consent_gateway.web.operations import Public

_LOOKS = Public("how pages look is nobody's secret")


@page("GET", f"{HOME}/style.css", _LOOKS)
def stylesheet(call: PageCall) -> Response:
    """The stylesheet."""
    return _kept(call, "console.css", "text/css; charset=utf-8")


@page("GET", f"{HOME}/passkey.js", _LOOKS)
def script(call: PageCall) -> Response:
    """The script of passkeys, without which no browser asks for one."""
    return _kept(call, "passkey.js", "text/javascript; charset=utf-8")


@page("GET", f"{HOME}/icon.svg", _LOOKS)
def icon(call: PageCall) -> Response:
    """The icon."""
    return _kept(call, "icon.svg", "image/svg+xml")


def _kept(call: PageCall, name: str, content_type: str) -> Response:
    content = (files("consent_gateway.web") / "static" / name).read_bytes()
    response = Response(content, content_type=content_type)
    response.headers["Cache-Control"] = "public, max-age=3600"
    response.add_etag()
    response.make_conditional(call.request)
    return response


PAGES = (stylesheet, script, icon)
