"""Counts of people in cells, with the small ones suppressed so that none can be computed from the rest; pure.

One table at a time: of two tables that count the same people by different cells, the difference may still tell.
"""

from collections.abc import Sequence

from consent_gateway.vocabulary import JsonValue

K = 11
"""The fewest people a cell may show unless told otherwise (cell size policy of the US CMS)."""


def suppressed(counts: Sequence[int], k: int = K) -> tuple[list[int | None], int | None]:
    """The cells of one table that may be shown, None for the others, and their total, None where it may not be.

    Where a cell is under `k`, zero too, for "nobody here" is told about each member, all such cells are hidden, and
    with them the smallest of the others and its equals. So what the total leaves for the hidden cells is always of two
    or more cells and of `k` people or more. Which are hidden depends on the numbers alone and not on their places, so
    that exchanging a small with a large hidden one gives the same answer: even who knows this rule and all that is
    shown cannot tell the number of a hidden cell. A total under `k` is hidden with all its cells. `counts` must not
    be negative.
    """
    total = sum(counts)
    if total < k:
        return [None] * len(counts), None
    most = min((count for count in counts if count >= k), default=k) if min(counts) < k else -1
    return [None if count <= most else count for count in counts], total


def aggregate(value: JsonValue, k: int, total: str) -> JsonValue:
    """`suppressed` on a JSON mapping of cell to count, or a list of counts; the same mapping or list comes back.

    The mapping's member named `total`, if it has one, is taken as its total. What is not whole numbers from 0, and a
    total that is not the sum of its cells, makes the whole table null.
    """
    if isinstance(value, list):
        cells = _counts(value)
        return None if cells is None else list(suppressed(cells, k)[0])
    if not isinstance(value, dict):
        return None
    names = [name for name in value if name != total]
    cells = _counts([value[name] for name in names])
    if cells is None or (total in value and _counts([value[total]]) != [sum(cells)]):
        return None
    shown, whole = suppressed(cells, k)
    done: dict[str, JsonValue] = dict(zip(names, shown, strict=True))
    return {name: whole if name == total else done[name] for name in value}


def _counts(values: Sequence[JsonValue]) -> list[int] | None:
    counts = [one for one in values if isinstance(one, int) and not isinstance(one, bool) and one >= 0]
    return counts if len(counts) == len(values) else None
