"""The OpenAPI 3.1 document, made from the same declarations as the routes; describes nothing they do not serve."""

from collections.abc import Iterable, Mapping
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from marshmallow import Schema, fields

from consent_gateway import errors
from consent_gateway.callers.registry import Scope
from consent_gateway.console.permissions import Doing, needed
from consent_gateway.customer_desk import SESSION_COOKIE
from consent_gateway.web import answer_schemas
from consent_gateway.web.fields import Anything, Moment, Names, Scalar
from consent_gateway.web.operations import (
    HTML,
    IDEMPOTENCY_HEADER,
    JSON,
    AgentAuth,
    CustomerAuth,
    EitherAuth,
    OfficerAuth,
    Operation,
    Public,
    Visitor,
)
from consent_gateway.web.problems import PROBLEM_TYPE, ProblemKind, kind_named, kind_of

_SCALARS = ["string", "number", "boolean", "null"]
_FORM = "application/x-www-form-urlencoded"
_SIGNED = {"type": "string", "contentEncoding": "base64", "description": "Ed25519 signature and JSON, in one."}
_BARE = frozenset({204, 403})  # answers of no body, where they have no schema
_ANYTHING: Mapping[type[fields.Field[Any]], dict[str, Any]] = {
    Scalar: {"type": _SCALARS, "maxLength": 10_000},
    Anything: {},
    Moment: {"type": "string", "format": "date-time"},
    Names: {"type": "string", "minLength": 1},
}


def document(operations: Iterable[Operation], *, version: str, issuer: str) -> dict[str, Any]:
    """The document for these operations, in the order declared."""
    plugin = MarshmallowPlugin(schema_name_resolver=_component_name)
    spec = APISpec(
        title="Consent gateway",
        version=version,
        openapi_version="3.1.0",
        plugins=[plugin],
        info={
            "description": "Purpose-bound reads and writes of customer data: every call names a purpose, every field "
            "has a verdict, every verdict its reason.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        servers=[{"url": issuer}],
    )
    converter: Any = plugin.converter  # APISpec has given its plugin one by now
    converter.add_attribute_function(_custom_field)
    _security(spec)
    for op in operations:
        spec.path(op.path, operations={op.method.lower(): _operation(op)})
    described: dict[str, Any] = spec.to_dict()
    for schema in described["components"]["schemas"].values():
        _tighten(schema)
    return described


def problem_kinds(op: Operation) -> tuple[ProblemKind, ...]:
    """Every kind of problem the operation may answer, by status and code."""
    causes: set[type[errors.GatewayError]] = {*op.raises, *_of_auth(op)}
    codes = {"internal", "invalid_request"}
    if op.error is not None:
        causes |= {errors.DatabaseUnavailable}
    if op.body is not None or (op.signed and not isinstance(op.auth, Public)):
        codes |= {"payload_too_large", "unsupported_media_type"}
    if op.form is not None:
        codes |= {"payload_too_large", "database_unavailable"}
    if op.idempotent:
        causes |= {errors.IdempotencyMismatch, errors.Conflict}
    if "{" in op.path:
        codes.add("not_found")
    kinds = {kind_of(cause) for cause in causes} | {kind_named(code) for code in codes}
    return tuple(sorted(kinds, key=lambda kind: (kind.status, kind.code)))


def _of_auth(op: Operation) -> set[type[errors.GatewayError]]:
    """What its authentication may raise."""
    causes: set[type[errors.GatewayError]] = set()
    if isinstance(op.auth, EitherAuth):
        causes |= {errors.OfficerNotPermitted}
    if isinstance(op.auth, Scope | EitherAuth):
        causes |= {errors.Unauthenticated, errors.CallerNotPermitted}
        causes |= {errors.DatabaseUnavailable, errors.IssuerUnavailable}
    if isinstance(op.auth, OfficerAuth):
        causes |= {errors.Unauthenticated, errors.DatabaseUnavailable}
        causes |= {errors.OfficerNotPermitted} if op.auth.doing else set()
        causes |= {errors.SignInStale} if op.auth.fresh_seconds else set()
    if isinstance(op.auth, CustomerAuth | Visitor):
        causes |= {errors.DatabaseUnavailable}
        causes |= {errors.NotSignedIn} if isinstance(op.auth, CustomerAuth) else set()
        causes |= {errors.FormRefused} if op.method != "GET" else set()
    if isinstance(op.auth, AgentAuth):
        causes |= {errors.Unauthenticated, errors.CallerNotPermitted}
    return causes


def _operation(op: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": op.name,
        "summary": op.summary,
        "parameters": _parameters(op),
        "responses": _responses(op),
        "security": _operation_security(op),
    }
    if op.description:
        described["description"] = op.description
    content = {JSON: op.body} if op.body else {_FORM: op.form} if op.form else {}
    if content:
        described["requestBody"] = {
            "required": True,
            "content": {kind: _media(schema, op.example) for kind, schema in content.items()},
        }
    elif op.signed:
        described["requestBody"] = {"required": True, "content": {"text/plain": {"schema": dict(_SIGNED)}}}
    return described


def _operation_security(op: Operation) -> list[dict[str, list[str]]]:
    if isinstance(op.auth, EitherAuth):
        return [{"oauth2": [op.auth.scope.value]}, *_officers(op.auth.doing)]
    if isinstance(op.auth, Scope):
        return [{"oauth2": [op.auth.value]}]
    if isinstance(op.auth, OfficerAuth):
        return _officers(op.auth.doing)
    if isinstance(op.auth, CustomerAuth | AgentAuth):
        return [{"customer" if isinstance(op.auth, CustomerAuth) else "agent": []}]
    if isinstance(op.auth, Visitor) or op.is_page:
        return []
    return [] if op.form is None else [{"client": []}, {}]


def _officers(doing: Doing | None) -> list[dict[str, list[str]]]:
    """One way in for each role that is enough; OpenAPI 3.1 has a bearer scheme name roles so."""
    return [{"officer": []}] if doing is None else [{"officer": [role.value]} for role in needed(doing)]


def _media(schema: type[Schema] | None, example: Mapping[str, Any] | None) -> dict[str, Any]:
    media: dict[str, Any] = {} if schema is None else {"schema": schema}
    return media if example is None else {**media, "example": dict(example)}


def _parameters(op: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"in": "path", "name": part.strip("{}"), "required": True, "schema": {"type": "string", "maxLength": 64}}
        for part in op.path.split("/")
        if part.startswith("{")
    ]
    if op.query is not None:
        parameters.append({"in": "query", "schema": op.query})
    if op.reads_gpc:
        text = "The visitor's browser sent Global Privacy Control. Pass the header on as it came."
        parameters.append(_header("Sec-GPC", text, {"type": "string"}))
    if op.reads_if_match:
        parameters.append(_header("If-Match", "The version read, in double quotes.", {"type": "string"}))
    if op.idempotent:
        text = "A fresh word of your choice for each distinct call. A repeated call gets the first one's answer."
        parameters.append(_header(IDEMPOTENCY_HEADER, text, {"type": "string", "minLength": 1, "maxLength": 255}))
    return parameters


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"in": "header", "name": name, "required": False, "description": description, "schema": schema}


def _responses(op: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in op.answers:
        content = (
            {}
            if answer.schema is None and answer.status in _BARE
            else {answer.content_type: _media(answer.schema, None)}
        )
        responses[str(answer.status)] = {"description": answer.description, "content": content}
    by_status: dict[int, list[ProblemKind]] = {}
    for kind in problem_kinds(op):
        by_status.setdefault(kind.status, []).append(kind)
    for status, kinds in by_status.items():
        words = "; ".join(f"`{kind.code}`: {kind.title.lower()}" for kind in kinds)
        response = responses.setdefault(str(status), {"description": words, "content": {}})
        if op.is_page:
            response["content"][HTML] = {}
        elif op.error is not None:
            response["content"][JSON] = {"schema": op.error.schema}
        else:
            response["content"][PROBLEM_TYPE] = {"schema": answer_schemas.ProblemSchema}
    return dict(sorted(responses.items()))


def _security(spec: APISpec) -> None:
    flow = {"tokenUrl": "/oauth/token", "scopes": {scope.value: scope.name.lower() for scope in Scope}}
    spec.components.security_scheme("oauth2", {"type": "oauth2", "flows": {"clientCredentials": flow}})
    spec.components.security_scheme("officer", {"type": "http", "scheme": "bearer"})
    spec.components.security_scheme("agent", {"type": "http", "scheme": "bearer"})
    spec.components.security_scheme("customer", {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE})
    spec.components.security_scheme("client", {"type": "http", "scheme": "basic"})


def _component_name(schema: Any) -> str:
    resolved: Any = resolve_schema_cls(schema)
    return str(resolved.__name__).removesuffix("Schema").removesuffix("Base")


def _custom_field(_converter: object, field: fields.Field[Any], **_rest: Any) -> dict[str, Any]:
    """What apispec cannot know of our own field types."""
    shape = next((dict(shape) for kind, shape in _ANYTHING.items() if isinstance(field, kind)), {})
    if field.allow_none and shape.get("type") == "string":
        shape["type"] = ["string", "null"]
    return shape


def _tighten(schema: dict[str, Any]) -> None:
    """What apispec leaves out or gets wrong: bounds of maps, bounds of their keys, and `exactly one of`."""
    properties = schema.get("properties", {})
    for shape in properties.values():
        if shape.get("type") == "object" and "maxLength" in shape:
            shape["minProperties"], shape["maxProperties"] = shape.pop("minLength"), shape.pop("maxLength")
            shape["propertyNames"] = {"minLength": 1, "maxLength": 128}
    if {"data_subject", "identifier"} <= properties.keys():
        schema["oneOf"] = [{"required": ["data_subject"]}, {"required": ["identifier"]}]
