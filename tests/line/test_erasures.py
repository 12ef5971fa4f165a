"""What an operator is told of erasures: once, again after an older key table came back, and as a list to be kept."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from consent_gateway.cli.audit import audit as audit_command
from consent_gateway.doctor import Diagnosis, Standing
from consent_gateway.errors import NotFound
from consent_gateway.shredding import Shredded
from consent_gateway.store_scan import MENDS, Cause
from consent_gateway.wiring import open_doctor
from tests.line.conftest import Line
from tests.line.test_erasing import entries, id_of, run

PERSON_KEYS = "SELECT epoch, wrapped FROM person_keys WHERE data_subject = :person"
ALIVE = "UPDATE person_keys SET wrapped = :wrapped, destroyed_at = NULL WHERE data_subject = :person"


def erased_and_restored(line: Line, customer: int) -> tuple[str, Shredded]:
    """A person whose erasure is finished and whose row of the key table is that of a back-up from before."""
    who = id_of(line, customer)
    line.services.keyring.create(who)
    with line.services.key_engine.begin() as connection:
        row = connection.execute(sa.text(PERSON_KEYS), {"person": who}).one()
    first = line.services.shredding.shred(who, reference="dsr-1", by="operator")
    with line.services.key_engine.begin() as connection:
        connection.execute(sa.text(ALIVE), {"person": who, "wrapped": row.wrapped})
    line.services.keyring.forget()
    return who, first


def examined(line: Line) -> Diagnosis:
    """What the doctor says of this deployment, by a small sample."""
    return open_doctor(line.deployment.settings).examine(1, lambda _done, _total: None)


def test_keys_that_came_back_are_found_and_destroyed_again(line: Line) -> None:
    """The doctor names the person, a second `shred` says when it destroyed again, and the log tells both outcomes."""
    who, first = erased_and_restored(line, 1)
    (found,) = [one for one in examined(line).checks if one.name == "erased people"]
    assert (found.standing, who in found.found) == (Standing.BAD, True)
    assert "people shred" in str(found.mend)
    told = run(line, "shred", who, "--reference", "dsr-1", "--yes").stdout
    assert f"destroyed before at {first.destroyed_at.isoformat()}" in told
    log = entries(line, kind="erasure", data_subject=who)
    assert [each["outcome"] for each in log] == ["intended", "shredded", "shredded_again"]
    assert log[2]["id"] in told
    assert f"destroyed again at {log[2]['detail']['destroyed_at']}" in told
    assert log[2]["detail"]["destroyed_before"] == first.destroyed_at.isoformat()
    assert log[2]["reference"] == first.shredding_id
    again = line.services.shredding.shred(who, reference="dsr-1", by="operator")
    assert (again.outcome_entry, again.destroyed_before) == (log[2]["id"], None)
    assert len(entries(line, kind="erasure", data_subject=who)) == 3
    assert [one.standing for one in examined(line).checks if one.name == "erased people"] == [Standing.OK]


def test_erased_people_without_a_row_of_keys_are_found(line: Line) -> None:
    """A key table from before the person had keys could make them some: it is bad, and `shred` mends it."""
    who = id_of(line, 2)
    line.services.shredding.shred(who, reference="dsr-2", by="operator")
    with line.services.key_engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM person_keys WHERE data_subject = :person"), {"person": who})
    assert line.services.erasures.undone() == (who,)
    assert line.services.shredding.shred(who, reference="dsr-2", by="operator").destroyed_before is not None
    assert line.services.erasures.undone() == ()


def test_another_reference_is_said_to_be_left_out(line: Line) -> None:
    """A second call with another reference says whose the erasure is, on standard error, and records nothing."""
    who = id_of(line, 3)
    assert "belongs to it" not in run(line, "shred", who, "--reference", "dsr-3", "--yes").stderr
    told = run(line, "shred", who, "--reference", "dsr-4", "--yes", "--json")
    assert "begun for dsr-3" in told.stderr
    assert "dsr-4 is not recorded" in told.stderr
    assert json.loads(told.stdout)["reference"] == "dsr-3"


def test_a_row_that_the_store_still_holds_is_told_before_and_after(line: Line) -> None:
    """The question and the evidence both say that the row is there; once it is erased there, neither does."""
    who = id_of(line, 4)
    asked = run(line, "shred", who, "--reference", "dsr-5", typed="n\n")
    assert "still holds this person's row, under the key 4" in asked.stderr
    told = run(line, "shred", who, "--reference", "dsr-5", typed="y\n")
    assert "still holds this person's row, under the key 4" in told.stdout
    gone = id_of(line, 60)  # the store gave up the row, as it does on request
    with line.services.engine.begin() as connection:
        connection.execute(sa.text("UPDATE people SET store_key = '9060' WHERE data_subject = :id"), {"id": gone})
    told = run(line, "shred", gone, "--reference", "dsr-6", "--yes", "--json")
    assert json.loads(told.stdout)["in_store"] is False


def test_an_unknown_id_is_refused_before_the_question(line: Line) -> None:
    """Nobody is asked to confirm the erasure of nobody; the mend says how an id is found."""
    told = run(line, "shred", "ds_nobody", "--reference", "dsr-7", typed="y\n")
    assert isinstance(told.exception, NotFound)
    assert "consent show --by email" in told.exception.message
    assert "Erase" not in told.output


def test_erasures_are_listed_from_a_time_on(line: Line) -> None:
    """`people erasures` tells id, reference, times and outcome entry, oldest first, and none before `--since`."""
    first = line.services.shredding.shred(id_of(line, 5), reference="dsr-8", by="operator")
    second = line.services.shredding.shred(id_of(line, 6), reference="dsr-9", by="operator")
    since = first.begun_at.isoformat()
    listed = json.loads(run(line, "erasures", "--json", "--since", since).stdout)
    assert [(one["data_subject"], one["reference"], one["outcome_entry"]) for one in listed] == [
        (one.data_subject, one.reference, one.outcome_entry) for one in (first, second)
    ]
    assert listed[1]["begun_at"] == second.begun_at.isoformat()
    text = run(line, "erasures").stdout
    assert f"{first.data_subject} dsr-8 begun {since} finished {first.finished_at.isoformat()}" in text
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert run(line, "erasures", "--since", later).stdout == ""


@pytest.mark.parametrize("typed", ["", "\n"])
def test_a_lift_without_an_identifier_is_wrong_usage(line: Line, typed: str) -> None:
    """With a pipe in place of a terminal the first line is the identifier; an empty one is said to be missing."""
    told = run(line, "suppression", "lift", "--kind", "email", "--reference", "form-1", typed=typed)
    assert (told.exit_code, "no email came on standard input" in told.stderr) == (2, True)


def test_plain_values_in_rows_of_erased_people_have_a_mend_that_works(line: Line) -> None:
    """Plain text in the row of somebody erased is not sent to `people enrol`, which leaves it out and says which."""
    who, place = id_of(line, 8), line.store("SELECT count(*) FROM customers WHERE customer_id <= 8")
    line.services.shredding.shred(who, reference="dsr-10", by="operator")
    line.store("UPDATE customers SET allergies = 'figs' WHERE customer_id = 8")
    try:
        scan = open_doctor(line.deployment.settings).examine(None, lambda _done, _total: None)
    finally:
        line.store("UPDATE customers SET allergies = NULL WHERE customer_id = 8")
    (found,) = [one for one in scan.unprotected if one.cause is Cause.ERASED_PERSONS_PLAIN]
    assert (found.field, found.examples, found.mend) == (
        "allergies",
        (f"row {place}",),
        MENDS[Cause.ERASED_PERSONS_PLAIN],
    )
    assert not [one for one in scan.unprotected if one.cause is Cause.PLAIN_TEXT]
    assert "erase these rows in the store" in found.mend
    report = line.services.enrolment.run(lambda _done, _total: None)
    assert report.left_out
    assert len(report.left_out) <= 3
    told = run(line, "enrol").stdout
    assert f"first {', '.join(f'row {place}' for place in report.left_out)} of the store" in told


def test_an_export_says_how_many_entries_it_lacks(line: Line, tmp_path: Path) -> None:
    """What no worker has sealed is counted, the entry of the export itself included."""
    entries(line)
    settings = line.deployment.settings
    place = ("--database", settings.database_url, "--state", str(settings.state_dir))
    done = CliRunner().invoke(audit_command, ["export", str(tmp_path / "first"), *place, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["waiting"]) == (0, 1)
    again = CliRunner().invoke(audit_command, ["export", str(tmp_path / "second"), *place])
    assert "; 2 entries wait unsealed" in again.stdout
