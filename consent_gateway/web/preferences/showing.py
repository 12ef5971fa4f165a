"""Renders the pages: which language, which template, and the answer's headers; asks nobody for anything."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from flask import Request, Response, render_template

from consent_gateway.preferences.centre import PreferenceCentre
from consent_gateway.preferences.words import Words
from consent_gateway.vocabulary import LANGUAGES
from consent_gateway.web.fields import ID

HOME = "/preferences"
SIGN_IN = "/sign-in"
IS_ID = re.compile(ID).fullmatch
_HTML = "text/html; charset=utf-8"
_WORDED = (400, 403, 404, 409, 429, 503)  # other failures are told in the words of 500


_TOLD = frozenset({"sign_in_refused", "form_refused", "not_signed_in", "too_many_requests", "not_found"})


def language_of(request: Request, words: Mapping[str, Words]) -> str:
    """The language asked for by address or form, else the best of the browser's, else the first of ours."""
    asked = asked_language(request, words)
    if asked is not None:
        return asked
    # In the browser's own order, a regional form counting as its language: `fr-CA` before `en` is French.
    spoken = (tag.partition("-")[0].lower() for tag in request.accept_languages.values())
    return next((tag for tag in spoken if tag in words), LANGUAGES[0])


def asked_language(request: Request, words: Mapping[str, Words]) -> str | None:
    """The language that the address or the form asks for by name; None where neither does."""
    asked = request.args.get("lang") or (request.form.get("lang") if request.method == "POST" else None)
    return asked if asked in words else None


def show(
    centre: PreferenceCentre,
    words: Words,
    template: str,
    *,
    status: int = 200,
    kept: Mapping[str, str] = MappingProxyType({}),
    **values: Any,
) -> Response:
    """A page in these words. `kept` is what its address must hold besides the language."""
    page = render_template(
        f"{template}.html" if "/" in template else f"preferences/{template}.html",
        t=words,
        brand=centre.brand,
        responsible=centre.responsible(),
        languages=centre.words.values(),
        home=HOME,
        in_language=lambda language: f"?{urlencode({'lang': language, **kept})}",
        link=lambda path, **query: address(words, path, **query),
        **values,
    )
    response = Response(page, status=status, content_type=_HTML)
    response.headers["Vary"] = "Accept-Language, Cookie, Sec-GPC"
    response.headers["Content-Language"] = words.language
    return response


def show_sign_in(centre: PreferenceCentre, words: Words, status: int, purpose: str | None = None) -> Response:
    """The page of a visitor who is not signed in, or only for one purpose."""
    return show(centre, words, "sign_in", status=status, sign_in=SIGN_IN, purpose=purpose)


def show_failure(centre: PreferenceCentre, words: Words, status: int) -> Response:
    """The page of a failure, in words that name no fact of anyone."""
    return show(centre, words, "failure", status=status, key=str(status if status in _WORDED else 500))


def show_problem(centre: PreferenceCentre, request: Request, problem: Mapping[str, Any]) -> Response:
    """The page of a problem on the way in or out: what to do in the visitor's language, the code for whoever helps."""
    words = centre.words[language_of(request, centre.words)]
    why = problem["code"]
    if why not in _TOLD:
        why = "later" if problem["status"] >= 500 else "input"
    return show(centre, words, "customer/error", status=problem["status"], why=why, problem=problem, sign_in=SIGN_IN)


def address(words: Words, path: str, **query: str | int) -> str:
    """An address of ours that stays in the language."""
    return f"{path}?{urlencode({'lang': words.language, **query})}"


def see_other(words: Words, path: str, **query: str | int) -> Response:
    """The answer to a form that was carried out: look there now (303), so that a reload sends nothing again."""
    response = Response(status=303)
    response.headers["Location"] = address(words, path, **query)
    return response
