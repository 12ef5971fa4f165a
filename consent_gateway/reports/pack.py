"""The auditor's pack: every report, the entries of the period with their proof, and a verifier, in one signed folder.

It is an export of the log whose manifest lists the reports too, so that whoever verifies the export verifies the pack.
Every report in it rests on the very checkpoint that the proof leads to.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.export import Exported, Progress, export
from consent_gateway.audit.log import EntryFilter
from consent_gateway.audit.signer import Signer
from consent_gateway.policy import Policies
from consent_gateway.reports import forms
from consent_gateway.reports.book import REPORTS, make
from consent_gateway.reports.model import Asked, Report
from consent_gateway.reports.source import open_source

PACK = "pack"
"""What the act of writing one is called in the log, in the place of a report's name."""

_README = """\
An auditor's pack of a consent gateway.

1. Get the log's public key from the operator's published documentation or from an earlier audit, not from this
   folder: vkey.txt here only says which key to expect. Keep checkpoint.txt of this folder for the next audit.
2. Verify the folder, with Python 3.11 and the package `cryptography`, on a machine of your own:

     python verify.py . --vkey VKEY

   VKEY is the key, as a file or the line itself; --earlier FILE gives a checkpoint.txt of an earlier audit and shows
   that nothing it covered was changed since. A verify.py that came from somewhere else than this folder is better
   evidence. Exit code 0: every file is the one that was signed, every entry of the period is in the log, unaltered
   and in order, and nothing between the first and the last is missing. Add no file to the folder before.
3. Verify the re-identifications: python reidentification_proof.py . --origin URL
   URL is the gateway's address as its officers' browsers see it.
4. Read the reports, and count what you doubt again in entries.ndjson (its format: docs/formats/audit-log.md of the
   gateway). Each report says what it counted; entries past the checkpoint are in none of them.

Times are UTC everywhere. People stand under pseudonymous ids: ask the operator to have one re-identified, which is an
act of its own in the log.

report-*.html, .json the reports, to read and for machines; print them from a browser
report-*-*.csv       each of their tables; the lines above the empty line say what it is
"""
_LISTED = """\
entries.ndjson       the log's entries of the period, one a line, byte for byte as they were sealed
entries.csv          the same as a table, for reading
leaf-hashes.txt      the hash of each, in hex, one a line
checkpoint.txt       the newest signed checkpoint; checkpoints.ndjson holds those within the period as well
manifest.json        what was asked for, counts, first and last index, SHA-256 of every file
manifest.sig         the log's signature over the manifest
"""


def write_pack(
    engine: sa.Engine,
    folder: Path,
    signer: Signer,
    policies: Policies,
    now: datetime,
    asked: Asked,
    progress: Progress = lambda _read, _total: None,
) -> Exported:
    """Write the pack of a period into the folder, which must not exist or be empty.

    Raises `NotFound` where the log has no sealed entry of the period, and as `export` does.
    """

    def enclosed(note: str) -> Iterator[tuple[str, bytes]]:
        with open_source(engine, policies, now, note) as source:
            for name in REPORTS:
                yield from _files(make(source, name, asked))
        yield forms.STYLESHEET, (Path(forms.__file__).parent / forms.STYLESHEET).read_bytes()
        yield "README.txt", f"{_README}{_LISTED}".encode()

    return export(engine, folder, signer, now, EntryFilter(asked.since, asked.until), progress, enclosed)


def _files(report: Report) -> Iterator[tuple[str, bytes]]:
    name = f"report-{report.name}"
    yield f"{name}.json", forms.as_json(report)
    yield f"{name}.html", forms.as_html(report)
    for table in report.tables:
        yield f"{name}-{table.key}.csv", forms.as_csv(report, table.key)
