"""The one way a page comes to be: declared with method, path and whose it is; every error of one is shown as a page."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Request, Response, g
from flask.globals import request_ctx

from consent_gateway.customer_desk import SESSION_COOKIE
from consent_gateway.errors import GatewayError, NotFound, Unauthenticated
from consent_gateway.people.directory import PersonRef
from consent_gateway.preferences.centre import PreferenceCentre
from consent_gateway.preferences.visits import Visit
from consent_gateway.preferences.words import Words
from consent_gateway.rights.own import OwnRequests
from consent_gateway.rights.strangers import Strangers
from consent_gateway.web.customer.browser import visitor_address
from consent_gateway.web.operations import Public
from consent_gateway.web.preferences.guard import refuse_foreign, visit_of
from consent_gateway.web.preferences.showing import IS_ID, language_of, show_failure, show_sign_in
from consent_gateway.web.problems import kind_of
from consent_gateway.web.services import Services


@dataclass(frozen=True, slots=True)
class Customer:
    """A signed-in customer, for themself alone; a form of theirs must come from our page."""


@dataclass(frozen=True, slots=True)
class PageCall:
    """One request for a page. `words` are of the language to answer in; a public page has no visit."""

    services: Services
    request: Request
    words: Words
    visited: Visit | None = None
    item: str = ""  # the id in the path
    session_form: str | None = None  # the token of a form that ends the session; None where no session of ours is

    @property
    def centre(self) -> PreferenceCentre:
        """What the pages show and record."""
        return self.services.preferences

    @property
    def issuer(self) -> str:
        """Base URL under which browsers reach the gateway."""
        return self.services.issuer

    @property
    def visit(self) -> Visit:
        """The visit; a public page has none."""
        if self.visited is None:
            raise Unauthenticated("this page is nobody's")
        return self.visited

    @property
    def own(self) -> OwnRequests:
        """What the person asked for by their rights."""
        own = self.services.rights.own
        if own is None:
            raise NotFound("nobody can ask for their rights here")
        return own

    @property
    def strangers(self) -> Strangers:
        """What those ask for who are not signed in."""
        strangers = self.services.rights.strangers
        if strangers is None:
            raise NotFound("nobody can ask for their rights here")
        return strangers

    @property
    def network(self) -> str:
        """The visitor's address, for what is counted by it."""
        return visitor_address(self.request, self.services.customers.visitor_proxies)

    @property
    def gpc(self) -> bool:
        """Whether the browser sends Global Privacy Control; of several values one exact `1` is enough."""
        header = self.request.headers.get("Sec-GPC")
        return header is not None and any(part.strip() == "1" for part in header.split(","))


Handler = Callable[[PageCall], Response]


@dataclass(frozen=True, slots=True)
class Page:
    """One declared page. `item` is the id in the path, if it has one."""

    method: str
    path: str
    auth: Customer | Public
    handler: Handler


def page(method: str, path: str, auth: Customer | Public) -> Callable[[Handler], Page]:
    """Declare the decorated function as the handler of a page."""
    return lambda handler: Page(method, path, auth, handler)


def mount(app: Flask, pages: tuple[Page, ...], services: Services) -> None:
    """Give the application exactly these pages."""
    for one in pages:
        app.add_url_rule(
            one.path.replace("{", "<").replace("}", ">"),
            endpoint=f"page {one.method} {one.path}",
            view_func=_view(one, services),
            methods=[one.method],
            provide_automatic_options=False,
        )


def _view(declared: Page, services: Services) -> Callable[..., Response]:
    def view(item: str = "") -> Response:
        request, centre = request_ctx.request, services.preferences
        words = centre.words[language_of(request, centre.words)]
        call = PageCall(services, request, words, None, item)
        try:
            if item and not IS_ID(item):
                raise NotFound("nothing is known under this id")
            if isinstance(declared.auth, Customer):
                visit = visit_of(services.visits, request)
                if declared.method == "POST":
                    refuse_foreign(centre, visit, request, services.issuer)
                call = PageCall(services, request, words, visit, item, _session_form(services, request))
                if call.gpc:  # on whichever page it comes, reading or sending
                    centre.hear(PersonRef(data_subject=visit.data_subject))
            return declared.handler(call)
        except Unauthenticated:
            known = services.visits.current(request.cookies)
            purpose = None if known is None else known.purpose
            return show_sign_in(centre, words, kind_of(Unauthenticated).status, purpose)
        except GatewayError as error:
            kind = kind_of(error)
            g.problem = kind.code
            return show_failure(centre, words, kind.status)

    return view


def _session_form(services: Services, request: Request) -> str | None:
    token = request.cookies.get(SESSION_COOKIE)
    return None if token is None else services.customers.sessions.form_token(token)
