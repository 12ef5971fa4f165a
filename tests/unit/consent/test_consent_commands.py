"""The commands `consent` and `people`, run as an operator runs them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from click.testing import CliRunner, Result

from consent_gateway.cli.consent import consent
from consent_gateway.cli.people import people as people_command
from consent_gateway.consent.proof import Proofs
from consent_gateway.consent.receipts import Receipts
from consent_gateway.errors import InputRefused
from consent_gateway.people.enrolment import Report


def run(choices: Any, clock: Any, *arguments: str, typed: str | None = None) -> Result:
    """Run one command against the service."""
    receipts = Receipts(choices._engine, {}, issuer="https://consent.example", company="Shop", seed=bytes(32))
    choosing = SimpleNamespace(proofs=Proofs(choices, receipts))
    services = SimpleNamespace(choices=choices, clock=clock, choosing=choosing)
    return CliRunner().invoke(consent, list(arguments), obj=lambda: services, input=typed)


def test_a_paper_choice_is_recorded_and_shown(people: Sequence[str], choices: Any, clock: Any, tmp_path: Path) -> None:
    """An operator records by store key, with the form's image, and sees state, history and evidence."""
    image = tmp_path / "form.png"
    image.write_bytes(b"a scanned form")
    sha256 = hashlib.sha256(b"a scanned form").hexdigest()
    bare = ("--kind", "grant", "--purpose", "email_marketing", "--reference", "form-1")
    refused = run(choices, clock, "record", "--store-key", "1", *bare)
    assert isinstance(refused.exception, InputRefused)
    assert [fault.pointer for fault in refused.exception.faults] == ["/evidence/image_sha256"]
    told = (*bare, "--image", str(image))
    recorded = run(choices, clock, "record", "--store-key", "1", *told, "--json")
    assert recorded.exit_code == 0, recorded.output
    event_id = json.loads(recorded.stdout)["event_ids"][0]
    shown = json.loads(run(choices, clock, "show", "--data-subject", "ds_1", "--json").stdout)
    assert shown["state"]["choices"]["email_marketing"]["status"] == "granted"
    assert shown["events"][0]["event_id"] == event_id
    assert shown["events"][0]["how"] == "paper"
    text = run(choices, clock, "show", "--data-subject", "ds_1")
    assert "grant  email_marketing" in text.stdout
    of = ("evidence", "--data-subject", "ds_1", "--purpose", "email_marketing")
    proved = json.loads(run(choices, clock, *of, "--json").stdout)
    (step,) = proved["steps"]
    assert (proved["status"], proved["rests_on"], step["receipt_id"]) == ("granted", event_id, event_id)
    assert step["witness"] == {"image_sha256": sha256, "reference": "form-1"}
    plain = run(choices, clock, *of).stdout
    assert f"image_sha256: {sha256}" in plain
    assert f"receipt: {event_id}" in plain


def test_an_identifier_is_read_from_the_input_and_not_printed(people: Sequence[str], choices: Any, clock: Any) -> None:
    """An objection by address takes the address from the input, and no output repeats it."""
    command = ("record", "--by", "email", "--kind", "object", "--purpose", "data_sale", "--how", "spoken")
    done = run(choices, clock, *command, typed="canary@example.com\n")
    shown = run(choices, clock, "show", "--by", "email", "--json", typed="canary@example.com\n")
    assert done.exit_code == shown.exit_code == 0
    assert json.loads(shown.stdout)["state"]["choices"]["data_sale"]["objected"] is True
    assert "canary" not in done.output + shown.output


def test_a_person_is_named_exactly_once(people: Sequence[str], choices: Any, clock: Any) -> None:
    """No name and two names are wrong usage."""
    for who in ((), ("--data-subject", "ds_1", "--store-key", "1")):
        assert run(choices, clock, "show", *who).exit_code == 2


def test_an_import_tells_what_it_did(people: Sequence[str], choices: Any, clock: Any, tmp_path: Path) -> None:
    """Good lines are recorded, bad ones told on the error output and by the exit code; a second run adds none."""
    good = {
        "store_key": "1",
        "kind": "object",
        "purpose": "data_sale",
        "channel": "x",
        "occurred_at": "2025-01-01T00:00Z",
    }
    path = tmp_path / "choices.jsonl"
    path.write_text(json.dumps(good) + "\n", encoding="utf-8")
    first = run(choices, clock, "import", str(path))
    assert first.exit_code == 0, first.output
    assert "1 events recorded" in first.stdout
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | {"kind": "x"}) + "\n", encoding="utf-8")
    second = run(choices, clock, "import", str(path), "--json")
    assert second.exit_code == 1
    report = json.loads(second.stdout.splitlines()[0])
    assert (report["recorded"], report["skipped"], report["refused"]) == (0, 1, 1)


def test_rebuild_reports_differences(people: Sequence[str], choices: Any, clock: Any, gateway_engine: Any) -> None:
    """A state changed by hand is named once, then no more."""
    run(choices, clock, "record", "--store-key", "1", "--kind", "gpc", "--how", "signal")
    with gateway_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE person_state SET gpc = (1 = 0)")
    assert json.loads(run(choices, clock, "rebuild", "--json").stdout) == [{"data_subject": "ds_1", "what": ["gpc"]}]
    assert "0 people" in run(choices, clock, "rebuild", "--store-key", "1").stdout


def test_enrol_prints_counts() -> None:
    """The people command runs the enrolment and prints its counts, as text and as JSON."""

    def enrolled(progress: Any) -> Report:
        progress(2, 2)
        return Report(read=2, added=2, unreadable={"phone": 1})

    services = SimpleNamespace(enrolment=SimpleNamespace(run=enrolled))
    text = CliRunner().invoke(people_command, ["enrol"], obj=lambda: services)
    assert "2 people read: 2 new" in text.stdout
    assert "1 values of `phone`" in text.stdout
    told = CliRunner().invoke(people_command, ["enrol", "--json"], obj=lambda: services)
    assert json.loads(told.stdout)["unreadable"] == {"phone": 1}
