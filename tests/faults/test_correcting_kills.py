"""A correction killed at every named step: it ends on restart, and the log tells each step once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.live import verify_database
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.verify import LogKey
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.rights.correction import STEPS
from consent_gateway.rights.correction_records import State
from consent_gateway.rights.correction_tables import CORRECTION_STEPS, CORRECTIONS
from consent_gateway.vocabulary import Identifier
from consent_gateway.wiring import Services, open_sealer
from consent_gateway.wiring.parts import every_class
from tests.deployment import ROOT, Deployment
from tests.faults.correcting_kill_process import new_values

SCRIPT = Path(__file__).with_name("correcting_kill_process.py")
OF_COPIES = ("intended", "applied", "recorded")


def test_killed_at_any_step_it_ends_with_each_entry_once(deployment: Deployment) -> None:
    """SIGKILL at each step, and at those of the copies too: resumed, the record says it, and all is told once."""
    kills = [(step, 1) for step in STEPS] + [(step, 2) for step in OF_COPIES]
    services = deployment.open()
    if services.engine.dialect.name == "postgresql":  # the order is the same; what differs is how a commit is cut
        kills = [kill for kill in kills if kill[0] in {"proposing", "applied", "closing"}]
    try:
        people = with_copies(services, len(kills))
        given = {
            "variables": deployment.variables,
            "people": [[person, *kill] for person, kill in zip(people, kills, strict=True)],
        }
        done = subprocess.run(
            [sys.executable, str(SCRIPT)], input=json.dumps(given), capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert json.loads(done.stdout) == [-9] * len(kills)
        assert services.rights.mending is not None
        correcting = services.rights.mending.correcting
        correcting.resume()
        for person in people:  # those that were killed before they had begun
            row = person_row(services, person)
            if row is None:
                correcting.propose(person, new_values(person), request_id=f"dsr-{person}", by="officer")
            correcting.execute(f"dsr-{person}", by="officer")
        assert correcting.resume() == 0
        told_once(deployment, services, people)
    finally:
        services.close()


def with_copies(services: Services, number: int) -> list[str]:
    """People of whom two columns hold the same value."""
    with services.engine.connect() as connection:
        asked = sa.select(PEOPLE.c.data_subject, PEOPLE.c.store_key).where(PEOPLE.c.store_key.is_not(None))
        rows = connection.execute(asked.limit(number)).all()
    for person, key in rows:  # two columns of one kind and value: the second step corrects the other
        record = services.store.read(key, ("created_at",))
        assert record is not None
        note = {"service_note": record.values["created_at"]}
        services.store.update(key, services.sealing.sealed(note, person, every_class(services.policies)), None)
    return [person for person, _key in rows]


def person_row(services: Services, person: str) -> object:
    """The correction of a person, as stored."""
    with services.engine.connect() as connection:
        return connection.execute(sa.select(CORRECTIONS).where(CORRECTIONS.c.data_subject == person)).one_or_none()


def told_once(deployment: Deployment, services: Services, people: list[str]) -> None:
    """Every correction ended; proposal, begin, intents, outcomes and the end stand once each in a log that verifies."""
    sealer = open_sealer(deployment.settings, services)
    while sealer.seal_once().sealed:
        pass
    signer = open_signer(deployment.settings.log_key_file, deployment.settings.log_origin)
    assert verify_database(services.engine, LogKey(str(signer.vkey))).ok
    log = AuditLog(services.engine, deployment.settings.state_dir)
    with services.engine.connect() as connection:
        for person in people:
            row = connection.execute(sa.select(CORRECTIONS).where(CORRECTIONS.c.data_subject == person)).one()
            assert State(row.state) is State.CORRECTED, row.leftovers
            of_it = CORRECTION_STEPS.c.correction_id == row.correction_id
            steps = connection.execute(sa.select(CORRECTION_STEPS).where(of_it)).all()
            assert steps
            assert all(step.intent_entry and step.outcome_entry for step in steps)
            entries = [one for one in log.about(person) if one["kind"] == "correction"]
            told = Counter((one["outcome"], one["detail"].get("step", "")) for one in entries)
            expected = {("proposed", ""), ("begun", ""), ("corrected", "")}
            expected |= {(outcome, s.name) for s in steps for outcome in ("intended", "done")}
            assert told == dict.fromkeys(expected, 1), person
            found = services.gateway.find(PersonRef(identifier=Identifier("email", str(new_values(person)["email"]))))
            assert found is not None
            assert found.data_subject == person
