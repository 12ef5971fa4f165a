"""Verdicts and records to the bytes of an answer; the path of every read, so written without a schema.

A test proves that what is written here has the form that `schemas` documents.
"""

from collections.abc import Mapping
from typing import Any

from flask import Response, g

from consent_gateway.line import BatchAnswer, DecideAnswer, ReadAnswer
from consent_gateway.searches import SearchAnswer
from consent_gateway.vocabulary import Verdict
from consent_gateway.web.operations import json_answer


def verdicts_document(verdicts: Mapping[str, Verdict]) -> dict[str, dict[str, Any]]:
    """Each field's verdict as the API shows it."""
    return {
        name: {
            "effect": verdict.effect.word,
            "reason": verdict.reason.value,
            "rule": verdict.rule,
            "obligations": [obligation.transform for obligation in verdict.obligations],
        }
        for name, verdict in verdicts.items()
    }


def record_answer(answer: ReadAnswer) -> Response:
    """The answer to a read."""
    g.decision_id = answer.decision_id
    return json_answer(_record_document(answer))


def search_answer(answer: SearchAnswer) -> Response:
    """The answer to a search: a read for each candidate."""
    candidates = [_record_document(candidate) for candidate in answer.candidates]
    return json_answer({"candidates": candidates, "more": answer.more, "policy_revision": answer.revision})


def _record_document(answer: ReadAnswer) -> dict[str, Any]:
    return {
        "data_subject": answer.data_subject,
        "record": answer.record,
        "more": answer.more,
        "fields": verdicts_document(answer.verdicts),
        "decision_id": answer.decision_id,
        "policy_revision": answer.revision,
        "version": answer.version,
    }


def decision_answer(answer: DecideAnswer) -> Response:
    """The answer to a question without data."""
    g.decision_id = answer.decision_id
    return json_answer(
        {
            "data_subject": answer.data_subject,
            "fields": verdicts_document(answer.verdicts),
            "decision_id": answer.decision_id,
            "policy_revision": answer.revision,
        }
    )


def batch_answer(answer: BatchAnswer) -> Response:
    """The answer to one question about many people; `allowed` where every field asked for is open."""
    shown: dict[int, dict[str, dict[str, Any]]] = {}  # people decided alike share one document
    results = []
    for index, result in enumerate(answer.results):
        document = shown.get(id(result.verdicts))
        if document is None:
            document = shown[id(result.verdicts)] = verdicts_document(result.verdicts)
        results.append(
            {
                "index": index,
                "allowed": bool(result.verdicts) and all(verdict.is_open for verdict in result.verdicts.values()),
                "data_subject": result.data_subject,
                "fields": document,
                "decision_id": result.decision_id,
            }
        )
    return json_answer({"results": results, "policy_revision": answer.revision})
