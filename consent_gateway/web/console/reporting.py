"""Reports and exports as officers make and fetch them; each making and fetching is an entry of the log.

What is asked stands in the address, as ids, words and days: a report can be sent as a link and made again.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Response

from consent_gateway.console.permissions import Doing
from consent_gateway.errors import FieldFault, InputRefused, NotFound
from consent_gateway.reports import forms
from consent_gateway.reports.book import REPORTS
from consent_gateway.reports.model import Asked
from consent_gateway.web.bodies import checked
from consent_gateway.web.console.finding import filter_of
from consent_gateway.web.console.guard import one
from consent_gateway.web.console.routes import PageCall, page
from consent_gateway.web.console.showing import HOME, see_other
from consent_gateway.web.report_schemas import AskedSchema

REPORTS_AT, EXPORTS = f"{HOME}/reports", f"{HOME}/exports"
_DAYS, _MOMENTS, _NUMBERS = ("since", "until"), ("aware_at",), ("sample",)
_BLOCK = 1 << 16
_MOST_ROWS = 200  # on a page, which stays small; the files hold all


@page("GET", REPORTS_AT, Doing.SEE_REPORTS)
def reports(call: PageCall) -> Response:
    """The reports there are, each with what it takes; and an export of the log."""
    return call.show("reports", kinds=REPORTS.values())


@page("GET", f"{REPORTS_AT}/report", Doing.RUN_REPORTS)
def report(call: PageCall) -> Response:
    """Make one report: as a page, as JSON, or one of its tables as CSV."""
    given = {name: value.strip() for name, value in call.request.args.items() if value.strip()}
    name, form, table = given.pop("name", ""), given.pop("form", ""), given.pop("table", "")
    given.pop("lang", None)
    made = call.services.reports.make(name, _asked(given), call.officer.officer_id)
    if form == "json":
        return _file(forms.as_json(made), "application/json", f"{made.name}.json")
    if form == "csv":
        if table not in {each.key for each in made.tables}:
            raise NotFound("the report has no such table: choose one of its page")
        return _file(forms.as_csv(made, table), "text/csv; charset=utf-8", f"{made.name}-{table}.csv")
    again = f"{REPORTS_AT}/report?{urlencode({'name': name, **given})}"
    return call.show("report", most=_MOST_ROWS, made=made, again=again, heading=forms.heading)


@page("POST", EXPORTS, Doing.EXPORT_LOG)
def ask_export(call: PageCall) -> Response:
    """Ask for an export of the log; the worker writes it."""
    fields = dict(call.fields)
    given = {name: one(fields, name, needed=False) for name in _DAYS}
    asked = call.services.evidence.exports.request(call.officer.officer_id, filter_of(given, ()))
    return see_other(f"{EXPORTS}/{asked.export_id}")


@page("GET", f"{EXPORTS}/{{item}}", Doing.EXPORT_LOG)
def export(call: PageCall) -> Response:
    """How far an export is."""
    return call.show("export", told=call.services.evidence.exports.get(call.item).as_json(), item=call.item)


@page("GET", f"{EXPORTS}/{{item}}/package", Doing.EXPORT_LOG)
def package(call: PageCall) -> Response:
    """The finished export, as one ZIP file."""
    path = call.services.evidence.exports.package(call.item, call.officer.officer_id)
    file = path.open("rb")

    def blocks() -> Iterator[bytes]:
        with file:
            while block := file.read(_BLOCK):
                yield block

    response = Response(blocks(), content_type="application/zip")
    response.headers["Content-Length"] = str(path.stat().st_size)
    response.headers["Content-Disposition"] = f'attachment; filename="{path.name}"'
    return response


def _asked(given: dict[str, str]) -> Asked:
    """What an address asks for. Raises `InputRefused` naming the member."""
    body: dict[str, Any] = dict(given)
    for name in _DAYS:
        if name in body:
            day = _day(name, body[name]) + timedelta(days=name == "until")  # the day that is named counts
            body[name] = datetime.combine(day, time(), UTC).isoformat()
    for name in _MOMENTS:
        if name in body:
            body[name] = f"{body[name]}:00Z" if len(body[name]) == len("2026-01-31T10:00") else body[name]
    for name in _NUMBERS:
        if name in body and body[name].isdecimal():
            body[name] = int(body[name])
    return Asked(**checked(AskedSchema(), body))


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputRefused("write days as 2026-01-31", (FieldFault(f"/{name}", "is no day"),)) from error


def _file(content: bytes, content_type: str, name: str) -> Response:
    response = Response(content, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


PAGES = (reports, report, ask_export, export, package)
