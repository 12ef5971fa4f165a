"""Pages to sign in and out by: the provider, a mailed link, "not me"; proves nothing itself and styles nothing.

No page takes an address to go on to: after a sign-in the browser goes to `LANDING`, so there is nothing to redirect
openly. A GET changes nothing but the start of a sign-in at the provider, which is bound to the browser that made it.
"""

from typing import Any

from flask import Response

from consent_gateway.customer_desk import NOT_ME_LINK_PATH, SIGN_IN_LINK_PATH
from consent_gateway.customers.sessions import Assurance, IssuedToken, Proved
from consent_gateway.errors import (
    FieldFault,
    IdentifierRefused,
    InputRefused,
    IssuerUnavailable,
    KeysUnavailable,
    NotFound,
    SignInRefused,
    TooManyRequests,
)
from consent_gateway.vocabulary import Identifier
from consent_gateway.web.customer import browser
from consent_gateway.web.customer.forms import LinkFormSchema, MailFormSchema, PlainFormSchema
from consent_gateway.web.customer.provider import CALLBACK_PATH, Provider
from consent_gateway.web.operations import HTML, Answer, Call, CustomerAuth, Visitor, operation
from consent_gateway.web.preferences.showing import SIGN_IN, asked_language, language_of, show

LANDING = "/preferences"
"""Where a browser goes after a sign-in and a sign-out."""

ENDED = "/sign-in/ended"
"""Where a browser goes after "not me"."""

_ANSWERS = ("state", "code", "iss", "error", "error_description", "error_uri", "session_state", "scope")
_PAGE = (Answer(200, "A page.", content_type=HTML),)
_GOES_ON = (Answer(303, "The browser goes on.", content_type=HTML),)
_WAY_IN = Visitor("it is where customers prove who they are")


@operation("GET", "/sign-in", auth=_WAY_IN, answers=_PAGE)
def sign_in_page(call: Call) -> Response:
    """Show the ways to sign in, or who is signed in how, and the way out."""
    desk = call.services.customers
    return page(call, "sign_in", session=call.visit.session, by_mail=desk.by_mail, by_provider=call.site.provider)


@operation(
    "POST",
    "/sign-in/mail",
    auth=_WAY_IN,
    form=MailFormSchema,
    answers=_GOES_ON,
    raises=(IdentifierRefused, TooManyRequests, NotFound, KeysUnavailable),
)
def ask_for_link(call: Call) -> Response:
    """Ask for a sign-in link by mail; the answer is the same whether or not anybody has the address."""
    desk = call.services.customers
    if desk.by_mail is None:
        raise NotFound("nobody signs in by mail here")
    spoken = asked_language(call.request, call.services.preferences.words)
    desk.by_mail.ask(
        call.body["email"],
        browser=call.visit.browser,
        network=browser.visitor_address(call.request, desk.visitor_proxies),
        languages=[spoken] if spoken else [tag for tag, _weight in call.request.accept_languages],
    )
    return go_on("/sign-in/sent", call)


@operation("GET", "/sign-in/sent", auth=_WAY_IN, answers=_PAGE)
def link_sent(call: Call) -> Response:
    """Say that a mail is on its way, if somebody has the address."""
    return page(call, "sent")


@operation("GET", SIGN_IN_LINK_PATH, auth=_WAY_IN, answers=_PAGE)
def link_opened(call: Call) -> Response:
    """Show a mailed link as one button: a mail scanner that opens it uses nothing up."""
    token = call.request.args.get("t", "")
    return page(call, "link", token=token, kept={"t": token})


@operation("POST", SIGN_IN_LINK_PATH, auth=_WAY_IN, form=LinkFormSchema, answers=_GOES_ON, raises=(SignInRefused,))
def use_link(call: Call) -> Response:
    """Sign in by a mailed link: once, in time, in the browser that asked for it."""
    links, visit = call.services.customers.sign_in_links, call.visit
    return _signed_in(call, links.use(call.body["t"], visit.browser, visit.session_token))


@operation(
    "GET",
    "/sign-in/provider",
    auth=_WAY_IN,
    answers=_GOES_ON,
    raises=(IssuerUnavailable, TooManyRequests, NotFound),
)
def go_to_provider(call: Call) -> Response:
    """Go to the retailer's OpenID provider to sign in there."""
    desk, provider = call.services.customers, _provider(call)
    desk.limits.take(browser.visitor_address(call.request, desk.visitor_proxies))
    return go_on(provider.address(desk.handshakes.begin(call.visit.browser)))


@operation(
    "GET",
    CALLBACK_PATH,
    auth=_WAY_IN,
    answers=_GOES_ON,
    raises=(SignInRefused, IssuerUnavailable, NotFound, KeysUnavailable),
)
def back_from_provider(call: Call) -> Response:
    """Sign in by the provider's answer."""
    desk, provider, visit = call.services.customers, _provider(call), call.visit
    answer = _provider_answer(call)
    provider.refuse_other_issuer(answer)
    handshake = desk.handshakes.finish(answer.get("state", ""), visit.browser)
    data_subject = _holder(call, provider.identifier(call.request.url, handshake))
    proved = Proved(data_subject, Assurance.ACCOUNT)
    return _signed_in(call, desk.sessions.begin(proved, visit.session_token))


@operation("POST", "/sign-out", auth=CustomerAuth(), form=PlainFormSchema, answers=_GOES_ON)
def sign_customer_out(call: Call) -> Response:
    """Sign out: the session ends at once, in every tab."""
    call.services.customers.sessions.end(call.visit.session_token or "")
    return _signed_out(call, SIGN_IN)


@operation("POST", "/not-me", auth=CustomerAuth(), form=PlainFormSchema, answers=_GOES_ON)
def not_me(call: Call) -> Response:
    """Say "this is not me": every session and link of the person ends, and the dispute is recorded."""
    call.services.customers.sessions.dispute(call.customer)
    return _signed_out(call, ENDED)


@operation("GET", ENDED, auth=_WAY_IN, answers=_PAGE)
def everything_ended(call: Call) -> Response:
    """Say that every session and link of the person is over; the same whoever asks."""
    return page(call, "ended")


@operation("GET", NOT_ME_LINK_PATH, auth=_WAY_IN, answers=_PAGE)
def dispute_opened(call: Call) -> Response:
    """Show, to whoever got a link that they did not ask for, one button that ends everything; nothing is changed."""
    token = call.request.args.get("t", "")
    return page(call, "disputing", token=token, path=NOT_ME_LINK_PATH, kept={"t": token})


@operation("POST", NOT_ME_LINK_PATH, auth=_WAY_IN, form=LinkFormSchema, answers=_GOES_ON)
def dispute_link(call: Call) -> Response:
    """End the link and every session and link of its person. Who holds the mail may close, in any browser."""
    call.services.customers.sign_in_links.dispute(call.body["t"])
    return go_on(ENDED, call)


def page(call: Call, template: str, **values: Any) -> Response:
    """A page for customers out of its template, which finds `form_token` there, in the visitor's language."""
    return show_to(call, call.visit.form_token, template, **values)


def show_to(call: Call, form_token: str, template: str, **values: Any) -> Response:
    """The same where the call itself has no browser."""
    centre = call.services.preferences
    words = centre.words[language_of(call.request, centre.words)]
    return show(centre, words, f"customer/{template}", form_token=form_token, sign_in=SIGN_IN, **values)


def go_on(target: str, call: Call | None = None) -> Response:
    """Send the browser on by GET; with the call, in the language that it asked for by name."""
    spoken = None if call is None else asked_language(call.request, call.services.preferences.words)
    return Response(status=303, headers={"Location": target if spoken is None else f"{target}?lang={spoken}"})


def _provider(call: Call) -> Provider:
    if call.site.provider is None:
        raise NotFound("nobody signs in at a provider here")
    return call.site.provider


def _provider_answer(call: Call) -> dict[str, str]:
    """The parameters of the provider's answer, each once: two readers must not see two states."""
    given = call.request.args.to_dict(flat=False)
    twice = tuple(FieldFault(f"/{name}", "given twice") for name in _ANSWERS if len(given.get(name, ())) > 1)
    if twice:
        raise InputRefused("the provider's answer names a parameter twice", twice)
    return {name: given[name][0] for name in _ANSWERS if name in given}


def _holder(call: Call, identifier: Identifier) -> str:
    desk = call.services.customers
    known = desk.indexes.found(lambda: desk.indexes.every(identifier), lambda at: desk.facts.holder(at.kind, at.values))
    if known is None:
        raise SignInRefused("the provider knows you, but there is no customer record of this account here yet")
    return known.data_subject


def _signed_in(call: Call, issued: IssuedToken) -> Response:
    response = go_on(LANDING, call)
    browser.sign_in(response, issued)
    return response


def _signed_out(call: Call, target: str) -> Response:
    response = go_on(target, call)
    browser.sign_out(response)
    return response


OPERATIONS = (
    sign_in_page,
    ask_for_link,
    link_sent,
    link_opened,
    use_link,
    go_to_provider,
    back_from_provider,
    sign_customer_out,
    not_me,
    everything_ended,
    dispute_opened,
    dispute_link,
)
