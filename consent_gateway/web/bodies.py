"""Bytes of a request to checked values: content type, size, strict JSON, schema; knows no call by name.

Stricter than the JSON grammar where leniency would let two readers see two things (RFC 8259, 4 and 8; I-JSON,
RFC 7493): no member twice, no NaN or infinity, no lone surrogate, no NUL, no number that would lose digits, no
deep nesting.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson
from flask import Request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from consent_gateway.errors import FieldFault, InputRefused

BODY_BYTES = 256 * 1024
BATCH_BYTES = 4 * 1024 * 1024
DEEPEST = 16
_MOST_FAULTS = 20


def read_json(request: Request, most_bytes: int) -> dict[str, Any]:
    """The JSON object in the request's body, or `InputRefused`, 413 or 415."""
    request.max_content_length = most_bytes + 1  # one more: a stream of undeclared length is cut there without a word
    body = request.get_data(cache=False)
    if not body:
        raise InputRefused("the body is missing: send a JSON object", (FieldFault("", "missing"),))
    media_type, _, parameters = (request.content_type or "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise UnsupportedMediaType
    if len(body) > most_bytes:
        raise RequestEntityTooLarge
    parsed = parse_json(body)
    if not isinstance(parsed, dict):
        raise InputRefused("the body must be a JSON object", (FieldFault("", "not an object"),))
    return parsed


def parse_json(body: bytes) -> Any:
    """What the bytes say, where they say it unmistakably; else `InputRefused`, which quotes nothing of them."""
    try:
        text = body.decode("utf-8")
        parsed = _DECODER.decode(text)
        orjson.dumps(parsed)  # refuses lone surrogates and integers beyond 64 bits
    except _Twice as error:
        raise InputRefused("the body names a member twice", (FieldFault("", "duplicate member"),)) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InputRefused("the body is not well-formed JSON in UTF-8", (FieldFault("", "not JSON"),)) from error
    if _depth(parsed) > DEEPEST:
        raise InputRefused("the body is nested too deeply", (FieldFault("", f"more than {DEEPEST} levels"),))
    if "\\u0000" in text and _has_nul(parsed):
        raise InputRefused("the body holds the character NUL", (FieldFault("", "contains U+0000"),))
    return parsed


def checked(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the schema makes of the values, or `InputRefused` with a pointer to each fault."""
    try:
        loaded: dict[str, Any] = schema.load(given)
    except ValidationError as error:
        faults: list[FieldFault] = []
        _collect("", error.messages, faults)
        raise InputRefused(
            "the request does not have the form this call takes", tuple(faults[:_MOST_FAULTS])
        ) from error
    return loaded


class _Twice(ValueError):
    """A member name occurs twice in one object."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Twice
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _no_constant(_name: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=_finite, parse_constant=_no_constant)


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            break
        level, depth = inner, depth + 1
    return depth


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in name or _has_nul(item) for name, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _collect(pointer: str, messages: Any, faults: list[FieldFault]) -> None:
    """Marshmallow's tree of messages as one fault per leaf, with a JSON pointer (RFC 6901)."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            if name == "_schema":
                _collect(pointer, inner, faults)
            else:
                _collect(f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}", inner, faults)
    elif isinstance(messages, list):
        for message in messages:
            _collect(pointer, message, faults)
    else:
        faults.append(FieldFault(pointer, str(messages)))
