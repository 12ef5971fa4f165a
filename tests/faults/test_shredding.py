"""Erasing under adversity: killed at every step, beside an import, beside a withdrawal, over a whole store."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.live import verify_database
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.verify import LogKey
from consent_gateway.consent.choices import NewChoice
from consent_gateway.demo.cast import CAST
from consent_gateway.errors import DatabaseUnavailable, KeysUnavailable, NotFound
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.suppression import SuppressionTags
from consent_gateway.shredding import STEPS, Shredding
from consent_gateway.vocabulary import COMPANY, Caller, EventKind, Identifier
from consent_gateway.wiring import Services, open_sealer
from tests.deployment import ROOT, Deployment, deploy

SCRIPT = Path(__file__).with_name("shredding_kill_process.py")
SUPPORT = "customer_support"
STORE = 20_000
ERASED = 40
CALLER = Caller("till", "till", frozenset({SUPPORT}), frozenset({COMPANY}), frozenset({"consents:write"}))


def silent(_done: int, _total: int) -> None:
    """No progress."""


def by_key(services: Services) -> dict[str, str]:
    """The ids of everyone who has a store key."""
    with services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        rows = connection.exec_driver_sql(
            "SELECT store_key, data_subject FROM people WHERE store_key IS NOT NULL"
        ).all()
    return {str(key): str(person) for key, person in rows}


def outcomes(deployment: Deployment, services: Services) -> dict[str, list[str]]:
    """For each person, the outcomes of their erasure in the sealed log, in order; the log verifies."""
    sealer = open_sealer(deployment.settings, services)
    while sealer.seal_once().sealed:
        pass
    signer = open_signer(deployment.settings.log_key_file, deployment.settings.log_origin)
    assert verify_database(services.engine, LogKey(str(signer.vkey))).ok
    assert services.choices.unbound() == []
    found: dict[str, list[str]] = {}
    with services.engine.connect() as connection:
        for (raw,) in connection.exec_driver_sql("SELECT entry FROM audit_log ORDER BY leaf_index"):
            entry = json.loads(bytes(raw))["entry"]
            if entry["kind"] == "erasure":
                found.setdefault(entry["data_subject"], []).append(entry["outcome"])
    return found


@pytest.fixture
def services(deployment: Deployment) -> Iterator[Services]:
    """The services of this process."""
    opened = deployment.open()
    yield opened
    opened.close()


def inherited(deployment: Deployment) -> dict[str, str]:
    """The environment of a process of this deployment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_GATEWAY_")}
    return {**kept, **deployment.variables}


def killed_at_each_step(deployment: Deployment, people: dict[str, str]) -> None:
    """Begin the erasure of one person a step and kill the process there."""
    given = json.dumps({"variables": deployment.variables, "people": people})
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], input=given, capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert json.loads(done.stdout) == dict.fromkeys(STEPS, -9)


def test_killed_at_any_step_it_is_completed_once(deployment: Deployment, services: Services) -> None:
    """Killed with SIGKILL at each step: all is closed or nothing is, and a second run ends in one outcome."""
    known = by_key(services)
    people = {step: known[str(at + 1)] for at, step in enumerate(STEPS)}
    for person in people.values():
        services.keyring.create(person)
    services.keyring.forget()
    killed_at_each_step(deployment, people)
    for step, person in people.items():
        answer = services.gateway.read(CALLER, ReadQuery(PersonRef(data_subject=person), SUPPORT, ("city",)))
        assert bool(answer.record) == (step == "intending")  # before the first commit nothing has happened
    assert services.shredding.resume() == 3
    assert services.shredding.resume() == 0
    for person in people.values():
        services.shredding.shred(person, reference="dsr-again", by="operator")
        with pytest.raises(KeysUnavailable):
            services.keyring.create(person)
    assert outcomes(deployment, services) == {person: ["intended", "shredded"] for person in people.values()}


def test_the_background_worker_completes_what_was_cut_short(deployment: Deployment, services: Services) -> None:
    """A worker that starts after the kill finishes the act by itself, with the evidence and one outcome."""
    person = by_key(services)["1"]
    spare = by_key(services)
    killed_at_each_step(deployment, {step: person if step == "intended" else spare[str(n)] for n, step in _rest()})
    worker = subprocess.Popen(
        [sys.executable, "-m", "consent_gateway", "worker"], env=inherited(deployment), stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while unfinished(services):
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        worker.terminate()
        worker.wait(30)
    assert outcomes(deployment, services)[person] == ["intended", "shredded"]


def _rest() -> Iterator[tuple[int, str]]:
    return ((at + 10, step) for at, step in enumerate(STEPS))


def unfinished(services: Services) -> int:
    """How many erasures wait to be completed."""
    with services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        query = "SELECT count(*) FROM shreddings WHERE finished_at IS NULL"
        return int(connection.exec_driver_sql(query).scalar_one())


class Away(Exception):
    """What a test raises at a step, in place of a kill."""


def test_keys_that_are_away_delay_an_erasure_and_do_not_undo_it(deployment: Deployment, services: Services) -> None:
    """While the key database is away reads already deny; one broken act does not keep the others from completion."""
    known = by_key(services)
    first, second = known["1"], known["2"]

    def stop(step: str) -> None:
        if step == "intended":
            raise Away

    cut = shredding(services, deployment, stop)
    for person in (first, second):
        with pytest.raises(Away):
            cut.shred(person, reference="dsr-1", by="operator")
        answer = services.gateway.read(CALLER, ReadQuery(PersonRef(data_subject=person), SUPPORT, ("city",)))
        assert not answer.record
    destroy = services.keyring.destroy

    def broken(person: str) -> Any:
        if person == first:
            raise DatabaseUnavailable("the key database did not answer")
        return destroy(person)

    services.keyring.destroy = broken  # type: ignore[method-assign]
    with pytest.raises(DatabaseUnavailable):
        services.shredding.resume()
    assert unfinished(services) == 1
    services.keyring.destroy = destroy  # type: ignore[method-assign]
    assert services.shredding.resume() == 1
    assert outcomes(deployment, services) == {person: ["intended", "shredded"] for person in (first, second)}


def shredding(services: Services, deployment: Deployment, at: Callable[[str], None]) -> Shredding:
    """The service with a hand at its steps."""
    tags = SuppressionTags(services.keyring.service_key("suppression"), deployment.settings.phone_region)
    return Shredding(
        engine=services.engine,
        keyring=services.keyring,
        tags=tags,
        clock=services.clock,
        announce_in=services.outward.outbox.announce_in,
        at=at,
    )


def waits(services: Services) -> bool:
    """Whether a statement of the gateway database waits for a lock; on SQLite a transaction has the file anyway."""
    if services.engine.dialect.name == "sqlite":
        return True
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return bool(connection.exec_driver_sql(query).scalar_one())


def during_erasure(deployment: Deployment, services: Services, person: str, act: Callable[[], Any]) -> Any:
    """Erase the person; just before the first commit begin `act`, and commit when it waits for us. What it returned."""
    results: list[Any] = []
    beside = threading.Thread(target=lambda: results.append(act()))

    def begin(step: str) -> None:
        if step != "intending":
            return
        beside.start()
        deadline = time.monotonic() + 1.5
        while not waits(services) and time.monotonic() < deadline:
            time.sleep(0.01)

    shredding(services, deployment, begin).shred(person, reference="dsr-1", by="operator")
    beside.join()
    assert results, "the act beside the erasure failed"
    return results[0]


def test_an_import_at_the_same_moment_does_not_bring_the_person_back(
    deployment: Deployment, services: Services
) -> None:
    """An enrolment that began before the erasure was committed leaves the person out and links nothing to them."""
    person = by_key(services)["1"]
    report = during_erasure(deployment, services, person, lambda: services.enrolment.run(silent))
    assert report.suppressed == 1
    assert "1" not in by_key(services)
    with services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        query = sa.text("SELECT count(*) FROM identifiers WHERE data_subject = :person")
        assert connection.execute(query, {"person": person}).scalar_one() == 0


def test_a_withdrawal_at_the_same_moment_is_found_afterwards(deployment: Deployment, services: Services) -> None:
    """A choice that waited for the erasure is recorded where its identifier leads afterwards, not for the erased."""
    person = by_key(services)["1"]
    email = PersonRef(identifier=Identifier("email", CAST[0].email))
    choice = NewChoice(email, EventKind.WITHDRAW, services.clock.now(), "spoken", "email_marketing", reference="call-1")
    recorded = during_erasure(deployment, services, person, lambda: services.choices.record(CALLER, choice))
    assert recorded.state.data_subject != person
    known = services.choices.state(email)
    assert known.facts.choices["email_marketing"].status.value == "withdrawn"


def test_erasures_beside_imports_end_clean(deployment: Deployment, services: Services) -> None:
    """While the store is imported again and again, twenty people are erased: all stay out, nobody else is lost."""
    known = by_key(services)
    erased = [str(number) for number in range(1, 21)]
    stop, failures = threading.Event(), []

    def enrol() -> None:
        while not stop.is_set():
            try:
                services.enrolment.run(silent)
            except Exception as error:
                failures.append(error)

    importing = threading.Thread(target=enrol)
    importing.start()
    try:
        for key in erased:
            services.shredding.shred(known[key], reference="dsr-1", by="operator")
    finally:
        stop.set()
        importing.join()
    services.enrolment.run(silent)
    assert failures == []
    assert by_key(services) == {key: person for key, person in known.items() if key not in erased}
    found = outcomes(deployment, services)
    assert found == {known[key]: ["intended", "shredded"] for key in erased}


def test_two_who_erase_one_person_at_once_leave_one_outcome(deployment: Deployment, services: Services) -> None:
    """Eight threads erase one person: all get the same evidence, and the log tells it once."""
    person = by_key(services)["1"]
    start, results = threading.Barrier(8), []

    def shred() -> None:
        start.wait()
        results.append(services.shredding.shred(person, reference="dsr-1", by="operator"))

    threads = [threading.Thread(target=shred) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(results)) == 1
    assert outcomes(deployment, services) == {person: ["intended", "shredded"]}


def test_importing_a_whole_store_again_leaves_out_exactly_the_erased(databases: dict[str, str], tmp_path: Path) -> None:
    """Of 20,000 customers forty are erased: the next imports leave out those forty and nobody else."""
    deployment = deploy(tmp_path, databases, STORE)
    services = deployment.open()
    try:
        known = by_key(services)
        assert len(known) == STORE
        erased = random.Random(5).sample(sorted(known), ERASED)
        for key in erased:
            services.shredding.shred(known[key], reference="dsr-1", by="operator")
        for _ in range(2):
            report = services.enrolment.run(silent)
            assert (report.read, report.added, report.suppressed) == (STORE, 0, ERASED)
        assert by_key(services) == {key: person for key, person in known.items() if key not in erased}
        with pytest.raises(NotFound):
            services.choices.of_store_key(erased[0])
    finally:
        services.close()
