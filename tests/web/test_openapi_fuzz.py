"""Calls generated from our own OpenAPI document, well-formed and not: no failure of ours, no undocumented answer."""

from typing import Any

import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.web.standins import StandIns

# Not `positive_data_acceptance`: a purpose or field the policy does not have is of the right form, and refused.
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def fuzz(app: Flask, token: str, *, examples: int = 15) -> int:
    """Probe every operation of the application with generated calls; returns how many calls were made.

    Raises schemathesis' failures for a 5xx, an answer whose status, type, form or headers are not documented, and
    a malformed call that was not refused.
    """
    refusals = {"checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 413, 415, 422]}}}
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=SchemathesisConfig.from_dict(refusals))
    calls = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        secured = any("oauth2" in way for way in operation.definition.raw.get("security", ()))
        headers = {"Authorization": f"Bearer {token}"} if secured else {}
        takes_input = any(operation.definition.raw.get(part) for part in ("parameters", "requestBody"))
        for mode in MODES if takes_input else MODES[:1]:  # what takes nothing cannot be called wrongly
            calls += _probe(operation, mode, headers, examples)
    return calls


def _probe(operation: Any, mode: GenerationMode, headers: dict[str, str], examples: int) -> int:
    calls = 0

    @settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def probe(case: Any) -> None:
        nonlocal calls
        calls += 1
        case.call_and_validate(headers=headers, checks=CHECKS)

    probe()
    return calls


def test_generated_calls_find_no_failure_and_no_undocumented_answer(app: Flask, services: StandIns) -> None:
    """Of generated calls to every operation none makes the application fail or answer as its document does not say."""
    services.client("fuzzer", purposes=frozenset({"order_fulfilment", "email_marketing", "customer_support"}))
    assert fuzz(app, services.token("fuzzer")) > 200
