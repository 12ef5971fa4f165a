"""The words of an erasure's plan, and its one sealed form; decides nothing and touches no store.

A plan holds keys of rows and the values to look for afterwards, so it is personal and is kept sealed; what `FieldPlan`
and `Leftover` say is not, and may be shown, signed and kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any

import orjson

from consent_gateway.ports import Fill, Needles, StoreChange, StoreKey, StoreReference, StoreRow, StoreTable
from consent_gateway.vocabulary import Identifier, JsonValue

STRUCTURE = "structure"
"""The ground of a key that stays because rows that stay hang on it."""


class Cause(StrEnum):
    """Why something of the person is still there; closed list, extend and never rename."""

    MENTION = "mention"  # a value of theirs stands in a row that is not theirs, or that nobody declared
    UNDECLARED_REFERENCE = "undeclared_reference"  # rows of a table nobody declared point to theirs
    UNDECLARED_COLUMN = "undeclared_column"  # a kept row has text in a column nobody declared
    SHARED_ROW = "shared_row"  # the row is another person's as well
    REFUSED = "refused"  # the store's own rules did not let it go
    STILL_THERE = "still_there"  # read back after the erasure, it was as before
    UNREAD = "unread"  # it could not be looked at, so nothing is known
    KEYS_KEPT = "keys_kept"  # the person's keys still open what is kept
    FILE = "file"  # an export or another file of ours or of the retailer's


MENDS: Mapping[Cause, str] = {
    Cause.MENTION: "take the value out there, or declare the column and plan again; if it is not about the person,"
    " name the place in `not_personal` of retention.yaml",
    Cause.UNDECLARED_REFERENCE: "declare the table in the catalogue and plan again, or erase these rows by hand",
    Cause.UNDECLARED_COLUMN: "declare the column in the catalogue and plan again",
    Cause.SHARED_ROW: "an officer decides what of the row is the other person's",
    Cause.REFUSED: "give the field `erased_as` a value that the column takes, or mend the store's rule; then run again",
    Cause.STILL_THERE: "see what writes it again, then run again",
    Cause.UNREAD: "let the gateway's role read it, then look again",
    Cause.KEYS_KEPT: "run again when what is kept has passed its time or the hold is lifted",
    Cause.FILE: "delete the file or take the values out of it, then look again",
}


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something of the person that is still there: where, how many rows at least, and why. No value."""

    place: str  # `store`, `gateway`, or a folder
    where: str  # `table`, `table.column`, or a file's name
    cause: Cause
    rows: int
    code: str = ""  # the store's own code of a refusal

    @property
    def mend(self) -> str:
        """What to do about it."""
        return MENDS[self.cause]


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """What is to become of one field: rows in which it is erased, kept or found in a row of others too."""

    field: str
    erased: int = 0
    kept: int = 0
    shared: int = 0
    ground: str | None = None
    schedule: str | None = None
    until: date | None = None  # the latest, of what is kept; None where the end is not known

    @property
    def outcome(self) -> str:
        """`keep`, `erase`, `shared` or `not_found`; the first that is so of any row."""
        if self.kept:
            return "keep"
        if self.erased:
            return "erase"
        return "shared" if self.shared else "not_found"


@dataclass(frozen=True, slots=True)
class Keep:
    """Why and until when a value is kept."""

    ground: str
    schedule: str | None
    until: date | None


@dataclass(frozen=True, slots=True)
class Outside:
    """A row that is not the person's and points to one that is. `declared` is whether its table is in the catalogue."""

    table: str
    key: StoreKey
    reference: StoreReference
    target: tuple[str, StoreKey]
    declared: bool


Rows = dict[str, dict[StoreKey, StoreRow]]


@dataclass(slots=True)
class Gathered:
    """Everything the store holds of a person, as far as catalogue, references and identifiers lead there."""

    tables: Mapping[str, StoreTable]
    mine: Rows = field(default_factory=dict)
    shared: Rows = field(default_factory=dict)
    outside: list[Outside] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # declared tables that the store does not have

    def has(self, table: str, key: StoreKey) -> bool:
        """Whether the row is the person's."""
        return key in self.mine.get(table, {})


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction on the store. `name` is of a closed form: what is done, and the table."""

    name: str
    table: str
    changes: tuple[StoreChange, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What is looked for afterwards. `distinctive` values are not looked for where the policy says `not_personal`."""

    identifying: Needles
    distinctive: Needles


NOTHING_LOOKED_FOR = Looked(Needles(), Needles())


@dataclass(frozen=True, slots=True)
class Suspect:
    """A column nobody declared that is named like a key of a declared table, and the person's keys it might hold."""

    table: str
    column: str
    values: tuple[JsonValue, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an erasure will do to the store, and what it will look for."""

    fields: tuple[FieldPlan, ...]
    steps: tuple[Step, ...]
    kept: Mapping[str, Mapping[StoreKey, tuple[str, ...]]]  # table -> row -> columns that stay; `*` for a shared row
    foreseen: tuple[Leftover, ...]  # what is left whatever happens
    looked: Looked = NOTHING_LOOKED_FOR
    suspects: tuple[Suspect, ...] = ()
    identifiers: tuple[Identifier, ...] = ()  # what the person's rows call them
    keeps_sealed: bool = False  # a kept field is sealed, so the keys must live

    @property
    def keeps(self) -> bool:
        """Whether a ground keeps anything; keys that rows hang on are no ground of their own."""
        return any(one.kept and one.ground != STRUCTURE for one in self.fields)


def added(before: Sequence[FieldPlan], now: Sequence[FieldPlan]) -> tuple[FieldPlan, ...]:
    """What became of the fields over two runs: what was erased adds up, what is kept is what the later one keeps."""
    erased = {one.field: one.erased for one in before}
    return tuple(replace(one, erased=one.erased + erased.get(one.field, 0)) for one in now)


def plan_text(plan: Plan) -> bytes:
    """The plan as JSON, to be sealed."""
    document = {
        "fields": [fields_of(one) for one in plan.fields],
        "steps": [_step(one) for one in plan.steps],
        "kept": [[t, [[list(k), list(c)] for k, c in rows.items()]] for t, rows in plan.kept.items()],
        "foreseen": [leftover_of(one) for one in plan.foreseen],
        "looked": [
            [n.texts, n.bare, n.digits, list(n.words)] for n in (plan.looked.identifying, plan.looked.distinctive)
        ],
        "identifiers": [[one.kind, one.value] for one in plan.identifiers],
        "suspects": [[one.table, one.column, list(one.values)] for one in plan.suspects],
        "keeps_sealed": plan.keeps_sealed,
    }
    return orjson.dumps(document)


def plan_from(text: bytes) -> Plan:
    """Undo `plan_text`."""
    given = orjson.loads(text)
    identifying, distinctive = (Needles(one[0], one[1], one[2], tuple(one[3])) for one in given["looked"])
    return Plan(
        fields=tuple(field_from(one) for one in given["fields"]),
        steps=tuple(
            Step(one["name"], one["table"], tuple(_change_from(each) for each in one["changes"]), one["rows"])
            for one in given["steps"]
        ),
        kept={table: {tuple(key): tuple(columns) for key, columns in rows} for table, rows in given["kept"]},
        foreseen=tuple(leftover_from(one) for one in given["foreseen"]),
        looked=Looked(identifying, distinctive),
        suspects=tuple(Suspect(table, column, tuple(values)) for table, column, values in given["suspects"]),
        identifiers=tuple(Identifier(*one) for one in given["identifiers"]),
        keeps_sealed=given["keeps_sealed"],
    )


def fields_of(one: FieldPlan) -> dict[str, JsonValue]:
    """A field's plan as JSON: what is shown, kept and signed."""
    return {
        "field": one.field,
        "outcome": one.outcome,
        "erased": one.erased,
        "kept": one.kept,
        "shared": one.shared,
        "ground": one.ground,
        "schedule": one.schedule,
        "until": None if one.until is None else one.until.isoformat(),
    }


def field_from(given: Mapping[str, Any]) -> FieldPlan:
    """Undo `fields_of`."""
    until = None if given["until"] is None else date.fromisoformat(given["until"])
    names = ("field", "erased", "kept", "shared", "ground", "schedule")
    return FieldPlan(**{name: given[name] for name in names}, until=until)


def leftover_of(one: Leftover) -> dict[str, JsonValue]:
    """A leftover as JSON, with its mend."""
    told: dict[str, JsonValue] = {"place": one.place, "where": one.where, "cause": one.cause.value, "rows": one.rows}
    return {**told, **({"code": one.code} if one.code else {}), "mend": one.mend}


def leftover_from(given: Mapping[str, Any]) -> Leftover:
    """Undo `leftover_of`."""
    return Leftover(given["place"], given["where"], Cause(given["cause"]), given["rows"], given.get("code", ""))


def _step(step: Step) -> dict[str, Any]:
    changes = [
        {
            "table": one.table,
            "keys": [list(key) for key in one.keys],
            "fills": {column: fill.value for column, fill in one.fills.items()},
            "values": dict(one.values),
            "mark": one.mark,
            "deletes": one.deletes,
        }
        for one in step.changes
    ]
    return {"name": step.name, "table": step.table, "rows": step.rows, "changes": changes}


def _change_from(given: Mapping[str, Any]) -> StoreChange:
    return StoreChange(
        table=given["table"],
        keys=tuple(tuple(key) for key in given["keys"]),
        fills={column: Fill(word) for column, word in given["fills"].items()},
        values=given["values"],
        mark=given["mark"],
        deletes=given["deletes"],
    )
