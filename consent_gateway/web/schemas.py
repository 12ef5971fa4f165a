"""The form of every request, for checking and for the OpenAPI document; nothing unknown passes.

Names are those of the wire; where a name is taken in Python (`fields`), `data_key` carries it.
"""

import re
from collections.abc import Mapping
from typing import Any, get_args

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from consent_gateway.vocabulary import FREQUENCIES, OPENING, PERSON_WIDE, SEARCH_MODES, Action, EventKind, How
from consent_gateway.web.fields import (
    ID,
    PURPOSE_FORM,
    FieldNames,
    Moment,
    Names,
    Scalar,
    Text,
    key,
    language,
    purpose_key,
)

BATCH_PERSONS = 10_000
LONGEST_IDENTIFIER = 320  # of an e-mail address (RFC 5321)
_KIND = re.compile("^[a-z][a-z_]{0,31}$")
_ID = re.compile(ID)
_IDENTIFIER_MEMBERS = {"kind", "value"}


class Strict(Schema):
    """Root of all schemas: a member that is not declared is an error."""

    error_messages: dict[str, str] = {"unknown": "not a member of this request"}  # noqa: RUF012 - as the root has it

    class Meta:
        """Marshmallow's options."""

        unknown = RAISE


class IdentifierSchema(Strict):
    """One identifier of a person."""

    kind = Text(
        longest=32,
        pattern=_KIND.pattern,
        form="lower case letters and underscores, as in `email`",
        required=True,
        metadata={"example": "email"},
    )
    value = Text(longest=LONGEST_IDENTIFIER, required=True, metadata={"example": "ada@example.com"})


class IdentifierField(fields.Nested):
    """One identifier; well-formed ones are taken without the schema, which costs ten times as much."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(IdentifierSchema, **rest)

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        return value if is_identifier(value) else super()._deserialize(value, *rest, **more)


def is_identifier(value: Any) -> bool:
    """Whether the schema would take this identifier as it is; False where only the schema can say."""
    if not isinstance(value, dict) or value.keys() != _IDENTIFIER_MEMBERS:
        return False
    kind, given = value["kind"], value["value"]
    return (
        isinstance(kind, str)
        and isinstance(given, str)
        and _KIND.fullmatch(kind) is not None
        and 1 <= len(given) <= LONGEST_IDENTIFIER
        and given.isprintable()
    )


class PartSchema(Strict):
    """A part of an identifier, by which several people may be found."""

    kind = Text(
        longest=32,
        pattern=_KIND.pattern,
        form="lower case letters and underscores, as in `phone`",
        required=True,
        metadata={"example": "phone"},
    )
    mode = fields.String(
        required=True,
        validate=validate.OneOf(sorted(set().union(*SEARCH_MODES.values()))),
        metadata={"description": "One that the catalogue asks for with this kind.", "example": "last4"},
    )
    value = Text(longest=LONGEST_IDENTIFIER, required=True, metadata={"example": "4711"})


class PageSchema(Strict):
    """Which rows of each child collection to return."""

    limit = fields.Integer(strict=True, load_default=50, validate=validate.Range(1, 200))
    offset = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, 100_000))


class PersonSchema(Strict):
    """The person meant: exactly one of `data_subject` and `identifier`."""

    data_subject = Text(
        longest=64,
        pattern=ID,
        form="an id that an earlier call answered, as in `ds_…`",
        metadata={"description": "Or `identifier`, never both."},
    )
    identifier = IdentifierField()

    @validates_schema
    def _one_person(self, given: Mapping[str, Any], **_rest: Any) -> None:
        if ("data_subject" in given) == ("identifier" in given):
            raise ValidationError("Name the person by exactly one of `data_subject` and `identifier`.")


class LookupSchema(Strict):
    """A read by any identifier."""

    identifier = IdentifierField(required=True)
    purpose = purpose_key(required=True, metadata={"example": "order_fulfilment"})
    names = FieldNames(data_key="fields", metadata={"description": "Left out: all that the purpose declares."})
    recipient = key()
    page = fields.Nested(PageSchema)


class SearchSchema(Strict):
    """A read of everybody who has this part of an identifier."""

    identifier = fields.Nested(PartSchema, required=True)
    purpose = purpose_key(required=True, metadata={"example": "order_fulfilment"})
    names = FieldNames(data_key="fields", metadata={"description": "Left out: all that the purpose declares."})
    recipient = key()


class ReadQuerySchema(Strict):
    """A read by id."""

    purpose = purpose_key(required=True)
    names = Names(data_key="fields", metadata={"description": "Field names separated by commas."})
    recipient = key()
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))
    offset = fields.Integer(load_default=0, validate=validate.Range(0, 100_000))


def _changes() -> fields.Dict:
    return fields.Dict(
        keys=Text(longest=128), values=Scalar(), required=True, data_key="record", validate=validate.Length(1, 200)
    )


def _source() -> Text:
    return Text(
        longest=64, required=True, metadata={"description": "In your words: where the values come from, never who."}
    )


class PatchSchema(Strict):
    """A change to some fields of one record."""

    purpose = purpose_key(required=True)
    changes = _changes()
    source = _source()


class CreateSchema(Strict):
    """A new record. Who it is about and where they live is taken from its identity and residence fields."""

    purpose = purpose_key(required=True)
    changes = _changes()
    source = _source()


class DecideSchema(PersonSchema):
    """A question without data."""

    purpose = purpose_key(required=True)
    names = FieldNames(data_key="fields")
    action = fields.String(validate=validate.OneOf([action.value for action in Action]), load_default="read")
    recipient = key()


class _Persons(fields.List[Any]):
    """The persons of a batch. Checked by hand where all are well-formed, which costs a tenth of the schema."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) <= BATCH_PERSONS and all(map(_is_person, value)):
            return value
        return super()._deserialize(value, attr, data, **kwargs)


def _is_person(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) != 1:
        return False
    named = value.get("data_subject")
    if named is not None:
        return isinstance(named, str) and _ID.fullmatch(named) is not None
    return is_identifier(value.get("identifier"))


class BatchSchema(Strict):
    """One question about many people."""

    purpose = purpose_key(required=True)
    persons = _Persons(fields.Nested(PersonSchema), required=True, validate=validate.Length(min=1, max=BATCH_PERSONS))
    names = FieldNames(data_key="fields")
    recipient = key()


class EvidenceSchema(Strict):
    """How the choice was made, so that it can be demonstrated (GDPR Art. 7(1))."""

    how = fields.String(load_default="api", validate=validate.OneOf(get_args(How)))
    notice = key()
    notice_version = Text(longest=64)
    language = language(metadata={"example": "en"})
    reference = Text(longest=128, metadata={"description": "An opaque id of yours, never a personal value."})
    agent = Text(longest=24, metadata={"description": "Of a spoken choice: the id of who heard it.", "example": "a-12"})
    script_version = Text(longest=24, metadata={"description": "Of a spoken choice: the script read out."})
    image_sha256 = Text(
        longest=64,
        pattern="^[0-9a-f]{64}$",
        form="64 hexadecimal digits, in lower case",
        metadata={"description": "Of a choice on paper: the SHA-256 of the form's image."},
    )
    conditions = fields.List(key(), validate=validate.Length(max=20), load_default=list)


class ConsentSchema(PersonSchema):
    """A choice of a person, or something recorded about them. Kinds for the whole person take no purpose."""

    purpose = Text(
        longest=64,
        pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*)$",
        form=f"{PURPOSE_FORM}, or `*`",
        metadata={"description": "`*` stands for every purpose, with kinds that restrict."},
    )
    kind = fields.String(required=True, validate=validate.OneOf([kind.value for kind in EventKind]))
    occurred_at = Moment(metadata={"description": "Left out: now."})
    valid_until = Moment(metadata={"description": "When the choice ends by itself; of a `pause`, its end."})
    frequency = fields.String(
        validate=validate.OneOf(FREQUENCIES), metadata={"description": "How often; with the kind `frequency` alone."}
    )
    evidence = fields.Nested(
        EvidenceSchema,
        metadata={"description": "Needed for kinds that open something; left out with the others: `how` is `api`."},
    )

    @validates_schema
    def _purpose_named(self, given: Mapping[str, Any], **_rest: Any) -> None:
        if "purpose" not in given and given.get("kind") not in PERSON_WIDE:
            raise ValidationError("This kind concerns a purpose: name it, or `*` for all.", "purpose")

    @validates_schema
    def _evidence_given(self, given: Mapping[str, Any], **_rest: Any) -> None:
        if "evidence" not in given and given.get("kind") in OPENING:
            raise ValidationError("This kind opens something: send its evidence.", "evidence")

    @post_load
    def _evidence_assumed(self, given: dict[str, Any], **_rest: Any) -> dict[str, Any]:
        return given if "evidence" in given else {**given, "evidence": EvidenceSchema().load({})}


class SignalSchema(Strict):
    """Whom a signal binds, and what was sent: at least one person and one signal."""

    person = fields.Nested(PersonSchema, metadata={"description": "Where the channel knows who it is."})
    device_id = Text(
        longest=LONGEST_IDENTIFIER,
        metadata={"description": "The visitor's device, or the id in your own first-party cookie."},
    )
    profile_id = Text(
        longest=LONGEST_IDENTIFIER,
        metadata={"description": "A pseudonymous profile that you keep of the visitor; looked up as a `device_id`."},
    )
    gpc = Text(longest=8, metadata={"description": "The value of `Sec-GPC`, as it came.", "example": "1"})
    gpp = Text(longest=4096, metadata={"description": "A GPP string."})
    tcf = Text(longest=32_768, metadata={"description": "A TC string; send it once the person has answered."})
    usp = Text(longest=8, metadata={"description": "A US Privacy string, as in `1YYN`."})

    @validates_schema
    def _somebody(self, given: Mapping[str, Any], **_rest: Any) -> None:
        if not {"person", "device_id", "profile_id"} & given.keys():
            raise ValidationError("Name whom the signal binds: `person`, `device_id`, `profile_id`, or all of them.")

    @validates_schema
    def _something(self, given: Mapping[str, Any], **_rest: Any) -> None:
        if not {"gpc", "gpp", "tcf", "usp"} & given.keys():
            raise ValidationError("Send a signal: `gpc`, `gpp`, `tcf` or `usp`.")


class TokenNamedSchema(Strict):
    """The form that names a token, to end it or to ask about it. The client proves itself as for a token."""

    token = Text(required=True, longest=512)
    token_type_hint = Text(longest=64)
    client_id = Text(longest=64)
    client_assertion_type = Text(longest=128)
    client_assertion = Text(longest=8192)


class TokenRequestSchema(Strict):
    """The form of a token request. A client with a secret sends it by HTTP Basic, the others an assertion."""

    grant_type = fields.String(required=True, validate=validate.OneOf(["client_credentials"]))
    scope = Text(longest=512, metadata={"description": "Scopes separated by spaces; left out: all of the client's."})
    client_id = Text(longest=64)
    client_assertion_type = Text(longest=128)
    client_assertion = Text(longest=8192)
