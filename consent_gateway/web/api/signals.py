"""Signals of browsers and consent strings: take one, tell what it does, and say that the site honours them."""

from dataclasses import asdict
from typing import Any

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.consent.hearing import SignalStatus
from consent_gateway.consent.signals import Told, read_signal
from consent_gateway.errors import AuditUnavailable, Conflict, IdentifierRefused, NotFound, TooManyRequests
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Identifier
from consent_gateway.web import schemas, signal_schemas
from consent_gateway.web.operations import Answer, Call, Public, json_answer, operation
from consent_gateway.web.persons import person_of

GPC_UPDATED = "2026-11-25"
"""The day on which this site's support of the signal last changed: `lastUpdate` of the specification."""

_DEVICE = "device_id"


@operation(
    "POST",
    "/v1/signals",
    auth=Scope.SIGNALS_WRITE,
    body=schemas.SignalSchema,
    answers=(Answer(201, "The signal is on file and binds every later call.", signal_schemas.HeardSchema),),
    raises=(IdentifierRefused, NotFound, AuditUnavailable),
    example={"device_id": "f3c1a2d4-visitor", "gpc": "1"},
)
def send_signal(call: Call) -> Response:
    """Send a signal of a visitor: Global Privacy Control, a GPP, TCF or US Privacy string.

    It binds the device or cookie in `device_id`, the pseudonymous profile in `profile_id` and the person, where each is
    known by then or only later. What it asks is recorded once, however often it comes. A signal that is not understood
    is refused by name and changes nothing. None ever opens anything: its absence, a `0`, or a string that says yes, is
    no consent.
    """
    body = call.body
    told = read_signal(gpc=body.get("gpc"), gpp=body.get("gpp"), tcf=body.get("tcf"), usp=body.get("usp"))
    named = (body[each] for each in (_DEVICE, "profile_id") if each in body)
    persons = [PersonRef(identifier=Identifier(_DEVICE, value)) for value in named]
    if "person" in body:
        persons.append(person_of(body["person"]))
    events = call.services.hearing.hear(call.caller, persons, told)
    return json_answer({"event_ids": events, "read": _read(told)}, 201)


@operation(
    "POST",
    "/v1/signals/lookup",
    auth=Scope.CONSENTS_READ,
    body=schemas.PersonSchema,
    answers=(Answer(200, "What the signal does for the person.", signal_schemas.SignalStatusSchema),),
    raises=(IdentifierRefused, NotFound, Conflict, TooManyRequests),
    example={"identifier": {"kind": "email", "value": "ada@example.com"}},
)
def look_up_signal(call: Call) -> Response:
    """Read what a person's opt-out signal does, to show it to them.

    `turned_off` are the purposes that the law of their residence closes because of it. `contradicts` are earlier
    choices it went against: it was honoured, and you may ask whether they still want them. Where `programme.ask` is
    true, tell the member that the signal stands and ask whether they want to leave; until they do, they stay.
    """
    person = person_of(call.body)
    if person.identifier is None:
        return json_answer(_status(_accounted(call, person)))
    with call.services.limits.look_up(call.caller.client_id) as lookup:
        try:
            status = _accounted(call, person)
        except NotFound:
            lookup.missed()
            raise
    return json_answer(_status(status))


@operation(
    "GET",
    "/.well-known/gpc.json",
    auth=Public("every browser may ask whether this site honours the signal"),
    answers=(Answer(200, "It does.", signal_schemas.GpcSupportSchema),),
)
def gpc_support(_call: Call) -> Response:
    """Read that Global Privacy Control is honoured here."""
    return json_answer({"gpc": True, "lastUpdate": GPC_UPDATED})


def _accounted(call: Call, person: PersonRef) -> SignalStatus:
    """The status, once it is on record who is told."""
    status = call.services.hearing.status(person)
    call.services.choices.account_for(call.caller, "read_signal", status.data_subject)
    return status


def _read(told: Told) -> dict[str, Any]:
    """What was understood, so that a channel can see it before it relies on it."""
    tcf = told.tcf
    return {
        "gpc": told.gpc,
        "us": [
            {
                "section": section.name,
                "opted_out": sorted(section.opted_out),
                "sensitive_refused": section.sensitive_refused,
                "gpc": section.gpc,
            }
            for section in told.us
        ],
        "usp_opted_out": told.usp_opted_out,
        "tcf": None
        if tcf is None
        else {
            "created": tcf.created,
            "purposes": sorted(tcf.purposes),
            "legitimate_interests": sorted(tcf.legitimate_interests),
            "vendors": sorted(tcf.vendors),
            "disclosed": None if tcf.disclosed is None else sorted(tcf.disclosed),
        },
    }


def _status(status: SignalStatus) -> dict[str, Any]:
    duty = status.duty
    return {
        "data_subject": status.data_subject,
        "gpc": status.gpc,
        "honoured": status.honoured,
        "since": status.since,
        "event_id": status.event_id,
        "turned_off": status.turned_off,
        "duty": None if duty is None else asdict(duty),
        "contradicts": [asdict(one) for one in status.contradictions],
        "programme": asdict(status.programme),
    }


OPERATIONS = (send_signal, look_up_signal, gpc_support)
