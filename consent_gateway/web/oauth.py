"""Tokens given, ended and told about: client_credentials only, proved by secret or signed assertion; no other grant.

Authlib's server, ours behind it. There is no grant for people (implicit, password) and none that refreshes. What
Authlib leaves open is closed here: tokens are bound to a key or a certificate, parameters come from the form body
alone and each once, a client uses one way to prove itself, and neither a token nor a secret reaches its debug log.
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
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Payload,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from flask import Request, Response

from consent_gateway.callers.dpop import ProofCheck, ProofRefused
from consent_gateway.callers.registry import Bound, Client, Registry, Scope
from consent_gateway.callers.tokens import Tokens
from consent_gateway.errors import CallerNotPermitted, InputRefused
from consent_gateway.web.client_assertion import ASSERTION_TYPE, AssertionCheck
from consent_gateway.web.client_certificate import CertificateHeader

FORM_BYTES = 32 * 1024
GRANT_TYPE = "client_credentials"
TOKEN_PATH = "/oauth/token"  # noqa: S105 - an address
AUTH_METHODS = ("client_secret_basic", "private_key_jwt")
_SECRET = "client_secret_basic"  # noqa: S105 - a method's name
_ASSERTION = "private_key_jwt"
_PROOF_WANTED = f"prove yourself with {_SECRET} or {_ASSERTION}"
_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Pragma", "no-cache"))


class TokenEndpoint(AuthorizationServer):  # type: ignore[misc] # Authlib ships no types
    """Answers requests for tokens, for their end and about them. One instance per application."""

    def __init__(
        self,
        registry: Registry,
        tokens: Tokens,
        assertions: AssertionCheck,
        proofs: ProofCheck,
        certificates: CertificateHeader | None,
        issuer: str,
    ) -> None:
        super().__init__(scopes_supported=list(Scope))
        self.tokens = tokens
        self._registry = registry
        self._assertions = assertions
        self._proofs = proofs
        self._certificates = certificates
        self._issuer = issuer
        self.register_client_auth_method(_SECRET, self._by_secret)
        self.register_client_auth_method(_ASSERTION, self._by_assertion)
        self.register_grant(_ClientCredentials)

    def answer(self, request: Request) -> Response:
        """The answer to one token request: RFC 6749 JSON, for errors too."""
        request.max_content_length = FORM_BYTES
        try:
            _refuse_malformed(request)
            _refuse_other_grant(request)
            response: Response = self.create_token_response(request)
        except OAuth2Error as error:
            return self.handle_response(*error(None))
        return response

    def revoke(self, request: Request) -> Response:
        """End one of the client's own tokens (RFC 7009). A token nobody knows is as good as ended."""
        try:
            client_id, token = self._token_named(request)
            owner = self.tokens.owner(token)
            if owner not in (None, client_id):
                raise InvalidGrantError(description="the token belongs to another client")
            if owner is not None:
                self.tokens.revoke(token)
        except OAuth2Error as error:
            return self.handle_response(*error(None))
        return self.handle_response(200, {}, _JSON)

    def introspect(self, request: Request) -> Response:
        """What one of the client's own tokens is good for (RFC 7662); of any other only that it is not active."""
        try:
            client_id, token = self._token_named(request)
            found = self.tokens.introspect(client_id, token)
        except OAuth2Error as error:
            return self.handle_response(*error(None))
        if found is None:
            return self.handle_response(200, {"active": False}, _JSON)
        bindings = {"jkt": found.key_thumbprint, "x5t#S256": found.certificate_thumbprint}
        bound = {name: value for name, value in bindings.items() if value is not None}
        answer = {
            "active": True,
            "iss": self._issuer,
            "client_id": client_id,
            "sub": client_id,
            "scope": " ".join(sorted(found.scopes)),
            "token_type": "Bearer" if found.key_thumbprint is None else "DPoP",
            "iat": int(found.issued_at.timestamp()),
            "exp": int(found.expires_at.timestamp()),
            **({"cnf": bound} if bound else {}),
        }
        return self.handle_response(200, answer, _JSON)

    def bindings(self, client: Client, request: Request) -> tuple[str | None, str | None]:
        """Thumbprints of the key and the certificate that this client's token is to be bound to.

        A client that sends a proof gets a token bound to its key; one registered as bound gets no other.
        """
        proof = request.environ.get("HTTP_DPOP")
        key = None
        if proof is not None:
            try:
                key = self._proofs.key_thumbprint(proof, "POST", TOKEN_PATH, None)
            except ProofRefused as error:
                raise _proof_error(str(error)) from error
        if client.bound is Bound.DPOP and key is None:
            raise _proof_error("the client is registered for bound tokens: send a proof in the header `DPoP`")
        if client.bound is not Bound.CERTIFICATE:
            return key, None
        try:
            certificate = None if self._certificates is None else self._certificates.thumbprint(request)
        except InputRefused as error:
            raise InvalidRequestError(description=error.message) from error
        if certificate is None:
            raise InvalidRequestError(
                description="the client is registered for bound tokens: show its certificate to the proxy"
            )
        return key, certificate

    def _token_named(self, request: Request) -> tuple[str, str]:
        """Client id of the proved client, and the token its form names."""
        request.max_content_length = FORM_BYTES
        _refuse_malformed(request)
        client = self.authenticate_client(self.create_oauth2_request(request), list(AUTH_METHODS))
        token = request.form.get("token", "")
        if not token:
            raise InvalidRequestError(description="token is missing")
        return client.get_client_id(), token

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

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def create_token_response(self) -> tuple[int, dict[str, Any], tuple[tuple[str, str], ...]]:
        asked = (self.request.payload.scope or "").split()
        client = self.request.client.registered
        key, certificate = self.server.bindings(client, self.request.arrived)
        try:
            issued = self.server.tokens.issue(
                client, asked or None, key_thumbprint=key, certificate_thumbprint=certificate
            )
        except CallerNotPermitted as error:
            raise InvalidScopeError(description="the client is not registered for every scope asked for") from error
        answer = {
            "access_token": issued.token,
            "token_type": "Bearer" if key is None else "DPoP",
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
        super().__init__("POST", secure + TOKEN_PATH, headers=request.headers)
        self.arrived = request
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
    if request.headers.get("Authorization") and "client_assertion" in form:
        raise InvalidRequestError(description="a client proves itself in one way at a time")
    if "client_secret" in form:
        raise InvalidClientError(status_code=401, description="a secret goes into the Authorization header only")


def _refuse_other_grant(request: Request) -> None:
    if "grant_type" not in request.form:
        raise InvalidRequestError(description="grant_type is missing")
    if request.form["grant_type"] != GRANT_TYPE:
        raise OAuth2Error(error="unsupported_grant_type", description="the one grant here is client_credentials")


def _proof_error(why: str) -> OAuth2Error:
    return OAuth2Error(error="invalid_dpop_proof", description=f"the DPoP proof is refused: {why}")


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
