"""Decisions without data, one or many, and why a past one fell as it did."""

from typing import Any

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.errors import (
    AuditUnavailable,
    IdentifierRefused,
    LogDamaged,
    NotFound,
    TooManyRequests,
    UnknownField,
    UnknownPurpose,
)
from consent_gateway.line import BatchQuery, DecideQuery, tells_nothing
from consent_gateway.vocabulary import Action
from consent_gateway.web import answer_schemas, bodies, schemas
from consent_gateway.web.answers import batch_answer, decision_answer
from consent_gateway.web.operations import Answer, Call, json_answer, operation
from consent_gateway.web.persons import person_of

_DECIDES = (UnknownPurpose, UnknownField, IdentifierRefused, AuditUnavailable, TooManyRequests)


@operation(
    "POST",
    "/v1/decisions",
    auth=Scope.DECISIONS,
    body=schemas.DecideSchema,
    answers=(Answer(200, "The verdicts.", answer_schemas.DecisionAnswerSchema),),
    raises=(*_DECIDES, NotFound),
    reads_gpc=True,
    example={"identifier": {"kind": "email", "value": "ada@example.com"}, "purpose": "email_marketing"},
)
def decide(call: Call) -> Response:
    """Decide what a purpose may do with a person's fields, without reading them."""
    body = call.body
    query = DecideQuery(
        person=person_of(body),
        purpose=body["purpose"],
        fields=_names(body),
        action=Action(body["action"]),
        recipient=body.get("recipient"),
        gpc=call.gpc,
    )
    if query.person.identifier is None:
        return decision_answer(call.services.gateway.decide(call.caller, query))
    with call.services.limits.look_up(call.caller.client_id) as lookup:
        answer = call.services.gateway.decide(call.caller, query)
        lookup.missed(int(tells_nothing(answer.verdicts)))
    return decision_answer(answer)


@operation(
    "POST",
    "/v1/decisions/batch",
    auth=Scope.DECISIONS,
    body=schemas.BatchSchema,
    answers=(Answer(200, "One result per person, in the order asked.", answer_schemas.BatchAnswerSchema),),
    raises=(*_DECIDES, NotFound),
    most_bytes=bodies.BATCH_BYTES,
    example={
        "purpose": "email_marketing",
        "fields": ["email"],
        "persons": [{"identifier": {"kind": "email", "value": "ada@example.com"}}],
    },
)
def decide_batch(call: Call) -> Response:
    """Filter a send list: one purpose, up to 10 000 people.

    A person is `allowed` where every field asked for is open, transformed or not. Each one who is named by an
    identifier counts as a look-up.
    """
    body = call.body
    query = BatchQuery(
        persons=tuple(map(person_of, body["persons"])),
        purpose=body["purpose"],
        fields=_names(body),
        recipient=body.get("recipient"),
    )
    named = [person.identifier is not None for person in query.persons]
    if not any(named):
        return batch_answer(call.services.gateway.decide_batch(call.caller, query))
    with call.services.limits.look_up(call.caller.client_id, sum(named)) as lookup:
        answer = call.services.gateway.decide_batch(call.caller, query)
        missed = (by_name and tells_nothing(one.verdicts) for by_name, one in zip(named, answer.results, strict=True))
        lookup.missed(sum(missed))
    return batch_answer(answer)


@operation(
    "GET",
    "/v1/decisions/{decision_id}",
    auth=Scope.CUSTOMERS_EXPLAIN,
    answers=(Answer(200, "The explanation.", answer_schemas.ExplainAnswerSchema),),
    raises=(NotFound, LogDamaged),
)
def explain_decision(call: Call) -> Response:
    """Explain a past decision: for each field the rule, its text and source, and the consent event it rested on."""
    return json_answer(call.services.explain.decision(call.caller, call.path["decision_id"]))


def _names(body: Any) -> tuple[str, ...] | None:
    names = body.get("names")
    return None if names is None else tuple(names)


OPERATIONS = (decide, decide_batch, explain_decision)
