"""The closed list of transforms: name, parameters, what it needs; a name that is not here is an unknown obligation.

`policy check` reads names and parameters through `known_transforms` and `parameter_faults`; `perform` runs them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, Flag, auto
from types import MappingProxyType

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection import transforms
from consent_gateway.protection.material import NamedKey
from consent_gateway.vocabulary import JsonValue

ParameterValue = str | int


class Dropped(Enum):
    """What a transform returns for a field that leaves the answer altogether."""

    DROPPED = "dropped"


class Needs(Flag):
    """What a transform must be given beside the value."""

    NOTHING = 0
    DOMAIN_KEY = auto()
    TOKEN_KEY = auto()
    SEED = auto()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: one of `words`, or a whole number from `least` to `most`, or any text if neither is given.

    Without a default it must be given.
    """

    meaning: str
    words: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    default: ParameterValue | None = None

    def fault(self, value: object) -> str | None:
        """What is wrong with a value, with the mend; None if nothing."""
        if self.words:
            return None if value in self.words else f"must be one of {', '.join(self.words)}"
        whole = isinstance(value, int) and not isinstance(value, bool)
        if self.least is not None and self.most is not None:
            fits = whole and isinstance(value, int) and self.least <= value <= self.most
            return None if fits else f"must be a whole number from {self.least} to {self.most}"
        return None if whole or isinstance(value, str) else "must be text or a whole number"


@dataclass(frozen=True, slots=True)
class Given:
    """What `perform` gathered for one answer; a member is None where no transform of the answer needs it."""

    tenant: str
    purpose: str
    recipient: str
    today: date
    domain: NamedKey | None = None
    token: NamedKey | None = None
    seed: bytes | None = None


Parameters = Mapping[str, ParameterValue]
Apply = Callable[[JsonValue, str, Given, Parameters], JsonValue | Dropped]
"""Value, catalogue field name, what was gathered, parameters -> what goes out."""


@dataclass(frozen=True, slots=True)
class Transform:
    """One transform. `parameters` are checked before `apply` ever sees them."""

    name: str
    meaning: str
    apply: Apply
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    needs: Needs = Needs.NOTHING


def _mask(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return transforms.mask(value, str(parameters["style"]), int(parameters["keep"]))


def _age_band(value: JsonValue, _field: str, given: Given, parameters: Parameters) -> JsonValue:
    return transforms.age_band(value, int(parameters["width"]), given.today)


def _zip(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return transforms.zip_area(value, int(parameters["keep"]))


def _geo(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return transforms.geo(value, int(parameters["decimals"]))


def _amount(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return transforms.amount(value, int(parameters["step"]))


def _time(value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return transforms.time_part(value, str(parameters["unit"]))


def _ip(value: JsonValue, _field: str, _given: Given, _parameters: Parameters) -> JsonValue:
    return transforms.ip_truncate(value)


def _pseudonym_of_person(value: JsonValue, _field: str, given: Given, _parameters: Parameters) -> JsonValue:
    if value is None:
        return None
    domain, seed = _key(given.domain), given.seed
    if seed is None:
        raise ProtectionRefused("a pseudonym was asked for without a person: nothing may leave")
    return transforms.pseudonym_of_person(seed, domain.secret, domain.key_id, given.tenant)


def _pseudonym_of_value(value: JsonValue, field: str, given: Given, _parameters: Parameters) -> JsonValue:
    domain = _key(given.domain)
    return transforms.pseudonym_of_value(value, field, domain.secret, domain.key_id, given.tenant)


def _token(value: JsonValue, field: str, given: Given, _parameters: Parameters) -> JsonValue:
    key = _key(given.token)
    domain = (given.tenant, given.purpose, given.recipient)
    return transforms.token_of_value(value, field, domain, key.secret, key.key_id)


def _constant(_value: JsonValue, _field: str, _given: Given, parameters: Parameters) -> JsonValue:
    return parameters["value"]


def _drop(_value: JsonValue, _field: str, _given: Given, _parameters: Parameters) -> Dropped:
    return Dropped.DROPPED


def _key(member: NamedKey | None) -> NamedKey:
    if member is None:
        raise ProtectionRefused("a transform was run without its key: nothing may leave")
    return member


_WIDTH = Parameter("years in a band", least=5, most=20, default=10)
_KEEP_ZIP = Parameter("characters kept, at least two fewer than there are", least=1, most=3, default=3)
_DECIMALS = Parameter("decimal places of a degree: 0 is 111 km, 2 is 1.1 km", least=0, most=2, default=1)
_STEP = Parameter("size of a band, in the value's own unit", least=2, most=10**12, default=100)
_UNIT = Parameter(
    "what is left of the time", words=("year", "quarter", "month", "week", "day", "hour"), default="month"
)
_STYLE = Parameter(
    "what of a string is shown", words=("all", "email", "phone", "name", "keep_last", "digits"), default="all"
)
_KEEP_LAST = Parameter("characters shown by keep_last, never half of what there is", least=1, most=4, default=4)

_EVERY = (
    Transform(
        "mask",
        "hides all or most of a string; what is not a string becomes null",
        _mask,
        {"style": _STYLE, "keep": _KEEP_LAST},
    ),
    Transform("generalise.age_band", "age or birth date to a band of years", _age_band, {"width": _WIDTH}),
    Transform("generalise.zip", "postal code to its area", _zip, {"keep": _KEEP_ZIP}),
    Transform("generalise.geo", "coordinates to a grid", _geo, {"decimals": _DECIMALS}),
    Transform("generalise.amount", "number to the lower bound of its band", _amount, {"step": _STEP}),
    Transform("generalise.time", "time to its year, quarter, month, week, day or hour", _time, {"unit": _UNIT}),
    Transform("ip.truncate", "IP address to its network: /24 of IPv4, /48 of IPv6", _ip),
    Transform(
        "pseudonym.subject",
        "stable name of the person in one domain",
        _pseudonym_of_person,
        needs=Needs.DOMAIN_KEY | Needs.SEED,
    ),
    Transform(
        "pseudonym.value", "stable name of a field's value in one domain", _pseudonym_of_value, needs=Needs.DOMAIN_KEY
    ),
    Transform(
        "token.det", "stable token of a field's value in one domain, reversible by key", _token, needs=Needs.TOKEN_KEY
    ),
    Transform("constant", "a fixed value in place of any", _constant, {"value": Parameter("what goes out instead")}),
    Transform("drop", "the field leaves the answer", _drop),
)

REGISTRY: Mapping[str, Transform] = MappingProxyType({transform.name: transform for transform in _EVERY})
"""Every transform there is, by the name that policy files use."""


def known_transforms() -> Mapping[str, Mapping[str, Parameter]]:
    """The declared parameters of every transform, by its name."""
    return {name: transform.parameters for name, transform in REGISTRY.items()}


def parameter_faults(transform: str, parameters: Mapping[str, object]) -> tuple[str, ...]:
    """What is wrong with an obligation, in plain sentences for a policy's findings; empty if it can be met."""
    known = REGISTRY.get(transform)
    if known is None:
        return (f"`{transform}` is not a transform: choose one of {', '.join(sorted(REGISTRY))}",)
    faults = [
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
