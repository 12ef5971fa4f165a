"""`GET /metrics`: what Prometheus scrapes, with a token of its own; counts nothing itself."""

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.errors import DatabaseUnavailable
from consent_gateway.reports.metrics import CONTENT_TYPE
from consent_gateway.web.operations import Answer, Call, operation


@operation(
    "GET",
    "/metrics",
    auth=Scope.METRICS_READ,
    answers=(Answer(200, "The metrics, in the text format of Prometheus.", content_type=CONTENT_TYPE),),
    raises=(DatabaseUnavailable,),
)
def metrics(call: Call) -> Response:
    """Scrape the metrics. No label names a person, a client or a destination."""
    return Response(call.services.metrics.text(), content_type=CONTENT_TYPE)


OPERATIONS = (metrics,)
