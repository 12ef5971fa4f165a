"""Unsubscribing by a link (RFC 8058): GET shows one button, POST records the opt-out; asks nobody who they are.

No cookie, no form token and no session: whoever has the link may restrict this one purpose, and nothing else by it.
"""

from flask import Response

from consent_gateway.consent.choices import WRITE_SCOPE, NewChoice
from consent_gateway.consent.signals import Told
from consent_gateway.customers.links import UnsubscribeLink
from consent_gateway.customers.sessions import Assurance, Proved
from consent_gateway.errors import FieldFault, InputRefused, NotFound
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Caller, ConsentEvent, EventKind
from consent_gateway.web.customer import browser
from consent_gateway.web.customer.forms import LinkFormSchema, OneClickSchema
from consent_gateway.web.customer.sign_in import LANDING, go_on, show_to
from consent_gateway.web.operations import HTML, Answer, Call, Public, Visitor, operation

UNSUBSCRIBE_PATH = "/unsubscribe"
_KIND = EventKind.UNSUBSCRIBE
ONE_CLICK = ("List-Unsubscribe", "One-Click")
_LINK = Public("an opt-out asks nobody who they are: 256 random bits say whose and which")
_PAGE = (Answer(200, "A page.", content_type=HTML),)


@operation("GET", UNSUBSCRIBE_PATH, auth=_LINK, answers=_PAGE, raises=(NotFound,))
def unsubscribe_page(call: Call) -> Response:
    """Show what the link unsubscribes from, as one button, or since when it has; nothing is changed."""
    token = call.request.args.get("t", "")
    link = _heard(call, token)
    done = _done(call, link)
    if done is None:
        return _page(call, "unsubscribe", token, link_of=link)
    return _page(call, "unsubscribed", token, link_of=link, receipt=done.event_id, at=done.event.occurred_at)


@operation("POST", UNSUBSCRIBE_PATH, auth=_LINK, form=OneClickSchema, answers=_PAGE, raises=(NotFound,))
def unsubscribe(call: Call) -> Response:
    """Unsubscribe, from a mail program with one click (RFC 8058) or by the page's button; again changes nothing."""
    call.request.max_content_length = browser.FORM_BYTES
    name, value = ONE_CLICK
    if call.request.form.getlist(name) != [value]:
        raise InputRefused(
            f"the body must be the form `{name}={value}`", (FieldFault(f"/{name}", "not as it must be"),)
        )
    token = call.request.args.get("t", "")
    link = _heard(call, token)
    choice = _choice(call, link)
    recorded = call.services.choices.record(_as_caller(link), choice)
    receipt, at = recorded.event_ids[0], choice.occurred_at
    return _page(call, "unsubscribed", token, link_of=link, receipt=receipt, at=at)


@operation(
    "POST",
    "/unsubscribe/choice",
    auth=Visitor("the link says whose choice, and opens this one purpose alone"),
    form=LinkFormSchema,
    answers=(Answer(303, "The browser goes on.", content_type=HTML),),
    raises=(NotFound,),
)
def open_choice(call: Call) -> Response:
    """Open a session of this one purpose, in which it can be restricted further and never opened."""
    desk = call.services.customers
    link = _heard(call, call.body["t"])
    proved = Proved(link.data_subject, Assurance.SCOPED, link.purpose)
    response = go_on(LANDING, call)
    browser.sign_in(response, desk.sessions.begin(proved, call.visit.session_token))
    return response


def _heard(call: Call, token: str) -> UnsubscribeLink:
    """The link, once the signal that the browser sends with it binds its person (11 CCR 7025)."""
    link = call.services.customers.unsubscribe_links.find(token)
    if call.gpc:
        call.services.hearing.hear(_as_caller(link), (PersonRef(data_subject=link.data_subject),), Told(gpc=True))
    return link


def _done(call: Call, link: UnsubscribeLink) -> ConsentEvent | None:
    """The event by which the person unsubscribed, while that stands; it is on record that it was told."""
    choices, person = call.services.choices, PersonRef(data_subject=link.data_subject)
    choices.account_for(_as_caller(link), "view_choice", link.data_subject)
    standing = choices.state(person).facts.choices.get(link.purpose)
    if standing is None or not standing.unsubscribed:
        return None
    events = reversed(choices.history(person))
    return next((each for each in events if (each.event.kind, each.event.purpose) == (_KIND, link.purpose)), None)


def _as_caller(link: UnsubscribeLink) -> Caller:
    """The link as the consent room sees it: it may restrict in its channel, and open nothing."""
    return Caller("unsubscribe_link", link.channel, frozenset(), frozenset(), frozenset({WRITE_SCOPE}))


def _choice(call: Call, link: UnsubscribeLink) -> NewChoice:
    return NewChoice(
        person=PersonRef(data_subject=link.data_subject),
        kind=_KIND,
        occurred_at=call.services.clock.now(),
        how="web_form",
        purpose=link.purpose,
        reference=link.link_id,
    )


def _page(call: Call, template: str, token: str, **values: object) -> Response:
    visit = browser.visit_of(call.request, call.services.customers)
    response = show_to(call, visit.form_token, template, token=token, kept={"t": token}, **values)
    browser.keep(response, visit)  # for the button that opens the choice; unsubscribing itself reads no cookie
    return response


OPERATIONS = (unsubscribe_page, unsubscribe, open_choice)
