"""Says of every value of a person's rows whether a ground keeps it against an erasure, and until when; pure.

A schedule with a ground keeps what it covers until it ends; a legal hold keeps what the policy says that it covers. Of
two grounds the one that keeps longer counts, and one whose end is not known keeps longest: an erasure cannot be undone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from consent_gateway.policy.catalogue import Catalogue, Collection, Field
from consent_gateway.policy.documents import covers
from consent_gateway.policy.retention import Retention, Schedule
from consent_gateway.ports import StoreKey, StoreRow
from consent_gateway.rights.plan_model import Gathered, Keep
from consent_gateway.rights.plan_rows import alike, table_named

CLAIMS = "claims"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What of the person and the day decides about keeping."""

    day: date
    jurisdiction: str | None
    legal_hold: bool = False


class Keeping:
    """The grounds for one person's rows."""

    def __init__(
        self, gathered: Gathered, catalogue: Catalogue, retention: Retention, circumstances: Circumstances
    ) -> None:
        self._gathered = gathered
        self._catalogue = catalogue
        self._retention = retention
        self._given = circumstances
        self._held = retention.on(circumstances.day).hold_covers if circumstances.legal_hold else ()
        self._tables: dict[str, str] = {}
        for one in catalogue.collections.values():
            found = table_named(gathered.tables, one.table)
            if found is not None:
                self._tables[one.name] = found.name

    def of(self, collection: Collection, row: StoreRow) -> dict[str, Keep]:
        """What keeps which column of a row; nothing for a column that may go."""
        kept: dict[str, Keep] = {}
        for field in collection.fields:
            grounds = list(self._grounds(field, collection, row)) if row.values.get(field.column) is not None else []
            if grounds:
                kept[field.column] = max(grounds, key=lambda one: one.until or date.max)
        return kept

    def _grounds(self, field: Field, collection: Collection, row: StoreRow) -> Iterator[Keep]:
        if any(covers(key, category) for key in self._held for category in field.categories):
            yield Keep(CLAIMS, None, None)
        day, place = self._given.day, self._given.jurisdiction
        for one in self._retention.of_field(field.name, collection.name, field.categories, day, place):
            if one.ground is None:
                continue
            counted = self.counted(one, collection, row)
            until = None if not counted or None in counted else max(map(one.until, filter(None, counted)))
            if counted and (until is None or until >= day):
                yield Keep(one.ground, one.id, until)

    def counted(self, schedule: Schedule, collection: Collection, row: StoreRow) -> list[date | None]:
        """The days a schedule counts from for this row; None for one that cannot be read; empty if there are none.

        The row's own day, that of the row it hangs on, or else those of all the person's rows that have one.
        """
        field = self._catalogue.fields[schedule.counted_from]
        at: tuple[Collection, StoreRow] | None = (collection, row)
        while at is not None:
            if at[0].name == field.collection:
                return [_day(at[1].values.get(field.column))]
            at = self._parent(*at)
        rows = self._gathered.mine.get(self._tables.get(field.collection, ""), {})
        return [_day(one.values.get(field.column)) for one in rows.values()]

    def _parent(self, collection: Collection, row: StoreRow) -> tuple[Collection, StoreRow] | None:
        reference = collection.reference
        parent = None if reference is None else self._catalogue.collections.get(reference.to_collection)
        if reference is None or parent is None or row.values.get(reference.column) is None:
            return None
        held = alike((row.values[reference.column],))
        rows = self._gathered.mine.get(self._tables.get(parent.name, ""), {}).values()
        found = next((one for one in rows if alike((one.values.get(reference.to_column),)) == held), None)
        return None if found is None else (parent, found)


def _day(value: object) -> date | None:
    """The day at the beginning of a date or time as it stands in the store."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def longest(keeps: Iterator[Keep]) -> Keep | None:
    """The one that keeps longest."""
    return max(keeps, key=lambda one: one.until or date.max, default=None)


KeptRows = dict[str, dict[StoreKey, dict[str, Keep]]]
"""Table, row and column of what a ground keeps."""
