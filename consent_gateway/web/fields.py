"""Field types of the request schemas, each with a bound and with the schema it has in the OpenAPI document.

Messages say what is wanted and never repeat what was sent.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MOST_NAMES = 200
_LANGUAGE = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
KEY = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_KEY_FORM = "letters, digits, `.`, `_` and `-`, beginning with a letter or a digit"
PURPOSE_FORM = "lower case words joined by underscore, as in `order_fulfilment`"
ID = r"^[a-z]{1,12}_[0-9a-z]{20,40}$"


class Text(fields.String):
    """A string of bounded length without control characters.

    `pattern` is an anchored regular expression, and `form` says in words what it takes.
    """

    def __init__(
        self, *, longest: int, shortest: int = 1, pattern: str | None = None, form: str | None = None, **rest: Any
    ) -> None:
        checks: list[Any] = [validate.Length(min=shortest, max=longest)]
        if pattern is not None:
            wanted = "Does not have the form wanted here." if form is None else f"Must be {form}."
            checks.append(validate.Regexp(pattern, error=wanted))
        super().__init__(validate=checks, **rest)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if _CONTROL.search(text):  # first of all: a pattern's `$` would pass a last line feed
            raise ValidationError("Must not contain control characters.")
        return text


class Moment(fields.Field[datetime]):
    """A time as RFC 3339 writes it, with its zone; loads to UTC."""

    def _serialize(self, value: datetime | None, *_rest: Any, **_more: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def _deserialize(self, value: Any, *_rest: Any, **_more: Any) -> datetime:
        if not isinstance(value, str) or _MOMENT.fullmatch(value) is None:
            raise ValidationError("Must be a time as in RFC 3339, with its zone.")
        try:
            moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise ValidationError("Is not a time that exists.") from error
        if moment.year < 1970:
            raise ValidationError("Must not lie before 1970.")
        return moment


class Scalar(fields.Field[Any]):
    """The value of one record field: a string of up to 10 000 characters, a number, a truth value or null."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(allow_none=True, **rest)

    def _deserialize(self, value: Any, *_rest: Any, **_more: Any) -> Any:
        if isinstance(value, str) and len(value) > 10_000:
            raise ValidationError("Longer than 10000 characters.")
        if not isinstance(value, str | int | float | bool | None):
            raise ValidationError("Must be a string, a number, a truth value or null.")
        return value


class Names(fields.Field[tuple[str, ...]]):
    """Field names separated by commas, in a query parameter."""

    def _deserialize(self, value: Any, *_rest: Any, **_more: Any) -> tuple[str, ...]:
        names = tuple(str(value).split(","))
        if len(names) > MOST_NAMES or any(not 1 <= len(name) <= 128 or _CONTROL.search(name) for name in names):
            raise ValidationError("Must be 1 to 200 field names separated by commas.")
        return names


class Anything(fields.Field[Any]):
    """Any JSON value, in an answer."""


def key(**rest: Any) -> Text:
    """The key of a recipient, notice or condition."""
    return Text(longest=64, pattern=KEY, form=_KEY_FORM, **rest)


def purpose_key(**rest: Any) -> Text:
    """The key of a purpose."""
    return Text(longest=64, pattern=KEY, form=PURPOSE_FORM, **rest)


def language(**rest: Any) -> Text:
    """A BCP 47 language tag, by form."""
    return Text(longest=35, shortest=2, pattern=_LANGUAGE, form="a language tag, as in `en` or `pt-BR`", **rest)


class FieldNames(fields.List[Any]):
    """Names of catalogue fields. What is plainly well-formed costs no check per name, which was most of a read's."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(Text(longest=128), validate=validate.Length(min=1, max=MOST_NAMES), **rest)

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> list[Any]:
        if isinstance(value, list) and all(map(_is_plain_name, value)):
            return value
        return super()._deserialize(value, *rest, **more)


def _is_plain_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 128 and value.isprintable()
