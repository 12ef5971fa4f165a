"""A receiver of OTLP over HTTP on this machine, which decodes what it is sent by the published schema."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.propagation.world import Receiver, receiving

Plain = str | int | float | bool | bytes | list[object]


class Collector:
    """What arrived, decoded."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    @property
    def endpoint(self) -> str:
        """What `OTLP_ENDPOINT` is set to."""
        return self._receiver.url

    @property
    def headers(self) -> list[dict[str, str]]:
        """The headers of every request."""
        return [headers for headers, _ in self._receiver.requests]

    def bodies(self, signal: str = "") -> list[bytes]:
        """Every request's body to `/v1/traces` or `/v1/metrics`, unpacked."""
        sent = zip(self._receiver.paths, self._receiver.requests, strict=True)
        return [gzip.decompress(body) for path, (_, body) in sent if path.endswith(signal)]

    @property
    def spans(self) -> list[Span]:
        """Every span."""
        asked = map(ExportTraceServiceRequest.FromString, self.bodies("/v1/traces"))
        return [
            span for one in asked for each in one.resource_spans for scope in each.scope_spans for span in scope.spans
        ]

    @property
    def resources(self) -> list[dict[str, Plain]]:
        """What every request says of the process that sent it."""
        asked = map(ExportTraceServiceRequest.FromString, self.bodies("/v1/traces"))
        return [read(each.resource.attributes) for one in asked for each in one.resource_spans]

    @property
    def metrics(self) -> list[Metric]:
        """Every metric."""
        asked = map(ExportMetricsServiceRequest.FromString, self.bodies("/v1/metrics"))
        return [
            metric
            for one in asked
            for each in one.resource_metrics
            for scope in each.scope_metrics
            for metric in scope.metrics
        ]


def read(attributes: "list[KeyValue] | object") -> dict[str, Plain]:
    """Attributes as a plain mapping."""
    return {one.key: _plain(one.value) for one in attributes}  # type: ignore[attr-defined]


def _plain(value: AnyValue) -> Plain:
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [_plain(each) for each in value.array_value.values]
    plain: Plain = getattr(value, kind)
    return plain


@contextmanager
def collecting(answer: Callable[[BaseHTTPRequestHandler, int], object] | None = None) -> Iterator[Collector]:
    """A real receiver on loopback; by default it takes everything."""
    with receiving(answer) as receiver:
        yield Collector(receiver)
