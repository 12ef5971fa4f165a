"""An erasure through the store, killed at every named step: it ends on restart, and the log tells each step once."""

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
from consent_gateway.rights.certificate import verify_certificate
from consent_gateway.rights.erasure import STEPS
from consent_gateway.rights.erasure_records import State
from consent_gateway.rights.erasure_tables import ERASURE_STEPS, ERASURES
from consent_gateway.wiring import open_sealer
from tests.deployment import ROOT, Deployment

SCRIPT = Path(__file__).with_name("erasing_kill_process.py")
OF_EACH_STEP = ("intending", "intended", "applied", "recording", "recorded")


def test_killed_at_any_step_it_ends_with_each_entry_once(deployment: Deployment) -> None:
    """SIGKILL at each step, and at those of every table also at its second: resumed, it ends, and all is told once."""
    kills = [(step, 1) for step in STEPS] + [(step, 2) for step in OF_EACH_STEP]
    services = deployment.open()
    if services.engine.dialect.name == "postgresql":  # the order is the same; what differs is how a commit is cut
        kills = [kill for kill in kills if kill[0] in {"beginning", "intending", "applied", "recorded", "closing"}]
    try:
        with services.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT data_subject FROM people WHERE store_key IS NOT NULL").all()
        people = [str(row[0]) for row in rows][: len(kills)]
        given = {
            "variables": deployment.variables,
            "people": [[person, *kill] for person, kill in zip(people, kills, strict=True)],
        }
        done = subprocess.run(
            [sys.executable, str(SCRIPT)], input=json.dumps(given), capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert json.loads(done.stdout) == [-9] * len(kills)
        erasing = services.erasure_desk.erasing
        erasing.resume()
        for person in people:  # those that were killed before they had begun
            planned = erasing.plan(person, request_id=f"dsr-{person}", by="officer")
            erasing.execute(planned.erasure_id, by="officer", at_once=True)
        assert erasing.resume() == 0
        told_once(deployment, people)
    finally:
        services.close()


def told_once(deployment: Deployment, people: list[str]) -> None:
    """Every erasure ended; plan, begin, intents, outcomes and the end stand once each in a log that verifies."""
    services = deployment.open()
    try:
        sealer = open_sealer(deployment.settings, services)
        while sealer.seal_once().sealed:
            pass
        signer = open_signer(deployment.settings.log_key_file, deployment.settings.log_origin)
        assert verify_database(services.engine, LogKey(str(signer.vkey))).ok
        log = AuditLog(services.engine, deployment.settings.state_dir)
        with services.engine.connect() as connection:
            for person in people:
                row = connection.execute(sa.select(ERASURES).where(ERASURES.c.data_subject == person)).one()
                assert State(row.state) in {State.ERASED, State.PARTIALLY_ERASED}
                assert verify_certificate(row.certificate, services.erasure_desk.certificates.key_set)
                of_it = ERASURE_STEPS.c.erasure_id == row.erasure_id
                steps = connection.execute(sa.select(ERASURE_STEPS).where(of_it)).all()
                assert steps
                assert all(step.intent_entry and step.outcome_entry for step in steps)
                entries = [one for one in log.about(person) if one["kind"] == "erasure"]
                told = Counter((one["action"], one["outcome"], one["detail"].get("step", "")) for one in entries)
                expected = {("plan", "planned", ""), ("erase", "begun", ""), ("erase", row.state, "")}
                expected |= {("shred", "intended", ""), ("shred", "shredded", "")}
                expected |= {("erase", outcome, s.name) for s in steps for outcome in ("intended", "done")}
                assert told == dict.fromkeys(expected, 1), person
    finally:
        services.close()
