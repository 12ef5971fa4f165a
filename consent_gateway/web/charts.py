"""Charts as plain SVG: shapes and numbers alone, coloured by the stylesheet; the page puts a table beside each.

Every bar that is longer than nothing carries its number as text, so nothing is told by colour or length alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_ROW, _BAR, _FROM, _WIDE = 26, 16, 240, 300
_COLUMN, _HIGH, _HEAD, _FOOT = 20, 120, 18, 22


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label and number, where it stands, how big it is. All lengths are in the units of the chart.

    A label that is not `shown` stands in the table alone.
    """

    label: str
    number: int
    x: int
    y: int
    width: int
    height: int
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready for its template. `name` makes its ids; its bars lie, or stand where `upright`."""

    name: str
    bars: tuple[Bar, ...]
    width: int
    height: int
    upright: bool = False

    @property
    def total(self) -> int:
        """The sum of all bars."""
        return sum(bar.number for bar in self.bars)


def bars(name: str, values: Sequence[tuple[str, int]]) -> Chart:
    """Lying bars of these labels and numbers, in their order; the longest fills the width, and none is a hair."""
    most = max((number for _label, number in values), default=0)
    lying = tuple(
        Bar(label, number, _FROM, at * _ROW, _length(number, most, _WIDE), _BAR)
        for at, (label, number) in enumerate(values)
    )
    return Chart(name, lying, _FROM + _WIDE + 60, max(1, len(values)) * _ROW)


def columns(name: str, values: Sequence[tuple[str, int]], every: int = 7) -> Chart:
    """Standing bars of these labels and numbers; every so many bars have their label, counted from the last."""
    most = max((number for _label, number in values), default=0)
    standing = []
    for at, (label, number) in enumerate(values):
        height = _length(number, most, _HIGH)
        shown = (len(values) - 1 - at) % every == 0
        standing.append(
            Bar(label, number, _COLUMN // 2 + at * _COLUMN, _HEAD + _HIGH - height, _COLUMN - 6, height, shown)
        )
    width = (len(values) + 2) * _COLUMN
    return Chart(name, tuple(standing), width, _HEAD + _HIGH + _FOOT, upright=True)


def _length(number: int, most: int, whole: int) -> int:
    return 0 if not most or not number else max(2, round(number * whole / most))
