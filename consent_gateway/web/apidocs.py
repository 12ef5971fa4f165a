"""The API reference as pages, made once from the OpenAPI document and the list of problems; no script, no request out.

What stands here beside the two templates is only how a schema is told in one line of text.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import render_template
from markupsafe import Markup, escape

from consent_gateway.callers.registry import Scope
from consent_gateway.web.problems import KINDS

_REFERENCE = "#/components/schemas/"
_CODE = re.compile("`([^`]+)`")
_IN_PATH = re.compile(r"{(\w+)}")
_CURL_HEADERS = {
    "If-Match": '  -H "If-Match: \\"$VERSION\\""',
    "Idempotency-Key": '  -H "Idempotency-Key: $KEY"',
}
"""Lines of an example for the headers that a careful caller sends."""


@dataclass(frozen=True, slots=True)
class Member:
    """One row of a table: a member of a schema, or a parameter of a call."""

    name: str
    type: str
    link: str | None  # name of the schema it is made of
    required: bool
    notes: str


@dataclass(frozen=True, slots=True)
class Shape:
    """One schema."""

    name: str
    description: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """One documented answer."""

    status: str
    description: str
    link: str | None


@dataclass(frozen=True, slots=True)
class Section:
    """One call."""

    anchor: str
    method: str
    path: str
    summary: str
    paragraphs: tuple[str, ...]
    scope: str | None
    officer: str | None  # the role of a signed-in officer that the call needs, `any` for every one
    parameters: tuple[Member, ...]
    body: str | None
    curl: str | None
    replies: tuple[Reply, ...]


def reference_page(document: Mapping[str, Any]) -> str:
    """The reference page. Needs an application context, for its template."""
    server = document["servers"][0]["url"]
    sections = [
        _section(method.upper(), path, operation, server)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    shapes = [_shape(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return render_template(
        "apidocs.html",
        title=document["info"]["title"],
        version=document["info"]["version"],
        server=server,
        sections=sections,
        shapes=shapes,
        scopes=[scope.value for scope in Scope],
        told=told,
    )


def errors_page() -> str:
    """The page of every error code. Needs an application context, for its template."""
    return render_template("apierrors.html", kinds=KINDS, told=told)


def told(text: str) -> Markup:
    """A sentence as HTML: escaped first, then what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped in this line


def anchor(method: str, path: str) -> str:
    """The fragment under which a call stands on the reference page: `post-v1-customers-lookup`."""
    words = path.replace("{", "").replace("}", "").replace(".", "").replace("_", "-").strip("/").split("/")
    return "-".join([method.lower(), *words])


def schema_anchor(name: str) -> str:
    """The fragment under which a schema stands on the reference page: `schema-Lookup`."""
    return f"schema-{name}"


def _section(method: str, path: str, operation: Mapping[str, Any], server: str) -> Section:
    content = operation.get("requestBody", {}).get("content", {})
    media: Mapping[str, Any] = next(iter(content.values()), {})
    scopes = [scope for way in operation["security"] for scope in way.get("oauth2", ())]
    roles = [way["officer"] for way in operation["security"] if "officer" in way]
    return Section(
        anchor=anchor(method, path),
        method=method,
        path=path,
        summary=operation["summary"],
        paragraphs=tuple(operation.get("description", "").split("\n\n")) if operation.get("description") else (),
        scope=scopes[0] if scopes else None,
        officer=(roles[0] or ["any"])[0] if roles else None,
        parameters=tuple(_parameter(parameter) for parameter in operation["parameters"]),
        body=_link(media.get("schema", {})),
        curl=_curl(method, server + path, operation["parameters"], media.get("example")),
        replies=tuple(
            Reply(status, answer["description"], _link(_first_schema(answer)))
            for status, answer in operation["responses"].items()
        ),
    )


def _parameter(parameter: Mapping[str, Any]) -> Member:
    schema = parameter.get("schema", {})
    notes = [f"in the {parameter['in']}", *_bounds(schema)]
    if parameter.get("description"):
        notes.append(parameter["description"])
    return Member(parameter["name"], _type(schema), None, bool(parameter.get("required")), _sentences(notes))


def _shape(name: str, schema: Mapping[str, Any]) -> Shape:
    required = set(schema.get("required", ()))
    members = tuple(
        Member(
            member,
            _type(described),
            _link(described) or _link(described.get("items", {})) or _link(described.get("additionalProperties") or {}),
            member in required,
            _sentences([*_bounds(described), *([described["description"]] if "description" in described else [])]),
        )
        for member, described in schema.get("properties", {}).items()
    )
    return Shape(name, schema.get("description", ""), members)


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REFERENCE)
    kind = schema.get("type", "any value")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"map of name to {_type(schema['additionalProperties'])}"
    return f"{kind}, {schema['format']}" if "format" in schema else str(kind)


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    words = []
    if "enum" in schema:
        words.append("one of " + ", ".join(f"`{word}`" for word in schema["enum"] if word is not None))
    for least, most, unit in (
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "entries"),
        ("minimum", "maximum", ""),
    ):
        if most in schema:
            span = f"{schema[least]} to {schema[most]}" if least in schema else f"up to {schema[most]}"
            words.append(f"{span} {unit}".strip())
    if "default" in schema and schema["default"] not in ([], None):
        words.append(f"default `{schema['default']}`")
    return words


def _sentences(notes: Sequence[str]) -> str:
    return " ".join(f"{note[0].upper()}{note[1:].rstrip('.')}." for note in notes)


def _link(schema: Mapping[str, Any]) -> str | None:
    reference = schema.get("$ref")
    return str(reference).removeprefix(_REFERENCE) if reference else None


def _first_schema(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    media: Mapping[str, Any] = next(iter(answer.get("content", {}).values()), {})
    found: Mapping[str, Any] = media.get("schema", {})
    return found


def _curl(method: str, url: str, parameters: Sequence[Mapping[str, Any]], example: Any) -> str | None:
    """The call as a shell takes it: a variable for what differs from call to call, the body over several lines."""
    if example is None:
        return None
    headers = {parameter["name"] for parameter in parameters if parameter["in"] == "header"}
    shown = [line for name, line in _CURL_HEADERS.items() if name in headers]
    body = json.dumps(example, ensure_ascii=False, indent=2).replace("\n", "\n  ")  # no string holds a line feed raw
    lines = [
        f'curl -X {method} "{_IN_PATH.sub(lambda part: "$" + part[1].upper(), url)}"',
        '  -H "Authorization: Bearer $TOKEN"',
        *shown,
        "  -H 'Content-Type: application/json'",
        f"  -d {shlex.quote(body)}",
    ]
    return " \\\n".join(lines)
