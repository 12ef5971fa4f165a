"""Tells how the log stands: sealed, verified, cosigned; for `audit status`, metrics and pages, and changes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import written_time
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_COSIGNATURES
from consent_gateway.audit.verification import Standing, standing
from consent_gateway.database import from_micros

STALE = timedelta(minutes=15)  # the worker verifies every few seconds: so long a silence means that none runs


@dataclass(frozen=True, slots=True)
class LogStatus:
    """`size` entries are sealed, the newest checkpoint at `sealed_at`; `cosigned` maps a witness to the size it saw."""

    size: int
    sealed_at: datetime | None
    verification: Standing | None
    stale: bool
    cosigned: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """True where the log was verified of late and nothing was found."""
        return self.verification is not None and not self.verification.failure and not self.stale

    def as_json(self) -> dict[str, Any]:
        """The status as JSON-ready members; times are UTC."""
        found = self.verification
        return {
            "ok": self.ok,
            "size": self.size,
            "sealed_at": _time(self.sealed_at),
            "verified": 0 if found is None else found.position,
            "verified_at": _time(None if found is None else found.verified_at),
            "whole_size": None if found is None else found.whole_size,
            "whole_at": _time(None if found is None else found.whole_at),
            "stale": self.stale,
            "failed_at": _time(None if found is None else found.failed_at),
            "findings": [] if found is None else list(found.failure),
            "witnesses": dict(self.cosigned),
        }

    def as_text(self) -> str:
        """The status for a reader."""
        told = self.as_json()
        lines = [
            f"{self.size} entries sealed, the last at {told['sealed_at'] or 'no time'}",
            f"{told['verified']} of them verified at {told['verified_at'] or 'no time'}",
            f"last verified whole: {told['whole_size'] or 0} entries at {told['whole_at'] or 'no time'}",
            *(f"cosigned by {witness} up to {size} entries" for witness, size in self.cosigned.items()),
            *(f"BAD {one['code']}: {one['message']}" for one in told["findings"]),
        ]
        if self.stale:
            lines.append("nothing was verified of late: does the worker run?")
        return "\n".join([*lines, "ok" if self.ok else "NOT ok"])

    def metrics(self) -> Iterator[tuple[str, str, float]]:
        """Name, meaning and value of each gauge."""
        found = self.verification
        yield "consent_gateway_log_entries", "Entries sealed into the audit log.", self.size
        yield (
            "consent_gateway_log_verified_entries",
            "Entries verified in the present pass.",
            found.position if found else 0,
        )
        yield "consent_gateway_log_verification_ok", "1 while the log verifies and was verified of late.", int(self.ok)
        for name, meaning, moment in (
            ("sealed", "When the newest checkpoint was signed.", self.sealed_at),
            ("verified", "When the log was last verified.", None if found is None else found.verified_at),
            ("whole_verified", "When the whole log was last verified.", None if found is None else found.whole_at),
        ):
            if moment is not None:
                yield f"consent_gateway_log_{name}_timestamp_seconds", meaning, moment.timestamp()

    def as_prometheus(self) -> str:
        """The metrics in the text format of Prometheus, as its textfile collector takes them."""
        lines = []
        for name, meaning, value in self.metrics():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", f"{name} {value:.15g}"]
        return "\n".join([*lines, ""])


def log_status(connection: sa.Connection, now: datetime) -> LogStatus:
    """How the log stands now."""
    checkpoint, column = AUDIT_CHECKPOINTS.c, AUDIT_COSIGNATURES.c
    newest = connection.execute(
        sa.select(checkpoint.size, checkpoint.issued_at).order_by(checkpoint.size.desc()).limit(1)
    ).one_or_none()
    found = standing(connection)
    cosigned = connection.execute(
        sa.select(column.witness, sa.func.max(column.size)).group_by(column.witness).order_by(column.witness)
    )
    verified_at = None if found is None else found.verified_at
    size = 0 if newest is None else newest.size
    return LogStatus(
        size=size,
        sealed_at=None if newest is None else from_micros(newest.issued_at),
        verification=found,
        stale=size > 0 and (verified_at is None or now - verified_at > STALE),
        cosigned={str(witness).split("+", 1)[0]: most for witness, most in cosigned},
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else written_time(moment)
