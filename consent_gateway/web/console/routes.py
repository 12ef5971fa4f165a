"""The one way a console page comes to be: declared with method, path and what one does there; errors are pages too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flask import Flask, Request, Response, g
from flask.globals import request_ctx

from consent_gateway.console.permissions import Doing, may, not_permitted
from consent_gateway.console.room import Console
from consent_gateway.errors import GatewayError, NotFound, NotSignedIn
from consent_gateway.officers.sessions import SignedIn
from consent_gateway.web.console.guard import Visit, fields_of, visit_of
from consent_gateway.web.console.showing import SIGN_IN, see_other, show
from consent_gateway.web.customer.provider import Provider
from consent_gateway.web.operations import Public
from consent_gateway.web.preferences.showing import IS_ID
from consent_gateway.web.problems import kind_of
from consent_gateway.web.services import Services


@dataclass(frozen=True, slots=True)
class PageCall:
    """One request for a page. A public page has no visit; `fields` are those of a form."""

    services: Services
    request: Request
    provider: Provider | None
    visited: Visit | None = None
    item: str = ""  # the id in the path
    fields: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def console(self) -> Console:
        """What the pages show and record."""
        return self.services.console

    @property
    def visit(self) -> Visit:
        """The visit; a public page has none."""
        if self.visited is None:
            raise NotSignedIn("this page is nobody's")
        return self.visited

    @property
    def officer(self) -> SignedIn:
        """The officer who looks."""
        return self.visit.session.officer

    def show(self, template: str, *, status: int = 200, scripts: bool = False, **values: object) -> Response:
        """A page of this call."""
        return show(self.request, self.visited, template, status=status, scripts=scripts, **values)


Handler = Callable[[PageCall], Response]


@dataclass(frozen=True, slots=True)
class Page:
    """One declared page. `item` is the id in its path, if it has one."""

    method: str
    path: str
    auth: Doing | Public
    handler: Handler


def page(method: str, path: str, auth: Doing | Public) -> Callable[[Handler], Page]:
    """Declare the decorated function as the handler of a page."""
    return lambda handler: Page(method, path, auth, handler)


def mount(app: Flask, pages: tuple[Page, ...], services: Services, provider: Provider | None) -> None:
    """Give the application exactly these pages."""
    for one in pages:
        app.add_url_rule(
            one.path.replace("{", "<").replace("}", ">"),
            endpoint=f"console {one.method} {one.path}",
            view_func=_view(one, services, provider),
            methods=[one.method],
            provide_automatic_options=False,
        )


def _view(declared: Page, services: Services, provider: Provider | None) -> Callable[..., Response]:
    def view(item: str = "") -> Response:
        request, visit = request_ctx.request, None
        try:
            if item and not IS_ID(item):
                raise NotFound("nothing is known under this id")
            call = PageCall(services, request, provider, None, item)
            if isinstance(declared.auth, Doing):
                visit = visit_of(services.console.sessions, request)
                g.client_id = visit.session.officer.officer_id
                _refuse_unless_permitted(services, visit, declared.auth)
                sent = declared.method == "POST"
                fields = fields_of(request, visit.form_token, services.issuer) if sent else {}
                call = PageCall(services, request, provider, visit, item, fields)
            return declared.handler(call)
        except NotSignedIn:
            return see_other(SIGN_IN)
        except GatewayError as error:
            kind = kind_of(error)
            g.problem = kind.code
            return show(request, visit, "failure", status=kind.status, kind=kind, error=error)

    return view


def _refuse_unless_permitted(services: Services, visit: Visit, doing: Doing) -> None:
    officer = visit.session.officer
    if may(officer.roles, doing):
        return
    services.console.looks.refused(officer.officer_id, doing.value)
    raise not_permitted(doing)
