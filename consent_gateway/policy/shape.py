"""Runs a schema over a part of a document and turns its complaints into findings with lines; holds no schema."""

from typing import Any

from marshmallow import Schema, ValidationError, fields

from consent_gateway.policy.findings import Finding, nearest
from consent_gateway.policy.source import Document, Place

_UNKNOWN = "Unknown field."
_MISSING = "Missing data for required field."


def load(schema: Schema, document: Document, place: Place, value: Any, findings: list[Finding]) -> Any | None:
    """The value as the schema reads it, or None; each complaint becomes a finding at its line."""
    if value is None and not document.lines:
        return None  # the file could not be read at all, which is told already
    if not isinstance(value, dict):
        findings.append(Finding(document.path, document.line(place), "this is not a mapping", "write `key: value`"))
        return None
    try:
        return schema.load(value)
    except ValidationError as error:
        _collect(_messages(error), document, place, schema, findings)
        return None


def _messages(error: ValidationError) -> Any:
    return error.messages if isinstance(error.messages, dict) else {"_schema": error.messages}


def _collect(messages: Any, document: Document, place: Place, schema: Schema | None, findings: list[Finding]) -> None:
    keys = {} if schema is None else {field.data_key or name: field for name, field in schema.fields.items()}
    for key, below in messages.items():
        # marshmallow nests what is wrong with a mapping's entry below `key` and `value`
        at = place if key in ("_schema", "value", "key") and key not in keys else (*place, key)
        if isinstance(below, dict):
            _collect(below, document, at, _inner(keys[key]) if key in keys else schema, findings)
            continue
        for message in below:
            what, mend = _worded(str(message), str(key), set(keys))
            findings.append(Finding(document.path, document.line(at), what, mend))


def _inner(field: fields.Field[Any]) -> Schema | None:
    """The schema of what a field holds, through lists and mappings."""
    while True:
        if isinstance(field, fields.List):
            field = field.inner
        elif isinstance(field, fields.Dict) and field.value_field is not None:
            field = field.value_field
        else:
            return field.schema if isinstance(field, fields.Nested) else None


def _worded(message: str, key: str, known: set[str]) -> tuple[str, str]:
    if message == _UNKNOWN:
        return f"unknown key `{key}`", nearest(key, known)
    if message == _MISSING:
        return f"`{key}` is missing", f"add `{key}`"
    what, separator, mend = message.partition("; ")
    if separator:
        return what, mend
    return f"`{key}`: {message[:1].lower()}{message[1:].rstrip('.')}", "see the format of this file"
