"""People as officers see them: a pseudonym, choices, requests, decisions; and turning pseudonyms back, its own act."""

from datetime import timedelta

from flask import Response

from consent_gateway.audit.entry import EntryKind
from consent_gateway.audit.log import EntryFilter, readable
from consent_gateway.callers.transactions import reading
from consent_gateway.console.permissions import Doing
from consent_gateway.errors import Conflict, FieldFault, InputRefused, NotFound, OfficerNotPermitted
from consent_gateway.people.directory import PersonRef
from consent_gateway.reidentification.canonical import Ask, AskedToken
from consent_gateway.reidentification.requests import Asked
from consent_gateway.vocabulary import COMPANY
from consent_gateway.web.api.reidentifications import FRESH_SECONDS
from consent_gateway.web.console.guard import one
from consent_gateway.web.console.routes import PageCall, page
from consent_gateway.web.console.showing import HOME, see_other
from consent_gateway.web.console.signing import _json, answer_of
from consent_gateway.web.officer_auth import Stale
from consent_gateway.web.preferences.showing import IS_ID

PEOPLE = f"{HOME}/people"
TURNED_BACK = f"{HOME}/reidentifications"
_LATEST = 20


@page("GET", PEOPLE, Doing.SEE_PEOPLE)
def people(call: PageCall) -> Response:
    """Ask for a person by pseudonym, or for pseudonyms to be turned back."""
    terms = call.services.policies.documents.reidentification
    return call.show(
        "people",
        purposes=sorted(call.services.policies.purposes),
        recipients=[COMPANY, *sorted(call.services.policies.recipients)],
        reasons=terms.reasons,
        fields=sorted(call.services.policies.catalogue.fields),
    )


@page("POST", PEOPLE, Doing.SEE_DECISIONS)
def find(call: PageCall) -> Response:
    """Go to the person of this pseudonym."""
    data_subject = one(dict(call.fields), "data_subject", longest=64)
    if not IS_ID(data_subject):
        raise InputRefused("this is no pseudonym of the gateway's", (FieldFault("/data_subject", "mend it"),))
    return see_other(f"{PEOPLE}/{data_subject}")


@page("GET", f"{PEOPLE}/{{item}}", Doing.SEE_DECISIONS)
def person(call: PageCall) -> Response:
    """One pseudonym: where they stand, what they asked for, who decided what about them. This look is recorded."""
    asked = PersonRef(data_subject=call.item)
    known = call.services.choices.state(asked)
    call.console.looks.looked(call.officer.officer_id, "person", {"data_subject": call.item})
    handling = call.services.rights.handling
    with reading(call.console.engine) as connection:
        requests = handling.book.of_person(connection, call.item, _LATEST)
    which = EntryFilter(kind=EntryKind.DECISION.value, data_subject=call.item)
    found = call.services.evidence.log.page(which, before=None, limit=_LATEST)
    return call.show(
        "person",
        known=known,
        events=list(reversed(call.services.choices.history(asked)))[:_LATEST],
        requests=requests,
        rows=[readable(each.leaf) for each in found.found],
        today=handling.today,
    )


@page("POST", TURNED_BACK, Doing.ASK_REIDENTIFICATION)
def ask(call: PageCall) -> Response:
    """Ask that pseudonyms be turned back; nothing of them is looked up yet."""
    _refuse_stale_sign_in(call)
    fields = dict(call.fields)
    field = one(fields, "field", needed=False) or None
    lines = [line.strip() for line in one(fields, "tokens", longest=8192).splitlines() if line.strip()]
    tokens = tuple(AskedToken(line, field) for line in lines)
    words = (one(fields, name, longest=longest) for name, longest in _ASKED)
    asked = call.services.desk.requests.ask(call.officer, Ask(tokens, *words))
    return see_other(f"{TURNED_BACK}/{asked.request_id}")


_ASKED = (("purpose", 64), ("recipient", 64), ("reason", 64), ("text", 512), ("case_id", 64))


@page("GET", f"{TURNED_BACK}/{{item}}", Doing.DECIDE_REIDENTIFICATION)
def reidentification(call: PageCall) -> Response:
    """One request to turn pseudonyms back: what was asked, for whom, why, and whose signature it waits for."""
    return _shown(call, call.services.desk.requests.get(call.officer, call.item))


@page("POST", f"{TURNED_BACK}/{{item}}/approve", Doing.DECIDE_REIDENTIFICATION)
def approve(call: PageCall) -> Response:
    """Sign exactly this request with a passkey."""
    _refuse_stale_sign_in(call)
    call.services.desk.approvals.approve(call.officer, call.item, answer_of(call.fields))
    return see_other(f"{TURNED_BACK}/{call.item}")


@page("POST", f"{TURNED_BACK}/{{item}}/deny", Doing.DECIDE_REIDENTIFICATION)
def deny(call: PageCall) -> Response:
    """Refuse it, or withdraw an own one."""
    call.services.desk.approvals.deny(call.officer, call.item)
    return see_other(f"{TURNED_BACK}/{call.item}")


@page("POST", f"{TURNED_BACK}/{{item}}/reveal", Doing.ASK_REIDENTIFICATION)
def reveal(call: PageCall) -> Response:
    """Be told, once, what the tokens of a grant stand for; the answer is on no other page and cannot be had again."""
    _refuse_stale_sign_in(call)
    return call.show("revealed", revealed=call.services.desk.reveals.reveal(call.officer, call.item))


def _shown(call: PageCall, asked: Asked) -> Response:
    desk, options = call.services.desk, None
    try:
        options = desk.approvals.options(call.officer, asked.request_id)[1] if asked.state == "open" else None
    except (Conflict, NotFound, OfficerNotPermitted):
        options = None
    payload = desk.requests.payload(asked)
    own = asked.requester == call.officer.officer_id
    return call.show(
        "reidentification",
        scripts=options is not None,
        asked=asked,
        own=own,
        text=None if payload is None else payload.text,
        options=None if options is None else _json(options),
    )


def _refuse_stale_sign_in(call: PageCall) -> None:
    if call.services.clock.now() - call.officer.auth_time > timedelta(seconds=FRESH_SECONDS):
        raise Stale(FRESH_SECONDS)


PAGES = (people, find, person, ask, reidentification, approve, deny, reveal)
