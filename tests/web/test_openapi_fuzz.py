"""Calls generated from our own OpenAPI document, well-formed and not: no failure of ours, no undocumented answer."""

from collections.abc import Mapping
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

from tests.web.standins import ADA, ADA_EMAIL, PURPOSES, StandIns

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


Known = Mapping[str, Any]
"""Members that make a generated call reach somebody: `purpose`, `data_subject`, `identifier`, `decision_id`."""


def fuzz(app: Flask, token: str, known: Known, *, examples: int = 12) -> int:
    """Probe every operation of the application with generated calls; returns how many calls succeeded.

    Each operation is called as its schema allows, then the same with `known` values put in, then wrongly. Raises
    schemathesis' failures for a 5xx, an answer whose status, type, form or headers are not documented, and a
    malformed call that was not refused.
    """
    refusals = {"checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 413, 415, 422]}}}
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=SchemathesisConfig.from_dict(refusals))
    succeeded = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        declared = operation.definition.raw
        secured = any("oauth2" in way for way in declared.get("security", ()))
        headers = {"Authorization": f"Bearer {token}"} if secured else {}
        ways: list[tuple[GenerationMode, Known]] = [(GenerationMode.POSITIVE, {})]
        if declared.get("parameters") or declared.get("requestBody"):  # what takes nothing cannot be called wrongly
            ways += [(GenerationMode.POSITIVE, known), (GenerationMode.NEGATIVE, {})]
        for mode, values in ways:
            succeeded += _probe(operation, mode, headers, values, examples)
    return succeeded


def _probe(operation: Any, mode: GenerationMode, headers: dict[str, str], known: Known, examples: int) -> int:
    succeeded = 0

    @settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def probe(case: Any) -> None:
        nonlocal succeeded
        for part in (case.body, case.query, case.path_parameters):
            _put_in(part, known)
        response = case.call_and_validate(headers=headers, checks=CHECKS)
        succeeded += response.status_code < 300

    probe()
    return succeeded


def _put_in(part: Any, known: Known) -> None:
    if not isinstance(part, dict) or not known:
        return
    part.update({name: value for name, value in known.items() if name in part})
    if "fields" in part:
        del part["fields"]  # generated names are nobody's
    for person in part.get("persons", ()):
        _put_in(person, known)


def test_generated_calls_find_no_failure_and_no_undocumented_answer(app: Flask, services: StandIns) -> None:
    """Of generated calls to every operation none makes the application fail or answer as its document does not say."""
    services.client("fuzzer", purposes=frozenset(PURPOSES))
    known = {
        "purpose": PURPOSES[0],
        "data_subject": ADA,
        "identifier": {"kind": "email", "value": ADA_EMAIL},
        "decision_id": "dec_01jd80000000000000000000zz",
    }
    assert fuzz(app, services.token("fuzzer"), known) > 60
