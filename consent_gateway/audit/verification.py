"""Verifies the log again and again, a stretch at a time, and says how far it is; mends nothing.

A pass begins at the first entry and ends at the newest checkpoint; from there on it follows what is sealed, until a
day after its beginning the next pass starts. So a fresh entry is verified within seconds, and an old one that
somebody altered within a day. A finding is an alarm: it is logged, entered in the log, and shown by `audit status`.
"""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.checkpoint import NoteInvalid, read_body, signatures
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.live import Verified, verify_stretch
from consent_gateway.audit.merkle import cover, root_at
from consent_gateway.audit.recorder import record_in
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_VERIFICATION
from consent_gateway.audit.tree import node_reader
from consent_gateway.audit.verify import Finding, LogKey, Unusable
from consent_gateway.database import DRIVER_ERRORS, from_micros, reading_connection, to_micros
from consent_gateway.errors import DatabaseUnavailable, LogDamaged
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock

LOG = logging.getLogger(__name__)
STEP = 20_000  # entries of one round
WHOLE_EVERY = timedelta(days=1)
RETRY = timedelta(minutes=1)  # after a finding
_MOST_FINDINGS = 20
_NAME = "log"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far verification is. `position` entries of the present pass are verified; `failure` holds what was found."""

    position: int
    begun_at: datetime
    verified_at: datetime | None = None
    whole_size: int | None = None
    whole_at: datetime | None = None
    failure: tuple[dict[str, Any], ...] = ()
    failed_at: datetime | None = None


class Verification:
    """The rounds of one worker. `vkeys` are the log's published keys; `outside` gives checkpoints kept elsewhere."""

    def __init__(
        self,
        engine: sa.Engine,
        vkeys: str,
        clock: Clock,
        outside: Callable[[], Iterable[str]] = tuple,
        step: int = STEP,
    ) -> None:
        self._engine = engine
        self._vkeys = vkeys
        self._clock = clock
        self._outside = outside
        self._step = step
        self._verified = Verified()
        self._tried: datetime | None = None  # when a round last found something

    def round(self) -> int:
        """Verify the next stretch; how many entries it held. May raise `DatabaseUnavailable`."""
        now = self._clock.now()
        if self._tried is not None and now - self._tried < RETRY:
            return 0
        try:
            outside = [note for note in self._outside() if note]  # before the log, which may only be ahead of them
            with reading_connection(self._engine) as connection:
                before = standing(connection) or Standing(0, now)
                after, findings = self._stretch(connection, before, outside, now)
            self._keep(before, after, findings, now)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the log could not be read: it will be verified later") from error
        self._tried = now if findings else None
        return max(0, after.position - before.position)

    def _stretch(
        self, connection: sa.Connection, before: Standing, outside: list[str], now: datetime
    ) -> tuple[Standing, list[Finding]]:
        """Where verification stands after the next stretch, and what is wrong."""
        try:
            size = connection.execute(
                sa.select(sa.func.coalesce(sa.func.max(AUDIT_CHECKPOINTS.c.size), 0))
            ).scalar_one()
            findings = [found for one in outside for found in _held_against(connection, one, size)]
            if before.position > size:
                findings.append(Finding("rolled_back", f"{before.position} entries were verified before", size))
            if findings:
                return before, findings
            if before.position == size:
                whole = replace(before, verified_at=now, whole_size=size, whole_at=now)
                done = now - before.begun_at >= WHOLE_EVERY
                return replace(whole, position=0, begun_at=now) if done else whole, []
            upto = _boundary(connection, before.position, self._step)
            start = self._resumed(connection, before.position)
            report, verified = verify_stretch(connection, LogKey(self._vkeys), start, upto, upto)
        except LogDamaged as error:
            return before, [Finding("damaged", error.message, error.index)]
        except Unusable as error:
            return before, [Finding("unusable", str(error))]
        if not report.ok:
            return before, report.findings
        self._verified = verified
        return replace(before, position=upto, verified_at=now), []

    def _resumed(self, connection: sa.Connection, position: int) -> Verified:
        """The verified beginning: what this process remembers, else hashes that the next checkpoint must prove."""
        if position == 0:
            return Verified()
        if self._verified.size == position:
            return self._verified
        node = node_reader(connection)
        return Verified(position, tuple((level, node(level, at)) for level, at in cover(0, position)), {}, chains=False)

    def _keep(self, before: Standing, after: Standing, findings: list[Finding], now: datetime) -> None:
        """Keep where verification stands. A change for the worse or the better is an entry and a line in the log."""
        if findings:
            told = tuple(asdict(found) for found in findings[:_MOST_FINDINGS])
            after = replace(before, failure=told, failed_at=before.failed_at or now)
        else:
            after = replace(after, failure=(), failed_at=None)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(AUDIT_VERIFICATION))
            connection.execute(sa.insert(AUDIT_VERIFICATION).values(_row(after)))
            if bool(after.failure) != bool(before.failure):
                record_in(connection, _told(after, now))
        if findings and not before.failure:
            LOG.critical("audit log does not verify: %s", after.failure[0]["message"])


def standing(connection: sa.Connection) -> Standing | None:
    """Where verification stands; None before its first round."""
    row = connection.execute(sa.select(AUDIT_VERIFICATION)).one_or_none()
    if row is None:
        return None
    times = (row.verified_at, row.whole_at, row.failed_at)
    verified_at, whole_at, failed_at = (None if one is None else from_micros(one) for one in times)
    failure = () if row.failure is None else tuple(json.loads(row.failure))
    begun_at = from_micros(row.begun_at)
    return Standing(row.position, begun_at, verified_at, row.whole_size, whole_at, failure, failed_at)


def _row(after: Standing) -> dict[str, object]:
    times = {name: getattr(after, name) for name in ("begun_at", "verified_at", "whole_at", "failed_at")}
    return {
        "name": _NAME,
        "position": after.position,
        "whole_size": after.whole_size,
        "failure": json.dumps(after.failure) if after.failure else None,
        **{name: None if moment is None else to_micros(moment) for name, moment in times.items()},
    }


def _told(after: Standing, now: datetime) -> Entry:
    if not after.failure:
        return Entry(new_id("sys", now), EntryKind.SYSTEM, now, action="log_verification", outcome="verified")
    first = after.failure[0]
    place = {} if first["index"] is None else {"index": str(first["index"])}
    detail = {"code": str(first["code"]), "findings": str(len(after.failure)), **place}
    return Entry(new_id("sys", now), EntryKind.SYSTEM, now, action="log_verification", outcome="failed", detail=detail)


def _boundary(connection: sa.Connection, position: int, step: int) -> int:
    """The size of the checkpoint where the next stretch ends: the largest within `step` entries, else the next one."""
    size = AUDIT_CHECKPOINTS.c.size
    within = sa.select(sa.func.max(size)).where(size > position, size <= position + step)
    beyond = sa.select(sa.func.min(size)).where(size > position)
    found = connection.execute(within).scalar_one() or connection.execute(beyond).scalar_one()
    if found is None:
        raise LogDamaged("the checkpoint that ends this stretch is gone", position)
    return int(found)


def _held_against(connection: sa.Connection, note: str, size: int) -> list[Finding]:
    """What a checkpoint kept outside says against a log of `size` entries."""
    try:
        kept = read_body(signatures(note)[0])
    except NoteInvalid as error:
        return [Finding("checkpoint", f"a checkpoint kept outside cannot be read: {error}")]
    if kept.size > size:
        return [Finding("rolled_back", f"a checkpoint kept outside promised {kept.size} entries", size)]
    if root_at(kept.size, node_reader(connection)) != kept.root:
        return [
            Finding("tree", f"the log differs from a checkpoint of size {kept.size} kept outside", 0, kept.size - 1)
        ]
    return []
