"""Looks whether an installation is what it claims: every protected field protected, every part sound; mends nothing.

Every check is one line: what was looked at, how it stands, what was found, the mend. A part that cannot be opened is
bad; what could then not be looked at is unknown, and unknown is never all right. Having read the store is recorded.
"""

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder
from consent_gateway.audit.sealer import last_note, read_own_checkpoint
from consent_gateway.audit.signer import open_signer
from consent_gateway.database import DRIVER_ERRORS, open_engine, reading_connection, refuse_unless_durable, sqlite_file
from consent_gateway.erasures import Erasures
from consent_gateway.errors import (
    CatalogueMismatch,
    DatabaseUnavailable,
    GatewayError,
    KeysUnavailable,
    PolicyInvalid,
    SettingsRefused,
    StoreUnavailable,
)
from consent_gateway.ids import new_id
from consent_gateway.migrate import Chain, refuse_unless_current
from consent_gateway.policy import archive, load_policies
from consent_gateway.policy.checks import check_policies
from consent_gateway.ports import Clock, CustomerStore
from consent_gateway.protection.keys import KeyRing
from consent_gateway.settings import Settings
from consent_gateway.store_scan import MEANINGS, Progress, ScanReport, StoreScan, Unprotected

_FIRST = ("gateway database", "key table", "policy")  # without these nothing can be opened
_LATER = ("keys", "customer store", "log key", "erased people", "sealed fields")
_EXAMPLES = 3
_PASSING = (".db", ".db-wal", ".db-shm", ".lock")  # come and go beside a gateway that runs
_KEYS_MEND = "restore the root key file or the key table: they do not belong together"


class Standing(StrEnum):
    """How one check came out."""

    OK = "ok"
    BAD = "bad"
    UNKNOWN = "unknown"  # could not be looked at


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; `mend` is None where there is nothing to mend."""

    name: str
    standing: Standing
    found: str
    mend: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The whole report. `looked` of `records` records of the store were read."""

    checks: tuple[Check, ...]
    unprotected: tuple[Unprotected, ...]
    looked: int
    records: int

    @property
    def standing(self) -> Standing:
        """Bad where anything is; else unknown where anything could not be looked at."""
        standings = {one.standing for one in self.checks}
        return next((one for one in (Standing.BAD, Standing.UNKNOWN) if one in standings), Standing.OK)


@dataclass(frozen=True, slots=True)
class Patient:
    """The parts of an installation that could be opened; `close` lets go of them."""

    engine: sa.Engine
    keyring: KeyRing
    store: CustomerStore
    scan: StoreScan
    erasures: Erasures
    recorder: Recorder
    clock: Clock
    close: Callable[[], None]


class Doctor:
    """Examines one installation, from its settings to every value of its sealed fields."""

    def __init__(self, settings: Settings, secrets: tuple[Path, ...], open_patient: Callable[[], Patient]) -> None:
        self._settings = settings
        self._secrets = secrets
        self._open = open_patient

    def examine(self, sample: int | None, progress: Progress) -> Diagnosis:
        """Look at everything. Raises `AuditUnavailable` where having read the store cannot be recorded."""
        checks = [self._files(), *self._databases(), *self._policy()]
        opened: list[Patient] = []
        if all(one.standing is Standing.OK for one in checks if one.name in _FIRST):
            parts = _looked("parts", lambda: opened.append(self._open()), "all open")
        else:
            parts = Check("parts", Standing.UNKNOWN, "not opened", "mend what is bad above, then look again")
        checks.append(parts)
        if not opened:
            return Diagnosis((*checks, *(Check(name, Standing.UNKNOWN, "not looked at") for name in _LATER)), (), 0, 0)
        try:
            return self._examined(opened[0], checks, sample, progress)
        finally:
            opened[0].close()

    def _examined(self, patient: Patient, checks: list[Check], sample: int | None, progress: Progress) -> Diagnosis:
        checks.append(_looked("keys", patient.keyring.check, "the present ones open", _KEYS_MEND))
        checks.append(_looked("customer store", lambda: _fits(patient.store), "has all that the catalogue names"))
        checks.append(self._log_key(patient))
        checks.append(_looked("erased people", partial(_stay_erased, patient), "have no keys in this key table"))
        reports: list[ScanReport] = []
        scanned = _looked("sealed fields", lambda: reports.append(patient.scan.run(sample, progress)), "looked at")
        if not reports:
            diagnosis = Diagnosis((*checks, scanned), (), 0, 0)
        else:
            report = reports[0]
            checks += _sealed_fields(report)
            diagnosis = Diagnosis(tuple(checks), report.unprotected, report.looked, report.records)
        _record(patient, diagnosis)
        return diagnosis

    def _files(self) -> Check:
        wanted = _modes(self._settings, self._secrets)
        found = {path: _mode_of(path) for path in wanted}
        open_ones = {path: mode for path, mode in found.items() if mode is not None and mode & 0o077}
        missing = [path for path, mode in found.items() if mode is None and path.suffix not in _PASSING]
        if open_ones:
            told = ", ".join(f"`{path}` has mode {mode:04o}" for path, mode in open_ones.items())
            mends = "; ".join(f"run `chmod {wanted[path]:o} {path}`" for path in open_ones)
            return Check("files", Standing.BAD, told, mends)
        if missing:
            told = ", ".join(f"`{path}` is not there" for path in missing)
            return Check(
                "files", Standing.BAD, told, "restore it from its back-up, or run `consent-gateway db upgrade`"
            )
        return Check("files", Standing.OK, f"{len(wanted)} directories and files that only their owner can read")

    def _databases(self) -> Iterator[Check]:
        urls: tuple[tuple[str, str, Chain], ...] = (
            ("gateway database", self._settings.database_url, "gateway"),
            ("key table", self._settings.key_database_url, "keys"),
        )
        for name, url, chain in urls:
            yield _looked(name, partial(_sound, url, chain), "at the newest schema, loses no commit")

    def _policy(self) -> Iterator[Check]:
        try:
            policies = load_policies(self._settings.policies)
        except PolicyInvalid as error:
            yield Check("policy", Standing.BAD, error.message, "run `consent-gateway policy check`")
            for name in ("policy check", "policy archive"):
                yield Check(name, Standing.UNKNOWN, "the policy does not load")
            return
        yield Check("policy", Standing.OK, f"revision {policies.revision} loads")
        findings = check_policies(policies)
        if findings:
            told = f"{len(findings)} findings, first {findings[0]}"
            yield Check("policy check", Standing.BAD, told, "run `consent-gateway policy check`")
        else:
            yield Check("policy check", Standing.OK, "finds nothing")
        yield _looked(
            "policy archive",
            lambda: self._archived(policies.revision),
            "keeps this revision",
            "start the gateway anew: what runs, if anything, decides by another revision",
        )

    def _archived(self, revision: str) -> None:
        with _reading(self._settings.database_url) as connection:
            archive.load(connection, revision)

    def _log_key(self, patient: Patient) -> Check:
        path = self._settings.log_key_file
        with reading_connection(patient.engine) as connection:
            note = last_note(connection)
        if not path.exists():
            return Check("log key", Standing.BAD, f"`{path}` is not there", "restore it from its back-up")

        def fits() -> None:
            signer = open_signer(path, self._settings.log_origin)
            if note is not None:
                read_own_checkpoint(note, *signer.vkeys)

        found = "signs, nothing is signed yet" if note is None else "signed the log's last checkpoint"
        mend = "restore the key that signed the log from its back-up"
        if path.stat().st_mode & 0o077:
            mend = f"run `chmod 600 {path}`"
        return _looked("log key", fits, found, mend)


def _modes(settings: Settings, secrets: tuple[Path, ...]) -> dict[Path, int]:
    """What only its owner may read, with the mode it is to have. A database that is missing is told elsewhere."""
    directories = (settings.state_dir, settings.state_dir / "audit", settings.key_file.parent, settings.key_backup_dir)
    files = [settings.log_key_file, *secrets]
    if settings.key_source.provider == "file":
        files += [path for path in (settings.key_file, settings.key_file_copy) if path is not None]
    for folder in (settings.state_dir / "audit", settings.key_backup_dir):
        files += sorted(path for path in folder.glob("*") if path.is_file())
    for database in filter(None, (sqlite_file(settings.database_url), sqlite_file(settings.key_database_url))):
        every = (database, *(database.with_name(f"{database.name}{end}") for end in ("-wal", "-shm")))
        files += [path for path in every if path.exists()]
    return dict.fromkeys(directories, 0o700) | dict.fromkeys(files, 0o600)


def _mode_of(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:  # never there, or let go of by a process that runs
        return None


def _looked(name: str, look: Callable[[], None], found: str, mend: str | None = None) -> Check:
    """A check that raises where something is not so; of a part that does not answer nothing is known."""
    try:
        look()
    except DRIVER_ERRORS:
        return Check(name, Standing.UNKNOWN, "the database does not answer", "see that it runs")
    except GatewayError as error:
        away = isinstance(error, StoreUnavailable | DatabaseUnavailable)
        told, _, own_mend = error.message.partition(": ")
        standing = Standing.UNKNOWN if away else Standing.BAD
        return Check(name, standing, told, own_mend if away or mend is None else mend)
    return Check(name, Standing.OK, found)


@contextmanager
def _reading(url: str) -> Iterator[sa.Connection]:
    engine = open_engine(url, threads=1)
    try:
        with reading_connection(engine) as connection:
            yield connection
    finally:
        engine.dispose()


def _sound(url: str, chain: Chain) -> None:
    path = sqlite_file(url)
    if path is not None and not path.exists():  # which opening it would make
        raise SettingsRefused(
            f"`{path}` is not there: restore it from its back-up, or run `consent-gateway db upgrade`"
        )
    engine = open_engine(url, threads=1)
    try:
        refuse_unless_durable(engine)
        refuse_unless_current(engine, chain)
    finally:
        engine.dispose()


def _fits(store: CustomerStore) -> None:
    faults = store.faults()
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        told, _, mend = faults[0].partition(": ")
        raise CatalogueMismatch(f"{told}{more}: {mend}")


def _stay_erased(patient: Patient) -> None:
    undone = patient.erasures.undone()
    if undone:
        raise KeysUnavailable(
            f"{len(undone)} are erased, and their keys are not destroyed in this key table, first"
            f" {', '.join(undone[:_EXAMPLES])}: run `consent-gateway people shred` again for each"
        )


def _sealed_fields(report: ScanReport) -> Iterator[Check]:
    """One line for each sealed field, and one more for each cause that its values are not protected for."""
    part = "" if report.looked == report.records else f", of {report.looked} records out of {report.records}"
    bad = {one.field for one in report.unprotected}
    for field, opened in report.opened.items():
        if field not in bad:
            yield Check(
                f"sealed field {field}", Standing.OK, f"{opened} values open under their person and class{part}"
            )
    for one in report.unprotected:
        found = f"{one.values} values {MEANINGS[one.cause]}, first {', '.join(one.examples)}{part}"
        yield Check(f"sealed field {one.field}", Standing.BAD, found, one.mend)


def _record(patient: Patient, diagnosis: Diagnosis) -> None:
    now = patient.clock.now()
    detail = {
        "standing": diagnosis.standing.value,
        "read": str(diagnosis.looked),
        "unprotected": str(sum(one.values for one in diagnosis.unprotected)),
    }
    patient.recorder.record(Entry(new_id("sys", now), EntryKind.SYSTEM, now, action="doctor", detail=detail))
