"""Looks whether anything of an erased person is left, in the store, in the gateway's own tables and in files.

Declared or not, every column of every table is looked through; what could not be looked at is a leftover too, since
nothing is known of it. It changes nothing and names places, counts and causes, never a value.
"""

import gzip
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from consent_gateway.errors import StoreUnavailable
from consent_gateway.policy.retention import Terms
from consent_gateway.ports import ErasableStore, Fill, Needles, StoreChange, StoreKey, StoreTable
from consent_gateway.rights.plan import SHARED
from consent_gateway.rights.plan_model import Cause, Leftover, Looked, Plan
from consent_gateway.rights.scan_values import joined
from consent_gateway.vocabulary import JsonValue

_MOST = 500  # rows of one table that are told apart; what lies past them is left over whatever they are
_LARGEST = 256 * 1024 * 1024  # bytes of a file that is read
_STORE, _GATEWAY = "store", "gateway"
_BLANKS: tuple[JsonValue, ...] = (None, "", 0, False, "{}", "\0b64:")


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was looked at, and what is left."""

    tables: int
    columns: int
    files: int
    leftovers: tuple[Leftover, ...]


class Scan:
    """Looks for what an erasure left. `gateway` is the gateway's own database, `folders` where exports may lie."""

    def __init__(self, store: ErasableStore, gateway: ErasableStore | None, folders: Sequence[Path] = ()) -> None:
        self._store = store
        self._gateway = gateway
        self._folders = tuple(folders)

    def look(self, plan: Plan, terms: Terms, refused: Iterable[Leftover] = ()) -> Scanned:
        """Everything that is left, each place once; `refused` is what the steps could not do."""
        left = [*plan.foreseen, *refused, *self._read_back(plan), *self._suspected(plan)]
        tables = columns = files = 0
        places = ((_STORE, self._store), (_GATEWAY, self._gateway))
        searches = [_Searching(place, store, plan, terms) for place, store in places if store is not None]
        with ThreadPoolExecutor(len(searches)) as threads:  # two databases: neither waits for the other
            for searched, found in zip(searches, threads.map(_Searching.all, searches), strict=True):
                left += found
                tables, columns = tables + searched.tables, columns + searched.columns
        for folder in self._folders:
            found, looked = _in_folder(folder, plan.looked)
            left, files = [*left, *found], files + looked
        return Scanned(tables, columns, files, tuple(_each_once(left)))

    def _read_back(self, plan: Plan) -> Iterator[Leftover]:
        shape = self._store.shape()
        for step in plan.steps:
            for change in step.changes:
                yield from self._unchanged(change, shape.get(change.table))

    def _unchanged(self, change: StoreChange, table: StoreTable | None) -> Iterator[Leftover]:
        try:
            rows = self._store.find(change.table, table.key, change.keys) if table is not None else ()
        except StoreUnavailable:
            yield Leftover(_STORE, change.table, Cause.UNREAD, len(change.keys))
            return
        if change.deletes and rows:
            yield Leftover(_STORE, change.table, Cause.STILL_THERE, len(rows))
        for column, fill in change.fills.items() if not change.deletes else ():
            still = sum(not _is_empty(row.values.get(column), fill) for row in rows)
            if still:
                yield Leftover(_STORE, f"{change.table}.{column}", Cause.STILL_THERE, still)

    def _suspected(self, plan: Plan) -> Iterator[Leftover]:
        for one in plan.suspects:
            try:
                rows = len(self._store.find(one.table, (one.column,), [(value,) for value in one.values]))
            except StoreUnavailable:
                yield Leftover(_STORE, f"{one.table}.{one.column}", Cause.UNREAD, 0)
                continue
            if rows:
                yield Leftover(_STORE, f"{one.table}.{one.column}", Cause.UNDECLARED_REFERENCE, rows)


class _Searching:
    """One search through all tables of one database."""

    def __init__(self, place: str, store: ErasableStore, plan: Plan, terms: Terms) -> None:
        self._place = place
        self._store = store
        self._plan = plan
        self._not_personal = frozenset(terms.not_personal) if place == _STORE else frozenset()
        self._staying: Mapping[str, Mapping[StoreKey, tuple[str, ...]]] = plan.kept if place == _STORE else {}
        self.tables = self.columns = 0

    def all(self) -> list[Leftover]:
        """Every leftover of this database."""
        return list(self.leftovers())

    def leftovers(self) -> Iterator[Leftover]:
        try:
            shape = self._store.shape()
        except StoreUnavailable:
            yield Leftover(self._place, "*", Cause.UNREAD, 0)
            return
        both = joined(self._plan.looked.identifying, self._plan.looked.distinctive)
        some = {
            name: tuple(column for column in table.columns if not self._is_not_personal(name, column))
            for name, table in shape.items()
        }
        self.tables, self.columns = len(shape), sum(len(table.columns) for table in shape.values())
        for name in self._holding({name: tuple(table.columns) for name, table in shape.items()}, both):
            rest = tuple(column for column in shape[name].columns if column not in some[name])
            try:
                found = self._hits(name, some[name], both) | self._hits(name, rest, self._plan.looked.identifying)
            except StoreUnavailable:
                yield Leftover(self._place, name, Cause.UNREAD, 0)
                continue
            for column, rows in found.items():
                yield Leftover(self._place, f"{name}.{column}", Cause.MENTION, rows)

    def _holding(self, tables: Mapping[str, tuple[str, ...]], looked: Needles) -> Sequence[str]:
        """The tables to look into; all of them where that cannot be asked of all at once."""
        try:
            return self._store.holding(tables, looked) if looked else ()
        except StoreUnavailable:
            return tuple(tables)

    def _hits(self, table: str, columns: tuple[str, ...], looked: Needles) -> dict[str, int]:
        if not columns or not looked:
            return {}
        staying = self._staying.get(table, {})
        counts: dict[str, int] = {}
        for hits in self._store.search(table, columns, looked, _MOST):
            left = [key for key in hits.keys if not _may_stay(staying.get(key), hits.column)]
            if left or hits.more:
                counts[hits.column] = max(1, len(left))
        return counts

    def _is_not_personal(self, table: str, column: str) -> bool:
        return table in self._not_personal or f"{table}.{column}" in self._not_personal


def _may_stay(columns: tuple[str, ...] | None, column: str) -> bool:
    return columns is not None and (columns == SHARED or column in columns)


def _is_empty(value: JsonValue, fill: Fill) -> bool:
    if fill is Fill.NULL:
        return value is None
    if fill is Fill.MARK:
        return value is not None
    if fill is Fill.UNIQUE:
        return (isinstance(value, str) and ("erased-" in value or "-" in value)) or (
            isinstance(value, int) and value < 0
        )
    if isinstance(value, str):
        return not value.strip(" 0.") or value.startswith("1970-01-01") or value in _BLANKS
    return value in _BLANKS or value == {}


def _in_folder(folder: Path, looked: Looked) -> tuple[list[Leftover], int]:
    """Files below a folder that hold a value, compressed or not; databases are looked through as such, not here."""
    both = joined(looked.identifying, looked.distinctive)
    texts, bare = (re.compile(one) if one else None for one in (both.texts, both.bare))
    left: list[Leftover] = []
    count = 0
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if not path.is_file() or path.suffix in {".db", ".db-wal", ".db-shm"}:
            continue
        count += 1
        name = str(path.relative_to(folder))
        if _holds(name.encode(), texts, bare):  # the name would tell what the file does
            left.append(Leftover(str(folder), f"file {count} in order of name", Cause.FILE, 1))
            continue
        try:
            held = any(_holds(content, texts, bare) for content in _contents(path))
        except (OSError, ValueError, zipfile.BadZipFile, EOFError):
            left.append(Leftover(str(folder), name, Cause.UNREAD, 0))
            continue
        if held:
            left.append(Leftover(str(folder), name, Cause.FILE, 1))
    return left, count


def _contents(path: Path) -> Iterator[bytes]:
    if path.stat().st_size > _LARGEST:
        raise ValueError("too large to be read")
    raw = path.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for one in archive.infolist():
                yield archive.read(one)


def _holds(content: bytes, texts: re.Pattern[str] | None, bare: re.Pattern[str] | None) -> bool:
    if texts is not None and texts.search(content.decode("utf-8", "replace").lower()):
        return True
    wide = content.replace(b"\0", b"")
    return wide != content and bare is not None and bare.search(wide.decode("utf-8", "replace").lower()) is not None


def _each_once(left: Iterable[Leftover]) -> Iterator[Leftover]:
    """One leftover a place and cause; a mention in a column that is named for another cause says nothing more."""
    found: dict[tuple[str, str, Cause], Leftover] = {}
    for one in left:
        known = found.get((one.place, one.where, one.cause))
        if known is None or known.rows < one.rows:
            found[one.place, one.where, one.cause] = one
    yield from sorted(found.values(), key=lambda one: (one.place, one.where, one.cause))
