"""The one way a route comes to be: declared with method, path, authentication, request and answers.

Flask's routing (`mount`) and the OpenAPI document (`openapi.document`) are both made from the same declarations,
so no route can exist without a declared authentication or outside the document.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from flask import Flask, Request, Response, g
from flask.globals import request_ctx
from marshmallow import Schema

from consent_gateway.callers.idempotency import StoredAnswer
from consent_gateway.callers.registry import Scope
from consent_gateway.consent.signals import Told, gpc_sent
from consent_gateway.console.permissions import Doing
from consent_gateway.customers.sessions import Assurance, CustomerSession
from consent_gateway.drp.directory import Agent
from consent_gateway.errors import FieldFault, GatewayError, InputRefused, NotFound, NotSignedIn, Unauthenticated
from consent_gateway.officers.sessions import SignedIn
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Caller
from consent_gateway.web import bodies
from consent_gateway.web.agent_auth import authenticate_agent
from consent_gateway.web.customer import browser
from consent_gateway.web.customer.browser import Visit
from consent_gateway.web.fields import ID
from consent_gateway.web.officer_auth import authenticate_officer, bearer_of_officer
from consent_gateway.web.preferences.showing import show_problem
from consent_gateway.web.services import Services
from consent_gateway.web.site import Site

JSON = "application/json"
HTML = "text/html"
IDEMPOTENCY_HEADER = "Idempotency-Key"
_IS_ID = re.compile(ID).fullmatch


@dataclass(frozen=True, slots=True)
class Public:
    """No authentication, and why that is right here."""

    why: str


@dataclass(frozen=True, slots=True)
class Visitor(Public):
    """A page for anybody's browser: no session is needed, but what its form sends must come from the page itself."""


@dataclass(frozen=True, slots=True)
class CustomerAuth:
    """A customer who signed in, in one of these ways; what a form sends must come from our own page."""

    assurances: frozenset[Assurance] = frozenset(Assurance)


@dataclass(frozen=True, slots=True)
class OfficerAuth:
    """A signed-in officer whose roles permit the act (None: any officer), signed in not longer ago than the seconds."""

    doing: Doing | None = None
    fresh_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class EitherAuth:
    """A caller whose token carries the scope, or a signed-in officer whose roles permit the act."""

    scope: Scope
    doing: Doing


@dataclass(frozen=True, slots=True)
class AgentAuth:
    """An authorised agent's token; with `of_path`, that of the agent whose id stands in the path."""

    of_path: bool = False


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """The form of a route's errors where they are no problem documents, and what writes a problem in it."""

    schema: type[Schema]
    show: Callable[[Request, Mapping[str, Any]], Response]


@dataclass(frozen=True, slots=True)
class Answer:
    """One documented kind of success, or of an error that is not a problem document."""

    status: int
    description: str
    schema: type[Schema] | None = None
    content_type: str = JSON  # of a 204 there is none


@dataclass(frozen=True, slots=True)
class Call:
    """One request, authenticated and checked. `body` and `query` are what the schemas made of them."""

    services: Services
    site: Site
    request: Request
    path: Mapping[str, str]
    authenticated: Caller | None
    body: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    signed_in: SignedIn | None = None
    visited: Visit | None = None
    acting: Agent | None = None

    @property
    def agent(self) -> Agent:
        """The authorised agent; only a route of `AgentAuth` has one."""
        if self.acting is None:
            raise Unauthenticated("this call has no agent")
        return self.acting

    @property
    def visit(self) -> Visit:
        """The visitor's browser; only a route of `Visitor` or `CustomerAuth` has one."""
        if self.visited is None:
            raise NotSignedIn("this call has no browser")
        return self.visited

    @property
    def customer(self) -> CustomerSession:
        """The customer; only a route of `CustomerAuth` always has one."""
        if self.visited is None or self.visited.session is None:
            raise NotSignedIn("nobody is signed in: sign in first")
        return self.visited.session

    @property
    def officer(self) -> SignedIn:
        """The officer; only a route of `OfficerAuth` has one."""
        if self.signed_in is None:
            raise Unauthenticated("this call has no officer")
        return self.signed_in

    @property
    def caller(self) -> Caller:
        """The caller; a route that is public has none."""
        if self.authenticated is None:
            raise Unauthenticated("this call has no caller")
        return self.authenticated

    @property
    def gpc(self) -> bool:
        """Whether the visitor's browser sent Global Privacy Control; of several values one exact `1` is enough."""
        return gpc_sent(self.request.headers.get("Sec-GPC"))

    def keep_signal(self, person: PersonRef) -> None:
        """Remember, for this person, the signal the visitor's browser sent with a call that does not itself read."""
        if self.gpc:
            self.services.hearing.hear(self.caller, (person,), Told(gpc=True))


Handler = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Operation:
    """One declared route. `path` is written as in OpenAPI: `/v1/decisions/{decision_id}`.

    `rule` is set where Flask needs another form of it, for parts that are no ids: the handler checks those itself.
    """

    name: str
    method: str
    path: str
    summary: str
    description: str
    auth: Scope | Public | OfficerAuth | CustomerAuth | EitherAuth | AgentAuth
    answers: tuple[Answer, ...]
    handler: Handler
    body: type[Schema] | None = None
    query: type[Schema] | None = None
    form: type[Schema] | None = None  # of a visitor or customer checked as a body is; else its handler reads it
    raises: tuple[type[GatewayError], ...] = ()
    reads_gpc: bool = False
    reads_if_match: bool = False
    idempotent: bool = False
    most_bytes: int = bodies.BODY_BYTES
    example: Mapping[str, Any] | None = None
    rule: str | None = None
    signed: bool = False  # the body is a signed message of an agent, which the handler reads
    error: ErrorForm | None = None

    @property
    def is_page(self) -> bool:
        """Whether a browser shows its answers: then its errors are pages too."""
        return self.answers[0].content_type == HTML


def operation(method: str, path: str, **declared: Any) -> Callable[[Handler], Operation]:
    """Declare the decorated function as the handler of a route; its name and docstring become the route's."""

    def declare(handler: Handler) -> Operation:
        summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n")
        return Operation(
            name=handler.__name__,
            method=method,
            path=path,
            summary=summary.rstrip("."),
            description=description.strip(),
            handler=handler,
            **declared,
        )

    return declare


def mount(app: Flask, operations: tuple[Operation, ...], services: Services, site: Site) -> None:
    """Give the application exactly these routes."""
    for op in operations:
        rule = op.rule or op.path.replace("{", "<").replace("}", ">")
        app.add_url_rule(
            rule,
            endpoint=op.name,
            view_func=_view(op, services, site),
            methods=[op.method],
            provide_automatic_options=False,
        )


def json_answer(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value, option=orjson.OPT_UTC_Z), status=status, content_type=JSON)


def _view(op: Operation, services: Services, site: Site) -> Callable[..., Response]:
    body_schema = op.body() if op.body else None
    query_schema = op.query() if op.query else None
    is_browsed = isinstance(op.auth, Visitor | CustomerAuth)
    form_schema = op.form() if op.form and is_browsed else None

    def view(**path: str) -> Response:
        request = request_ctx.request  # once: the proxy looks the context up at every use
        caller, officer, visit, agent = None, None, None, None
        g.page = _shown(op, services, request)
        auth = _chosen(op.auth, request)
        if isinstance(auth, Scope):
            caller = site.door.caller(request, auth)
            g.client_id = caller.client_id
        elif isinstance(auth, OfficerAuth):
            officer = authenticate_officer(
                services.desk.sessions, services.clock, request, auth.doing, auth.fresh_seconds
            )
            g.client_id = officer.officer_id
        elif isinstance(auth, AgentAuth):
            agent = authenticate_agent(services.agents, request, path["agent_id"] if auth.of_path else None)
            g.client_id = agent.caller
        elif is_browsed:
            visit = _visit(request, op, services)
        if op.rule is None and not all(map(_IS_ID, path.values())):
            raise NotFound("nothing is known under this id")
        query = _query(request, query_schema, op)
        body: Mapping[str, Any] = {}
        if body_schema is not None:
            body = bodies.checked(body_schema, bodies.read_json(request, op.most_bytes))
        elif form_schema is not None:
            body = bodies.checked(form_schema, browser.form_of(request))
        call = Call(services, site, request, path, caller, body, query, officer, visit, agent)
        key = request.headers.get(IDEMPOTENCY_HEADER) if op.idempotent else None
        response = op.handler(call) if key is None else _once(op, call, key)
        if visit is not None:
            browser.keep(response, visit)
        return response

    return view


def _shown(op: Operation, services: Services, request: Request) -> Callable[[Mapping[str, Any]], Response] | None:
    """What shows the errors of a route that are no problem documents."""
    if op.error is not None:
        return partial(op.error.show, request)
    return partial(show_problem, services.preferences, request) if op.is_page else None


def _chosen(auth: Scope | Public | OfficerAuth | CustomerAuth | EitherAuth | AgentAuth, request: Request) -> object:
    """Which of two kinds of authentication a call came with: an officer's token says so by its first letters."""
    if not isinstance(auth, EitherAuth):
        return auth
    return OfficerAuth(auth.doing) if bearer_of_officer(request) else auth.scope


def _visit(request: Request, op: Operation, services: Services) -> Visit:
    """The browser of this request, with its customer where the route needs one. A form of another page is refused."""
    visit = browser.visit_of(request, services.customers)
    if isinstance(op.auth, CustomerAuth):
        browser.refuse_unless_signed_in(visit, op.auth.assurances)
    if op.method != "GET":
        browser.refuse_foreign_form(request, visit, services.issuer)
    return visit


def _query(current: Request, schema: Schema | None, op: Operation) -> Mapping[str, Any]:
    if schema is None and isinstance(op.auth, Public):
        return {}
    given = current.args.to_dict(flat=False)
    if schema is None:
        if given:
            raise InputRefused("this call takes no query parameters: send values in the body")
        return {}
    twice = [FieldFault(f"/{name}", "given twice") for name, values in given.items() if len(values) > 1]
    if twice:
        raise InputRefused("a query parameter is given twice", tuple(twice))
    return bodies.checked(schema, {name: values[0] for name, values in given.items()})


def _once(op: Operation, call: Call, key: str) -> Response:
    """Carry out a call that has an idempotency key, or repeat the answer it had."""
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        fault = FieldFault(IDEMPOTENCY_HEADER, "must be 1 to 255 printable ASCII characters")
        raise InputRefused("the idempotency key is malformed", (fault,))
    store, client_id = call.services.idempotency, str(g.client_id)
    condition = call.request.headers.get("If-Match")
    identity = orjson.dumps(
        [op.method, call.request.path, condition, call.body], default=_identity, option=orjson.OPT_SORT_KEYS
    )
    earlier = store.begin(client_id, key, identity)
    if earlier is not None:
        response = Response(earlier.body, status=earlier.status, content_type=JSON)
        response.headers["Idempotency-Replayed"] = "true"
        return response
    try:
        response = op.handler(call)
    except BaseException:  # whatever ended the call, a retry must not find the key taken
        store.release(client_id, key)
        raise
    store.finish(client_id, key, StoredAnswer(response.status_code, response.get_data()))
    return response


def _identity(value: object) -> object:
    if isinstance(value, tuple | frozenset):
        return sorted(value)
    raise TypeError(f"a checked body holds a {type(value).__name__}")
