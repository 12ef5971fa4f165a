"""The auditor's pack: one folder that verifies on a machine that knows nothing of us; every byte of it counts."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from consent_gateway.audit.rotation import begin
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.verify import LogKey, Unusable, verify_folder
from consent_gateway.errors import Conflict
from consent_gateway.reports.book import REPORTS
from consent_gateway.reports.model import Asked
from consent_gateway.reports.pack import write_pack
from tests.conftest import NOON
from tests.unit.reports.conftest import Company

PERIOD = Asked(since=NOON - timedelta(days=70), until=NOON - timedelta(days=50))


@pytest.fixture
def pack(company: Company, tmp_path: Path) -> Path:
    """A pack of twenty days."""
    folder = tmp_path / "pack"
    write_pack(company.engine, folder, company.signer, company.policies, company.clock.now(), PERIOD)
    return folder


def alone(folder: Path, vkey: str) -> "subprocess.CompletedProcess[str]":
    """The pack's own verifier, in a process that cannot import the gateway."""
    command = [sys.executable, "-I", str(folder / "verify.py"), str(folder), "--vkey", vkey, "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)


def test_a_pack_holds_every_report_and_verifies_alone(pack: Path, company: Company) -> None:
    """Each report is there in all its forms, of the period asked for, resting on the checkpoint of the proof."""
    answer = alone(pack, company.signer.published)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    manifest = json.loads((pack / "manifest.json").read_text())
    assert set(manifest["files"]) == {path.name for path in pack.iterdir()} - {"manifest.json", "manifest.sig"}
    note = (pack / "checkpoint.txt").read_text()
    for name in REPORTS:
        told = json.loads((pack / f"report-{name}.json").read_text())
        assert told["rests_on"]["checkpoint"] == note
        assert told["asked"] == {"since": "2026-09-13T12:00:00.000000Z", "until": "2026-10-03T12:00:00.000000Z"}
        assert (pack / f"report-{name}.html").read_text().startswith("<!doctype html>")
        assert {path.name for path in pack.glob(f"report-{name}-*.csv")} == {
            f"report-{name}-{key}.csv" for key in told["tables"]
        }
    assert manifest["unbroken"] is True
    assert manifest["entries"] == len((pack / "entries.ndjson").read_bytes().splitlines()) > 100


def spoiled(pack: Path, keys: str) -> Callable[[Path, bytes], bool]:
    """Whether the verifier finds the folder wrong, or refuses it, once a file holds these bytes."""

    def found(path: Path, content: bytes) -> bool:
        was = path.read_bytes()
        path.write_bytes(content)
        try:
            return not verify_folder(pack, LogKey(keys)).ok
        except Unusable:
            return True
        finally:
            path.write_bytes(was)

    return found


@pytest.mark.only_on("sqlite")
def test_any_changed_byte_of_any_file_is_found(pack: Path, company: Company) -> None:
    """A byte of every file, at its ends and at random, is changed to another: each is found."""
    dice, is_found = random.Random(7), spoiled(pack, company.signer.published)
    for path in sorted(pack.iterdir()):
        content = path.read_bytes()
        for at in {0, len(content) - 1, dice.randrange(len(content))}:
            other = (content[at] + dice.randrange(1, 256)) % 256
            assert is_found(path, content[:at] + bytes([other]) + content[at + 1 :]), f"{path.name} at {at}"
    assert verify_folder(pack, LogKey(company.signer.published)).ok


@pytest.mark.only_on("sqlite")
def test_every_byte_of_the_signature_counts(company: Company, tmp_path: Path) -> None:
    """Each single byte of manifest.sig, also while two keys sign: nothing in it can be changed unnoticed."""
    key_file = tmp_path / "state" / "audit" / "log.key"
    both = begin(company.engine, key_file, NOON)
    folder = tmp_path / "pack"
    write_pack(
        company.engine, folder, both, company.policies, company.clock.now(), Asked(until=NOON - timedelta(days=79))
    )
    path, is_found = folder / "manifest.sig", spoiled(folder, both.published)
    content = path.read_bytes()
    assert content.count("—".encode()) == 2
    assert verify_folder(folder, LogKey(open_signer(key_file).published)).ok
    for at in range(len(content)):
        for other in (content[at] ^ 1, content[at] ^ 4, 13):
            if other != content[at]:
                assert is_found(path, content[:at] + bytes([other]) + content[at + 1 :]), f"byte {at} to {other}"


@pytest.mark.only_on("sqlite")
def test_a_file_taken_away_or_put_beside_is_found(pack: Path, company: Company, tmp_path: Path) -> None:
    """The folder is what the manifest lists, no less and no more."""
    for name in ("report-rights.json", "manifest.sig", "entries.csv"):
        copy = tmp_path / "copy"
        shutil.copytree(pack, copy)
        (copy / name).unlink()
        assert alone(copy, company.signer.published).returncode in (1, 2)
        shutil.rmtree(copy)
    (pack / "report-rights-2.csv").write_text("received,0\n")
    answer = alone(pack, company.signer.published)
    assert answer.returncode == 1
    assert "report-rights-2.csv" in answer.stdout


@pytest.mark.only_on("sqlite")
def test_a_pack_goes_into_an_empty_folder(pack: Path, company: Company) -> None:
    """What lies in a folder already is not mixed with evidence."""
    with pytest.raises(Conflict):
        write_pack(company.engine, pack, company.signer, company.policies, company.clock.now(), PERIOD)
