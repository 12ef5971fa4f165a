"""One span for each request, from routing to the answer; reads of the request its method, route and `traceparent`."""

from contextlib import ExitStack

from flask import Flask, Response, g, request

from consent_gateway.tracing import Said, Told, Tracer

TRACEPARENT = "traceparent"


def install(app: Flask, tracer: Tracer) -> None:
    """Time every request of the application. To be installed before any other hook."""

    @app.before_request
    def _begin() -> None:
        route = None if request.url_rule is None else request.url_rule.rule  # the template: a path may hold an id
        g.timed = ExitStack()
        g.span = g.timed.enter_context(tracer.request(request.method, route, request.headers.get(TRACEPARENT)))

    @app.after_request
    def _answered(response: Response) -> Response:
        g.span.tell(lambda: _told(response))
        return response

    @app.teardown_request
    def _end(_error: BaseException | None) -> None:
        g.timed.close()


def _told(response: Response) -> Told:
    problem = g.get("problem")
    status: Told = {Said.STATUS: response.status_code}
    return status if problem is None else {**status, Said.ERROR: str(problem)}
