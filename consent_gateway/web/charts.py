"""Bar charts as plain SVG: shapes and numbers alone, coloured by the stylesheet; the page puts a table beside each.

Every bar carries its number and its label as text, so nothing is told by colour or length alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_ROW, _BAR, _FROM, _WIDE = 26, 16, 190, 360


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label and number, and where it stands. All lengths are in the units of the chart."""

    label: str
    number: int
    y: int
    width: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready for its template. `name` makes its ids."""

    name: str
    bars: tuple[Bar, ...]
    start: int = _FROM
    thick: int = _BAR
    width: int = _FROM + _WIDE + 60

    @property
    def height(self) -> int:
        """How high it is."""
        return max(1, len(self.bars)) * _ROW

    @property
    def total(self) -> int:
        """The sum of all bars."""
        return sum(bar.number for bar in self.bars)


def bars(name: str, values: Sequence[tuple[str, int]]) -> Chart:
    """A chart of these labels and numbers, in their order; the longest bar fills the width, and nothing is a hair."""
    most = max((number for _label, number in values), default=0)
    return Chart(
        name,
        tuple(
            Bar(label, number, at * _ROW, 0 if not most or not number else max(2, round(number * _WIDE / most)))
            for at, (label, number) in enumerate(values)
        ),
    )
