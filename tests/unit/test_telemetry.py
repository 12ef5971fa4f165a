"""The tracer and its parts: off by default, refused without its extra, bounded, deaf to all but a closed list."""

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consent_gateway.connectors.otel_traces import BoundedSender, OtelTracer
from consent_gateway.drops import DropCount
from consent_gateway.errors import NotFound, SettingsRefused
from consent_gateway.settings import read_settings
from consent_gateway.tracing import NO_TRACER, NOTHING, Said, Step
from consent_gateway.vocabulary import EventKind
from consent_gateway.wiring import open_telemetry, refuse_without_telemetry
from consent_gateway.wiring.console import SECRET, shown
from tests.conftest import StillClock
from tests.propagation.world import Ear, World, refuse

P = "CONSENT_GATEWAY_"
BASE = {f"{P}STORE_URL": "sqlite:///store.db"}
ON = {**BASE, f"{P}OTLP_ENDPOINT": "http://127.0.0.1:4318/"}


def in_memory() -> tuple[OtelTracer, InMemorySpanExporter]:
    """A tracer whose spans are kept here."""
    kept = InMemorySpanExporter()
    return OtelTracer(SimpleSpanProcessor(kept), Resource({}), 100), kept


def test_off_is_the_default_and_starts_nothing() -> None:
    """Without an endpoint the tracer is the one that does nothing: no library is loaded and no thread runs."""
    look = (
        "import sys, threading; from consent_gateway.wiring import open_telemetry;"
        "from consent_gateway.settings import read_settings; from consent_gateway.tracing import NO_TRACER;"
        "assert open_telemetry(read_settings()) is NO_TRACER; assert threading.active_count() == 1;"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", look], env=BASE, check=True)
    with NO_TRACER.request("GET", "/", None) as span, NO_TRACER.step(Step.DECISION) as step:
        span.tell(lambda: cast("Any", 1 / 0))  # nobody asks
        assert span is step
    NO_TRACER.close()


def test_an_endpoint_without_the_extra_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names the setting and what to install; without the setting nothing is missed."""
    monkeypatch.setattr("consent_gateway.wiring.telemetry.find_spec", lambda _name: None)
    refuse_without_telemetry(read_settings(BASE))
    for start in (refuse_without_telemetry, open_telemetry):
        with pytest.raises(SettingsRefused, match=r"OTLP_ENDPOINT.*consent-gateway\[otel\]"):
            start(read_settings(ON))


def test_a_whole_setting_is_taken() -> None:
    """The slash at the end goes, the header is split and never shown."""
    given = {**ON, f"{P}OTLP_HEADER": "X-Api-Key: much too secret", f"{P}OTLP_TRACE_PERCENT": "5"}
    telemetry = read_settings(given).telemetry
    assert telemetry is not None
    assert (telemetry.endpoint, telemetry.trace_percent) == ("http://127.0.0.1:4318", 5)
    assert telemetry.headers == (("X-Api-Key", "much too secret"),)
    assert "secret" not in repr(telemetry)
    told = shown(read_settings(given))  # as the console's page of settings has it
    assert (told["OTLP_ENDPOINT"], told["OTLP_TRACE_PERCENT"]) == ("http://127.0.0.1:4318", "5")
    assert (told["OTLP_HEADER"], told["OTLP_CA_FILE"]) == (SECRET, None)


@pytest.mark.parametrize(
    "different",
    [
        {"OTLP_ENDPOINT": "http://collector.example.com:4318"},
        {"OTLP_ENDPOINT": "collector:4318"},
        {"OTLP_ENDPOINT": "https://name:word@collector.example.com"},
        {"OTLP_ENDPOINT": "https://collector.example.com?key=1"},
        {"OTLP_TRACE_PERCENT": "101"},
        {"OTLP_HEADER": "no colon"},
        {"OTLP_HEADER": "X-Key: one\r\nX-Other: two"},
    ],
)
def test_unsafe_settings_are_refused(different: dict[str, str]) -> None:
    """In the clear over a net, with a password, malformed or out of bounds: the start ends."""
    with pytest.raises(SettingsRefused):
        read_settings({**ON, **{P + name: value for name, value in different.items()}})


@pytest.mark.parametrize("name", ["OTLP_HEADER", "OTLP_CA_FILE", "OTLP_TRACE_PERCENT"])
def test_a_part_without_the_endpoint_is_refused(name: str) -> None:
    """Somebody meant telemetry to go out, and it would not."""
    with pytest.raises(SettingsRefused, match="OTLP_ENDPOINT"):
        read_settings({**BASE, P + name: "5"})


FOREIGN = st.text(min_size=8, max_size=40).map(lambda text: f"{text} §")


@given(FOREIGN, FOREIGN, FOREIGN)
def test_no_words_from_outside_get_into_a_span(words: str, sent: str, told: str) -> None:
    """Not those of an exception, of a header or method, nor a told value that has not the form of a name of ours."""
    tracer, kept = in_memory()
    with suppress(RuntimeError), tracer.request(sent, None, sent) as span:
        span.tell(lambda: {Said.PURPOSE: told, Said.REASONS: (told,), cast("Said", "undeclared"): "plain"})
        with suppress(NotFound), tracer.step(Step.FACTS):
            raise NotFound(words)
        raise RuntimeError(words)
    raw = encode_spans(kept.get_finished_spans()).SerializeToString()
    for text in (words, sent, told):
        assert text.encode() not in raw
    assert b"undeclared" not in raw
    facts, request = kept.get_finished_spans()
    assert (facts.attributes or {})[Said.ERROR] == "not_found"
    assert (request.attributes or {})[Said.ERROR] == "internal"


def test_a_step_outside_of_a_request_is_not_timed_but_a_delivery_is() -> None:
    """What the worker does for itself makes no traces of one span each."""
    tracer, kept = in_memory()
    for step in Step:
        with tracer.step(step, NOTHING) as span:
            span.tell(lambda: {Said.COUNT: 1})
    assert [span.name for span in kept.get_finished_spans()] == [Step.DELIVERY]


def test_a_delivery_is_traced_by_the_kind_of_its_destination(gateway_engine: sa.Engine, clock: StillClock) -> None:
    """Each attempt is a trace of its own, one that failed says so by its code; nobody and no address is named."""
    tracer, kept = in_memory()
    world = World(gateway_engine, clock)
    world.courier._tracer = tracer
    world.people("ds_kanarienvogel", "ds_anderer")
    destination = world.sink()
    world.choose(("ds_kanarienvogel", EventKind.GRANT), ("ds_anderer", EventKind.GRANT))
    world.run(destination, Ear(lambda message: refuse("of Kanarienvogel") if message.person == "ds_anderer" else None))
    spans = kept.get_finished_spans()
    assert sorted(str((span.attributes or {}).get(Said.ERROR)) for span in spans) == ["None", "undelivered"]
    assert {(span.attributes or {})[Said.CONNECTOR] for span in spans} == {"test"}
    assert len({span.context.trace_id for span in spans if span.context}) == 2
    assert b"anarienvogel" not in encode_spans(spans).SerializeToString()


class _Stuck:
    """An exporter that waits until it is let go."""

    def __init__(self) -> None:
        self.let_go, self.entered, self.sent = threading.Event(), threading.Event(), 0

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.let_go.wait(20)
        self.sent += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.let_go.set()


def test_the_queue_is_bounded_and_what_does_not_fit_is_counted() -> None:
    """While the exporter is stuck the queue takes as many as it may; each further span is lost, and counted once."""
    stuck, lost = _Stuck(), list[int]()
    sender = BoundedSender(cast("Any", stuck), lost.append, most=4)
    tracer = OtelTracer(sender, Resource({}), 100)
    with tracer.request("GET", "/", None):
        pass
    assert stuck.entered.wait(20)
    for _each in range(10):
        with tracer.request("GET", "/", None):
            pass
    stuck.let_go.set()
    tracer.close()
    assert (stuck.sent, sum(lost)) == (1 + 4, 6)


def test_losses_add_up_across_processes(tmp_path: Path) -> None:
    """Several counters over one file are one number; before the first loss there is no file and it is zero."""
    path = tmp_path / "run" / "dropped"
    assert DropCount(path).read() == 0
    assert not path.exists()
    threads = [threading.Thread(target=DropCount(path).add, args=(at,)) for at in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert DropCount(path).read() == sum(range(21))
    assert path.stat().st_mode & 0o077 == 0
