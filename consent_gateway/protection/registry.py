"""The closed list of transforms: name, parameters, what it needs; a name that is not here is an unknown obligation.

`policy check` reads names and parameters through `known_transforms` and `parameter_faults`; `perform` runs them.
"""

from collections.abc import Mapping
from types import MappingProxyType

from consent_gateway.protection import aggregate, dates, formats, pseudonyms, reversible, scrub, transforms
from consent_gateway.protection.declarations import (
    Condition,
    Dropped,
    Given,
    Needs,
    Parameter,
    Parameters,
    Reversal,
    Transform,
)
from consent_gateway.protection.material import draw_nonce
from consent_gateway.vocabulary import JsonValue


def _mask(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return transforms.mask(value, str(parameters["style"]), int(parameters["keep"]))


def _age_band(value: JsonValue, _field: str, given: Given, parameters: Parameters) -> JsonValue:
    return dates.age_band(value, int(parameters["width"]), given.today)


def _zip3(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return transforms.zip_area(value, int(parameters["keep"]))


def _geo(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return transforms.geo(value, int(parameters["decimals"]))


def _amount(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return transforms.amount(value, int(parameters["step"]))


def _time(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return dates.time_part(value, str(parameters["unit"]))


def _ip(value: JsonValue, _field: str, _given: Given, _parameters: Parameters) -> JsonValue:
    return transforms.ip_truncate(value)


def _pseudonym_of_person(value: JsonValue, _field: str, given: Given, _parameters: Parameters) -> JsonValue:
    if value is None:
        return None
    domain = given.domain_key()
    return pseudonyms.pseudonym_of_person(given.person_seed(), domain.keyed, domain.key_id, given.tenant)


def _alias_of_person(value: JsonValue, _field: str, given: Given, _parameters: Parameters) -> JsonValue:
    if value is None:
        return None
    domain = given.domain_key()
    return pseudonyms.alias_of_person(given.person_seed(), domain.keyed, domain.key_id, given.tenant)


def _pseudonym_of_value(value: JsonValue, field: str, given: Given, _parameters: Parameters) -> JsonValue:
    domain = given.domain_key()
    return pseudonyms.pseudonym_of_value(value, field, domain.keyed, domain.key_id, given.tenant)


def _stable_token(value: JsonValue, field: str, given: Given, parameters: Parameters) -> JsonValue:
    key = given.token_key()
    return reversible.stable_token(value, _place(field, given), key.secret, key.key_id, int(parameters["pad"]))


def _random_token(value: JsonValue, field: str, given: Given, parameters: Parameters) -> JsonValue:
    key, person = given.token_key(), given.person_keys()
    return reversible.random_token(
        value,
        _place(field, given),
        key.secret,
        key.key_id,
        int(parameters["pad"]),
        person.data_subject,
        person.hand_out_key(),
        (draw_nonce(), draw_nonce()),
    )


def _fpe_digits(value: JsonValue, field: str, given: Given, parameters: Parameters) -> JsonValue:
    place, key = _place(field, given), given.token_key()
    return formats.fpe(value, place, key.secret, formats.DIGITS, str(parameters["style"]))


def _fpe_alnum(value: JsonValue, field: str, given: Given, _parameters: Parameters) -> JsonValue:
    return formats.fpe(value, _place(field, given), given.token_key().secret, formats.ALNUM)


def _date_shift(value: JsonValue, _field: str, given: Given, _parameters: Parameters) -> JsonValue:
    days = dates.shift_of_person(given.person_seed(), given.domain_key().keyed, given.tenant)
    return dates.date_shift(value, days)


def _scrub(value: JsonValue, _field: str, given: Given, _parameters: Parameters) -> JsonValue:
    return given.scrubbing()(value)


def _aggregate(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return aggregate.aggregate(value, int(parameters["k"]), str(parameters["total"]))


def _constant(_value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return parameters["value"]


def _drop(_value: JsonValue, _field: str, _given: Given, _parameters: Parameters) -> Dropped:
    return Dropped.DROPPED


def _place(field: str, given: Given) -> reversible.Place:
    return reversible.Place(given.tenant, given.purpose, given.recipient, field)


def _extra_of_scrub() -> str | None:
    return None if scrub.installed() else scrub.MISSING


_WIDTH = Parameter("years in a band", least=5, most=20, default=10)
_KEEP_ZIP = Parameter("characters kept, at least two fewer than there are", least=1, most=3, default=3)
_DECIMALS = Parameter("decimal places of a degree: 0 is 111 km, 2 is 1.1 km", least=0, most=2, default=1)
_STEP = Parameter("size of a band, in the value's own unit", least=2, most=10**12, default=100)
_UNIT = Parameter(
    "what is left of the time", words=("year", "quarter", "month", "week", "day", "hour"), default="month"
)
_MASK_STYLE = Parameter(
    "what of a string is shown", words=("all", "email", "phone", "name", "keep_last", "digits"), default="all"
)
_KEEP_LAST = Parameter("characters shown by keep_last, never half of what there is", least=1, most=4, default=4)
_PAD = Parameter("bytes that the value's length is rounded up to", least=16, most=4096, default=64)
_FPE_STYLE = Parameter("phone: an international number behind +999", words=("plain", "phone"), default="plain")
_CELL = Parameter("the fewest people a cell may show", least=2, most=1000, default=aggregate.K)
_TOTAL = Parameter("the member of a mapping that holds its total", default="total")

_TEXT = frozenset({"string"})
_TIMES = frozenset({"date", "datetime", "timestamp"})
_NUMBERS = frozenset({"integer", "number", "float"})
_OTHERS = frozenset({"boolean", "object"})
DATA_TYPES = _TEXT | _TIMES | _NUMBERS | _OTHERS
"""The data types of the catalogue that are compared with what a transform reads; any other is not judged."""

_MASKS_AND_BANDS = (
    Transform(
        "mask",
        "hides all or most of a string; what is not a string becomes null",
        _mask,
        {"style": _MASK_STYLE, "keep": _KEEP_LAST},
        reads=_TEXT | _TIMES,
    ),
    Transform(
        "generalise.age_band",
        "age or birth date to a band of years",
        _age_band,
        {"width": _WIDTH},
        keeps_type=False,
        reads=_TEXT | _TIMES | {"integer"},
    ),
    Transform("generalise.zip3", "postal code to its area", _zip3, {"keep": _KEEP_ZIP}, reads=_TEXT),
    Transform("generalise.geo", "coordinates to a grid", _geo, {"decimals": _DECIMALS}, reads=_NUMBERS | {"object"}),
    Transform(
        "generalise.amount", "number to the lower bound of its band", _amount, {"step": _STEP}, reads=_TEXT | _NUMBERS
    ),
    Transform(
        "generalise.time",
        "time to its year, quarter, month, week, day or hour",
        _time,
        {"unit": _UNIT},
        reads=_TEXT | _TIMES,
    ),
    Transform("ip.truncate", "IP address to its network: /24 of IPv4, /48 of IPv6", _ip, reads=_TEXT),
    Transform(
        "date.shift",
        "date moved by -30 to 30 days, the same for all dates of a person in one domain",
        _date_shift,
        needs=Needs.DOMAIN_KEY | Needs.SEED,
        reads=_TEXT | _TIMES,
    ),
    Transform(
        "text.scrub",
        "free text without e-mail and IP addresses, phone, card and account numbers, and links; finds no names",
        _scrub,
        needs=Needs.SCRUBBER,
        reads=_TEXT,
        needs_extra=_extra_of_scrub,
    ),
    Transform("aggregate.k", "counts without the cells that tell of few", _aggregate, {"k": _CELL, "total": _TOTAL}),
)

_NAMES_AND_TOKENS = (
    Transform(
        "pseudonym.subject",
        "stable name of the person in one domain",
        _pseudonym_of_person,
        needs=Needs.DOMAIN_KEY | Needs.SEED,
        reversal=Reversal.BY_LOOK_UP,
        unlinkable=(),
        keeps_type=False,
    ),
    Transform(
        "email.alias",
        "stable name of the person in one domain, as an e-mail address that reaches nobody",
        _alias_of_person,
        needs=Needs.DOMAIN_KEY | Needs.SEED,
        reversal=Reversal.BY_LOOK_UP,
        unlinkable=(),
        keeps_type=False,
    ),
    Transform(
        "pseudonym.value",
        "stable name of a field's value in one domain",
        _pseudonym_of_value,
        needs=Needs.DOMAIN_KEY,
        unlinkable=(Condition.DISTINCT,),
        keeps_type=False,
    ),
    Transform(
        "token.det",
        "stable token of a field's value in one domain, reversible by key",
        _stable_token,
        {"pad": _PAD},
        needs=Needs.TOKEN_KEY,
        reversal=Reversal.BY_KEY,
        unlinkable=(Condition.DISTINCT, Condition.ONE_LENGTH),
        keeps_type=False,
    ),
    Transform(
        "token.rand",
        "token of a field's value, another every time, reversible by key until the person's keys are destroyed",
        _random_token,
        {"pad": _PAD},
        needs=Needs.TOKEN_KEY | Needs.PERSON,
        reversal=Reversal.BY_KEY,
        unlinkable=(Condition.ONE_LENGTH,),
        keeps_type=False,
    ),
    Transform(
        "fpe.digits",
        "text with each digit by another, all else kept; reversible by key",
        _fpe_digits,
        {"style": _FPE_STYLE},
        needs=Needs.TOKEN_KEY,
        reversal=Reversal.BY_KEY,
        unlinkable=(Condition.DISTINCT, Condition.ONE_SHAPE),
        reads=_TEXT,
    ),
    Transform(
        "fpe.alnum",
        "text with each digit by another and each letter by another of its case, all else kept; reversible by key",
        _fpe_alnum,
        needs=Needs.TOKEN_KEY,
        reversal=Reversal.BY_KEY,
        unlinkable=(Condition.DISTINCT, Condition.ONE_SHAPE),
        reads=_TEXT,
    ),
    Transform(
        "constant",
        "a fixed value in place of any",
        _constant,
        {"value": Parameter("what goes out instead")},
        unlinkable=(),
        keeps_type=False,
    ),
    Transform("drop", "the field leaves the answer", _drop, unlinkable=()),
)

REGISTRY: Mapping[str, Transform] = MappingProxyType({one.name: one for one in _MASKS_AND_BANDS + _NAMES_AND_TOKENS})
"""Every transform there is, by the name that policy files use."""


def known_transforms() -> Mapping[str, Mapping[str, Parameter]]:
    """The declared parameters of every transform, by its name."""
    return {name: transform.parameters for name, transform in REGISTRY.items()}


def parameter_faults(transform: str, parameters: Mapping[str, object]) -> tuple[str, ...]:
    """What is wrong with an obligation, in plain sentences for a policy's findings; empty if it can be met here."""
    known = REGISTRY.get(transform)
    if known is None:
        return (f"`{transform}` is not a transform: choose one of {', '.join(sorted(REGISTRY))}",)
    missing = known.needs_extra()
    faults = [] if missing is None else [missing]
    faults += [
        f"`{transform}` has no parameter `{name}`: remove it" for name in parameters if name not in known.parameters
    ]
    for name, parameter in known.parameters.items():
        if name in parameters:
            fault = parameter.fault(parameters[name])
            if fault is not None:
                faults.append(f"parameter `{name}` of `{transform}` {fault}")
        elif parameter.default is None:
            faults.append(f"`{transform}` needs its parameter `{name}`: give it")
    return tuple(faults)


def type_fault(transform: str, data_type: str) -> str | None:
    """What is wrong with a transform of a field of this data type, in a sentence for a policy's findings; None if not.

    A type that the catalogue gives and nobody here knows is not judged.
    """
    known = REGISTRY.get(transform)
    if known is None or known.reads is None or data_type not in DATA_TYPES or data_type in known.reads:
        return None
    fitting = ", ".join(sorted(known.reads))
    return (
        f"`{transform}` does not fit a field of data type `{data_type}`: it reads {fitting}; choose another transform,"
        " or correct `data_type`"
    )
