"""Renders the officers' pages: the template, the head with who is signed in, the headers; asks nobody for anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from flask import Request, Response, render_template

from consent_gateway.console.permissions import Doing, may
from consent_gateway.web.console.guard import Visit, keep_language
from consent_gateway.web.console.words import languages, words_of
from consent_gateway.web.security import let_script

HOME = "/console"
SIGN_IN = f"{HOME}/sign-in"
_HTML = "text/html; charset=utf-8"
TABS: tuple[tuple[str, str, Doing], ...] = (
    (HOME, "Overview", Doing.SEE_OVERVIEW),
    (f"{HOME}/requests", "Requests", Doing.SEE_REQUESTS),
    (f"{HOME}/decisions", "Decisions", Doing.SEE_DECISIONS),
    (f"{HOME}/people", "People", Doing.SEE_PEOPLE),
    (f"{HOME}/policies", "Policies", Doing.SEE_POLICIES),
    (f"{HOME}/reports", "Reports", Doing.SEE_REPORTS),
    (f"{HOME}/log", "Log", Doing.SEE_LOG),
    (f"{HOME}/recipients", "Recipients", Doing.SEE_RECIPIENTS),
    (f"{HOME}/keys", "Keys", Doing.SEE_KEYS),
    (f"{HOME}/settings", "Settings", Doing.SEE_SETTINGS),
)


@dataclass(frozen=True, slots=True)
class Tab:
    """One link of the navigation."""

    path: str
    name: str
    is_here: bool


def show(
    request: Request, visit: Visit | None, template: str, *, status: int = 200, scripts: bool = False, **values: Any
) -> Response:
    """A page out of its template. With `scripts` it may load the one script of passkeys, and no other."""
    if scripts:
        let_script(request.environ)
    roles = frozenset() if visit is None else visit.session.officer.roles
    tabs = [Tab(path, name, _is_at(request.path, path)) for path, name, doing in TABS if may(roles, doing)]
    words = words_of(request)
    page = render_template(
        f"console/{template}.html",
        visit=visit,
        tabs=tabs,
        home=HOME,
        may=lambda doing: may(roles, Doing(doing)),
        day=_day,
        moment=_moment,
        scripts=scripts,
        _=words,
        lang=words.tag,
        dir=words.direction,
        languages=languages(),
        in_language=lambda tag: f"?{urlencode({**request.args.to_dict(), 'lang': tag})}",
        **values,
    )
    response = Response(page, status=status, content_type=_HTML)
    response.headers["Vary"] = "Accept-Language, Cookie"
    response.headers["Content-Language"] = words.tag
    if request.args.get("lang") == words.tag:
        keep_language(response, words.tag)
    return response


def see_other(path: str, query: Mapping[str, str] | None = None) -> Response:
    """The answer to a form that was carried out: look there now, so that a reload sends nothing again."""
    response = Response(status=303)
    response.headers["Location"] = f"{path}?{urlencode(query)}" if query else path
    return response


def _is_at(path: str, tab: str) -> bool:
    return path == tab if tab == HOME else path == tab or path.startswith(f"{tab}/")


def _moment(value: datetime | str | None) -> str:
    """A moment for a reader: to the second, in UTC, which it says."""
    if value is None:
        return ""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _day(value: Any) -> str:
    return "" if value is None else str(value)[:10]
