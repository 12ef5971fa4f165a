"""Every fact a rule may name, declared once: name, polarity, group, where it is read; reads nothing itself.

A fact is one bit. The facts of an exclusive group never hold together, except that an age holds all
thresholds above it and `granted_explicit` holds `granted` too. `source` names the attribute of
`Facts` or `Choice` that the fact is read from, so that another back-end can map it to a column.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from types import MappingProxyType

from consent_gateway.vocabulary import ChoiceStatus


class Polarity(StrEnum):
    """What a fact may do: an opening one may open, a restricting one may only close, a neutral one tells."""

    OPENING = "opening"
    RESTRICTING = "restricting"
    NEUTRAL = "neutral"


class Group(StrEnum):
    """Where a fact comes from."""

    STATUS = "status"  # of the purpose's choice; exclusive
    CHOICE = "choice"  # flags of the purpose's choice
    PERSON = "person"
    AGE = "age"  # thresholds of known minors; a chain
    ROLE = "role"  # of the recipient; exclusive
    PAUSE = "pause"  # of the purpose's choice, by the clock of the request
    TRANSFER = "transfer"
    CONDITION = "condition"  # of an exception, declared by the channel or recorded with the choice


@dataclass(frozen=True, slots=True)
class Fact:
    """One named yes-or-no statement about a person, their choice, the recipient or the channel."""

    name: str
    polarity: Polarity
    group: Group
    source: str
    meaning: str


AGES = (18, 17, 16, 15, 14, 13, 12)
"""The thresholds a rule may name, from old to young."""

_O, _R, _N = Polarity.OPENING, Polarity.RESTRICTING, Polarity.NEUTRAL

FACTS: tuple[Fact, ...] = (
    Fact("unknown", _N, Group.STATUS, "unknown", "no choice is recorded"),
    Fact("requested", _N, Group.STATUS, "requested", "asked, not answered yet"),
    Fact("granted", _O, Group.STATUS, "granted", "consent is given"),
    Fact("granted_explicit", _O, Group.STATUS, "granted_explicit", "explicit consent is given"),
    Fact("soft_opt_in", _O, Group.STATUS, "soft_opt_in", "details came with a sale and marketing was announced"),
    Fact("implied", _O, Group.STATUS, "implied_existing_customer", "consent is implied by a purchase"),
    Fact("refused", _R, Group.STATUS, "refused", "the person said no"),
    Fact("withdrawn", _R, Group.STATUS, "withdrawn", "the person took consent back"),
    Fact("expired", _R, Group.STATUS, "", "a consent grew too old"),
    Fact("notice_changed", _R, Group.STATUS, "", "consent was given to a notice that no longer holds"),
    Fact("unknown_state", _R, Group.STATUS, "", "the recorded state is not one of ours"),
    Fact("objected", _R, Group.CHOICE, "objected", "the person objected"),
    Fact("opted_out", _R, Group.CHOICE, "opted_out", "the person opted out"),
    Fact("opted_in_again", _O, Group.CHOICE, "opted_in_again", "the person opted in after an opt-out"),
    Fact("unsubscribed", _R, Group.CHOICE, "unsubscribed", "the person unsubscribed"),
    Fact("paused", _R, Group.PAUSE, "paused_until", "the person paused it and the pause is not over"),
    Fact("restricted", _R, Group.PERSON, "restricted", "processing is restricted"),
    Fact("limited", _R, Group.PERSON, "limited", "use of sensitive data is limited"),
    Fact("gpc", _R, Group.PERSON, "gpc", "an opt-out signal was received"),
    Fact("member", _O, Group.PERSON, "member", "the person joined the programme"),
    Fact("erasure_pending", _R, Group.PERSON, "erasure_pending", "erasure was requested"),
    Fact("erased", _R, Group.PERSON, "erased", "the person was erased"),
    # A hold keeps from erasure what a claim needs and closes nothing by itself, so it has no direction.
    Fact("legal_hold", _N, Group.PERSON, "legal_hold", "a legal claim keeps the data"),
    Fact("parental", _O, Group.PERSON, "parental_authorisation", "a parent authorised"),
    *(Fact(f"under_{age}", _R, Group.AGE, "minor_born", f"known to be younger than {age}") for age in AGES),
    Fact("processor", _R, Group.ROLE, "processor", "the recipient is a processor"),
    Fact("third_party", _R, Group.ROLE, "third_party", "the recipient is a third party"),
    Fact("no_safeguard", _R, Group.TRANSFER, "", "the recipient is abroad without a safeguard"),
    Fact("existing_customer", _O, Group.CONDITION, "existing_customer", "the person bought before"),
    Fact("own_similar_products", _O, Group.CONDITION, "own_similar_products", "own similar products are offered"),
    Fact(
        "objection_offered_at_collection",
        _O,
        Group.CONDITION,
        "objection_offered_at_collection",
        "an objection was offered when the details were taken",
    ),
    Fact("sole_purpose_statistics", _O, Group.CONDITION, "sole_purpose_statistics", "statistics are the only purpose"),
    Fact("information_given", _O, Group.CONDITION, "information_given", "clear information was given"),
    Fact("objection_offered", _O, Group.CONDITION, "objection_offered", "a simple way to object is offered"),
)

BIT: Mapping[str, int] = MappingProxyType({fact.name: 1 << index for index, fact in enumerate(FACTS)})
"""The bit of each fact, by name."""

GROUP: Mapping[Group, tuple[str, ...]] = MappingProxyType(
    {group: tuple(fact.name for fact in FACTS if fact.group is group) for group in Group}
)

STATUS_MASK = sum(BIT[name] for name in GROUP[Group.STATUS])
AGE_MASK = sum(BIT[name] for name in GROUP[Group.AGE])

STATUS_BITS: Mapping[str, int] = MappingProxyType(
    {
        **{name: BIT[name] for name in GROUP[Group.STATUS]},
        ChoiceStatus.IMPLIED.value: BIT["implied"],
        "granted_explicit": BIT["granted"] | BIT["granted_explicit"],
    }
)
"""The bits of each status, by the word of `ChoiceStatus` or the fact's own name."""


def age_bits(age: int | None) -> int:
    """The thresholds that an age in years lies below; none for a person not known to be a minor."""
    if age is None:
        return 0
    return sum(BIT[f"under_{threshold}"] for threshold in AGES if age < threshold)


def names_of(bits: int) -> tuple[str, ...]:
    """Names of the facts that hold, in the order of declaration."""
    return tuple(fact.name for fact in FACTS if bits & BIT[fact.name])


@dataclass(frozen=True, slots=True)
class Variable:
    """What can vary by itself: the alternatives a group or a lone fact may take, and the steps that restrict."""

    alternatives: tuple[int, ...]
    restricting_steps: tuple[tuple[int, int], ...]  # from an alternative to a more restricting one


def _status_variable() -> Variable:
    values = {name: STATUS_BITS[name] for name in GROUP[Group.STATUS]}
    closed = [values[fact.name] for fact in FACTS if fact.group is Group.STATUS and fact.polarity is _R]
    others = [value for value in values.values() if value not in closed]
    return Variable(tuple(values.values()), tuple(product(others, closed)))


def _age_variable() -> Variable:
    values = (0, *(age_bits(age - 1) for age in AGES))
    return Variable(
        values, tuple((values[i], values[j]) for i in range(len(values)) for j in range(i + 1, len(values)))
    )


def _lone(fact: Fact) -> Variable:
    bit = BIT[fact.name]
    return Variable((0, bit), ((0, bit),) if fact.polarity is _R else ())


_ROLES = (BIT["processor"], BIT["third_party"])

VARIABLES: tuple[Variable, ...] = (
    _status_variable(),
    _age_variable(),
    Variable((0, *_ROLES), ((0, _ROLES[0]), (0, _ROLES[1]))),
    *(_lone(fact) for fact in FACTS if fact.group not in (Group.STATUS, Group.AGE, Group.ROLE)),
)
"""All situations are the product of these; every product is feasible."""


def situations(relevant: int) -> Iterator[int]:
    """Every feasible situation, told apart only by the `relevant` facts."""
    choices = [sorted({value & relevant for value in variable.alternatives}) for variable in VARIABLES]
    for parts in product(*(values for values in choices if values != [0])):
        yield sum(parts)
