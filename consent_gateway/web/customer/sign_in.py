"""Pages to sign in and out by: the provider, a mailed link, "not me"; proves nothing itself and styles nothing.

No page takes an address to go on to: after a sign-in the browser goes to `LANDING`, so there is nothing to redirect
openly. A GET changes nothing but the start of a sign-in at the provider, which is bound to the browser that made it.
"""

from flask import Response, render_template

from consent_gateway.customer_desk import SIGN_IN_LINK_PATH
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

LANDING = "/preferences"
"""Where a browser goes after a sign-in and a sign-out."""

_ANSWERS = ("state", "code", "iss", "error", "error_description", "error_uri", "session_state", "scope")
_PAGE = (Answer(200, "A page.", content_type=HTML),)
_GOES_ON = (Answer(303, "The browser goes on.", content_type=HTML),)
_WAY_IN = Visitor("it is where customers prove who they are")


@operation("GET", "/sign-in", auth=_WAY_IN, answers=_PAGE)
def sign_in_page(call: Call) -> Response:
    """Show the ways to sign in, or who is signed in how, and the way out."""
    desk = call.services.customers
    return page(call, "sign_in.html", session=call.visit.session, by_mail=desk.by_mail, by_provider=call.site.provider)


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
    desk.by_mail.ask(
        call.body["email"],
        browser=call.visit.browser,
        network=browser.visitor_address(call.request, desk.visitor_proxies),
        languages=[tag for tag, _weight in call.request.accept_languages],
    )
    return go_on("/sign-in/sent")


@operation("GET", "/sign-in/sent", auth=_WAY_IN, answers=_PAGE)
def link_sent(call: Call) -> Response:
    """Say that a mail is on its way, if somebody has the address."""
    return page(call, "sent.html")


@operation("GET", SIGN_IN_LINK_PATH, auth=_WAY_IN, answers=_PAGE)
def link_opened(call: Call) -> Response:
    """Show a mailed link as one button: a mail scanner that opens it uses nothing up."""
    return page(call, "link.html", token=call.request.args.get("t", ""))


@operation("POST", SIGN_IN_LINK_PATH, auth=_WAY_IN, form=LinkFormSchema, answers=_GOES_ON, raises=(SignInRefused,))
def use_link(call: Call) -> Response:
    """Sign in by a mailed link: once, in time, in the browser that asked for it."""
    links, visit = call.services.customers.sign_in_links, call.visit
    return _signed_in(links.use(call.body["t"], visit.browser, visit.session_token))


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
    return _signed_in(desk.sessions.begin(proved, visit.session_token))


@operation("POST", "/sign-out", auth=CustomerAuth(), form=PlainFormSchema, answers=_GOES_ON)
def sign_customer_out(call: Call) -> Response:
    """Sign out: the session ends at once, in every tab."""
    call.services.customers.sessions.end(call.visit.session_token or "")
    return _signed_out()


@operation("POST", "/not-me", auth=CustomerAuth(), form=PlainFormSchema, answers=_GOES_ON)
def not_me(call: Call) -> Response:
    """Say "this is not me": every session and link of the person ends, and the dispute is recorded."""
    call.services.customers.sessions.dispute(call.customer)
    return _signed_out()


def page(call: Call, template: str, **values: object) -> Response:
    """A page for customers out of its template, which finds `form_token` and the company's `name` there."""
    text = render_template(
        f"customer/{template}", form_token=call.visit.form_token, name=call.services.customers.name, **values
    )
    return Response(text, content_type=f"{HTML}; charset=utf-8")


def go_on(target: str) -> Response:
    """Send the browser on by GET."""
    return Response(status=303, headers={"Location": target})


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


def _signed_in(issued: IssuedToken) -> Response:
    response = go_on(LANDING)
    browser.sign_in(response, issued)
    return response


def _signed_out() -> Response:
    response = go_on("/sign-in")
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
)
