"""A grant under real processes: of several at once one is told, and a killed one never leads to a second telling."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.officers import Officer
from tests.reidentification.conftest import APPROVES, ASKS, House, person

PROCESS = Path(__file__).with_name("reveal_process.py")


def start(house: House, request_id: str, officer: Officer, begin: Path, how: str) -> subprocess.Popen[str]:
    """One process, ready to ask."""
    arguments = [json.dumps(house.deployment.variables), request_id, officer.officer_id, str(begin), how]
    process = subprocess.Popen([sys.executable, str(PROCESS), *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finished(process: subprocess.Popen[str]) -> str:
    """What the process said at last."""
    said, _ = process.communicate(timeout=60)
    return said.strip()


def test_of_several_processes_exactly_one_is_told(house: House, tmp_path: Path) -> None:
    """Four processes ask at the same moment: one gets the value, three a conflict; the log has one reveal."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    request_id = house.granted(requester, approver, house.token(person(0)))
    begin = tmp_path / "begin"
    processes = [start(house, request_id, requester, begin, "whole") for _ in range(4)]
    begin.touch()
    said = sorted(map(finished, processes))
    assert said == [json.dumps([person(0)]), "conflict", "conflict", "conflict"]
    assert [one["action"] for one in house.entries(request_id)].count("reveal") == 1


@pytest.mark.parametrize(("how", "spent"), [("before_commit", False), ("after_commit", True)])
def test_a_process_killed_on_the_way_never_leads_to_two_tellings(
    house: House, tmp_path: Path, how: str, spent: bool
) -> None:
    """Killed before the mark is committed nothing happened; killed after it the grant is spent, and the log says so."""
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    request_id = house.granted(requester, approver, house.token(person(0)))
    begin = tmp_path / "begin"
    process = start(house, request_id, requester, begin, how)
    begin.touch()
    assert finished(process) == ""
    assert process.returncode == -9
    again = house.reveal(requester, request_id)
    assert again.status == (409 if spent else 200), again.body
    assert [one["action"] for one in house.entries(request_id)].count("reveal") == 1
