"""The intermediate form between documents and back-ends: plain frozen data, no behaviour.

A plan answers for one place, one stretch of days and one purpose. For each category it holds rows over
fact bits: a row speaks where `bits & mask == want`. How rows combine is written here once, and every
back-end (the in-process table, SQL conditions, proofs, exporters) must keep to it:

1. the first of `bars` that speaks withholds, with its reason and rule;
2. otherwise the first of `grounds` that speaks and is no relabel sets the effect, the reason and the rule;
   where none speaks, the first of `defaults` that speaks withholds, or the built-in default of the status;
3. the first ground that speaks with exactly that effect, relabels included, gives reason and rule; so a
   relabel can never open or change an effect;
4. the first of `shapes` that speaks with a more closed effect replaces the effect and the rule, not the reason;
5. what is still open although the status is not known is withheld.

The rows are sorted at compile time so that "first" never depends on the order of documents: bars by stage
and rule id, grounds by effect (most closed first), rank of reason and rule id, defaults by how much they
ask and rule id, shapes by effect (most closed first) and rule id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from types import MappingProxyType

from consent_gateway.policy.facts import BIT
from consent_gateway.vocabulary import Effect, Reason


class Stage(IntEnum):
    """Precedence of the reasons of bars; the earliest names the reason."""

    RESTRICTION = 0
    ERASURE = 1
    PROHIBITION = 2
    TRANSFER = 3
    OBJECTION = 4
    REFUSAL = 5
    SHAPE = 6

    @property
    def word(self) -> str:
        """The word used in policy files."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Ground:
    """Opens where it speaks. A relabel only names a better reason for what another ground opens."""

    mask: int
    want: int
    effect: Effect
    reason: Reason
    rule: str
    relabel: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """Closes where it speaks (effect withhold), or tightens (stage shape)."""

    mask: int
    want: int
    effect: Effect
    reason: Reason | None  # None: a shape keeps the ground's reason
    rule: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class Default:
    """Names the reason where no ground speaks."""

    mask: int
    want: int
    reason: Reason
    rule: str


Row = Ground | Bar | Default


@dataclass(frozen=True, slots=True)
class Rows:
    """All that speaks about one category in one plan, sorted as the module's text says."""

    bars: tuple[Bar, ...]
    grounds: tuple[Ground, ...]
    defaults: tuple[Default, ...]
    shapes: tuple[Bar, ...]
    relevant: int  # all facts that the answer may depend on

    @property
    def every(self) -> tuple[Row, ...]:
        """All rows."""
        return (*self.bars, *self.grounds, *self.defaults, *self.shapes)


@dataclass(frozen=True, slots=True)
class PlaceParameters:
    """What the place and day decide about facts: how long a consent lasts and where no transfer takes place."""

    consent_months: int | None
    implied_months: int | None
    reask_months: int | None  # how long nobody is asked again after a no; None where the packs name no time
    home: frozenset[str]  # countries and regions under the same law


@dataclass(frozen=True, slots=True)
class Plan:
    """The compiled answer for one purpose; `rows` holds the categories that the purpose declares."""

    purpose: str
    rows: Mapping[str, Rows]
    relevant: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One place over a stretch of days in which the same rules hold. `until` is exclusive, None for ever."""

    place: str
    start: date
    until: date | None
    pack: str  # `us-ca@2026.11`
    parameters: PlaceParameters
    plans: Mapping[str, Plan]
    rules: tuple[str, ...]  # ids of the rules in force


@dataclass(frozen=True, slots=True)
class Program:
    """The whole policy: for each place its segments in order of days, without gaps in between that matter."""

    places: Mapping[str, tuple[Segment, ...]]


REASON_RANK: Mapping[Reason, int] = MappingProxyType(
    {
        reason: rank
        for rank, reason in enumerate(
            (
                Reason.LIMIT_EXCEPTION_REQUESTED_SERVICE,
                Reason.FINANCIAL_INCENTIVE_CONFLICT,
                Reason.PECR_STATISTICS_EXCEPTION,
                Reason.OPT_IN_AFTER_OPT_OUT,
                Reason.PARENTAL_CONSENT,
                Reason.MINOR_OPT_IN,
                Reason.EXPLICIT_CONSENT,
                Reason.CONSENT,
                Reason.SOFT_OPT_IN,
                Reason.CASL_IMPLIED,
                Reason.NOTICE_OPT_OUT,
                Reason.OPT_OUT_MODEL,
                Reason.LEGITIMATE_INTEREST,
                Reason.CONTRACT,
                Reason.LEGAL_OBLIGATION,
            )
        )
    }
)
"""Reasons that may open, from specific to general: among equal effects the first is given."""

BUILT_IN_DEFAULTS: tuple[tuple[int, Reason], ...] = (
    (BIT["requested"], Reason.NOT_YET_GIVEN),
    (BIT["refused"], Reason.REFUSED),
    (BIT["withdrawn"], Reason.WITHDRAWN),
    (BIT["expired"], Reason.EXPIRED),
    (BIT["notice_changed"], Reason.NOTICE_VERSION_MISMATCH),
    (BIT["unknown_state"], Reason.UNKNOWN_STATE),
)
"""The reason by status where no default of a pack speaks; every other status gives `no_consent`."""
