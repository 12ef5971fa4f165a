"""Traces by OpenTelemetry: makes spans of what the line tells and sends them by OTLP; a lost span is counted, no more.

A span is queued as it ends, and a thread sends what is queued. Where the queue is full, or the other side is away, slow
or refuses, spans are dropped: no request waits for one or fails by one. Needs the extra `otel`.
"""

import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from consent_gateway import __version__
from consent_gateway.telemetry_settings import TelemetrySettings
from consent_gateway.tracing import NO_SPAN, NOTHING, NoSpan, Said, Step, Told, Value, error_code

SEND_SECONDS = 5.0
"""Longest time for one attempt to send, repetitions included."""
GATHER_SECONDS = 1.0
CLOSE_SECONDS = 3.0
QUEUE_SPANS = 4096
BATCH_SPANS = 512
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SAID = frozenset(Said)
_PLAIN = re.compile(r"[A-Za-z0-9_./:<>{}-]{0,120}")
_KINDS = {Step.STORE_READ: SpanKind.CLIENT, Step.STORE_WRITE: SpanKind.CLIENT, Step.DELIVERY: SpanKind.PRODUCER}
_LOG = logging.getLogger(__name__)


class OtelTracer:
    """Implements `tracing.Tracer`. `processor` gets each span as it ends."""

    def __init__(self, processor: SpanProcessor, resource: Resource, percent: int) -> None:
        limits = SpanLimits(max_events=0, max_links=0, max_attribute_length=120)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(percent / 100)),
            resource=resource,
            shutdown_on_exit=False,
            span_limits=limits,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("consent_gateway", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def request(self, method: str, route: str | None, traceparent: str | None) -> AbstractContextManager["OtelSpan"]:
        """A request. Of what the caller sends only `traceparent` is read: `tracestate` and `baggage` are free text."""
        known = method if method in _METHODS else "_OTHER"
        carrier = {} if traceparent is None else {"traceparent": traceparent}
        told = {Said.METHOD: known} if route is None else {Said.METHOD: known, Said.ROUTE: route}
        name = known if route is None else f"{known} {route}"
        return self._span(name, SpanKind.SERVER, told, self._propagator.extract(carrier, Context()))

    def step(self, step: Step, told: Told = NOTHING) -> AbstractContextManager["OtelSpan | NoSpan"]:
        """A step of the request that this thread answers; outside of one only a delivery is timed."""
        if step is not Step.DELIVERY and not get_current_span().get_span_context().is_valid:
            return nullcontext(NO_SPAN)
        return self._span(step.value, _KINDS.get(step, SpanKind.INTERNAL), told, None)

    @contextmanager
    def _span(self, name: str, kind: SpanKind, told: Told, context: Context | None) -> Iterator["OtelSpan"]:
        # The library would write down what an exception says, so it is told of none.
        with self._tracer.start_as_current_span(
            name, context, kind, _kept(told), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield OtelSpan(span)
            except BaseException as error:
                span.set_attribute(Said.ERROR, error_code(error))
                span.set_status(StatusCode.ERROR)
                raise

    def close(self) -> None:
        """Send what waits, within a bounded time, and stop."""
        self._provider.shutdown()


class OtelSpan:
    """One step while it runs."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def tell(self, told: Callable[[], Told]) -> None:
        """Say something of it, where this trace is one that is kept."""
        if not self._span.is_recording():
            return
        said = told()
        self._span.set_attributes(_kept(said))
        status = said.get(Said.STATUS)
        if isinstance(status, int) and status >= 500:
            self._span.set_status(StatusCode.ERROR)


def _kept(told: Told) -> dict[str, Value]:
    """What is told by a name of the closed list, and of text only what has the form of a name of ours."""
    return {name.value: _plain(value) for name, value in told.items() if name in _SAID}


def _plain(value: Value) -> Value:
    if isinstance(value, tuple):
        return tuple(each if _PLAIN.fullmatch(each) else "?" for each in value)
    return value if isinstance(value, int) or _PLAIN.fullmatch(value) else "?"


class BoundedSender(SpanProcessor):
    """Queues spans and sends them from a thread of its own. `dropped` is told how many were lost."""

    def __init__(self, exporter: SpanExporter, dropped: Callable[[int], None], most: int = QUEUE_SPANS) -> None:
        self._exporter = exporter
        self._dropped = dropped
        self._queue: queue.Queue[ReadableSpan] = queue.Queue(most)
        self._overflow = 0
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="otlp-traces", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that ended; drop it where the queue is full."""
        if not span.context.trace_flags.sampled:
            return
        try:
            self._queue.put_nowait(span)
        except queue.Full:
            with self._counting:
                self._overflow += 1

    def shutdown(self) -> None:
        """Send what waits as far as that goes in three seconds, and stop; what is lost by that is counted, too."""
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)
        self._exporter.shutdown()  # ends an attempt that is still going on
        self._thread.join(CLOSE_SECONDS)

    def force_flush(self, timeout_millis: int = 0) -> bool:  # noqa: ARG002 - the library's signature
        """Nothing waits longer than a second anyway."""
        return True

    def _run(self) -> None:
        while not self._stop.wait(GATHER_SECONDS):
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        batch: list[ReadableSpan] = []
        for _each in range(self._queue.qsize()):
            batch.append(self._queue.get_nowait())
            if len(batch) == BATCH_SPANS:
                self._send(batch)
                batch = []
        if batch:
            self._send(batch)
        with self._counting:
            lost, self._overflow = self._overflow, 0
        self._count(lost)

    def _send(self, batch: list[ReadableSpan]) -> None:
        sent = self._exporter.export(batch) is SpanExportResult.SUCCESS
        self._count(0 if sent else len(batch))
        if self._failing == sent:  # once when it begins and once when it is over, not for every batch
            self._failing = not sent
            _LOG.warning("traces %s", "are sent again" if sent else "cannot be sent and are dropped")

    def _count(self, lost: int) -> None:
        if not lost:
            return
        try:
            self._dropped(lost)
        except OSError:  # a full disk must not end the sending
            _LOG.exception("lost spans could not be counted")


def open_tracer(settings: TelemetrySettings, about: Mapping[str, str], dropped: Callable[[int], None]) -> OtelTracer:
    """The tracer that sends to the settings' endpoint. `about` says which process this is."""
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.endpoint}/v1/traces",
        **sending(settings),
    )
    return OtelTracer(BoundedSender(exporter, dropped), Resource(about), settings.trace_percent)


def sending(settings: TelemetrySettings) -> dict[str, Any]:
    """How an exporter sends: with no proxy or password of its surroundings, and following nobody elsewhere."""
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    return {
        "certificate_file": None if settings.authorities is None else str(settings.authorities),
        "headers": dict(settings.headers),
        "timeout": SEND_SECONDS,
        "compression": Compression.Gzip,
        "session": session,
    }
