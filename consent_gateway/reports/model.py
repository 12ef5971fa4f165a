"""What a report is: a title, what was asked, the checkpoint it rests on, figures and tables; renders and reads nothing.

A column whose name ends in `_utc` holds times in UTC. No cell holds a personal value: people stand under their ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consent_gateway.audit.entry import written_time

Cell = str | int | float | bool | None
Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns, in a fixed order. `key` names the table within its report."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse a row that does not fit the head: a reader would take one cell for another."""
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of `{self.key}` has another number of cells than its head")

    @property
    def records(self) -> list[dict[str, Cell]]:
        """The rows as objects by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class RestsOn:
    """The signed checkpoint a report rests on: of the log, only entries before `size` were counted."""

    origin: str
    size: int
    root: str  # hex
    note: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked; None means any. Which members count is said by each report.

    Times are from `since` and before `until`. `sample` people are drawn by `seed`, so that anyone can draw them again.
    """

    since: datetime | None = None
    until: datetime | None = None
    data_subject: str | None = None
    sample: int | None = None
    seed: str | None = None
    caller: str | None = None
    key_class: str | None = None
    regime: str | None = None
    aware_at: datetime | None = None

    def as_json(self) -> dict[str, Cell]:
        """What was asked, as JSON-ready members; what was left open is left out."""
        told: dict[str, Cell] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None:
                told[name] = written_time(value) if isinstance(value, datetime) else value
        return told


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `figures` are its main numbers by name, `notes` what a reader must know to read it rightly."""

    name: str
    title: str
    made_at: datetime
    revision: str
    asked: Asked
    rests_on: RestsOn
    figures: Mapping[str, Cell]
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()

    def table(self, key: str) -> Table:
        """The table of this key. Raises `KeyError`."""
        return {table.key: table for table in self.tables}[key]

    def as_json(self) -> dict[str, Any]:
        """The report as JSON-ready members; all times are UTC."""
        return {
            "report": self.name,
            "title": self.title,
            "made_at": written_time(self.made_at),
            "time_zone": "UTC",
            "policy_revision": self.revision,
            "asked": self.asked.as_json(),
            "rests_on": {
                "origin": self.rests_on.origin,
                "size": self.rests_on.size,
                "root_hash": self.rests_on.root,
                "checkpoint": self.rests_on.note,
            },
            "figures": dict(self.figures),
            "tables": {
                table.key: {
                    "title": table.title,
                    "note": table.note,
                    "columns": list(table.columns),
                    "count": len(table.rows),
                    "rows": table.records,
                }
                for table in self.tables
            },
            "notes": list(self.notes),
        }
