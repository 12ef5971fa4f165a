"""`consent-gateway audit …`: verify, export and print checkpoints; thin over the audit room, decides nothing."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import sqlalchemy as sa

from consent_gateway.audit.checkpoint import NoteInvalid, VerifierKey, read_vkey
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.export import Exported, export
from consent_gateway.audit.live import verify_database
from consent_gateway.audit.log import AuditLog, checkpoint_note
from consent_gateway.audit.recorder import record_alone
from consent_gateway.audit.reidentification_proof import prove_folder
from consent_gateway.audit.signer import KEY_FILE, open_signer
from consent_gateway.audit.verify import LogKey, Report, Unusable, text_or_file, verify_folder
from consent_gateway.database import open_engine
from consent_gateway.errors import InputRefused
from consent_gateway.ids import new_id
from consent_gateway.settings import read_settings

_database = click.option("--database", metavar="URL", help="the gateway database")
_state = click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="the state directory")
_vkey = click.option("--vkey", metavar="FILE|LINE", help="the log's public key; by default that of the state directory")
_json = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group()
def audit() -> None:
    """The tamper-evident log of every decision."""


@audit.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@_database
@_state
@_vkey
@click.option("--earlier", multiple=True, metavar="FILE", help="a checkpoint kept from before; may be given repeatedly")
@_json
def verify(
    folder: Path | None,
    database: str | None,
    state: Path | None,
    vkey: str | None,
    earlier: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Verify an exported FOLDER, or the log in the database; exit code 1 means that it does not verify."""
    report = verified(folder, database, log_key(vkey, state), earlier)
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text())
    sys.exit(0 if report.ok else 1)


@audit.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@_database
@_state
@_vkey
@click.option("--since", metavar="TIME", help="entries from this time on, RFC 3339; UTC where no zone is given")
@click.option("--until", metavar="TIME", help="entries before this time")
@_json
def export_command(
    folder: Path,
    database: str | None,
    state: Path | None,
    vkey: str | None,
    since: str | None,
    until: str | None,
    *,
    as_json: bool,
) -> None:
    """Write a folder that an outside auditor can verify without this software."""
    key, begin, end = log_key(vkey, state), moment(since), moment(until)
    engine = open_engine(_required(database), threads=1)
    try:
        _account_for(engine, since, until)
        done = export(engine, folder, key, datetime.now(UTC), begin, end)
        waiting = _waiting(engine, state if database is not None or state is not None else read_settings().state_dir)
    finally:
        engine.dispose()
    if as_json:
        click.echo(json.dumps({**described(done), "waiting": waiting}))
        return
    told = (
        "how many entries wait to be sealed is not known without --state"
        if waiting is None
        else (f"{waiting} entries wait unsealed")
    )
    click.echo(f"{_sentence(done)}; {told}")


@audit.command()
@_database
@_json
def checkpoint(database: str | None, *, as_json: bool) -> None:
    """Print the newest signed checkpoint: keep it outside, and nobody can roll the log back unnoticed."""
    engine = open_engine(_required(database), threads=1)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            note = checkpoint_note(connection)
    finally:
        engine.dispose()
    click.echo(json.dumps({"note": note}) if as_json else note, nl=as_json)


@audit.command("verify-reidentifications")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--origin", metavar="URL", help="the gateway's address as officers' browsers see it; by default ISSUER")
@_state
@_vkey
@_json
def verify_reidentifications(
    folder: Path, origin: str | None, state: Path | None, vkey: str | None, *, as_json: bool
) -> None:
    """Verify an exported FOLDER and every re-identification in it; exit code 1 means that one does not verify."""
    report = verified(folder, None, log_key(vkey, state), ())
    try:
        proof = prove_folder(folder, read_settings().issuer if origin is None else origin)
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused("cannot verify: the folder is not an export of an audit log") from error
    if as_json:
        click.echo(json.dumps({"log": report.as_json(), "reidentifications": proof.as_json()}))
    else:
        click.echo(f"{report.as_text()}\n{proof.as_text()}")
    sys.exit(0 if report.ok and proof.ok else 1)


def verified(folder: Path | None, database: str | None, key: VerifierKey, earlier: Sequence[str]) -> Report:
    """The report on a folder, or else on the database. Raises `InputRefused` for what cannot be judged."""
    if folder is not None and database is not None:
        raise click.UsageError("name a folder or --database, not both")
    try:
        own_key, notes = LogKey(str(key)), [text_or_file(note) for note in earlier]
        return verify_folder(folder, own_key, notes) if folder else _verified_database(database, own_key, notes)
    except Unusable as error:
        raise InputRefused(f"cannot verify: {error}") from error


def _verified_database(database: str | None, key: LogKey, notes: list[str]) -> Report:
    engine = open_engine(_required(database), threads=1)
    try:
        return verify_database(engine, key, notes)
    finally:
        engine.dispose()


def log_key(vkey: str | None, state: Path | None) -> VerifierKey:
    """The log's public key: the one given, else that of the signing key of the state directory or the settings."""
    try:
        if vkey is not None:
            return read_vkey(text_or_file(vkey))
    except (NoteInvalid, Unusable) as error:
        raise InputRefused(str(error)) from error
    path = read_settings().log_key_file if state is None else state / KEY_FILE
    if not path.exists():
        raise InputRefused("which key? give --vkey, or --state with the signing key in it")
    return open_signer(path).vkey


def moment(given: str | None) -> datetime | None:
    """A point in time from RFC 3339 or a date; UTC where no zone is given."""
    if given is None:
        return None
    try:
        parsed = datetime.fromisoformat(given)
    except ValueError as error:
        raise InputRefused(f"`{given}` is not a time: write it like 2026-11-22T12:00:00Z") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _account_for(engine: sa.Engine, since: str | None, until: str | None) -> None:
    """An export is itself an entry of the log, durable before the first line is written."""
    now = datetime.now(UTC)
    detail = {name: value for name, value in (("since", since), ("until", until)) if value}
    record_alone(engine, Entry(new_id("exp", now), EntryKind.EXPORT, now, action="export", detail=detail))


def _waiting(engine: sa.Engine, state: Path | None) -> int | None:
    """Entries that wait to be sealed; None where they lie in files of a state directory that was not named."""
    if state is None and engine.dialect.name == "sqlite":
        return None
    return AuditLog(engine, Path() if state is None else state).waiting()


def described(done: Exported) -> dict[str, object]:
    """An export as JSON-ready members."""
    return {
        "folder": str(done.folder),
        "first_index": done.first_index,
        "last_index": done.last_index,
        "entries": done.entries,
        "matching": done.matching,
        "size": done.size,
    }


def _sentence(done: Exported) -> str:
    span = f"entries {done.first_index} to {done.last_index} of {done.size}"
    return f"exported {span} to {done.folder}; {done.matching} of {done.entries} lie in the window asked for"


def _required(database: str | None) -> str:
    """The database named, or that of the settings."""
    return read_settings().database_url if database is None else database
