"""Proves things about rows by going through every situation that can make a difference; knows no documents.

Facts are yes or no, so a policy is finite. Two exact shortcuts keep the number of situations small: facts that
no row looks at do not vary, and a restricting fact that only ever closes by itself (a veto) is left out, since
it can neither open anything nor help another row to decide.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from consent_gateway.policy.facts import AGE_MASK, BIT, FACTS, GROUP, VARIABLES, Group, Polarity, Variable
from consent_gateway.policy.ir import Bar, Ground, Rows
from consent_gateway.policy.table import Outcome, evaluate
from consent_gateway.vocabulary import Effect

_RESTRICTING = sum(BIT[fact.name] for fact in FACTS if fact.polarity is Polarity.RESTRICTING)
_OTHER_STATUS = sum(BIT[name] for name in GROUP[Group.STATUS]) & ~_RESTRICTING
_PARENTAL = BIT["parental"]

Signature = tuple[frozenset[tuple[int, int]], frozenset[tuple[int, int, Effect]], frozenset[tuple[int, int, Effect]]]


def signature(rows: Rows) -> Signature:
    """All that the effect depends on: rows that differ only in names and reasons have the same one."""
    return (
        frozenset((bar.mask, bar.want) for bar in rows.bars),
        frozenset((ground.mask, ground.want, ground.effect) for ground in rows.grounds if not ground.relabel),
        frozenset((shape.mask, shape.want, shape.effect) for shape in rows.shapes),
    )


def vetoes(rows: Rows) -> int:
    """Restricting facts, ages excepted, that stand in rows only as a bar's single condition."""
    single = 0
    mixed = 0
    for row in rows.every:
        if isinstance(row, Bar) and row in rows.bars and row.mask == row.want and row.mask.bit_count() == 1:
            single |= row.mask
        else:
            mixed |= row.mask
    return single & ~mixed & _RESTRICTING & ~AGE_MASK


def _mentioned(rows: Rows) -> int:
    mask = 0
    for row in rows.every:
        mask |= row.mask
    return mask


def _dimensions(relevant: int, left_out: int) -> list[tuple[Variable, tuple[int, ...]]]:
    dimensions = []
    for variable in VARIABLES:
        values = tuple(dict.fromkeys(value & relevant for value in variable.alternatives if not value & left_out))
        if values != (0,):
            dimensions.append((variable, values))
    return dimensions


def situations(rows: Rows) -> Iterator[int]:
    """Every situation that can make a difference, without vetoes."""
    for parts in product(*(values for _, values in _dimensions(_mentioned(rows), vetoes(rows)))):
        yield sum(parts)


def deciding_rules(rows: Rows, wanted: frozenset[str]) -> frozenset[str]:
    """Which of the `wanted` rules decide in some feasible situation; complete, so what is missing never does."""
    found: set[str] = set()
    left_out = vetoes(rows)
    alone = {bar.rule: bar.want for bar in rows.bars if bar.want & left_out and bar.rule in wanted}
    for bits in situations(rows):
        found |= _rules_of(evaluate(rows, bits)) & wanted
        for rule, veto in alone.items():
            if rule not in found:
                found |= _rules_of(evaluate(rows, _with(bits, veto))) & wanted
        if found >= wanted:
            break
    return frozenset(found)


def _rules_of(outcome: Outcome) -> set[str]:
    return {outcome.rule} | ({outcome.ground} if outcome.ground else set())


def _with(bits: int, veto: int) -> int:
    """The situation with a veto in place of whatever its variable was."""
    for variable in VARIABLES:
        if any(value == veto for value in variable.alternatives):
            for value in variable.alternatives:
                bits &= ~value
    return bits | veto


@dataclass(frozen=True, slots=True)
class Opening:
    """A counterexample: adding what restricts opened something."""

    before: int
    after: int


def openings(rows: Rows) -> Iterator[Opening]:
    """Every step to a more restricting situation that opens something; none where the rows are monotone.

    A younger age is compared with every older one, except that among minors whose parent authorised only with
    no minority at all: the law lets a parent stand in for a younger child where an older one must act alone.
    """
    if not _suspicious(rows):
        return
    dimensions = _dimensions(_mentioned(rows), vetoes(rows))
    effects = {sum(parts): None for parts in product(*(values for _, values in dimensions))}
    known: Mapping[int, Effect] = {bits: evaluate(rows, bits).effect for bits in effects}
    for variable, values in dimensions:
        steps = _steps(variable, values)
        others = [others for one, others in dimensions if one is not variable]
        for rest in product(*others):
            base = sum(rest)
            for lower, higher in steps:
                if lower & AGE_MASK and base & _PARENTAL:
                    continue
                if known[base + higher] < known[base + lower]:
                    yield Opening(base + lower, base + higher)


def _steps(variable: Variable, values: tuple[int, ...]) -> list[tuple[int, int]]:
    relevant = 0
    for value in values:
        relevant |= value
    steps = dict.fromkeys((lower & relevant, higher & relevant) for lower, higher in variable.restricting_steps)
    return [(lower, higher) for lower, higher in steps if lower != higher and lower in values and higher in values]


def _suspicious(rows: Rows) -> bool:
    """False where it is plain that nothing restricting can open: it lifts no bar and no ground asks for it."""

    def lifted(row: Bar) -> bool:
        return bool(row.mask & ~row.want & _RESTRICTING or row.want & _OTHER_STATUS)

    def asked(row: Ground) -> bool:
        return not row.relabel and bool(row.want & _RESTRICTING or row.mask & ~row.want & _OTHER_STATUS)

    return any(lifted(row) for row in (*rows.bars, *rows.shapes)) or any(asked(row) for row in rows.grounds)
