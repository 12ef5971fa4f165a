"""The pages on which people ask for their rights: start, prove, follow, call off, download; decides nothing."""

import io
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Response

from consent_gateway.errors import Conflict, InputRefused, NotFound
from consent_gateway.preferences.centre import CHANNEL
from consent_gateway.rights.access_report import files_of
from consent_gateway.rights.own import LONGEST_TEXT
from consent_gateway.rights.requests import SAID
from consent_gateway.rights.states import State
from consent_gateway.web.preferences.answering import fields_of
from consent_gateway.web.preferences.routes import Customer, PageCall, page
from consent_gateway.web.preferences.showing import HOME, IS_ID, see_other, show

REQUESTS = f"{HOME}/requests"
PACKAGE = f"{HOME}/package"
_MIDNIGHT = (1980, 1, 1, 0, 0, 0)  # of the files in an archive: when it was made stands in them


@page("GET", REQUESTS, auth=Customer())
def requests(call: PageCall) -> Response:
    """Every request of the person, and what they can ask for."""
    return _all(call)


def _all(call: PageCall, *, status: int = 200, fault: tuple[str, str] | None = None, text: str = "") -> Response:
    person = call.visit.data_subject
    call.centre.account_for(person, "view_requests")
    return _shown(
        call,
        "requests",
        status=status,
        asked=call.own.all(person),
        rights=call.own.rights(person),
        longest=LONGEST_TEXT,
        said=SAID,
        fault=fault,
        text=text,
    )


@page("POST", REQUESTS, auth=Customer())
def start(call: PageCall) -> Response:
    """Ask for something; the law's time begins now."""
    fields = fields_of(call)
    right, text = fields.get("right", ""), fields.get("text", "")
    if right in SAID and not 0 < len(text.strip()) <= LONGEST_TEXT:
        fault = call.words("requests.say_what" if right == "correct" else "stranger.wrong.text")
        return _all(call, status=400, fault=(right, fault), text=text)
    asked = call.own.start(call.visit, right, text, call.words.language, CHANNEL)
    return see_other(call.words, f"{REQUESTS}/{asked.request_id}", done="asked")


@page("GET", f"{REQUESTS}/{{item}}", auth=Customer())
def request(call: PageCall) -> Response:
    """One request: how it stands, by when, and what its person can do. An agent's link names it a second time."""
    if call.request.args.get("request_id") not in (None, call.item):
        raise NotFound("the link names two requests")
    done = call.request.args.get("done")
    return _one(call, call.item, done=done if done in ("asked", "proved", "withdrawn") else None)


def _one(call: PageCall, request_id: str, *, status: int = 200, **values: Any) -> Response:
    person = call.visit.data_subject
    call.centre.account_for(person, "view_requests")
    one = call.own.one(person, request_id)
    outcome = one.request.outcome or {}
    stays = call.words.kinds(call.centre.kinds_of(outcome.get("leftovers", ())))
    waits = one.state is State.IDENTITY_PENDING
    return _shown(call, "request", status=status, one=one, stays=stays, waits=waits, **{"stale": False, **values})


@page("POST", f"{REQUESTS}/prove", auth=Customer())
def prove(call: PageCall) -> Response:
    """Say by a fresh sign-in: this is me."""
    request_id = _request_id(call)
    if call.own.prove(call.visit, request_id, CHANNEL):
        return see_other(call.words, f"{REQUESTS}/{request_id}", done="proved")
    return _one(call, request_id, status=403, stale=True)


@page("POST", f"{REQUESTS}/withdraw", auth=Customer())
def withdraw(call: PageCall) -> Response:
    """Call a request off."""
    request_id = _request_id(call)
    call.own.withdraw(call.visit.data_subject, request_id, CHANNEL)
    return see_other(call.words, f"{REQUESTS}/{request_id}", done="withdrawn")


@page("POST", f"{REQUESTS}/download", auth=Customer())
def download(call: PageCall) -> Response:
    """The files of a request, to a fresh sign-in."""
    request_id = _request_id(call)
    document = call.own.fetch(call.visit, request_id)
    return _one(call, request_id, status=403, stale=True) if document is None else _archive(call, document)


@page("GET", PACKAGE, auth=Customer())
def package(call: PageCall) -> Response:
    """A link to a package as one button: to open it alone uses nothing up."""
    secret = _secret(call.request.args.get("t", ""))
    return _shown(call, "package", secret=secret, stale=False, kept={"t": secret})


@page("POST", PACKAGE, auth=Customer())
def use_package_link(call: PageCall) -> Response:
    """The files behind a link, once."""
    secret = _secret(fields_of(call).get("t", ""))
    document = call.own.fetch_by_link(call.visit, secret)
    if document is None:
        return _shown(call, "package", status=403, secret=secret, stale=True, kept={"t": secret})
    return _archive(call, document)


def _shown(call: PageCall, template: str, *, status: int = 200, **values: Any) -> Response:
    return show(
        call.centre,
        call.words,
        template,
        status=status,
        token=call.centre.form_token(call.visit.session_id),
        session_form=call.session_form,
        day=lambda day: call.words.day(datetime(day.year, day.month, day.day, tzinfo=UTC)),
        **values,
    )


def _request_id(call: PageCall) -> str:
    request_id = fields_of(call).get("request", "")
    if not IS_ID(request_id):
        raise InputRefused("the form names no request")
    return request_id


def _secret(given: str) -> str:
    if len(given) != 43 or not given.isascii():
        raise Conflict("this is no whole link: open it as it was sent")
    return given


def _archive(call: PageCall, document: Mapping[str, Any]) -> Response:
    words = call.centre.words.get(document["language"], call.words)
    files, held = files_of(document, words, call.centre.brand.name), io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _MIDNIGHT), content, zipfile.ZIP_DEFLATED)
    response = Response(held.getvalue(), content_type="application/zip")
    response.headers["Content-Disposition"] = 'attachment; filename="my-data.zip"'
    return response


PAGES = (requests, start, request, prove, withdraw, download, package, use_package_link)
