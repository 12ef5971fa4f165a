"""What a transform declares of itself: parameters, what it needs, how to undo it, what it claims; runs nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, Flag, StrEnum, auto
from typing import TypeVar

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection.material import NamedKey, PersonKeys
from consent_gateway.vocabulary import JsonValue

ParameterValue = str | int
_T = TypeVar("_T")


class Dropped(Enum):
    """What a transform returns for a field that leaves the answer altogether."""

    DROPPED = "dropped"


class Needs(Flag):
    """What a transform must be given beside the value."""

    NOTHING = 0
    DOMAIN_KEY = auto()
    TOKEN_KEY = auto()
    SEED = auto()
    PERSON = auto()
    SCRUBBER = auto()


class Reversal(StrEnum):
    """Whether and how the company can turn back what went out."""

    NO = "no"
    BY_KEY = "by key"
    BY_LOOK_UP = "by look-up"


class Condition(StrEnum):
    """What must hold of the values for a transform's claim that two domains cannot be joined."""

    DISTINCT = "values differ from person to person"
    ONE_LENGTH = "values of one length class"
    ONE_SHAPE = "values of one shape"


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


@dataclass(slots=True)
class Given:
    """What `perform` gathered for one answer; a member is None where no transform of the answer needs it.

    Made for every answer and changed by nobody; to freeze it would cost as much as a mask.
    """

    tenant: str
    purpose: str
    recipient: str
    today: date
    domain: NamedKey | None = None
    token: NamedKey | None = None
    seed: bytes | None = field(default=None, repr=False)
    person: PersonKeys | None = None
    scrub: Callable[[JsonValue], JsonValue] | None = None

    def domain_key(self) -> NamedKey:
        """The domain's pseudonym key; raises `ProtectionRefused` where it was not gathered, as all of these do."""
        return _gathered(self.domain, "key")

    def token_key(self) -> NamedKey:
        """The domain's token key."""
        return _gathered(self.token, "key")

    def person_seed(self) -> bytes:
        """The seed of the person."""
        return _gathered(self.seed, "person")

    def person_keys(self) -> PersonKeys:
        """All keys of the person."""
        return _gathered(self.person, "person")

    def scrubbing(self) -> Callable[[JsonValue], JsonValue]:
        """The scrubber of free text."""
        return _gathered(self.scrub, "scrubber")


def _gathered(member: _T | None, what: str) -> _T:
    if member is None:
        raise ProtectionRefused(f"a transform was run without its {what}: nothing may leave")
    return member


Parameters = Mapping[str, ParameterValue]
Apply = Callable[[JsonValue, str, Given, Parameters], JsonValue | Dropped]
"""Value, catalogue field name, what was gathered, parameters -> what goes out."""


@dataclass(frozen=True, slots=True)
class Transform:
    """One transform. `parameters` are checked before `apply` ever sees them.

    `unlinkable` are the conditions of its claim that what two domains hold cannot be joined: an empty tuple is a claim
    without a condition, None no claim. With `keeps_type` the result is null or of the JSON type of the value; without
    it, null or text. `reads` are the catalogue's data types that it makes something of, None all of them.
    `needs_extra` is a finding's sentence where an optional package is missing, else None.
    """

    name: str
    meaning: str
    apply: Apply
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    needs: Needs = Needs.NOTHING
    reversal: Reversal = Reversal.NO
    unlinkable: tuple[Condition, ...] | None = None
    keeps_type: bool = True
    reads: frozenset[str] | None = None
    needs_extra: Callable[[], str | None] = lambda: None
