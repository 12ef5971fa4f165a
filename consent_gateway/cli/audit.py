"""`consent-gateway audit …`: verify, export, tiles, checkpoints and keys; thin over the audit room, decides nothing."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.export import Exported, export
from consent_gateway.audit.live import verify_database
from consent_gateway.audit.log import AuditLog, EntryFilter, checkpoint_note, size_of
from consent_gateway.audit.recorder import record_alone
from consent_gateway.audit.reidentification_proof import prove_folder
from consent_gateway.audit.rotation import begin, finish
from consent_gateway.audit.signer import KEY_FILE, Signer, open_signer
from consent_gateway.audit.status import log_status
from consent_gateway.audit.tiles import write_tiles
from consent_gateway.audit.verify import LogKey, Report, Unusable, text_or_file, verify_folder
from consent_gateway.cli.terminal import progress
from consent_gateway.database import open_engine, reading_connection
from consent_gateway.errors import InputRefused
from consent_gateway.ids import new_id
from consent_gateway.policy import load_policies
from consent_gateway.reports.book import entry_of
from consent_gateway.reports.model import Asked
from consent_gateway.reports.pack import PACK, write_pack
from consent_gateway.settings import read_settings

EXPORT_SECONDS = 600  # counting the entries of ten million people takes longer than a request may

_database = click.option("--database", metavar="URL", help="the gateway database")
_state = click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="the state directory")
_vkey = click.option(
    "--vkey", metavar="FILE|LINE", help="the log's public keys; by default those of the state directory"
)
_key = click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="the file of the log's signing key")
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
@click.option("--witness", multiple=True, metavar="FILE|LINE", help="a witness that must have cosigned: its vkey")
@_json
def verify(
    folder: Path | None,
    database: str | None,
    state: Path | None,
    vkey: str | None,
    earlier: tuple[str, ...],
    witness: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Verify an exported FOLDER, a copy of the tiles, or the log in the database; exit code 1: it does not verify."""
    report = verified(folder, database, log_keys(vkey, state), earlier, witness)
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text())
    sys.exit(0 if report.ok else 1)


@audit.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@_database
@_state
@_key
@click.option("--since", metavar="TIME", help="entries from this time on, RFC 3339; UTC where no zone is given")
@click.option("--until", metavar="TIME", help="entries before this time")
@click.option("--person", metavar="ID", help="entries about the person of this id")
@click.option("--kind", help="entries of this kind")
@click.option("--caller", help="entries of this client or officer")
@click.option("--purpose", help="entries for this purpose")
@click.option("--channel", help="entries of this channel")
@click.option("--outcome", help="entries with this outcome")
@_json
def export_command(
    folder: Path,
    database: str | None,
    state: Path | None,
    key: Path | None,
    since: str | None,
    until: str | None,
    person: str | None,
    *,
    as_json: bool,
    **words: str | None,
) -> None:
    """Write a folder that an outside auditor can verify without this software."""
    which = EntryFilter(moment(since), moment(until), data_subject=person, **words)
    signer = log_signer(key, state)
    engine = open_engine(required(database), threads=1, statement_seconds=EXPORT_SECONDS)
    try:
        _account_for(engine, which)
        show = progress("{done} of {total} entries read", silent=as_json)
        done = export(engine, folder, signer, datetime.now(UTC), which, show)
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
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@_database
@_state
@_key
@click.option("--since", metavar="TIME", help="from this time on, RFC 3339; UTC where no zone is given")
@click.option("--until", metavar="TIME", help="before this time")
@click.option("--policies", "directory", type=click.Path(path_type=Path, file_okay=False), help="the policy directory")
@_json
def pack(
    folder: Path,
    database: str | None,
    state: Path | None,
    key: Path | None,
    since: str | None,
    until: str | None,
    directory: Path | None,
    *,
    as_json: bool,
) -> None:
    """Write an auditor's pack into FOLDER: all reports, the entries of a period, their proof, and what verifies it."""
    asked, now = Asked(since=moment(since), until=moment(until)), datetime.now(UTC)
    signer, policies = (
        log_signer(key, state),
        load_policies(read_settings().policies if directory is None else directory),
    )
    engine = open_engine(required(database), threads=1, statement_seconds=EXPORT_SECONDS)
    try:
        record_alone(engine, entry_of(new_id("rep", now), PACK, asked, None, now))
        show = progress("{done} of {total} entries read", silent=as_json)
        done = write_pack(engine, folder, signer, policies, now, asked, show)
    finally:
        engine.dispose()
    told = f"{_sentence(done)}; verify it: python {folder / 'verify.py'} {folder} --vkey VKEY"
    click.echo(json.dumps(described(done)) if as_json else told)


@audit.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@_database
@_json
def tiles(folder: Path, database: str | None, *, as_json: bool) -> None:
    """Write the log as static tiles (C2SP tlog-tiles) into FOLDER, or bring them up to date."""
    engine = open_engine(required(database), threads=1)
    try:
        with reading_connection(engine) as connection:
            note = checkpoint_note(connection)
            write_tiles(connection, folder, note, size_of(note))
    finally:
        engine.dispose()
    told = {"folder": str(folder), "size": size_of(note)}
    click.echo(json.dumps(told) if as_json else f"tiles of {told['size']} entries in {folder}")


@audit.command()
@_state
@_key
@_json
def keys(state: Path | None, key: Path | None, *, as_json: bool) -> None:
    """Print the public keys of the log, a line each, for auditors to keep."""
    signer = log_signer(key, state)
    click.echo(json.dumps(_told_keys(signer)) if as_json else signer.published, nl=as_json)


@audit.command("add-key")
@_database
@_state
@_key
@_json
def add_key(database: str | None, state: Path | None, key: Path | None, *, as_json: bool) -> None:
    """Make a new signing key beside the present one; both sign until `retire-key`. Restart what seals."""
    _changed_key(database, key_path(key, state), begin, "added; restart the worker", as_json=as_json)


@audit.command("retire-key")
@_database
@_state
@_key
@_json
def retire_key(database: str | None, state: Path | None, key: Path | None, *, as_json: bool) -> None:
    """End the overlap: the older signing key signs no more. Publish the list of `keys` anew."""
    _changed_key(database, key_path(key, state), finish, "retired; restart the worker", as_json=as_json)


def _changed_key(
    database: str | None,
    path: Path,
    change: Callable[[sa.Engine, Path, datetime], Signer],
    told: str,
    *,
    as_json: bool,
) -> None:
    engine = open_engine(required(database), threads=1)
    try:
        signer = change(engine, path, datetime.now(UTC))
    finally:
        engine.dispose()
    click.echo(json.dumps(_told_keys(signer)) if as_json else f"{told}\n{signer.published}", nl=as_json)


def _told_keys(signer: Signer) -> dict[str, list[str]]:
    return {"keys": signer.published.splitlines()}


@audit.command()
@_database
@_json
def checkpoint(database: str | None, *, as_json: bool) -> None:
    """Print the newest signed checkpoint: keep it outside, and nobody can roll the log back unnoticed."""
    engine = open_engine(required(database), threads=1)
    try:
        with reading_connection(engine) as connection:
            note = checkpoint_note(connection)
    finally:
        engine.dispose()
    click.echo(json.dumps({"note": note}) if as_json else note, nl=as_json)


@audit.command()
@_database
@click.option("--prometheus", is_flag=True, help="print metrics for a textfile collector")
@_json
def status(database: str | None, *, prometheus: bool, as_json: bool) -> None:
    """Tell how far the log is sealed, verified and cosigned; exit code 1: it does not verify, or nobody verifies it."""
    engine = open_engine(required(database), threads=1)
    try:
        with reading_connection(engine) as connection:
            told = log_status(connection, datetime.now(UTC))
    finally:
        engine.dispose()
    if prometheus:
        click.echo(told.as_prometheus(), nl=False)
    else:
        click.echo(json.dumps(told.as_json()) if as_json else told.as_text())
    sys.exit(0 if told.ok else 1)


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
    report = verified(folder, None, log_keys(vkey, state), ())
    try:
        proof = prove_folder(folder, read_settings().issuer if origin is None else origin)
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused("cannot verify: the folder is not an export of an audit log") from error
    if as_json:
        click.echo(json.dumps({"log": report.as_json(), "reidentifications": proof.as_json()}))
    else:
        click.echo(f"{report.as_text()}\n{proof.as_text()}")
    sys.exit(0 if report.ok and proof.ok else 1)


def verified(
    folder: Path | None, database: str | None, vkeys: str, earlier: Sequence[str], witnesses: Sequence[str] = ()
) -> Report:
    """The report on a folder, or else on the database. Raises `InputRefused` for what cannot be judged."""
    if folder is not None and database is not None:
        raise click.UsageError("name a folder or --database, not both")
    try:
        own_key = LogKey(vkeys, map(text_or_file, witnesses))
        notes = [text_or_file(note) for note in earlier]
        return verify_folder(folder, own_key, notes) if folder else _verified_database(database, own_key, notes)
    except (Unusable, OSError, ValueError) as error:
        raise InputRefused(f"cannot verify: {error}") from error


def _verified_database(database: str | None, key: LogKey, notes: list[str]) -> Report:
    engine = open_engine(required(database), threads=1)
    try:
        return verify_database(engine, key, notes)
    finally:
        engine.dispose()


def log_keys(vkey: str | None, state: Path | None) -> str:
    """The log's public keys: those given, else those beside the signing key of the state directory or the settings."""
    if vkey is None:
        path = key_path(None, state)
        if not path.exists():
            raise InputRefused("which key? give --vkey, or --state with the signing key in it")
        return open_signer(path).published
    try:
        return text_or_file(vkey)
    except (OSError, ValueError) as error:
        raise InputRefused("the file of the public key cannot be read") from error


def log_signer(key: Path | None, state: Path | None) -> Signer:
    """The log's signing key, which must be there."""
    path = key_path(key, state)
    if not path.exists():
        raise InputRefused("the log's signing key is not there: give --key, or --state with the key in it")
    return open_signer(path)


def key_path(key: Path | None, state: Path | None) -> Path:
    """Where the signing key is: the file named, else in the state directory named, else as the settings say."""
    if key is not None:
        return key
    return read_settings().log_key_file if state is None else state / KEY_FILE


def moment(given: str | None) -> datetime | None:
    """A point in time from RFC 3339 or a date; UTC where no zone is given."""
    if given is None:
        return None
    try:
        parsed = datetime.fromisoformat(given)
    except ValueError as error:
        raise InputRefused(f"`{given}` is not a time: write it like 2026-11-22T12:00:00Z") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _account_for(engine: sa.Engine, which: EntryFilter) -> None:
    """An export is itself an entry of the log, durable before the first line is written."""
    now = datetime.now(UTC)
    detail = {name: value for name, value in which.as_json().items() if value}
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
        "manifest_sha256": done.manifest_sha256,
    }


def _sentence(done: Exported) -> str:
    span = f"entries {done.first_index} to {done.last_index} of {done.size}"
    return f"exported {span} to {done.folder}; {done.matching} of {done.entries} fit in what was asked for"


def required(database: str | None) -> str:
    """The database named, or that of the settings."""
    return read_settings().database_url if database is None else database
