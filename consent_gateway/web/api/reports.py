"""Reports by HTTP, for officers and auditors: as JSON, as a page, or one table as CSV; each making is an entry."""

from pathlib import Path

from flask import Response

from consent_gateway.console.permissions import Doing
from consent_gateway.errors import AuditUnavailable, DatabaseUnavailable, InputRefused, NotFound
from consent_gateway.reports import forms
from consent_gateway.reports.book import REPORTS
from consent_gateway.reports.model import Asked, Report
from consent_gateway.web import report_schemas as schemas
from consent_gateway.web.operations import Answer, Call, OfficerAuth, Public, json_answer, operation

_SEES, _RUNS = OfficerAuth(Doing.SEE_REPORTS), OfficerAuth(Doing.RUN_REPORTS)
_RAISES = (NotFound, InputRefused, DatabaseUnavailable, AuditUnavailable)
_CSS = "text/css"
_CSV = "text/csv"
_PAGE = "text/html; charset=utf-8"
_STYLESHEET = f"/static/{forms.STYLESHEET}"


@operation(
    "GET",
    "/v1/reports",
    auth=_SEES,
    answers=(Answer(200, "The reports there are.", schemas.KindsSchema),),
)
def list_reports(_call: Call) -> Response:
    """List the reports there are, and what each takes."""
    kinds = [{"name": one.name, "title": one.title, "takes": list(one.takes)} for one in REPORTS.values()]
    return json_answer({"reports": kinds})


@operation(
    "POST",
    "/v1/reports/{name}",
    auth=_RUNS,
    rule="/v1/reports/<name>",
    body=schemas.AskedSchema,
    answers=(Answer(200, "The report.", schemas.ReportSchema),),
    raises=_RAISES,
)
def make_report(call: Call) -> Response:
    """Make a report. It names the signed checkpoint it rests on; making it is an entry of the log."""
    return json_answer(_made(call).as_json())


@operation(
    "POST",
    "/v1/reports/{name}/page",
    auth=_RUNS,
    rule="/v1/reports/<name>/page",
    body=schemas.AskedSchema,
    answers=(Answer(200, "The report as a page, to be read and printed.", content_type=_PAGE),),
    raises=_RAISES,
)
def make_report_page(call: Call) -> Response:
    """Make a report as a page, to be read and printed. Making it is an entry of the log."""
    return Response(forms.as_html(_made(call), _STYLESHEET), content_type=_PAGE)


@operation(
    "POST",
    "/v1/reports/{name}/tables/{table}",
    auth=_RUNS,
    rule="/v1/reports/<name>/tables/<table>",
    body=schemas.AskedSchema,
    answers=(Answer(200, "The table, under lines that say what it is.", content_type=_CSV),),
    raises=_RAISES,
)
def make_report_table(call: Call) -> Response:
    """Make one table of a report as CSV. Times are UTC; no cell is a formula. Making it is an entry of the log."""
    made, table = _made(call), call.path["table"]
    if table not in {one.key for one in made.tables}:
        raise NotFound(f"the report has no such table; it has {', '.join(one.key for one in made.tables)}")
    response = Response(forms.as_csv(made, table), content_type=f"{_CSV}; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{made.name}-{table}.csv"'
    return response


@operation(
    "GET",
    _STYLESHEET,
    auth=Public("a stylesheet"),
    answers=(Answer(200, "The stylesheet.", content_type=_CSS),),
)
def report_stylesheet(_call: Call) -> Response:
    """Get the stylesheet of a report's page."""
    response = Response((Path(forms.__file__).parent / forms.STYLESHEET).read_bytes(), content_type=_CSS)
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def _made(call: Call) -> Report:
    return call.services.reports.make(call.path["name"], Asked(**call.body), call.officer.officer_id)


OPERATIONS = (list_reports, make_report, make_report_page, make_report_table, report_stylesheet)
