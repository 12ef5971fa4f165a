"""The shapes of the policy files as marshmallow schemas; checks words against closed lists, never across files."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, get_args

from marshmallow import Schema, ValidationError, fields, validate

from consent_gateway.policy.facts import BIT, GROUP, Group
from consent_gateway.policy.findings import nearest
from consent_gateway.policy.ir import Stage
from consent_gateway.vocabulary import LANGUAGES, Effect, How, Reason, RecipientRole

KEY_CLASS = r"^[a-z][a-z0-9_]{0,31}$"
BASES = (
    "contract",
    "legal_obligation",
    "legitimate_interest",
    "consent",
    "explicit_consent",
    "sensitive_opt_in",
    "soft_opt_in",
    "implied",
    "opt_out_model",
    "off_by_default",
)
"""Kinds of rule by which a purpose may have a basis."""

KINDS = (
    *BASES,
    # The others only close, relabel or shape.
    "parent",
    "minor_opt_in",
    "prohibited",
    "bar",
    "ground",
    "relabel",
    "shape",
    "transfer",
)
ROLES = ("controller", "processor", "third_party")
SAFEGUARDS = ("adequacy", "scc", "bcr", "derogation")
BETWEEN = (Effect.GENERALISE, Effect.MASK, Effect.PSEUDONYMISE)


class Word(fields.Field[Any]):
    """One word of a closed list, mapped to what it means."""

    def __init__(self, label: str, words: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self._label = label
        self._words = words

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, str) or value not in self._words:
            raise ValidationError(f"unknown {self._label} `{value}`; {nearest(str(value), self._words)}")
        return self._words[value]


class Words(fields.Field[tuple[str, ...]]):
    """A list of words, or one word alone."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise ValidationError("this must be a word or a list of words; write `[one, two]`")
        if len(set(words)) != len(words):
            raise ValidationError("a word stands twice; keep one")
        return tuple(words)


class KeyClass(fields.Field[str]):
    """The name of a key class; part of a key derivation, so its form is fixed."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str) or re.fullmatch(KEY_CLASS, value) is None:
            raise ValidationError(
                f"`{value}` is not a key class; write a word such as `care`, at most 32 of a-z, 0-9, _"
            )
        return value


class KeyClasses(Words):
    """A list of key classes, or one alone."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        return tuple(KeyClass().deserialize(word) for word in super()._deserialize(value))


class Text(fields.Field[str]):
    """Text that YAML also reads as text; a bare number such as a version must be quoted."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValidationError(f"`{value}` is not text; put it in quotes")
        return value


class Day(fields.Field[date]):
    """A calendar day."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> date:
        if type(value) is date:
            return value
        raise ValidationError(f"`{value}` is not a day; write it as 2026-01-31 without quotes or time")


class Months(fields.Field[int]):
    """A number of months."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if type(value) is int and value > 0:
            return value
        raise ValidationError(f"`{value}` is not a number of months; write a whole number above 0, or null for none")


class Threshold(fields.Field[Any]):
    """An age in years, or the name of one of the pack's `ages`."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int | str:
        if (type(value) is int and value >= 0) or (isinstance(value, str) and value):
            return value
        raise ValidationError(f"`{value}` is not an age; write years, or a name from the pack's `ages`")


class NamedAges(fields.Field[Any]):
    """Named thresholds: an age in years, or ages by place with a `default`."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, dict[str, int]]:
        if not isinstance(value, dict):
            raise ValidationError("`ages` must map names to ages; write `digital: {default: 16, AT: 14}`")
        named = {name: entry if isinstance(entry, dict) else {"default": entry} for name, entry in value.items()}
        for name, entry in named.items():
            if "default" not in entry or not all(type(age) is int for age in entry.values()):
                raise ValidationError(f"the age `{name}` needs whole years and a `default`; add `default: 16`")
        return named


EFFECTS = {effect.word: effect for effect in Effect}
REASONS = {reason.value: reason for reason in Reason}
_STAGES = {stage.word: stage for stage in Stage if stage is not Stage.SHAPE}
_CONDITIONS = {name: name for name in GROUP[Group.CONDITION]}
_FACTS = {**{name: name for name in BIT}, **{f"not {name}": f"not {name}" for name in BIT}}


def _each(label: str, words: Mapping[str, Any]) -> fields.List[Any]:
    return fields.List(Word(label, words))


class AgesSchema(Schema):
    """The ages a rule is about."""

    from_age = Threshold(data_key="from", load_default=None, allow_none=True)
    below = Threshold(load_default=18)


class RuleSchema(Schema):
    """One rule of a pack."""

    id = Text(required=True)
    kind = Word("kind", {kind: kind for kind in KINDS}, required=True)
    source = Text(required=True)
    purposes = Words(load_default=("all",))
    except_purposes = Words(load_default=())
    categories = Words(load_default=())
    except_categories = Words(load_default=())
    when = _each("fact", _FACTS)
    ages = fields.Nested(AgesSchema, load_default=None, allow_none=True)
    roles = _each("role", {role: role for role in ROLES})
    effect = Word("effect", EFFECTS, load_default=None, allow_none=True)
    reason = Word("reason", REASONS, load_default=None, allow_none=True)
    default_reason = Word("reason", REASONS, load_default=None, allow_none=True)
    stage = Word("stage", _STAGES, load_default=None, allow_none=True)
    effective_from = Day(load_default=None, allow_none=True)
    effective_to = Day(load_default=None, allow_none=True)
    note = Text(load_default="")


class SignalDutySchema(Schema):
    """Whether a law demands that an opt-out signal be honoured. Rules say what a signal does."""

    required = fields.Boolean(required=True, truthy={True}, falsy={False})
    since = Day(load_default=None, allow_none=True)
    source = Text(required=True)


class Number(fields.Field[int]):
    """A whole number of days or minutes, from 1 to a longest."""

    def __init__(self, longest: int, **options: Any) -> None:
        super().__init__(**options)
        self._longest = longest

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if type(value) is int and 0 < value <= self._longest:
            return value
        raise ValidationError(f"`{value}` is not a whole number from 1 to {self._longest}")


class LinkSchema(Schema):
    """How long a mailed link is good, and for which purposes it may speak."""

    days = Number(30, required=True)
    source = Text(required=True)
    purposes = Words(load_default=("all",))
    except_purposes = Words(load_default=())


class DoubleOptInSchema(Schema):
    """Where a yes counts only once it was confirmed by a mailed link."""

    purposes = Words(required=True)
    ways = fields.List(Word("way", {how: how for how in get_args(How)}), required=True)
    places = Words(load_default=())
    source = Text(required=True)


class OptInAgainSchema(Schema):
    """How long after the request to opt in again its confirmation may come."""

    minutes = Number(10_080, required=True)
    source = Text(required=True)


class StepsSchema(Schema):
    """What takes more than one step."""

    confirm = fields.Nested(LinkSchema, load_default=None)
    parent_by_mail = fields.Nested(LinkSchema, load_default=None)
    opt_in_again = fields.Nested(OptInAgainSchema, load_default=None)
    double_opt_in = fields.List(fields.Nested(DoubleOptInSchema), load_default=list)


class PackSchema(Schema):
    """One pack file."""

    pack = Text(required=True)
    title = Text(required=True)
    version = Text(required=True)
    effective_from = Day(load_default=None, allow_none=True)
    effective_to = Day(load_default=None, allow_none=True)
    jurisdictions = Words(required=True, validate=validate.Length(min=1, error="no place is named; write `[DE]`"))
    extends = Words(load_default=())
    replaces = Words(load_default=())
    ages = NamedAges(load_default=dict)
    consent_months = Months(load_default=None, allow_none=True)
    implied_months = Months(load_default=None, allow_none=True)
    reask_months = Months(load_default=None, allow_none=True)
    signal_duty = fields.Nested(SignalDutySchema, load_default=None, allow_none=True)
    steps = fields.Nested(StepsSchema, load_default=None)
    clock_terms = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)
    clocks = fields.Dict(keys=fields.String(), values=fields.Dict(keys=fields.String()), load_default=dict)
    sensitive = Words(load_default=())
    source = Text()
    note = Text()
    # Each rule and clock is read by itself afterwards, so that one fault does not hide the others.
    rules = fields.List(fields.Dict(keys=fields.String()), required=True)


class _Headed(Schema):
    version = fields.Raw()
    source = fields.Raw()
    title = fields.Raw()
    note = fields.Raw()


class PurposeSchema(Schema):
    """One purpose."""

    key = Text(required=True)
    name = Text(required=True)
    description = Text(required=True)
    dpv = Text(required=True)
    fideslang = Text(required=True)
    categories = Words(required=True)
    groups = Words(load_default=())
    key_classes = KeyClasses(load_default=())


class PurposesSchema(_Headed):
    """purposes.yaml."""

    purposes = fields.List(fields.Nested(PurposeSchema), required=True)


class CategorySchema(Schema):
    """One category, below its key."""

    name = Text(required=True)
    special = fields.Boolean(load_default=False, truthy={True}, falsy={False})


class CategoriesSchema(_Headed):
    """categories.yaml."""

    categories = fields.Dict(keys=fields.String(), values=fields.Nested(CategorySchema), required=True)


class ChannelSchema(Schema):
    """One channel."""

    key = Text(required=True)
    name = Text(required=True)
    conditions = _each("condition", _CONDITIONS)


class ChannelsSchema(_Headed):
    """channels.yaml."""

    channels = fields.List(fields.Nested(ChannelSchema), required=True)


class ContactSchema(Schema):
    """Where a recipient is told of erasures and corrections."""

    address = fields.Email(required=True)
    language = Word("language", {language: language for language in LANGUAGES}, required=True)


class RecipientSchema(Schema):
    """One recipient."""

    key = Text(required=True)
    name = Text(required=True)
    role = Word("role", {role.value: role for role in RecipientRole}, required=True)
    country = Text(required=True)
    safeguard = Word("safeguard", {word: word for word in SAFEGUARDS}, load_default=None, allow_none=True)
    purposes = Words(required=True)
    contact = fields.Nested(ContactSchema, load_default=None)


class RecipientsSchema(_Headed):
    """recipients.yaml."""

    recipients = fields.List(fields.Nested(RecipientSchema), required=True)


class TransformSchema(Schema):
    """One row of transforms.yaml."""

    categories = Words(required=True)
    effect = Word("effect", {effect.word: effect for effect in BETWEEN}, required=True)
    transform = Text(required=True)
    parameters = fields.Dict(keys=fields.String(), values=fields.Raw(), load_default=dict)


class TransformsSchema(_Headed):
    """transforms.yaml."""

    transforms = fields.List(fields.Nested(TransformSchema), required=True)
