"""Pages by which officers come in and go: a passkey, the provider, a one-time code, the way out; proves nothing itself.

A sign-in always makes a fresh session and ends the browser's session before. No page takes an address to go on to.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response

from consent_gateway.console.permissions import Doing
from consent_gateway.console.sessions import Way
from consent_gateway.errors import (
    AssertionRefused,
    GatewayError,
    InputRefused,
    IssuerUnavailable,
    NotFound,
    SettingsRefused,
    SignInRefused,
    Unauthenticated,
)
from consent_gateway.officers.passkeys import refuse_address
from consent_gateway.web import officer_schemas as schemas
from consent_gateway.web.api.officers import credential_of
from consent_gateway.web.bodies import checked
from consent_gateway.web.console import guard
from consent_gateway.web.console.routes import PageCall, page
from consent_gateway.web.console.showing import HOME, SIGN_IN, see_other, show
from consent_gateway.web.customer.provider import Provider
from consent_gateway.web.operations import Public
from consent_gateway.web.problems import kind_of

ENROL = f"{HOME}/enrol"
CALLBACK = f"{SIGN_IN}/callback"
_WAY_IN = Public("it is where officers prove who they are")
_CODE = Public("a one-time code of 192 random bits proves who is meant")
_LONGEST_CREDENTIAL = 32_768


@page("GET", SIGN_IN, _WAY_IN)
def sign_in_page(call: PageCall) -> Response:
    """Show the ways to sign in. Nothing is kept until a passkey has answered."""
    return _sign_in_page(call)


@page("POST", f"{SIGN_IN}/passkey", _WAY_IN)
def sign_in_by_passkey(call: PageCall) -> Response:
    """Sign in with what a passkey signed."""
    fields = _public_fields(call)
    try:
        issued = call.services.desk.sessions.begin(_credential(fields))
    except (AssertionRefused, InputRefused) as error:
        return _sign_in_page(call, error)
    call.services.desk.sessions.end(issued.token)  # the page's own session stands in its place
    return _signed_in(call, issued.officer_id, Way.PASSKEY)


@page("GET", f"{SIGN_IN}/provider", _WAY_IN)
def go_to_provider(call: PageCall) -> Response:
    """Go to the officers' OpenID provider, which is asked for a fresh sign-in."""
    provider, browser = _provider(call), guard.browser_of(call.request)
    wanted = call.console.provider
    accepted = " ".join(sorted(wanted.accepted)) if wanted else ""
    more = {"acr_values": accepted} if accepted else {}
    handshake = call.console.handshakes.begin(browser)
    response = see_other(provider.address(handshake, prompt="login", **more))
    guard.keep(response, guard.BROWSER_COOKIE, browser)
    return response


@page("GET", CALLBACK, _WAY_IN)
def back_from_provider(call: PageCall) -> Response:
    """Sign in by the provider's answer, if it asked for more than one factor."""
    provider, console, wanted = _provider(call), call.console, call.console.provider
    given = call.request.args.to_dict(flat=False)
    if wanted is None or any(len(values) > 1 for values in given.values()):
        raise InputRefused("the provider's answer names a parameter twice")
    try:
        answer = {name: values[0] for name, values in given.items()}
        provider.refuse_other_issuer(answer)
        handshake = console.handshakes.finish(answer.get("state", ""), guard.browser_of(call.request))
        claims = provider.claims(call.request.url, handshake)
        officer_id = console.accounts.holder(wanted.provider.issuer, claims, wanted.accepted)
        return _signed_in(call, officer_id, Way.PROVIDER)
    except (SignInRefused, IssuerUnavailable) as error:
        return _sign_in_page(call, error)


@page("POST", f"{HOME}/sign-out", Doing.LEAVE)
def sign_out(call: PageCall) -> Response:
    """Sign out: the session ends at once, in every tab."""
    call.console.sessions.end(call.visit.token)
    response = see_other(SIGN_IN)
    guard.keep(response, guard.COOKIE, "")
    return response


@page("GET", ENROL, _CODE)
def enrol_page(call: PageCall) -> Response:
    """Ask for the one-time code that the operator gave."""
    return _public(call, "enrol", code="", options=None, error=None)


@page("POST", ENROL, _CODE)
def enrol_options(call: PageCall) -> Response:
    """Take the code and let the browser make a passkey for it."""
    code = guard.one(_public_fields(call), "code")
    try:
        options = call.services.desk.enrolment.options(code)
    except AssertionRefused as error:
        return _public(call, "enrol", status=_status(error), code="", options=None, error=error)
    return _public(call, "enrol", scripts=True, code=code, options=_json(options), error=None)


@page("POST", f"{ENROL}/passkey", _CODE)
def enrol(call: PageCall) -> Response:
    """Keep the passkey that was made for the code, which is spent by it."""
    fields = _public_fields(call)
    try:
        call.services.desk.enrolment.complete(guard.one(fields, "code"), _credential(fields))
    except (AssertionRefused, InputRefused) as error:
        return _public(call, "enrol", status=_status(error), code="", options=None, error=error)
    return see_other(SIGN_IN, {"enrolled": "yes"})


def answer_of(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """What a passkey answered, as the form's one field holds it. Raises `InputRefused`."""
    return _credential(dict(fields))


def _sign_in_page(call: PageCall, error: GatewayError | None = None) -> Response:
    return _public(
        call,
        "sign_in",
        status=200 if error is None else _status(error),
        scripts=True,
        options=_json(call.services.desk.sessions.options()),
        provider=call.provider is not None,
        passkeys=_has_host_name(call),
        enrolled=call.request.args.get("enrolled") == "yes",
        error=error,
    )


def _has_host_name(call: PageCall) -> bool:
    """Whether browsers reach the gateway by a name: none makes a passkey for an address."""
    try:
        refuse_address(call.services.issuer)
    except SettingsRefused:
        return call.provider is None  # then the page says at least what is meant
    return True


def _public(call: PageCall, template: str, *, status: int = 200, scripts: bool = False, **values: object) -> Response:
    """A page shown before a sign-in; its form is bound to the browser."""
    browser = guard.browser_of(call.request)
    form_token = call.console.sessions.form_token(browser)
    response = show(call.request, None, template, status=status, scripts=scripts, form_token=form_token, **values)
    guard.keep(response, guard.BROWSER_COOKIE, browser)
    return response


def _public_fields(call: PageCall) -> dict[str, list[str]]:
    token = call.console.sessions.form_token(guard.browser_of(call.request))
    return guard.fields_of(call.request, token, call.services.issuer)


def _credential(fields: dict[str, list[str]]) -> dict[str, Any]:
    try:
        given = orjson.loads(guard.one(fields, "credential", longest=_LONGEST_CREDENTIAL))
    except orjson.JSONDecodeError as error:
        raise InputRefused("no passkey has answered: let the browser run this page's script") from error
    is_new = isinstance(given, dict) and "attestationObject" in (given.get("response") or {})
    schema = schemas.EnrolmentSchema if is_new else schemas.SignedSchema
    body = {"credential": given, **({"code": guard.one(fields, "code")} if is_new else {})}
    return credential_of(checked(schema(), body))


def _signed_in(call: PageCall, officer_id: str, way: Way) -> Response:
    before = call.request.cookies.get(guard.COOKIE)
    token = call.console.sessions.begin(officer_id, way, before)
    response = see_other(HOME)
    guard.keep(response, guard.COOKIE, token)
    return response


def _provider(call: PageCall) -> Provider:
    if call.provider is None:
        raise NotFound("no provider is set for officers: sign in with a passkey")
    return call.provider


def _json(options: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(options)).decode()


def _status(error: GatewayError) -> int:
    return kind_of(error if not isinstance(error, Unauthenticated) else Unauthenticated).status


PAGES = (
    sign_in_page,
    sign_in_by_passkey,
    go_to_provider,
    back_from_provider,
    sign_out,
    enrol_page,
    enrol_options,
    enrol,
)
