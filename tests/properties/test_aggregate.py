"""No attacker computes a hidden count: not from the total and the shown cells, and not from knowing the rule."""

from collections import defaultdict
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.protection.aggregate import aggregate, suppressed

COUNTS = st.lists(st.integers(0, 40) | st.integers(0, 10_000), min_size=1, max_size=12)


def bounds(shown: list[int | None], total: int | None) -> list[tuple[int, int | None]]:
    """What the linear constraints leave for each hidden cell: cells from 0, and their sum with the shown is the total.

    One equation, so the least and the most of a cell are where the others are at their most and least.
    """
    hidden = [at for at, cell in enumerate(shown) if cell is None]
    if total is None:
        return [(0, None) for _ in hidden]
    rest = total - sum(cell for cell in shown if cell is not None)
    return [(rest if len(hidden) == 1 else 0, rest) for _ in hidden]


@given(COUNTS, st.integers(2, 30))
def test_the_total_gives_no_hidden_cell_away(counts: list[int], k: int) -> None:
    """What is shown is true and at least k; what is hidden stays open between 0 and a sum of at least k."""
    shown, total = suppressed(counts, k)
    assert all(cell is None or (cell == count and count >= k) for cell, count in zip(shown, counts, strict=True))
    assert total in (None, sum(counts))
    assert total is None or total >= k
    for least, most in bounds(shown, total):
        assert most is None or most - least >= k


@given(COUNTS, st.integers(2, 30))
def test_nothing_is_hidden_without_need(counts: list[int], k: int) -> None:
    """A table without small cells is shown whole, and of the others only the smallest number is hidden besides."""
    shown, total = suppressed(counts, k)
    hidden = [count for count, cell in zip(counts, shown, strict=True) if cell is None]
    if min(counts) >= k:
        assert shown == counts
    elif total is not None:
        assert len({count for count in hidden if count >= k}) <= 1


def told_exactly(rule: Any, k: int, cells: int, most: int) -> list[list[tuple[int, ...]]]:
    """The answers of a rule that give a hidden cell away to who knows the rule.

    The attacker runs the rule on every table of so many cells from 0 to `most`, and of each answer keeps all the
    tables that give it. A cell hidden in the answer and the same in all of them is known.
    """
    same: defaultdict[Any, list[tuple[int, ...]]] = defaultdict(list)
    for counts in product(range(most + 1), repeat=cells):
        shown, total = rule(counts, k)
        same[tuple(shown), total].append(counts)
    return [
        tables
        for (shown, _total), tables in same.items()
        if any(cell is None and len({table[at] for table in tables}) == 1 for at, cell in enumerate(shown))
    ]


@pytest.mark.parametrize(("k", "cells", "most"), [(2, 3, 10), (3, 3, 12), (3, 4, 8), (4, 2, 14), (5, 4, 7)])
def test_knowing_the_rule_gives_no_hidden_cell_away(k: int, cells: int, most: int) -> None:
    """Among all tables that give the same answer, no hidden cell has one number only: tried for every small table."""
    assert told_exactly(suppressed, k, cells, most) == []


def only_the_small(counts: tuple[int, ...], k: int) -> Any:
    """A weaker rule: hide the small cells and nothing else."""
    return [None if count < k else count for count in counts], sum(counts)


def two_at_least(counts: tuple[int, ...], k: int) -> Any:
    """A weaker rule, and the usual one: hide the small cells, and another only where one alone is small."""
    hidden = {at for at, count in enumerate(counts) if count < k}
    if len(hidden) == 1:
        hidden.add(min((count, at) for at, count in enumerate(counts) if at not in hidden)[1])
    return [None if at in hidden else count for at, count in enumerate(counts)], sum(counts)


@pytest.mark.parametrize("rule", [only_the_small, two_at_least])
def test_the_attack_succeeds_against_weaker_rules(rule: Any) -> None:
    """The same attacker reads hidden cells where too few are hidden, so that finding none above says something."""
    assert told_exactly(rule, 3, 3, 12)


def test_a_mapping_keeps_its_shape() -> None:
    """Cells by name, with or without a total of their own, come back under their names; a list as a list."""
    assert aggregate({"a": 3, "b": 20, "c": 50, "total": 73}, 11, "total") == {
        "a": None,
        "b": None,
        "c": 50,
        "total": 73,
    }
    assert aggregate({"all": 12, "a": 1, "b": 11}, 11, "all") == {"all": 12, "a": None, "b": None}
    assert aggregate({"a": 3, "b": 2, "total": 5}, 11, "total") == {"a": None, "b": None, "total": None}
    assert aggregate([0, 20, 20, 50], 11, "total") == [None, None, None, 50]
    assert aggregate({"a": 11, "b": 12}, 11, "total") == {"a": 11, "b": 12}
    assert aggregate({}, 11, "total") == {}


@pytest.mark.parametrize(
    "value", [None, 5, "5", True, [1.5, 20], [True, 20], [-1, 20], {"a": "20"}, {"a": 20, "total": 21}, [[20], [30]]]
)
def test_what_is_no_table_becomes_null(value: Any) -> None:
    """A cell that is no whole number from 0, or a total that is not the sum, hides the whole table."""
    assert aggregate(value, 11, "total") is None
