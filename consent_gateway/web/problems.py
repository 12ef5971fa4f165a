"""Errors to RFC 9457 problem documents: the only place that knows HTTP codes of errors; never quotes an input value.

`KINDS` is the whole list: each code with its status, what causes it and what mends it. The reference page and
the OpenAPI document are made from it, so a code cannot exist undocumented.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any

import orjson
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.exceptions import NotFound as NoSuchRoute

from consent_gateway import errors

PROBLEM_TYPE = "application/problem+json"
ERRORS_PAGE = "/docs/errors"
RETRY_SECONDS = 2
_LOGGER = logging.getLogger(__name__)
_NAME_LENGTH = 120  # of a field name in an answer; it came from the caller


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One documented kind of problem."""

    code: str
    status: int
    title: str
    cause: str
    remedy: str


KINDS: tuple[ProblemKind, ...] = (
    ProblemKind(
        "invalid_request",
        400,
        "The request is malformed",
        "The body, a parameter or a header is missing, too long, of the wrong type or not known to this call.",
        "Read `errors`: each entry points at the part that is wrong. Nothing was changed.",
    ),
    ProblemKind(
        "unknown_purpose",
        400,
        "The purpose is not known",
        "The policy has no purpose of this name.",
        "Use one of the purposes the operator has declared; ask them for the list.",
    ),
    ProblemKind(
        "unknown_field",
        400,
        "A field is not known",
        "The field catalogue has no field of this name.",
        "Use names of the catalogue: `column` or `collection.column`.",
    ),
    ProblemKind(
        "invalid_identifier",
        400,
        "The identifier is malformed",
        "The identifier's kind is unknown or its value is not well-formed.",
        "Check the kind; write e-mail addresses in full and telephone numbers with their country code.",
    ),
    ProblemKind(
        "unauthenticated",
        401,
        "No valid access token",
        "The token is missing, malformed, expired or revoked, or its client is revoked.",
        "Get a token at `/oauth/token` and send it as `Authorization: Bearer …`.",
    ),
    ProblemKind(
        "sign_in_stale",
        401,
        "The sign-in is too old for this call",
        "The officer signed in longer ago than this call allows.",
        "Sign in again with the passkey, then repeat the call.",
    ),
    ProblemKind(
        "not_signed_in",
        401,
        "You are not signed in",
        "The customer has no session, it is over, or its way of signing in is not enough for this page.",
        "Sign in again.",
    ),
    ProblemKind(
        "sign_in_refused",
        400,
        "The sign-in did not succeed",
        "The link was used, has expired or belongs to another browser, or the provider's answer does not stand.",
        "Begin the sign-in again, and finish it in the same browser.",
    ),
    ProblemKind(
        "form_refused",
        403,
        "The form did not come from this page",
        "The form's origin, its `Sec-Fetch-Site` or its token is not that of our own page in this browser.",
        "Open the page again and send its form. Nothing was changed.",
    ),
    ProblemKind(
        "assertion_refused",
        403,
        "The passkey did not prove what it must",
        "The enrolment code, challenge, origin, user verification, signature or its count is not right.",
        "Ask for new options and answer those; an enrolment code may need a new one from the operator.",
    ),
    ProblemKind(
        "officer_not_permitted",
        403,
        "The officer is not permitted",
        "The officer does not hold the role of this call, or would approve a request of their own.",
        "Ask an officer who holds the role; roles are given by the operator.",
    ),
    ProblemKind(
        "officer_halted",
        403,
        "The officer is halted",
        "More re-identifications were asked for in an hour than the policy allows one officer.",
        "An operator looks into it and runs `officers clear-alarm`. Nothing was told.",
    ),
    ProblemKind(
        "reidentification_refused",
        403,
        "Nothing may be told",
        "A token stands for nothing under this purpose and recipient, or nothing may be told of its person.",
        "See that purpose, recipient and field are those the token was made for. The grant is spent.",
    ),
    ProblemKind(
        "caller_not_permitted",
        403,
        "The client is not permitted",
        "The client is not registered for this scope, purpose, channel or recipient.",
        "Ask the operator to extend the client's registration, or ask for the scope when getting the token.",
    ),
    ProblemKind(
        "proof_refused",
        403,
        "Identity is not proved",
        "What was sent does not prove that the request is the person's own: wrong, too late, or one attempt too many.",
        "Ask the person again, or let an officer see proof. The answer is the same whether the person is known or not.",
    ),
    ProblemKind(
        "fields_refused",
        403,
        "Fields have no basis for this purpose",
        "The write names fields that may not be used for its purpose; `refused` gives the reason for each.",
        "Leave these fields out, or get the person's consent first. Nothing was written.",
    ),
    ProblemKind(
        "not_found",
        404,
        "Nothing is known under this id",
        "There is no such person, decision or address, or the client may not know of it.",
        "Check the id, or look the person up by an identifier; `/docs` lists the addresses.",
    ),
    ProblemKind(
        "method_not_allowed",
        405,
        "The method is not allowed here",
        "This address does not take this HTTP method.",
        "Use a method named in the `Allow` header.",
    ),
    ProblemKind(
        "conflict",
        409,
        "The state has changed or exists already",
        "The record changed since it was read, it exists already, or the first call under this key still runs.",
        "Read again and repeat with the new version, or repeat the same call a moment later.",
    ),
    ProblemKind(
        "suppressed",
        409,
        "The person was erased",
        "The identifier or record belongs to someone who was erased, and the call would bring them back.",
        "Leave it. If they come back by their own act, the operator lifts the suppression. A withdrawal, refusal, "
        "objection or opt-out by the identifier is still recorded.",
    ),
    ProblemKind(
        "payload_too_large",
        413,
        "The body is too large",
        "The body is larger than this call takes.",
        "Send less at once: split a batch.",
    ),
    ProblemKind(
        "unsupported_media_type",
        415,
        "The content type is not supported",
        "The body is not declared as the type this call takes.",
        "Send `Content-Type: application/json`, in UTF-8.",
    ),
    ProblemKind(
        "consent_not_raised",
        422,
        "The consent cannot be raised",
        "The event would open something without what the law asks for it, or a data write tried to change a consent.",
        "Send the missing evidence to `/v1/consents`. Nothing was recorded.",
    ),
    ProblemKind(
        "idempotency_mismatch",
        422,
        "The idempotency key was used for another request",
        "An earlier call under this key had another method, path or body.",
        "Use a fresh key for each distinct call.",
    ),
    ProblemKind(
        "too_many_requests",
        429,
        "Too many requests",
        "The client has used up its look-ups of this minute, or those that find nothing.",
        "Wait as long as `Retry-After` says. Name people by `data_subject`, which is not counted.",
    ),
    ProblemKind(
        "store_unavailable",
        503,
        "The customer store is unavailable",
        "The customer store is down, slow or answered what it must not.",
        "Try again later; nothing of the record left the gateway.",
    ),
    ProblemKind(
        "audit_unavailable",
        503,
        "The audit log is unavailable",
        "The audit entry could not be made durable, so nothing may leave.",
        "Try again later; reads and writes resume when the log does.",
    ),
    ProblemKind(
        "database_unavailable",
        503,
        "The gateway database is unavailable",
        "The gateway's own database is down, full or slow.",
        "Try again later.",
    ),
    ProblemKind(
        "keys_unavailable",
        503,
        "A key is unavailable",
        "A key is missing or unreadable, or a protected value cannot be opened.",
        "Tell the operator: the key provider or the key table needs attention.",
    ),
    ProblemKind(
        "issuer_unavailable",
        503,
        "The token's issuer is unavailable",
        "The outside issuer of the token is down, slow or answered what it must not, so the token cannot be judged.",
        "Try again later with the same token.",
    ),
    ProblemKind(
        "protection_refused",
        500,
        "A value could not be protected as decided",
        "The policy asks for a transform that this gateway does not know or cannot do for a value, or a sealed field is"
        " under a key class that the purpose does not open.",
        "Tell the operator: nothing of the record left the gateway.",
    ),
    ProblemKind(
        "internal",
        500,
        "The gateway failed",
        "A fault of the gateway or of its configuration.",
        "Tell the operator and give them the `request_id`.",
    ),
)

_BY_CODE = {kind.code: kind for kind in KINDS}
_INTERNAL_CODES = frozenset({"settings_refused", "policy_invalid", "catalogue_mismatch", "log_damaged", "undelivered"})
"""Causes that are the operator's business: the caller learns only that the gateway failed."""

_HTTP_CODES: tuple[tuple[type[HTTPException], str], ...] = (
    (NoSuchRoute, "not_found"),
    (MethodNotAllowed, "method_not_allowed"),
    (RequestEntityTooLarge, "payload_too_large"),
    (UnsupportedMediaType, "unsupported_media_type"),
)
_SAID = {
    "not_found": ("No such address", "the gateway serves nothing at this address: `/docs` lists what it serves"),
    "unsupported_media_type": (
        "The content type is not supported",
        "this call takes a body of type `application/json`, in UTF-8",
    ),
}
"""Title and detail of errors of HTTP, where more is known than the kind's own words say."""


def kind_of(error: errors.GatewayError | type[errors.GatewayError]) -> ProblemKind:
    """The problem a named cause is shown as. An undocumented code is a fault of ours, and shown as one."""
    return _BY_CODE.get("internal" if error.code in _INTERNAL_CODES else error.code, _BY_CODE["internal"])


def kind_named(code: str) -> ProblemKind:
    """The kind of that code; `KeyError` for a code that is not in the list."""
    return _BY_CODE[code]


def install(app: Flask) -> None:
    """Answer every error of the application with a problem document."""
    app.register_error_handler(errors.GatewayError, _named)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def _named(error: errors.GatewayError) -> Response:
    kind = kind_of(error)
    if kind.status == 500:
        _LOGGER.error("call failed", exc_info=error)
        return _answer(kind, kind.cause)
    extra: dict[str, Any] = {}
    if isinstance(error, errors.InputRefused) and error.faults:
        extra["errors"] = [{"pointer": _short(f.pointer), "message": f.message} for f in error.faults]
    if isinstance(error, errors.FieldsRefused):
        extra["refused"] = {_short(name): reason for name, reason in error.refused.items()}
    response = _answer(kind, error.message, extra)
    if isinstance(error, errors.TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after)
    challenge = getattr(error, "challenge", None)
    if challenge is not None:
        response.headers["WWW-Authenticate"] = challenge
    elif kind.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _http(error: HTTPException) -> Response:
    for cause, code in _HTTP_CODES:
        if isinstance(error, cause):
            kind = _BY_CODE[code]
            title, detail = _SAID.get(code, (kind.title, kind.cause))
            response = _answer(replace(kind, title=title), detail)
            if isinstance(error, MethodNotAllowed):
                response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
            return response
    if error.code is not None and 400 <= error.code < 500:
        return _answer(_BY_CODE["invalid_request"], "the request cannot be read as HTTP asks: check its parts")
    return _unexpected(error)


def _unexpected(error: Exception) -> Response:
    _LOGGER.error("call failed", exc_info=error)
    kind = _BY_CODE["internal"]
    return _answer(kind, kind.cause)


def _answer(kind: ProblemKind, detail: str, extra: dict[str, Any] | None = None) -> Response:
    document = {
        "type": f"{ERRORS_PAGE}#{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": kind.code,
        "request_id": g.get("request_id"),
        **(extra or {}),
    }
    g.problem = kind.code
    if g.get("page"):
        response: Response = g.page(document)  # how a failure of this page is shown, set by whoever routed the call
    else:
        response = Response(orjson.dumps(document), status=kind.status, content_type=PROBLEM_TYPE)
    if kind.status in (429, 503):
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else name[:_NAME_LENGTH] + "…"
