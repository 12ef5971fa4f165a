"""Records the choices of another system, in batches and never twice; reads no file.

Lines should come in the order of time: a batch is put in order, but a restriction that comes in a later batch takes
effect even if a grant of an earlier batch was the later choice. Nothing that is in doubt is left open.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry
from consent_gateway.consent import ledger
from consent_gateway.consent.bound import batch_entry
from consent_gateway.consent.evidence import check, expand
from consent_gateway.consent.lines import Line, read_line
from consent_gateway.consent.tables import CONSENT_EVENTS, PERSON_STATE
from consent_gateway.database import DRIVER_ERRORS, let_others_write, to_micros
from consent_gateway.errors import ConsentNotRaised, DatabaseUnavailable, GatewayError, InputRefused, Suppressed
from consent_gateway.people.blind_index import BlindIndex, Indexed
from consent_gateway.people.directory import by_store_keys, find, pre_register
from consent_gateway.people.linking import Index, chunks, held
from consent_gateway.people.moving import carry_nothing, move_to_newest
from consent_gateway.people.suppression import SuppressionTags, opening_refused, suppressed
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import ANY_PURPOSE, OPENING, PERSON_WIDE, NewConsentEvent

BATCH = 1000  # lines per transaction
MAX_REFUSALS = 100  # refused lines that a report tells one by one

Progress = Callable[[int], None]
"""`progress(lines)`, called after each batch with the number of lines read so far."""

_Mark = tuple[str, str, str, int]  # what makes two events the same choice
_MARKS = sa.select(
    CONSENT_EVENTS.c.data_subject, CONSENT_EVENTS.c.purpose, CONSENT_EVENTS.c.kind, CONSENT_EVENTS.c.occurred_at
).where(CONSENT_EVENTS.c.data_subject.in_(sa.bindparam("people", expanding=True, type_=sa.String())))

_ERASED = sa.select(PERSON_STATE.c.data_subject).where(
    PERSON_STATE.c.data_subject.in_(sa.bindparam("people", expanding=True, type_=sa.String())), PERSON_STATE.c.erased
)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import came to. `refusals` are the first refused lines, as (line number from 1, message)."""

    lines: int
    recorded: int  # events; one line makes several where it concerns everything or a shared identifier
    skipped: int  # events that were in the ledger already
    refused: int  # lines
    refusals: tuple[tuple[int, str], ...]


@dataclass(slots=True)
class _Tally:
    lines: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    refusals: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, number: int, error: GatewayError) -> None:
        self.counts["refused"] += 1
        if len(self.refusals) < MAX_REFUSALS:
            self.refusals.append((number, error.message))

    def report(self) -> ImportReport:
        counts = self.counts
        refusals = tuple(sorted(self.refusals))
        return ImportReport(self.lines, counts["recorded"], counts["skipped"], counts["refused"], refusals)


@dataclass(frozen=True, slots=True)
class _Read:
    number: int
    line: Line
    indexed: Indexed | None
    tag: str  # of the identifier or the store key, on the suppression list

    @property
    def index(self) -> Index | None:
        return None if self.indexed is None else self.indexed.index


class Importer:
    """One import. `recorded_by` names who runs it and stands in every event."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        indexes: BlindIndex,
        tags: SuppressionTags,
        record_in: Callable[[sa.Connection, Entry], None],
        announce_in: ledger.Announce,
        clock: Clock,
        purposes: Collection[str],
        purposes_for_any: Sequence[str],
        recorded_by: str,
    ) -> None:
        self._engine = engine
        self._indexes = indexes
        self._tags = tags
        self._record_in = record_in
        self._announce_in = announce_in
        self._clock = clock
        self._purposes = frozenset(purposes)
        self._any = purposes_for_any
        self._recorded_by = recorded_by

    def run(self, lines: Iterable[Mapping[str, object]], progress: Progress) -> ImportReport:
        """Record all lines that can be; a line that cannot is told in the report and does not stop the others."""
        tally, stream = _Tally(), iter(lines)
        while batch := list(islice(stream, BATCH)):
            now = self._clock.now()
            try:
                with self._engine.begin() as connection:
                    self._indexes.settle(connection)
                    reads = self._read(batch, tally, now)
                    move_to_newest(connection, [read.indexed for read in reads if read.indexed], carry_nothing)
                    outcome = self._record(connection, reads, now)
            except DRIVER_ERRORS as error:
                raise DatabaseUnavailable("the import stopped: mend the database and run it again") from error
            # Only what is committed counts.
            tally.counts.update(recorded=outcome.recorded, skipped=outcome.skipped)
            for number, refusal in outcome.refused:
                tally.refuse(number, refusal)
            tally.lines += len(batch)
            progress(tally.lines)
            let_others_write(self._engine)
        return tally.report()

    def _read(self, batch: Sequence[Mapping[str, object]], tally: _Tally, now: datetime) -> list[_Read]:
        reads = []
        for number, raw in enumerate(batch, tally.lines + 1):
            try:
                line = read_line(raw, self._recorded_by)
                event = line.event
                if event.kind not in PERSON_WIDE and event.purpose not in self._purposes | {ANY_PURPOSE}:
                    raise InputRefused("`purpose` is not one of the policy's purposes")
                for each in expand(event, self._any):
                    check(each, now)
                indexed = self._indexes.every(line.identifier) if line.identifier else None
                tag = (
                    self._tags.of(line.identifier) if line.identifier else self._tags.of_store_key(line.store_key or "")
                )
                reads.append(_Read(number, line, indexed, tag))
            except (InputRefused, ConsentNotRaised) as error:
                tally.refuse(number, error)
        return sorted(reads, key=lambda read: read.line.event.occurred_at)

    def _record(self, connection: sa.Connection, reads: Sequence[_Read], now: datetime) -> "_Outcome":
        outcome = _Outcome()
        people = self._people(connection, reads, now)
        ledger.lock(connection, _everyone(people))
        people = self._people(connection, reads, now)  # whom an erasure let go of while we waited holds nothing more
        ledger.lock(connection, _everyone(people))
        marks, erased = _present(connection, _everyone(people))
        listed = suppressed(connection, [read.tag for read in reads])
        events: list[NewConsentEvent] = []
        for read in reads:
            refusal = _refusal(read, people[read.number], erased, listed)
            if refusal is not None:
                outcome.refused.append((read.number, refusal))
                continue
            for person in people[read.number]:
                for event in expand(replace(read.line.event, data_subject=person), self._any):
                    if _mark(event) in marks:
                        outcome.skipped += 1
                        continue
                    marks.add(_mark(event))
                    events.append(event)
        committed = ledger.append_checked(connection, events, now=now)
        if committed:
            self._record_in(connection, batch_entry(committed, self._recorded_by, now))
            self._announce_in(connection, committed)
        outcome.recorded = len(committed)
        return outcome

    def _people(self, connection: sa.Connection, reads: Sequence[_Read], now: datetime) -> dict[int, tuple[str, ...]]:
        """For each line, by number, the people it concerns; none where the store's key is unknown."""
        by_key = by_store_keys(connection, [read.line.store_key for read in reads if read.line.store_key])
        by_index = held(connection, [read.index for read in reads if read.index])
        found: dict[int, tuple[str, ...]] = {}
        for read in reads:
            if read.index is None:
                person = by_key.get(read.line.store_key or "")
                found[read.number] = (person,) if person else ()
            elif read.index in by_index and not by_index[read.index].shared:
                found[read.number] = (by_index[read.index].data_subject,)
            else:
                known = read.index in by_index
                holders = (
                    find(connection, read.index)
                    if known
                    else pre_register(connection, read.index, now=now, tag=read.tag)
                )
                found[read.number] = tuple(holder.data_subject for holder in holders)
        return found


@dataclass(slots=True)
class _Outcome:
    recorded: int = 0
    skipped: int = 0
    refused: list[tuple[int, GatewayError]] = field(default_factory=list)


def _present(connection: sa.Connection, people: Sequence[str]) -> tuple[set[_Mark], set[str]]:
    """What the ledger holds of these people already, and who of them is erased."""
    marks: set[_Mark] = set()
    erased: set[str] = set()
    for chunk in chunks(people):
        rows = connection.execute(_MARKS, {"people": chunk})
        marks |= {(row.data_subject, row.purpose, row.kind, row.occurred_at) for row in rows}
        erased |= set(connection.execute(_ERASED, {"people": chunk}).scalars())
    return marks, erased


def _everyone(people: Mapping[int, Sequence[str]]) -> list[str]:
    return sorted({person for found in people.values() for person in found})


def _refusal(read: _Read, people: Sequence[str], erased: set[str], listed: Collection[str]) -> GatewayError | None:
    opening = read.line.event.kind in OPENING
    if read.tag in listed and opening:
        return opening_refused()
    if read.tag in listed and read.index is None:
        return Suppressed("the person behind this `store_key` was erased: name whoever chose by `identifier`")
    if not people:
        return InputRefused("no person has this `store_key`: enrol the store's people first")
    if opening and len(people) > 1:
        return InputRefused("several people use this identifier: name the one who chose by `store_key`")
    if opening and erased.intersection(people):
        return ConsentNotRaised("the person's data has been erased: nothing can be opened again by an import")
    return None


def _mark(event: NewConsentEvent) -> _Mark:
    return event.data_subject, event.purpose, event.kind.value, to_micros(event.occurred_at)
