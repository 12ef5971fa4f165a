"""The pages a customer reads: choices, history, receipts, uses, and what they are drawn with; records no choice."""

from datetime import timedelta
from importlib.resources import files
from typing import Any

from flask import Response

from consent_gateway.consent.receipts import has_receipt
from consent_gateway.errors import NotFound
from consent_gateway.preferences.brand import Brand
from consent_gateway.preferences.centre import PAGE_EVENTS, PAUSES
from consent_gateway.preferences.standing import Standing, Way
from consent_gateway.vocabulary import ANY_PURPOSE, ConsentEvent, Effect, EventKind
from consent_gateway.web.operations import Public
from consent_gateway.web.preferences.routes import Customer, PageCall, page
from consent_gateway.web.preferences.showing import HOME, show

SALE_RIGHT, LIMIT_RIGHT = "opt_out_sale_share", "limit_sensitive"
CONTACTS = ("email", "sms", "phone", "post", "push", "store")


@page("GET", HOME, auth=Customer())
def choices(call: PageCall) -> Response:
    """Every purpose, how it stands and how to change it."""
    return show_choices(call)


def show_choices(
    call: PageCall, *, status: int = 200, faults: tuple[tuple[str, str], ...] = (), **kept: Any
) -> Response:
    """The page of choices. After a failed form, `faults` are pairs of field and message and `marks` what was marked."""
    centre, words = call.centre, call.words
    view = centre.view(call.visit.data_subject, gpc=call.gpc)
    position = call.request.args.get("saved", "")
    saved: tuple[ConsentEvent, ...] = ()
    if position.isascii() and position.isdecimal() and len(position) < 10:
        saved = centre.saved_at(call.visit.data_subject, int(position))
    sale = tuple(each for each in view.standings if each.cross_context and SALE_RIGHT in view.rights)
    return show(
        centre,
        words,
        "choices",
        status=status,
        token=centre.form_token(call.visit.session_id),
        view=view,
        asked=[each for each in view.standings if each.asked],
        sale=sale,
        limit_right=LIMIT_RIGHT in view.rights,
        objection=view.by_way(Way.OBJECTION),
        fixed=view.by_way(Way.NONE),
        programme=view.by_way(Way.PROGRAMME),
        closed=view.by_way(Way.CLOSED),
        notice=lambda purpose: centre.notices.current(purpose, words.language),
        contacts=CONTACTS,
        by_purpose={each.purpose: each for each in view.standings},
        in_matrix=centre.brand.contacting.intersection(each.purpose for each in view.standings if each.answerable),
        contacting=[each for each in view.standings if each.answerable and _comes(centre.brand, each)],
        pauses=[(days, words.day(view.now + timedelta(days=days))) for days in PAUSES],
        session_form=call.session_form,
        saved=saved,
        heard=centre.heard(call.visit.data_subject) if saved else (),
        nothing_saved=position == "none",
        told=lambda event: told(call, event),
        gpc=call.gpc or view.facts.gpc,
        silenced=[each for each in view.standings if each.reason.value == "gpc"],
        faults=faults,
        marks=kept.get("marks", {}),
    )


def _comes(brand: Brand, standing: Standing) -> bool:
    """Whether the company comes to the person for this, now or after a pause, so that it can come less often."""
    return standing.purpose in brand.contacting and (
        standing.in_use or (standing.paused_until is not None and standing.answer is not False)
    )


def told(call: PageCall, event: ConsentEvent) -> str:
    """What an event says, in words: the purpose, then the act."""
    purpose = event.event.purpose
    about = call.words("history.everything") if purpose == ANY_PURPOSE else call.words.purpose(purpose)
    return call.words("saved.line", purpose=about, what=what_of(call, event))


def what_of(call: PageCall, event: ConsentEvent) -> str:
    """What was chosen, with the end of a pause or how often."""
    what, said = call.words(f"kinds.{event.event.kind.value}"), event.event
    if said.frequency is not None:
        return f"{what} ({call.words(f'less.{said.frequency}')})"
    if said.kind is EventKind.PAUSE and said.valid_until is not None:
        return f"{what} ({call.words.day(said.valid_until)})"
    return what


@page("GET", f"{HOME}/history", auth=Customer())
def history(call: PageCall) -> Response:
    """Every choice, with the text then shown."""
    events = call.centre.history(call.visit.data_subject)
    before = call.request.args.get("before", "")
    if before.isascii() and before.isdecimal() and len(before) < 10:
        events = tuple(each for each in events if each.position < int(before))
    return show(
        call.centre,
        call.words,
        "history",
        events=events[:PAGE_EVENTS],
        older=events[PAGE_EVENTS - 1].position if len(events) > PAGE_EVENTS else None,
        notice=lambda event: notice_of(call, event),
        told=lambda event: told(call, event),
    )


def notice_of(call: PageCall, event: ConsentEvent) -> Any:
    """The text an event rests on, if it is one of ours."""
    evidence = event.event.evidence
    if evidence.notice is None or evidence.notice_version is None or evidence.language is None:
        return None
    return call.centre.notices.find(evidence.notice, evidence.notice_version, evidence.language)


@page("GET", f"{HOME}/receipts/{{item}}", auth=Customer())
def receipt(call: PageCall) -> Response:
    """One choice as a page to keep or print."""
    event = call.centre.receipt(call.visit.data_subject, call.item)
    what, notice = what_of(call, event), notice_of(call, event)
    signed = has_receipt(event)
    return show(call.centre, call.words, "receipt", event=event, what=what, notice=notice, signed=signed)


@page("GET", f"{HOME}/receipts/{{item}}/signed", auth=Customer())
def signed_receipt(call: PageCall) -> Response:
    """The same as a signed file, which anybody can verify without us."""
    event = call.centre.receipt(call.visit.data_subject, call.item)
    response = Response(call.services.receipts.file(event.event_id), content_type="application/json")
    response.headers["Content-Disposition"] = f'attachment; filename="receipt-{event.event_id}.json"'
    return response


@page("GET", f"{HOME}/uses", auth=Customer())
def uses(call: PageCall) -> Response:
    """Who used the person's data, when, why and with what result."""
    rows = []
    for found in call.centre.uses(call.visit.data_subject):
        entry = found.entry
        given = [name for name, (effect, *_) in entry.get("fields", {}).items() if effect != Effect.WITHHOLD.word]
        kinds = sorted({call.words.kind(category) for category in call.centre.kinds_of(given)})
        rows.append({"entry": entry, "kinds": kinds})
    return show(call.centre, call.words, "uses", rows=rows)


@page("GET", f"{HOME}/style.css", auth=Public("the look of the page holds nothing of anyone"))
def stylesheet(call: PageCall) -> Response:
    """The brand's tokens, then the page's own rules."""
    return _kept(call.centre.brand.stylesheet() + _own("preferences.css"), "text/css; charset=utf-8")


@page("GET", f"{HOME}/logo.svg", auth=Public("the company's logo"))
def logo(call: PageCall) -> Response:
    """The brand's logo, which is the page's icon too."""
    return _kept(call.centre.brand.logo, "image/svg+xml")


def _kept(content: bytes, content_type: str) -> Response:
    response = Response(content, content_type=content_type)
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def _own(name: str) -> bytes:
    return (files("consent_gateway.web") / "static" / name).read_bytes()


@page("GET", f"{HOME}/confirm", auth=Customer())
def confirm(call: PageCall) -> Response:
    """The second step after an opt-out."""
    view = call.centre.view(call.visit.data_subject, gpc=call.gpc)
    asked = set(call.request.args.getlist("purpose"))
    chosen = [each for each in view.standings if each.purpose in asked and each.asked and each.opt_in_again]
    if not chosen:
        raise NotFound("there is nothing to confirm")
    return show(
        call.centre,
        call.words,
        "confirm",
        chosen=chosen,
        token=call.centre.form_token(call.visit.session_id),
        notice=lambda purpose: call.centre.notices.current(purpose, call.words.language),
        saved=call.request.args.get("saved"),
    )


PAGES = (choices, history, receipt, signed_receipt, uses, stylesheet, logo, confirm)
