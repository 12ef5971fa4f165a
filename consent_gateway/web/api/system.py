"""Calls about the gateway itself: tokens, metadata, health, and its own description."""

from flask import Response

from consent_gateway.callers.dpop import PROOF_ALGORITHMS
from consent_gateway.callers.keysets import ALGORITHMS
from consent_gateway.callers.registry import Scope
from consent_gateway.web import answer_schemas, schemas
from consent_gateway.web.oauth import AUTH_METHODS, FORM_BYTES, GRANT_TYPE, TOKEN_PATH
from consent_gateway.web.operations import Answer, Call, Public, json_answer, operation

_ENDPOINTS = ("token", "revocation", "introspection")
_HTML = "text/html; charset=utf-8"
_CSS = "text/css; charset=utf-8"
_SVG = "image/svg+xml"


@operation(
    "POST",
    TOKEN_PATH,
    auth=Public("it is where clients prove themselves: by secret or signed assertion"),
    form=schemas.TokenRequestSchema,
    most_bytes=FORM_BYTES,
    answers=(
        Answer(200, "An access token.", answer_schemas.TokenAnswerSchema),
        Answer(400, "The request is malformed or asks for too much.", answer_schemas.OAuthErrorSchema),
        Answer(401, "The client did not prove itself.", answer_schemas.OAuthErrorSchema),
    ),
)
def issue_token(call: Call) -> Response:
    """Get an access token.

    The grant is `client_credentials`. A client with a secret sends its id and secret by HTTP Basic; a client with
    a registered key sends a signed assertion (RFC 7523) whose audience is the issuer. A proof in the header `DPoP`
    (RFC 9449) binds the token to the proof's key.
    """
    return call.site.token_endpoint.answer(call.request)


@operation(
    "POST",
    "/oauth/revoke",
    auth=Public("clients prove themselves here as at the token endpoint"),
    form=schemas.TokenNamedSchema,
    most_bytes=FORM_BYTES,
    answers=(
        Answer(200, "The token is good for nothing, or never was.", answer_schemas.NothingSchema),
        Answer(400, "The request is malformed, or the token is another client's.", answer_schemas.OAuthErrorSchema),
        Answer(401, "The client did not prove itself.", answer_schemas.OAuthErrorSchema),
    ),
)
def revoke_token(call: Call) -> Response:
    """End an access token of your own (RFC 7009).

    Processes that remember the token follow within the operator's token cache time.
    """
    return call.site.token_endpoint.revoke(call.request)


@operation(
    "POST",
    "/oauth/introspect",
    auth=Public("clients prove themselves here as at the token endpoint"),
    form=schemas.TokenNamedSchema,
    most_bytes=FORM_BYTES,
    answers=(
        Answer(200, "What the token is good for.", answer_schemas.IntrospectionSchema),
        Answer(400, "The request is malformed.", answer_schemas.OAuthErrorSchema),
        Answer(401, "The client did not prove itself.", answer_schemas.OAuthErrorSchema),
    ),
)
def introspect_token(call: Call) -> Response:
    """Ask what an access token of your own is good for (RFC 7662).

    Of a token that is another client's, expired, revoked or unknown, the answer says only that it is not active.
    """
    return call.site.token_endpoint.introspect(call.request)


@operation(
    "GET",
    "/.well-known/oauth-authorization-server",
    auth=Public("clients read it before they have a token (RFC 8414)"),
    answers=(Answer(200, "The metadata.", answer_schemas.MetadataSchema),),
)
def authorization_server(call: Call) -> Response:
    """Read the authorization server metadata (RFC 8414)."""
    issuer = call.services.issuer
    return json_answer(
        {
            "issuer": issuer,
            "token_endpoint": f"{issuer}{TOKEN_PATH}",
            "revocation_endpoint": f"{issuer}/oauth/revoke",
            "introspection_endpoint": f"{issuer}/oauth/introspect",
            "grant_types_supported": [GRANT_TYPE],
            "response_types_supported": [],
            "scopes_supported": [scope.value for scope in Scope],
            **{f"{endpoint}_endpoint_auth_methods_supported": list(AUTH_METHODS) for endpoint in _ENDPOINTS},
            **{f"{endpoint}_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS) for endpoint in _ENDPOINTS},
            "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
            "tls_client_certificate_bound_access_tokens": call.services.certificate_proxies is not None,
            "service_documentation": f"{issuer}/docs",
        }
    )


@operation(
    "GET",
    "/healthz",
    auth=Public("a load balancer has no credential, and the answer tells only that the process lives"),
    answers=(Answer(200, "The process lives.", answer_schemas.HealthSchema),),
)
def live(call: Call) -> Response:
    """Ask whether this process lives."""
    return json_answer(call.services.health.live())


@operation(
    "GET",
    "/readyz",
    auth=Public("a load balancer has no credential, and the answer names parts, never data"),
    answers=(
        Answer(200, "Every part a call needs answers.", answer_schemas.HealthSchema),
        Answer(503, "A part is away; `ready` is false.", answer_schemas.HealthSchema),
    ),
)
def ready(call: Call) -> Response:
    """Ask whether every part a call needs answers."""
    state = call.services.health.ready()
    return json_answer(state, 200 if state["ready"] else 503)


@operation(
    "GET",
    "/openapi.json",
    auth=Public("the description of the API holds nothing of anyone"),
    answers=(Answer(200, "The OpenAPI 3.1 document.", answer_schemas.OpenApiSchema),),
)
def openapi(call: Call) -> Response:
    """Read the description of this API as OpenAPI 3.1."""
    return Response(call.site.openapi(), content_type="application/json")


@operation(
    "GET",
    "/docs",
    auth=Public("developers read it before they have a credential"),
    answers=(Answer(200, "A page.", content_type="text/html"),),
)
def docs(call: Call) -> Response:
    """Read the API reference as a page."""
    return Response(call.site.reference(), content_type=_HTML)


@operation(
    "GET",
    "/docs/errors",
    auth=Public("developers read it before they have a credential"),
    answers=(Answer(200, "A page.", content_type="text/html"),),
)
def docs_errors(call: Call) -> Response:
    """Read every error code with its cause and remedy as a page."""
    return Response(call.site.errors(), content_type=_HTML)


@operation(
    "GET",
    "/static/docs.css",
    auth=Public("a stylesheet"),
    answers=(Answer(200, "The stylesheet.", content_type="text/css"),),
)
def docs_stylesheet(call: Call) -> Response:
    """Get the stylesheet of the pages."""
    return _static(call.site.stylesheet, _CSS)


@operation(
    "GET",
    "/static/icon.svg",
    auth=Public("an icon"),
    answers=(Answer(200, "The icon.", content_type="image/svg+xml"),),
)
def docs_icon(call: Call) -> Response:
    """Get the icon of the pages."""
    return _static(call.site.icon, _SVG)


def _static(content: bytes, content_type: str) -> Response:
    response = Response(content, content_type=content_type)
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


OPERATIONS = (
    issue_token,
    revoke_token,
    introspect_token,
    authorization_server,
    live,
    ready,
    openapi,
    docs,
    docs_errors,
    docs_stylesheet,
    docs_icon,
)
