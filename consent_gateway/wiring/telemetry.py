"""Builds what sends traces and metrics by OTLP, or nothing where the settings name no place; decides nothing."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec

from consent_gateway import __version__
from consent_gateway.drops import DropCount
from consent_gateway.errors import SettingsRefused
from consent_gateway.ports import Clock
from consent_gateway.reports.metrics import Labels, Metrics
from consent_gateway.settings import Settings
from consent_gateway.tracing import NO_TRACER, Tracer

_METRIC_SECONDS = 60.0


def refuse_without_telemetry(settings: Settings) -> None:
    """Raise `SettingsRefused` where telemetry is asked for and what sends it is not installed."""
    if settings.telemetry is not None and find_spec("opentelemetry") is None:
        raise SettingsRefused(
            "CONSENT_GATEWAY_OTLP_ENDPOINT is set, but the extra `otel` is not installed: run"
            " `pip install 'consent-gateway[otel]'`, or remove the setting"
        )


def open_telemetry(settings: Settings) -> Tracer:
    """What times the requests of this process: to be made after forking, and closed at its end."""
    refuse_without_telemetry(settings)
    if settings.telemetry is None:
        return NO_TRACER
    from consent_gateway.connectors.otel_traces import open_tracer  # noqa: PLC0415 - an extra

    return open_tracer(settings.telemetry, _about(), drop_count(settings).add)


def metric_rounds(
    settings: Settings, metrics: Metrics, clock: Clock
) -> tuple[tuple[str, Callable[[], int], float], ...]:
    """What the background worker does to send the metrics."""
    if settings.telemetry is None:
        return ()
    from consent_gateway.connectors.otel_metrics import MetricSender  # noqa: PLC0415 - an extra

    def read() -> Iterable[tuple[str, str, bool, Mapping[Labels, float]]]:
        return [(one.name, one.meaning, one.is_count, one.values) for one in metrics.gauges()]

    sender = MetricSender(settings.telemetry, _about(), read, clock)
    return (("metrics", sender.round, _METRIC_SECONDS),)


def drop_count(settings: Settings) -> DropCount:
    """How many spans the processes of this machine could not send."""
    return DropCount(settings.state_dir / "run" / "dropped-spans")


def _about() -> dict[str, str]:
    """Which process speaks: its service and version, and a name drawn at its start."""
    return {
        "service.name": "consent-gateway",
        "service.version": __version__,
        "service.instance.id": secrets.token_hex(8),
    }
