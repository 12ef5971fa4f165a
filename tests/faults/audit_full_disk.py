"""Run as a script: records into a file that may not grow past a limit, and tells what was acknowledged and refused."""

import json
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import open_recorder
from consent_gateway.database import open_engine
from consent_gateway.errors import AuditUnavailable
from consent_gateway.ids import new_id


def main() -> None:
    """`STATE LIMIT`: record until three entries in a row were refused."""
    state, limit = Path(sys.argv[1]), int(sys.argv[2])
    recorder = open_recorder(open_engine("sqlite://", threads=1), state, deadline_seconds=0.3)
    acknowledged: list[str] = []
    refused: list[str] = []
    in_a_row = 0
    while in_a_row < 3:
        now = datetime.now(UTC)
        entry = Entry(new_id("dec", now), EntryKind.DECISION, now, outcome="x" * 1_000)
        try:
            recorder.record(entry)
        except AuditUnavailable:
            refused.append(entry.entry_id)
            in_a_row += 1
        else:
            acknowledged.append(entry.entry_id)
            in_a_row = 0
        if len(acknowledged) == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    told = {"acknowledged": acknowledged, "refused": refused, "failure": recorder.failure}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    now = datetime.now(UTC)
    last = Entry(new_id("dec", now), EntryKind.DECISION, now)
    recorder.record(last)
    recorder.close()
    told["after"] = last.entry_id
    print(json.dumps(told))  # noqa: T201 - the script's product


if __name__ == "__main__":
    main()
