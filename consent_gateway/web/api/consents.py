"""Choices of people by way of the consent room: record one, read where a person stands, read the history."""

from typing import Any

from flask import Response, g

from consent_gateway.callers.registry import Scope
from consent_gateway.consent.choices import NewChoice
from consent_gateway.consent.facts import Known
from consent_gateway.consent.witness import Witness
from consent_gateway.errors import (
    AuditUnavailable,
    Conflict,
    ConsentNotRaised,
    IdentifierRefused,
    NotFound,
    Suppressed,
    TooManyRequests,
    UnknownPurpose,
)
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import ANY_PURPOSE, Choice, ConsentEvent, EventKind
from consent_gateway.web import answer_schemas, schemas
from consent_gateway.web.operations import Answer, Call, json_answer, operation
from consent_gateway.web.persons import person_of

_FLAGS = (
    "restricted",
    "limited",
    "gpc",
    "member",
    "parental_authorisation",
    "erasure_pending",
    "erased",
    "legal_hold",
)


@operation(
    "POST",
    "/v1/consents",
    auth=Scope.CONSENTS_WRITE,
    body=schemas.ConsentSchema,
    answers=(Answer(201, "The choice is recorded and binds every later call.", answer_schemas.RecordedSchema),),
    raises=(UnknownPurpose, IdentifierRefused, ConsentNotRaised, Conflict, Suppressed, NotFound, AuditUnavailable),
    reads_gpc=True,
    idempotent=True,
    example={
        "identifier": {"kind": "email", "value": "ada@example.com"},
        "purpose": "email_marketing",
        "kind": "withdraw",
        "occurred_at": "2026-11-22T11:59:00Z",
        "evidence": {"how": "spoken", "reference": "call-77120"},
    },
)
def record_consent(call: Call) -> Response:
    """Record a choice of a person: a grant, refusal, withdrawal, objection, opt-out or another kind.

    What opens something needs its `evidence`: the notice shown, with version and language; of a spoken yes `agent`
    and `script_version`, of one on paper `image_sha256`. After an opt-out it takes `request` and then `opt_in_again`;
    where a form's yes must be confirmed from the mailbox, ask by `POST /v1/confirmations`. What restricts needs none:
    left out, it counts as made by `api`. It binds in every channel on the next call.
    """
    body, evidence = call.body, call.body["evidence"]
    person = person_of(body)
    call.keep_signal(person)
    recorded = call.services.choices.record(
        call.caller,
        NewChoice(
            person=person,
            kind=EventKind(body["kind"]),
            occurred_at=body.get("occurred_at") or call.services.clock.now(),
            how=evidence["how"],
            purpose=body.get("purpose", ANY_PURPOSE),
            valid_until=body.get("valid_until"),
            frequency=body.get("frequency"),
            notice=evidence.get("notice"),
            notice_version=evidence.get("notice_version"),
            language=evidence.get("language"),
            reference=evidence.get("reference"),
            conditions=frozenset(evidence["conditions"]),
            witness=Witness(evidence.get("agent"), evidence.get("script_version"), evidence.get("image_sha256")),
        ),
    )
    g.decision_id = recorded.entry_id
    document: dict[str, Any] = {"event_ids": recorded.event_ids, "entry_id": recorded.entry_id}
    if Scope.CONSENTS_READ in call.caller.scopes:
        document["state"] = _state(recorded.state)
    return json_answer(document, 201)


@operation(
    "POST",
    "/v1/consents/lookup",
    auth=Scope.CONSENTS_READ,
    body=schemas.PersonSchema,
    answers=(Answer(200, "Where the person stands.", answer_schemas.StateSchema),),
    raises=(IdentifierRefused, NotFound, TooManyRequests),
    example={"identifier": {"kind": "email", "value": "ada@example.com"}},
)
def look_up_consents(call: Call) -> Response:
    """Read where a person stands on each purpose they ever chose about.

    Of an identifier that several people share, the most restrictive of all is answered, without an id.
    """
    person = person_of(call.body)
    if person.identifier is None:
        return json_answer(_state(_accounted(call, person)))
    with call.services.limits.look_up(call.caller.client_id) as lookup:
        try:
            known = _accounted(call, person)
        except NotFound:
            lookup.missed()
            raise
    return json_answer(_state(known))


def _accounted(call: Call, person: PersonRef) -> Known:
    """Where the person stands, once it is on record who is told."""
    choices = call.services.choices
    known = choices.state(person)
    choices.account_for(call.caller, "read_state", None if known.shared else known.data_subject)
    return known


@operation(
    "GET",
    "/v1/customers/{data_subject}/consents",
    auth=Scope.CONSENTS_READ,
    answers=(Answer(200, "Every event, in order.", answer_schemas.HistorySchema),),
    raises=(NotFound, Conflict),
)
def read_consents(call: Call) -> Response:
    """Read every choice a person ever made, with its evidence, in order."""
    data_subject = call.path["data_subject"]
    choices = call.services.choices
    events = choices.history(PersonRef(data_subject=data_subject))
    choices.account_for(call.caller, "read_history", data_subject)
    return json_answer({"data_subject": data_subject, "events": [event_document(event) for event in events]})


def _state(known: Known) -> dict[str, Any]:
    facts = known.facts
    return {
        "data_subject": None if known.shared else known.data_subject,
        "shared": known.shared,
        "purposes": {purpose: _choice(choice) for purpose, choice in sorted(facts.choices.items())},
        **{flag: getattr(facts, flag) for flag in _FLAGS},
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "status": choice.status.value,
        "given_at": choice.given_at,
        "valid_until": choice.valid_until,
        "notice_version": choice.notice_version,
        "objected": choice.objected,
        "opted_out": choice.opted_out,
        "opted_in_again": choice.opted_in_again,
        "unsubscribed": choice.unsubscribed,
        "event_id": choice.event_id,
        "paused_until": choice.paused_until,
        "frequency": choice.frequency,
    }


def event_document(committed: ConsentEvent) -> dict[str, Any]:
    """One event with its evidence, as the history shows it."""
    event, evidence = committed.event, committed.event.evidence
    return {
        "event_id": committed.event_id,
        "position": committed.position,
        "recorded_at": committed.recorded_at,
        "occurred_at": event.occurred_at,
        "valid_until": event.valid_until,
        "frequency": event.frequency,
        "purpose": None if event.purpose == ANY_PURPOSE else event.purpose,
        "kind": event.kind.value,
        "evidence": {
            "channel": evidence.channel,
            "how": evidence.how,
            "recorded_by": evidence.recorded_by,
            "notice": evidence.notice,
            "notice_version": evidence.notice_version,
            "notice_sha256": evidence.notice_sha256,
            "language": evidence.language,
            "reference": evidence.reference,
            "conditions": sorted(evidence.conditions),
        },
    }


OPERATIONS = (record_consent, look_up_consents, read_consents)
