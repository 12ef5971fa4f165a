"""Traces and metrics of the whole line, received by a real OTLP receiver: one tree a request, and nothing personal."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from consent_gateway.demo.cast import CAST
from consent_gateway.demo.clients import ANALYTICS, CALL_CENTRE
from consent_gateway.settings import Settings, read_settings
from consent_gateway.tracing import Said, Step
from consent_gateway.web.app import create_app
from consent_gateway.wiring import Services, open_services, open_telemetry
from consent_gateway.wiring.telemetry import metric_rounds
from tests.canaries import SHORTEST, Search
from tests.collector import collecting, read
from tests.line.conftest import Line

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{PARENT}-01"
SUPPORT = "customer_support"
LOOKUP = "/v1/customers/lookup"
WHICHEVER = pytest.mark.only_on("sqlite", reason="what sends knows no database")


class Traced:
    """A process of the deployment that sends telemetry, and calls to it."""

    def __init__(self, settings: Settings) -> None:
        self.tracer = open_telemetry(settings)
        self.services: Services = open_services(settings, tracer=self.tracer)
        self._web = create_app(self.services, self.tracer).test_client()

    def call(self, method: str, path: str, body: object = None, client: str = CALL_CENTRE, **headers: str) -> Any:
        """One call with a fresh token."""
        registered = self.services.registry.get(client)
        assert registered is not None
        bearer = {"Authorization": f"Bearer {self.services.tokens.issue(registered).token}"}
        return self._web.open(path, method=method, json=body, headers={**bearer, **headers})

    def look(self, at: int = 0, purpose: str = SUPPORT, client: str = CALL_CENTRE, **headers: str) -> Any:
        """Look one of the named people up."""
        body = {"identifier": {"kind": "email", "value": CAST[at].email}, "purpose": purpose}
        return self.call("POST", LOOKUP, body, client, **headers)


def settings_for(line: Line, endpoint: str, **more: str) -> Settings:
    """The deployment's settings, with a place for telemetry."""
    given = {f"CONSENT_GATEWAY_{name}": value for name, value in {"OTLP_ENDPOINT": endpoint, **more}.items()}
    return read_settings({**line.deployment.variables, **given})


@contextmanager
def traced(line: Line, endpoint: str, **more: str) -> Iterator[Traced]:
    """The process; at the end everything that waited was sent."""
    process = Traced(settings_for(line, endpoint, **more))
    try:
        yield process
    finally:
        process.services.close()
        process.tracer.close()


def tree(spans: list[Span]) -> tuple[Span, list[Span]]:
    """The one span of the request, and its children."""
    (server,) = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    return server, [span for span in spans if span is not server]


def test_a_read_is_one_tree_under_the_callers_span(line: Line) -> None:
    """Facts, decision, store, keys and audit are children of the request, which is a child of the caller's span."""
    with collecting() as collector, traced(line, collector.endpoint, OTLP_HEADER="X-Key: of-the-collector") as process:
        answer = process.look(traceparent=CALLER, tracestate="vendor=anna.berger", baggage="who=anna.berger")
        assert answer.status_code == 200
        process.tracer.close()
        server, steps = tree(collector.spans)
        assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, PARENT)
        assert (server.name, server.trace_state) == (f"POST {LOOKUP}", "")
        assert read(server.attributes) == {Said.METHOD: "POST", Said.ROUTE: LOOKUP, Said.STATUS: 200}
        assert {(span.trace_id, span.parent_span_id) for span in steps} == {(server.trace_id, server.span_id)}
        expected = [Step.FACTS, Step.DECISION, Step.STORE_READ, Step.KEY_USE, Step.AUDIT_COMMIT]
        assert (
            list(dict.fromkeys(span.name for span in sorted(steps, key=lambda one: one.start_time_unix_nano)))
            == expected
        )
        said = {span.name: read(span.attributes) for span in steps}
        assert said[Step.DECISION][Said.PURPOSE] == SUPPORT
        assert said[Step.DECISION][Said.OUTCOME] == "open"
        assert "contract" in str(said[Step.DECISION][Said.REASONS])
        assert said[Step.STORE_READ][Said.CONNECTOR] == process.services.policies.catalogue.dataset
        assert collector.headers[0]["x-key"] == "of-the-collector"
        assert set(collector.resources[0]) == {"service.name", "service.version", "service.instance.id"}


def test_a_write_and_a_refusal_are_traced(line: Line) -> None:
    """A change has a step at the store between two entries; what is refused has its code, and no words of it."""
    with collecting() as collector, traced(line, collector.endpoint) as process:
        person = process.look(0).get_json()["data_subject"]
        change = {"purpose": SUPPORT, "record": {"street": "Kanariengasse 4711"}, "source": "counter"}
        assert process.call("PATCH", f"/v1/customers/{person}", change).status_code == 200
        choice = {"data_subject": person, "purpose": "email_marketing", "kind": "object"}
        assert process.call("POST", "/v1/consents", choice).status_code == 201
        assert process.look(3, "targeted_ads").status_code == 403
        assert process.call("GET", "/v1/nowhere/anna.berger").status_code == 404
        process.tracer.close()
        by_route = {span.name: span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER}
        patched = by_route["PATCH /v1/customers/<data_subject>"]
        steps = [span.name for span in collector.spans if span.parent_span_id == patched.span_id]
        assert steps.count(Step.STORE_WRITE) == 1
        assert Step.AUDIT_COMMIT in steps
        chosen = by_route["POST /v1/consents"].span_id
        assert Step.CHOICE_COMMIT in [span.name for span in collector.spans if span.parent_span_id == chosen]
        assert read(by_route["GET"].attributes) == {Said.METHOD: "GET", Said.STATUS: 404, Said.ERROR: "not_found"}
        refused = [s for s in collector.spans if read(s.attributes).get(Said.STATUS) == 403]
        assert [read(span.attributes)[Said.ERROR] for span in refused] == ["caller_not_permitted"]
        assert refused[0].status.code == Status.STATUS_CODE_UNSET  # the gateway did as it should


def test_nothing_personal_and_nothing_undeclared_is_sent(line: Line) -> None:
    """Every attribute is of the closed list, no span has events or a message, and no name or address is in any byte."""
    with collecting() as collector, traced(line, collector.endpoint) as process:
        person = process.look(0).get_json()["data_subject"]
        process.call("GET", f"/v1/customers/{person}?purpose={SUPPORT}")
        process.look(1, "first_party_analytics", ANALYTICS)
        for broken in ("anna.berger@example.com", "kein-at-zeichen", "+4930901827364"):
            body = {"identifier": {"kind": "email", "value": broken}, "purpose": SUPPORT}
            process.call("POST", f"{LOOKUP}?name=anna.berger@example.com", body)
        process.call("GET", "/v1/customers/anna.berger@example.com")
        ((_, send, _),) = metric_rounds(
            settings_for(line, collector.endpoint), process.services.metrics, process.services.clock
        )
        assert send() > 5
        process.tracer.close()
        raw = b"\n".join(collector.bodies())
        values = {
            f"{at}.{name}": getattr(CAST[at], name) for at in (0, 1) for name in ("email", "street", "birth_date")
        }
        values |= {"person": person, "client": CALL_CENTRE, "broken": "kein-at-zeichen", "number": "+4930901827364"}
        assert Search({name: value for name, value in values.items() if len(value) >= SHORTEST}).hits("OTLP", raw) == []
        closed = {said.value for said in Said}
        assert {name for span in collector.spans for name in read(span.attributes)} <= closed
        assert not [span for span in collector.spans if span.events or span.links or span.status.message]
        names = {step.value for step in Step} | {"POST", "GET"}
        assert {span.name.split()[0] for span in collector.spans} <= names


def test_metrics_are_those_of_the_page(line: Line) -> None:
    """By OTLP go the same names, meanings, labels and values that `/metrics` tells, from the same place."""
    with collecting() as collector:
        settings, services = settings_for(line, collector.endpoint), line.services
        told = {one.name: one for one in services.metrics.gauges() if one.values}
        ((_, send, _),) = metric_rounds(settings, services.metrics, services.clock)
        assert send() == len(told)
        for metric in collector.metrics:
            here = metric.sum if metric.HasField("sum") else metric.gauge
            one = told.pop(metric.name)
            assert metric.description == one.meaning
            assert metric.HasField("sum") == one.is_count
            if one.name != "consent_gateway_log_waiting_entries":  # the only one that may move between two looks
                points = {tuple(read(p.attributes).items()): p.as_double or float(p.as_int) for p in here.data_points}
                assert points == dict(one.values)
        assert not told


@WHICHEVER
def test_a_receiver_that_is_away_costs_nothing_but_the_spans(line: Line) -> None:
    """Nobody listens: every call is answered, and the loss is counted where `/metrics` tells it."""
    before = _lost(line)
    with collecting() as collector:
        endpoint = collector.endpoint
    with traced(line, endpoint) as process:
        assert [process.look(at).status_code for at in range(3)] == [200] * 3
    assert _lost(line) >= before + 3


@WHICHEVER
def test_a_receiver_that_hangs_or_refuses_holds_nobody(line: Line) -> None:
    """Calls are answered while the receiver has not answered one of its own; what it then refuses is counted."""
    before, let_go = _lost(line), threading.Event()

    def hang(handler: BaseHTTPRequestHandler, _number: int) -> None:
        let_go.wait(20)
        handler.send_response(400)
        handler.end_headers()

    with collecting(hang) as collector, traced(line, collector.endpoint) as process:
        assert [process.look(at).status_code for at in range(3)] == [200] * 3
        while not collector.bodies():
            pass  # the receiver holds the first of them
        assert [process.look(at).status_code for at in range(3)] == [200] * 3
        let_go.set()
        process.tracer.close()
        ((_, send, _),) = metric_rounds(
            settings_for(line, collector.endpoint), line.services.metrics, line.services.clock
        )
        assert send() == 0
    assert _lost(line) >= before + 6


def _lost(line: Line) -> float:
    (value,) = next(
        one for one in line.services.metrics.gauges() if one.name == "consent_gateway_trace_spans_dropped_total"
    ).values.values()
    return value


@WHICHEVER
@pytest.mark.parametrize(
    ("percent", "sent", "traced_calls"), [("0", CALLER, 1), ("0", None, 0), ("100", CALLER[:-1] + "0", 0)]
)
def test_the_caller_decides_whether_its_request_is_traced(
    line: Line, percent: str, sent: str | None, traced_calls: int
) -> None:
    """A caller that samples is followed, one that does not is left alone; ours is the share of the others."""
    with collecting() as collector, traced(line, collector.endpoint, OTLP_TRACE_PERCENT=percent) as process:
        assert process.look(0, **({} if sent is None else {"traceparent": sent})).status_code == 200
        process.tracer.close()
        assert len([span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]) == traced_calls
