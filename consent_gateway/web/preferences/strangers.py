"""The pages of requests without a sign-in: a form, a mailed code, and how far it is; tells nobody who is known.

No session and no cookie. What a visitor holds of a request is a ticket in the address, good for that request alone.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from flask import Response

from consent_gateway.errors import InputRefused, ProofRefused
from consent_gateway.people.directory import PersonRef
from consent_gateway.preferences.centre import CHANNEL
from consent_gateway.rights.own import LONGEST_TEXT
from consent_gateway.rights.strangers import ASKED_FOR, NOT_THERE
from consent_gateway.vocabulary import Identifier
from consent_gateway.web.customer.browser import FORM_BYTES, refuse_foreign_site
from consent_gateway.web.operations import Public
from consent_gateway.web.preferences.answering import fields_of
from consent_gateway.web.preferences.routes import PageCall, page
from consent_gateway.web.preferences.showing import SIGN_IN, see_other, show

ASK = "/privacy-request"
_OPEN = Public("whoever has no account may ask too; the answer is the same for every address")
_TICKET = Public("a ticket says which request, and that it was filed or proved by whoever holds it")
_FIELDS = frozenset({"right", "email", "place", "text"})


@page("GET", ASK, auth=_OPEN)
def form(call: PageCall) -> Response:
    """The form of a request."""
    return _form(call)


@page("POST", ASK, auth=_OPEN)
def file(call: PageCall) -> Response:
    """Take the request in."""
    fields = _sent(call)
    try:
        filed = call.strangers.file(fields, call.words.language, call.network, CHANNEL)
    except InputRefused as error:
        faults = tuple((fault.pointer[1:], _told(call, fault.pointer[1:], fault.message)) for fault in error.faults)
        if not all(name in _FIELDS for name, _ in faults):
            raise
        return _form(call, status=400, faults=faults, given=fields)
    if call.gpc:  # known or not: it closes for whoever has the address, now or later
        call.centre.hear(PersonRef(identifier=Identifier("email", fields["email"])))
    if filed.awaits_code:
        return see_other(call.words, f"{ASK}/code", r=filed.ticket)
    return see_other(call.words, f"{ASK}/taken", r=filed.ticket)


@page("GET", f"{ASK}/code", auth=_TICKET)
def code_page(call: PageCall) -> Response:
    """Where the code from the mail is written."""
    return _code(call, call.request.args.get("r", ""))


@page("POST", f"{ASK}/code", auth=_TICKET)
def code(call: PageCall) -> Response:
    """Prove the request by its code, or have another one mailed."""
    fields = _sent(call)
    ticket, strangers = fields.get("r", ""), call.strangers
    if fields.get("act") == "again":
        strangers.send_again(ticket, call.network)
        return see_other(call.words, f"{ASK}/code", r=ticket, again="yes")
    try:
        proved = strangers.prove(ticket, "".join(fields.get("code", "").split()), call.network)
    except ProofRefused:
        return _code(call, ticket, status=400, faults=(("code", call.words("stranger.code_wrong")),))
    return see_other(call.words, f"{ASK}/status", r=proved)


@page("GET", f"{ASK}/taken", auth=_TICKET)
def taken(call: PageCall) -> Response:
    """Say that a request came in for which nothing is mailed."""
    ticket = call.request.args.get("r", "")
    number = call.strangers.filed(ticket)
    at_once = call.strangers.holds_at_once(ticket)
    return show(call.centre, call.words, "stranger_taken", number=number, at_once=at_once, kept={"r": ticket})


@page("GET", f"{ASK}/status", auth=_TICKET)
def status(call: PageCall) -> Response:
    """How far a request is, for whoever had its code."""
    ticket = call.request.args.get("r", "")
    one = call.strangers.look(ticket)
    day = one.due and call.words.day(datetime(one.due.year, one.due.month, one.due.day, tzinfo=UTC))
    return show(call.centre, call.words, "stranger_status", one=one, day=day, kept={"r": ticket}, sign_in=SIGN_IN)


def _form(
    call: PageCall,
    *,
    status: int = 200,
    faults: tuple[tuple[str, str], ...] = (),
    given: Mapping[str, str] | None = None,
) -> Response:
    return show(
        call.centre,
        call.words,
        "stranger",
        status=status,
        rights=ASKED_FOR,
        places=_places(call),
        most=str(LONGEST_TEXT),
        faults=faults,
        given=given or {},
        sign_in=SIGN_IN,
    )


def _code(call: PageCall, ticket: str, *, status: int = 200, faults: tuple[tuple[str, str], ...] = ()) -> Response:
    number = call.strangers.filed(ticket)
    minutes, most = call.strangers.code_terms
    return show(
        call.centre,
        call.words,
        "stranger_code",
        status=status,
        ticket=ticket,
        number=number,
        minutes=str(minutes),
        most=str(most),
        again=call.request.args.get("again") == "yes",
        faults=faults,
        kept={"r": ticket},
    )


def _sent(call: PageCall) -> Mapping[str, str]:
    call.request.max_content_length = FORM_BYTES
    refuse_foreign_site(call.request, call.issuer)
    return fields_of(call)


def _told(call: PageCall, name: str, message: str) -> str:
    word = "no_law" if message == NOT_THERE else name
    return call.words(f"stranger.wrong.{word}") if name in _FIELDS else message


def _places(call: PageCall) -> list[tuple[str, str]]:
    """The places whose law is known, by code and name: countries by name, then parts of some."""
    named = [(code, call.words.place(code)) for code in call.strangers.places]
    return sorted(named, key=lambda one: ("-" in one[0], one[1].casefold()))


PAGES = (form, file, code_page, code, taken, status)
