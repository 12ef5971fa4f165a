"""The doctor finds every planted fault by name, shows no value, and calls a sound installation sound."""

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from consent_gateway.audit.entry import EntryKind
from consent_gateway.audit.signer import open_signer
from consent_gateway.doctor import Diagnosis, Standing
from consent_gateway.protection.material import KeyGrant
from consent_gateway.protection.sealing import Sealing
from consent_gateway.protection.tokens import TokenKind, write
from consent_gateway.store_scan import CHILD_MEND, MENDS, Cause
from consent_gateway.wiring import open_doctor, open_sealer
from tests.line.conftest import Line

OLD = "fs1.m7k2.AAECAwQFBgcICQoLVHAAFCSCG9dwfowgMaQ9XC571U8Y589"
SOFIE = 10
LAST = 60  # the last customer of the deployment, about whom nothing else here is claimed


def examined(line: Line, sample: int | None = None, **changed: object) -> Diagnosis:
    """What the doctor says of this deployment, with settings changed as given."""
    settings = dataclasses.replace(line.deployment.settings, **changed)  # type: ignore[arg-type]
    return open_doctor(settings).examine(sample, lambda _done, _total: None)


def bad(diagnosis: Diagnosis) -> dict[str, str]:
    """What is bad, by name, with what was found and its mend."""
    return {one.name: f"{one.found}; {one.mend}" for one in diagnosis.checks if one.standing is Standing.BAD}


def unknown(diagnosis: Diagnosis) -> set[str]:
    """Names of what could not be looked at."""
    return {one.name for one in diagnosis.checks if one.standing is Standing.UNKNOWN}


@contextmanager
def planted(line: Line, column: str, value: str, customer: int = SOFIE) -> Iterator[None]:
    """Another value in one sealed column of one customer, for a while."""
    where = f"FROM customers WHERE customer_id = {customer}"
    kept = line.store(f"SELECT {column} {where}")
    change = f"UPDATE customers SET {column} = :value WHERE customer_id = {customer}"
    line.store(change, value=value)
    try:
        yield
    finally:
        line.store(change, value=kept)


def person_of(line: Line, customer: int) -> str:
    """The id of a customer's person."""
    return str(line.scalar("SELECT data_subject FROM people WHERE store_key = :key", key=str(customer)))


def test_a_sound_installation_is_called_sound(line: Line) -> None:
    """Every check is named and right, every sealed value was opened, and the reading itself is in the log."""
    diagnosis = examined(line)
    assert diagnosis.standing is Standing.OK, diagnosis
    assert (diagnosis.looked, diagnosis.records, diagnosis.unprotected) == (LAST, LAST, ())
    names = {one.name for one in diagnosis.checks}
    assert names >= {"files", "gateway database", "key table", "policy", "policy check", "policy archive", "keys"}
    assert names >= {"customer store", "log key", "sealed field allergies", "sealed field service_note"}
    for field in ("allergies", "service_note"):
        count = line.store(f"SELECT count(*) FROM customers WHERE {field} IS NOT NULL")
        assert f"{count} values open" in next(one.found for one in diagnosis.checks if one.name.endswith(field))
    sealer = open_sealer(line.deployment.settings, line.services)
    while sealer.seal_once().sealed:
        pass
    with line.services.engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT entry FROM audit_log WHERE kind = :kind"), {"kind": EntryKind.SYSTEM.value}
        ).scalars()
        entries = [json.loads(bytes(row))["entry"] for row in rows]
    assert [one for one in entries if one.get("action") == "doctor" and one["detail"]["read"] == str(LAST)]


@pytest.mark.parametrize("value", ["fs2.hello", "fs2.m7k2.AAECAwQFBgcICQoLdamagedAAAA", "ps1.k7q2.cut", OLD])
def test_a_damaged_value_is_never_sealed_as_text(line: Line, value: str) -> None:
    """`people seal` passes over a record that holds a value like a token of ours, counts it, and leaves it as it is."""
    with planted(line, "allergies", value):
        report = line.services.seal_existing.run(lambda _done, _total: None)
        kept = line.store(f"SELECT allergies FROM customers WHERE customer_id = {SOFIE}")
    assert (report.sealed, report.refused, kept) == (0, 1, value)


def test_an_empty_string_is_text_like_any_other(line: Line) -> None:
    """An empty string in a sealed column is plain text to the doctor, and `people seal` seals it."""
    with planted(line, "allergies", ""):
        (found,) = examined(line).unprotected
        report = line.services.seal_existing.run(lambda _done, _total: None)
        assert examined(line).unprotected == ()
    assert (found.cause, report.sealed, report.refused) == (Cause.PLAIN_TEXT, 1, 0)


@pytest.mark.parametrize(
    ("cause", "value"),
    [
        (Cause.PLAIN_TEXT, "walnuts and figs"),
        (Cause.EARLIER_FORMAT, OLD),
        (Cause.UNKNOWN_FORMAT, write(TokenKind.PSEUDONYM_OF_PERSON, "m7k2", bytes(20))),
        (Cause.UNKNOWN_FORMAT, "fs2.m7k2.AAECAwQFBgcICQoLdamagedAAAA"),
        (Cause.UNKNOWN_FORMAT, "fs2.hello"),
        (Cause.UNKNOWN_FORMAT, "fs2."),
        (Cause.UNKNOWN_FORMAT, "fs123.m7k2.from a later gateway"),
        (Cause.PLAIN_TEXT, "fs2 is a road"),
        (Cause.ANOTHER_PERSONS, "SELECT service_note FROM customers WHERE customer_id = 1"),
        (Cause.ALTERED, "moved"),
    ],
    ids=str,
)
def test_a_value_that_is_not_protected_is_named(line: Line, cause: Cause, value: str) -> None:
    """Each way in which a sealed column can hold what it must not is told by cause, id and mend, never by value."""
    sofie = person_of(line, SOFIE)
    if value.startswith("SELECT"):
        value = str(line.store(value))
    if value == "moved":  # sealed for the same person, but in another field and class
        grant = KeyGrant(frozenset({"support"}))
        value = str(line.services.sealing.sealed({"service_note": "a note"}, sofie, grant)["service_note"])
    with planted(line, "allergies", value):
        diagnosis = examined(line)
    (found,) = diagnosis.unprotected
    assert (found.field, found.cause, found.values, found.examples) == ("allergies", cause, 1, (sofie,))
    assert found.mend == MENDS[cause]
    assert diagnosis.standing is Standing.BAD
    assert set(bad(diagnosis)) == {"sealed field allergies"}
    assert value not in repr(diagnosis)


def test_rows_of_nobody_are_told_by_their_place(line: Line) -> None:
    """A row that was never enrolled is told by its place in the order of the store's key, plain or sealed."""
    kept = str(line.store(f"SELECT allergies FROM customers WHERE customer_id = {SOFIE}"))
    line.store(
        "INSERT INTO customers (customer_id, external_ref, first_name, last_name, language, country, marketing_opt_in,"
        " allergies, service_note) VALUES (900, 'C-X900', 'N', 'N', 'de', 'DE', 0, :sealed, 'plain words')",
        sealed=kept,
    )
    try:
        diagnosis = examined(line)
    finally:
        line.store("DELETE FROM customers WHERE customer_id = 900")
    told = {one.field: (one.cause, one.examples) for one in diagnosis.unprotected}
    assert told == {
        "allergies": (Cause.NOT_ENROLLED, (f"row {LAST + 1}",)),
        "service_note": (Cause.PLAIN_TEXT, (f"row {LAST + 1}",)),
    }


def test_values_without_keys_are_told_apart(line: Line) -> None:
    """A value whose keys were destroyed and one whose keys the table does not know are two causes with two mends."""
    grant = KeyGrant(frozenset({"care"}))
    for customer, cause in ((LAST, Cause.KEYS_DESTROYED), (LAST - 1, Cause.KEYS_MISSING)):
        person = person_of(line, customer)
        text = str(line.services.sealing.sealed({"allergies": "figs"}, person, grant)["allergies"])
        with planted(line, "service_note", "", customer):
            line.store(f"UPDATE customers SET service_note = NULL WHERE customer_id = {customer}")
            with planted(line, "allergies", text, customer):
                if cause is Cause.KEYS_DESTROYED:
                    line.services.keyring.destroy(person)
                else:
                    with line.services.key_engine.begin() as connection:
                        connection.execute(sa.text("DELETE FROM person_keys WHERE data_subject = :d"), {"d": person})
                diagnosis = examined(line)
        assert [(one.cause, one.examples) for one in diagnosis.unprotected] == [(cause, (person,))]


def test_examples_are_few_and_counts_are_whole(line: Line) -> None:
    """Of many values with one fault all are counted and three are named."""
    kept = [
        (number, line.store(f"SELECT allergies FROM customers WHERE customer_id = {number}")) for number in range(2, 8)
    ]
    line.store("UPDATE customers SET allergies = 'plain' WHERE customer_id BETWEEN 2 AND 7")
    (found,) = examined(line).unprotected
    for number, value in kept:
        line.store("UPDATE customers SET allergies = :value WHERE customer_id = :number", value=value, number=number)
    assert (found.values, len(found.examples)) == (6, 3)


def test_a_sample_says_that_it_is_one(line: Line) -> None:
    """With a sample, records are spread over the whole store, and the report says how many of how many were read."""
    diagnosis = examined(line, sample=7)
    assert (diagnosis.looked, diagnosis.records) == (7, LAST)
    assert "of 7 records out of 60" in diagnosis.checks[-1].found


def test_child_collections_are_looked_through(line: Line, tmp_path: Path) -> None:
    """Sealed columns of child rows are read page by page and opened too, and their mend is one that works."""
    policies = tmp_path / "policies"
    shutil.copytree(line.deployment.settings.policies, policies)
    text = (policies / "catalogue.yaml").read_text(encoding="utf-8")
    head, _, tail = text.rpartition("            meta: {retention: P3Y}")
    (policies / "catalogue.yaml").write_text(
        f"{head}            meta: {{retention: P3Y, protection: sealed, key_class: support}}{tail}", encoding="utf-8"
    )
    (found,) = examined(line, policies=policies).unprotected
    plain = line.store("SELECT count(*) FROM support_notes")
    assert (found.field, found.cause, found.values, found.mend) == (
        "support_notes.note",
        Cause.PLAIN_TEXT,
        plain,
        CHILD_MEND,
    )
    sealing = Sealing(line.services.keyring, {"support_notes.note": "support"})
    notes = []
    for number in range(250):  # three pages of one person
        row = {"support_notes": [{"note": f"note {number}"}]}
        (sealed,) = sealing.sealed(row, person_of(line, SOFIE), KeyGrant(frozenset({"support"})))["support_notes"]
        notes.append(sealed["note"])
    line.store("CREATE TABLE kept AS SELECT * FROM support_notes")
    line.store("DELETE FROM support_notes")
    for number, note in enumerate(notes):
        line.store(
            "INSERT INTO support_notes VALUES (:n, 10, '2026-01-01T00:00:00Z', 'a', :note)", n=number + 1, note=note
        )
    try:
        diagnosis = examined(line, policies=policies)
        line.store("UPDATE support_notes SET note = 'plain' WHERE note_id = 249")
        (late,) = examined(line, policies=policies).unprotected
    finally:
        line.store("DELETE FROM support_notes")
        line.store("INSERT INTO support_notes SELECT * FROM kept")
        line.store("DROP TABLE kept")
    assert diagnosis.unprotected == ()
    assert any(one.found.startswith("250 values open") for one in diagnosis.checks)
    assert (late.values, late.examples) == (1, (person_of(line, SOFIE),))
    assert set(bad(diagnosis)) == {"policy check", "policy archive"}  # a policy made up here, that never decided


def test_open_files_are_named(line: Line) -> None:
    """A key file or directory that others can read is bad, with the command that mends it."""
    settings = line.deployment.settings
    secret = settings.state_dir / "store-url"
    secret.write_text("x", encoding="utf-8")
    for path, mode in ((settings.log_key_file, 0o600), (settings.state_dir / "audit", 0o700), (secret, 0o600)):
        path.chmod(mode | 0o044)
        diagnosis = open_doctor(settings, (secret,)).examine(1, lambda _done, _total: None)
        path.chmod(mode)
        assert f"run `chmod {mode:o} {path}`" in bad(diagnosis)["files"]


def test_another_root_key_is_named(line: Line, tmp_path: Path) -> None:
    """A root key that does not belong to the key table is bad, and nothing is called protected for it."""
    from consent_gateway.protection.file_provider import FileKeyProvider

    other = tmp_path / "other" / "root.key"
    other.parent.mkdir(mode=0o700)
    FileKeyProvider.create(other)
    diagnosis = examined(line, key_file=other)
    assert diagnosis.standing is Standing.BAD
    assert "root version" in bad(diagnosis)["parts"] or "does not open" in bad(diagnosis)["parts"]
    assert {"keys", "sealed fields"} <= unknown(diagnosis)


def test_another_log_key_is_named(line: Line, tmp_path: Path) -> None:
    """A signing key that did not sign the log is bad; a missing one is not made anew."""
    sealer = open_sealer(line.deployment.settings, line.services)
    examined(line, 1)
    while sealer.seal_once().sealed:
        pass
    other, missing = tmp_path / "log.key", tmp_path / "missing.key"
    open_signer(other, line.deployment.settings.log_origin)
    assert "restore the key that signed the log" in bad(examined(line, 1, log_key_file=other))["log key"]
    assert "is not there" in bad(examined(line, 1, log_key_file=missing))["log key"]
    assert not missing.exists()


@pytest.mark.parametrize("name", ["gateway database", "key table"])
def test_a_database_that_is_not_current_is_named(line: Line, name: str) -> None:
    """An old schema is bad with its mend, and what it keeps from being looked at is unknown, not all right."""
    engine = line.services.engine if name == "gateway database" else line.services.key_engine
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        present = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001_older'")
    try:
        diagnosis = examined(line)
    finally:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{present}'")
    assert "consent-gateway db upgrade" in bad(diagnosis)[name]
    assert {"parts", "keys", "customer store", "log key", "erased people", "sealed fields"} == unknown(diagnosis)


def test_a_missing_database_is_not_made(line: Line, tmp_path: Path) -> None:
    """Looking for a file that is not there leaves none behind."""
    absent = tmp_path / "absent.db"
    diagnosis = examined(line, key_database_url=f"sqlite:///{absent}")
    assert "is not there" in bad(diagnosis)["key table"]
    assert not absent.exists()


def test_a_store_that_lacks_a_column_is_named(line: Line) -> None:
    """A catalogued column that is gone is bad, and the fields that cannot be read for it are unknown."""
    line.store("ALTER TABLE customers RENAME COLUMN city TO town")
    try:
        diagnosis = examined(line)
    finally:
        line.store("ALTER TABLE customers RENAME COLUMN town TO city")
    assert "`city`" in bad(diagnosis)["customer store"]


def test_a_policy_that_fits_nothing_is_named(line: Line, tmp_path: Path) -> None:
    """A revision that never ran, a finding of `policy check` and a policy that does not load are each told."""
    policies = tmp_path / "policies"
    shutil.copytree(line.deployment.settings.policies, policies)
    purposes = policies / "purposes.yaml"
    sound = purposes.read_text(encoding="utf-8")
    purposes.write_text(sound.replace("key_classes: [care]", "key_classes: []"), encoding="utf-8")
    told = bad(examined(line, 1, policies=policies))
    assert "does not open its key class `care`" in told["policy check"]
    assert "start the gateway anew" in told["policy archive"]
    purposes.write_text("purposes: 7\n", encoding="utf-8")
    diagnosis = examined(line, 1, policies=policies)
    assert "policy" in bad(diagnosis)
    assert {"policy check", "policy archive", "sealed fields"} <= unknown(diagnosis)


def test_a_store_that_is_away_makes_nothing_right(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store does not answer, its fields are unknown, and the whole is not called sound."""
    from consent_gateway.connectors.sql import SqlStore
    from consent_gateway.errors import StoreUnavailable

    def away(*_given: object) -> int:
        raise StoreUnavailable("the customer store did not answer: see that it runs")

    monkeypatch.setattr(SqlStore, "count", away)
    diagnosis = examined(line)
    assert (diagnosis.standing, unknown(diagnosis)) == (Standing.UNKNOWN, {"sealed fields"})


@pytest.fixture
def command(line: Line) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real command against this deployment."""

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "consent_gateway", "doctor", *words],
            env={**line.deployment.variables, **variables, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_command_tells_by_its_exit_code(
    line: Line, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """0 where all is right, 1 where something is not, 3 where it could not look; no value on either stream."""
    sound = command("--sample", "5")
    assert sound.returncode == 0, sound.stderr
    assert "ok       sealed field allergies" in sound.stdout
    assert "a sample: 5 of 60 records were read" in sound.stdout
    with planted(line, "allergies", "walnuts and figs"):
        told = command("--json")
        shown = command()
    report = json.loads(told.stdout)
    assert (told.returncode, report["standing"], report["unprotected"][0]["cause"]) == (1, "bad", "plain_text")
    assert shown.returncode == 1
    assert "bad      sealed field allergies: 1 values stand in the clear" in shown.stdout
    assert not [text for text in (told.stdout, told.stderr, shown.stdout, shown.stderr) if "walnuts" in text]
    assert command(CONSENT_GATEWAY_STORE_URL="sqlite:////nowhere/at/all.db").returncode in (1, 3)


def test_rows_of_erased_people_are_told_as_such(line: Line) -> None:
    """A row that the store still holds of somebody erased is no unknown person's: the mend is to erase it there."""
    customer = LAST - 2
    person = person_of(line, customer)
    grant = KeyGrant(frozenset({"care"}))
    text = str(line.services.sealing.sealed({"allergies": "figs"}, person, grant)["allergies"])
    place = int(str(line.store(f"SELECT count(*) FROM customers WHERE customer_id <= {customer}")))
    line.store(f"UPDATE customers SET service_note = NULL WHERE customer_id = {customer}")
    with planted(line, "allergies", text, customer):
        line.services.shredding.shred(person, reference="case-9", by="operator")
        diagnosis = examined(line)
    (found,) = diagnosis.unprotected
    assert (found.cause, found.examples) == (Cause.ERASED_PERSONS, (f"row {place}",))
    assert found.mend == MENDS[Cause.ERASED_PERSONS]
