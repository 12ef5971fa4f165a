"""Sends the metrics that `/metrics` tells by OTLP too, under the same names; counts nothing and names none itself."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from consent_gateway import __version__
from consent_gateway.connectors.otel_traces import sending
from consent_gateway.database import to_micros
from consent_gateway.ports import Clock
from consent_gateway.telemetry_settings import TelemetrySettings

Measured = tuple[str, str, bool, Mapping[tuple[tuple[str, str], ...], float]]
"""One metric: its name, its meaning, whether it only counts up, and its value for each set of labels."""

_LOG = logging.getLogger(__name__)


class MetricSender:
    """Sends all metrics, read anew, once a round. `read` is where `/metrics` reads them too."""

    def __init__(
        self,
        settings: TelemetrySettings,
        about: Mapping[str, str],
        read: Callable[[], Iterable[Measured]],
        clock: Clock,
    ) -> None:
        self._read = read
        self._clock = clock
        self._resource = Resource(about)
        self._exporter = OTLPMetricExporter(
            endpoint=f"{settings.endpoint}/v1/metrics",
            **sending(settings),
        )
        self._failing = False

    def round(self) -> int:
        """Send them once; how many were sent. One that fails is told in the log and left: the next round says more."""
        now = self._clock.now()
        metrics = [_metric(one, now) for one in self._read() if one[3]]
        scope = otel.ScopeMetrics(InstrumentationScope("consent_gateway", __version__), metrics, "")
        data = otel.MetricsData([otel.ResourceMetrics(self._resource, [scope], "")])
        sent = self._exporter.export(data) is otel.MetricExportResult.SUCCESS
        if self._failing == sent:
            self._failing = not sent
            _LOG.warning("metrics %s", "are sent again" if sent else "cannot be sent by OTLP")
        return len(metrics) if sent else 0


def _metric(one: Measured, now: datetime) -> otel.Metric:
    name, meaning, is_count, values = one
    at = to_micros(now) * 1000
    points = [otel.NumberDataPoint(dict(labels), 0, at, value) for labels, value in values.items()]
    if is_count:
        data: otel.Sum | otel.Gauge = otel.Sum(points, otel.AggregationTemporality.CUMULATIVE, is_monotonic=True)
    else:
        data = otel.Gauge(points)
    return otel.Metric(name, meaning, "", data)
