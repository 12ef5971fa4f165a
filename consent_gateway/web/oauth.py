"""The token endpoint: client_credentials only, proved by secret or signed assertion; Authlib's server, ours behind it.

There is no other grant: none for people (implicit, password) and none that refreshes. What Authlib leaves open is
closed here: parameters come from the form body alone and each once, a client uses one way to prove itself, and
neither a token nor a secret reaches its debug log.
"""

import base64
import binascii
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import orjson
from authlib.oauth2 import AuthorizationServer, OAuth2Error
from authlib.oauth2.rfc6749 import (
    ClientMixin,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Payload,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from flask import Request, Response

from consent_gateway.callers.registry import Client, Registry, Scope
from consent_gateway.callers.tokens import Tokens
from consent_gateway.errors import CallerNotPermitted
from consent_gateway.web.client_assertion import ASSERTION_TYPE, AssertionCheck

FORM_BYTES = 32 * 1024
GRANT_TYPE = "client_credentials"
_SECRET = "client_secret_basic"  # noqa: S105 - a method's name
_ASSERTION = "private_key_jwt"
_PROOF_WANTED = f"prove yourself with {_SECRET} or {_ASSERTION}"
_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Pragma", "no-cache"))


class TokenEndpoint(AuthorizationServer):  # type: ignore[misc] # Authlib ships no types
    """Answers token requests. One instance per application."""

    def __init__(self, registry: Registry, tokens: Tokens, assertions: AssertionCheck, issuer: str) -> None:
        super().__init__(scopes_supported=list(Scope))
        self.tokens = tokens
        self._registry = registry
        self._assertions = assertions
        self._issuer = issuer
        self.register_client_auth_method(_SECRET, self._by_secret)
        self.register_client_auth_method(_ASSERTION, self._by_assertion)
        self.register_grant(_ClientCredentials)

    def answer(self, request: Request) -> Response:
        """The answer to one token request: RFC 6749 JSON, for errors too."""
        request.max_content_length = FORM_BYTES
        try:
            _refuse_malformed(request)
            response: Response = self.create_token_response(request)
        except OAuth2Error as error:
            return self.handle_response(*error(None))
        return response

    def authenticate_client(
        self, request: OAuth2Request, methods: Sequence[str], endpoint: str = "token"
    ) -> ClientMixin:
        """The client that proved itself. A refusal of Authlib's own would show the caller a Python tuple."""
        try:
            return super().authenticate_client(request, methods, endpoint)
        except InvalidClientError as error:
            if str(methods) not in str(error.description):
                raise
            raise InvalidClientError(status_code=401, description=_PROOF_WANTED) from error

    def create_oauth2_request(self, request: Request) -> OAuth2Request:
        """Authlib's view of the request."""
        return _TokenRequest(request, self._issuer)

    def query_client(self, client_id: str) -> ClientMixin | None:
        """A client by id, not yet proved to be the caller."""
        client = self._registry.get(client_id)
        return None if client is None else _Registered(client, None)

    def send_signal(self, *_args: object, **_kwargs: object) -> None:
        """Nobody listens: no callback may sit between a call and its verdict."""

    def handle_response(self, status_code: int, payload: Any, _headers: Any) -> Response:
        """The answer, never to be stored by anyone on the way (RFC 6749, 5.1)."""
        response = Response(orjson.dumps(dict(payload)), status=status_code, headers=list(_JSON))
        if status_code == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="consent-gateway", charset="UTF-8"'
        return response

    def _by_secret(self, _query: object, request: "_TokenRequest") -> ClientMixin | None:
        pair = _basic_pair(request.headers.get("Authorization"))
        if pair is None:
            return None
        client = self._registry.authenticate(*pair)
        if client is None:
            raise InvalidClientError(status_code=401, description="client authentication failed")
        return _Registered(client, _SECRET)

    def _by_assertion(self, _query: object, request: "_TokenRequest") -> ClientMixin | None:
        form = request.payload.data
        if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
            return None
        client = self._assertions.client(form["client_assertion"])
        if form.get("client_id", client.client_id) != client.client_id:
            raise InvalidClientError(status_code=401, description="client authentication failed: client_id differs")
        return _Registered(client, _ASSERTION)


class _ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc] # Authlib ships no types
    """The one grant. Overrides the answer, because Authlib's writes the token to its debug log."""

    TOKEN_ENDPOINT_AUTH_METHODS = (_SECRET, _ASSERTION)

    def create_token_response(self) -> tuple[int, dict[str, Any], tuple[tuple[str, str], ...]]:
        asked = (self.request.payload.scope or "").split()
        try:
            issued = self.server.tokens.issue(self.request.client.registered, asked or None)
        except CallerNotPermitted as error:
            raise InvalidScopeError(description="the client is not registered for every scope asked for") from error
        answer = {
            "access_token": issued.token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "scope": " ".join(sorted(issued.scopes)),
        }
        return 200, answer, _JSON


class _Registered(ClientMixin):  # type: ignore[misc] # Authlib ships no types
    """A registered client as Authlib asks about it; `proved_by` is how it proved itself in this request."""

    def __init__(self, registered: Client, proved_by: str | None) -> None:
        self.registered = registered
        self._proved_by = proved_by

    def get_client_id(self) -> str:
        return self.registered.client_id

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint == "token" and method == self._proved_by == self.registered.auth_method.value

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == GRANT_TYPE


class _Form(OAuth2Payload):  # type: ignore[misc] # Authlib ships no types
    """The form of the body; the query of the URL is never read."""

    def __init__(self, form: dict[str, str]) -> None:
        self._form = form

    @property
    def data(self) -> dict[str, str]:
        return self._form

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        return defaultdict(list, {name: [value] for name, value in self._form.items()})


class _TokenRequest(OAuth2Request):  # type: ignore[misc] # Authlib ships no types
    """A token request. Its URL is the issuer's: behind a proxy the scheme we see says nothing.

    Authlib refuses a plain URL off loopback; `settings` has judged the transport already, for every route.
    """

    def __init__(self, request: Request, issuer: str) -> None:
        secure = "https" + issuer.removeprefix("https").removeprefix("http")
        super().__init__("POST", f"{secure}/oauth/token", headers=request.headers)
        self._fields = request.form.to_dict()
        self.payload = _Form(self._fields)

    @property
    def args(self) -> dict[str, str]:
        return {}

    @property
    def form(self) -> dict[str, str]:
        return self._fields


def _refuse_malformed(request: Request) -> None:
    if request.mimetype != "application/x-www-form-urlencoded":
        raise InvalidRequestError(description="the body must be application/x-www-form-urlencoded")
    form = request.form
    if any(len(form.getlist(name)) > 1 for name in form):
        raise InvalidRequestError(description="a parameter occurs twice")
    if "grant_type" not in form:
        raise InvalidRequestError(description="grant_type is missing")
    if form["grant_type"] != GRANT_TYPE:
        raise OAuth2Error(error="unsupported_grant_type", description="the one grant here is client_credentials")
    if request.headers.get("Authorization") and "client_assertion" in form:
        raise InvalidRequestError(description="a client proves itself in one way at a time")
    if "client_secret" in form:
        raise InvalidClientError(status_code=401, description="a secret goes into the Authorization header only")


def _basic_pair(header: str | None) -> tuple[str, str] | None:
    """Client id and secret of a Basic header (RFC 6749, 2.3.1: each form-encoded first), or None."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic" or len(encoded) > 1024:
        return None
    try:
        client_id, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote(client_id), unquote(secret)) if separator else None
