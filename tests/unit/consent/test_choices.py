"""The service: who may record what, about whom, and that event, state and audit entry stand or fall together."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.consent import ledger
from consent_gateway.consent.choices import ADMINISTER_SCOPE, ADMINISTRATIVE, NewChoice
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.database import open_engine
from consent_gateway.errors import (
    CallerNotPermitted,
    Conflict,
    ConsentNotRaised,
    DatabaseUnavailable,
    IdentifierRefused,
    InputRefused,
    NotFound,
    UnknownPurpose,
)
from consent_gateway.people import directory
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.vocabulary import EventKind, Identifier
from tests.conftest import NOON, ROOT

ANNA = PersonRef(data_subject="ds_1")
MAIL = Identifier("email", "Anna@Example.com")


def chosen(person: PersonRef, kind: EventKind, purpose: str = "*", **given: Any) -> NewChoice:
    """A choice on a web form with its notice."""
    shown = {"notice": "privacy", "notice_version": "3", "language": "de"}
    return NewChoice(person, kind, NOON, "web_form", purpose, **(shown | given))


def counts(engine: sa.Engine) -> tuple[int, int, int]:
    """Events, audit entries and people."""
    with engine.begin() as connection:
        tables = (CONSENT_EVENTS, AUDIT_QUEUE, PEOPLE)
        found = [connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in tables]
    return found[0], found[1], found[2]


def share(engine: sa.Engine, indexes: Any, *people: str) -> None:
    """Let these people use one address."""
    with engine.begin() as connection:
        for person in people:
            directory.link(connection, person, ("email", indexes.of(MAIL)), carry=lambda *_: True)


def test_a_choice_is_event_state_and_audit_entry(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, caller: Any
) -> None:
    """Recording commits one event and one entry that names it, and answers with the state that follows."""
    recorded = choices.record(caller, chosen(ANNA, EventKind.GRANT, "email_marketing"))
    assert recorded.state.facts.choices["email_marketing"].event_id == recorded.event_ids[0]
    with gateway_engine.begin() as connection:
        rows = connection.execute(sa.select(AUDIT_QUEUE.c.entry_id, AUDIT_QUEUE.c.entry)).all()
    assert [row.entry_id for row in rows] == [recorded.entry_id]
    text = bytes(rows[0].entry).decode()
    assert recorded.event_ids[0] in text
    assert '"grant"' in text
    history = choices.history(ANNA)
    assert (history[0].event.evidence.channel, history[0].event.evidence.recorded_by) == ("web_shop", "shop")


def test_without_its_audit_entry_no_choice_is_recorded(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, caller: Any
) -> None:
    """If the entry cannot be written, the event is not there either, and the answer says that the database is away."""
    with gateway_engine.begin() as connection:
        AUDIT_QUEUE.drop(connection)
    with pytest.raises(DatabaseUnavailable):
        choices.record(caller, chosen(ANNA, EventKind.OBJECT, "email_marketing"))
    assert choices.history(ANNA) == ()


def test_an_opening_needs_the_clients_purpose_and_a_restriction_does_not(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, caller: Any
) -> None:
    """A client cannot raise a consent for a purpose it is not registered for, and can always record a no."""
    with pytest.raises(CallerNotPermitted):
        choices.record(caller, chosen(ANNA, EventKind.GRANT, "sms_marketing"))
    choices.record(caller, chosen(ANNA, EventKind.WITHDRAW, "sms_marketing"))
    choices.record(replace(caller, purposes=frozenset()), chosen(ANNA, EventKind.OPT_OUT))
    with pytest.raises(CallerNotPermitted):
        choices.record(replace(caller, scopes=frozenset()), chosen(ANNA, EventKind.OBJECT))
    assert counts(gateway_engine)[:2] == (4, 4)


@pytest.mark.parametrize("kind", sorted(ADMINISTRATIVE))
def test_acts_of_the_company_need_their_own_scope(
    people: Sequence[str], choices: Any, caller: Any, kind: EventKind
) -> None:
    """No shop lifts a restriction or marks an erasure done; an administering client can."""
    with pytest.raises(CallerNotPermitted):
        choices.record(caller, chosen(ANNA, kind))
    administers = replace(caller, scopes=caller.scopes | {ADMINISTER_SCOPE})
    assert choices.record(administers, chosen(ANNA, kind)).event_ids


def test_a_no_to_everything_closes_every_purpose(people: Sequence[str], choices: Any, caller: Any) -> None:
    """One opt-out of everything is one event for each purpose that a choice can concern."""
    recorded = choices.record(caller, chosen(ANNA, EventKind.OPT_OUT))
    assert len(recorded.event_ids) == 3
    assert all(choice.opted_out for choice in recorded.state.facts.choices.values())


def test_an_opt_out_by_an_unknown_identifier_is_not_lost(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, caller: Any
) -> None:
    """It makes a person known by this identifier alone, with no record and no residence, and counts at once."""
    person = PersonRef(identifier=MAIL)
    recorded = choices.record(caller, chosen(person, EventKind.OPT_OUT, "data_sale"))
    assert recorded.state.store_key is None
    assert recorded.state.facts.jurisdiction is None
    assert choices.state(PersonRef(identifier=Identifier("email", "anna@example.com"))) == recorded.state
    again = choices.record(caller, chosen(person, EventKind.OBJECT, "data_sale"))
    assert again.state.data_subject == recorded.state.data_subject
    assert counts(gateway_engine)[2] == len(people) + 1


def test_a_shared_identifier_restricts_all_and_opens_for_none(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, caller: Any, indexes: Any
) -> None:
    """An objection by a household's address binds each of them; a grant by it is refused and records nothing."""
    share(gateway_engine, indexes, "ds_1", "ds_2", "ds_3")
    person = PersonRef(identifier=MAIL)
    with pytest.raises(Conflict):
        choices.record(caller, chosen(person, EventKind.GRANT, "email_marketing"))
    assert counts(gateway_engine)[:2] == (0, 0)
    recorded = choices.record(caller, chosen(person, EventKind.OBJECT, "email_marketing"))
    assert len(recorded.event_ids) == 3
    assert recorded.state.shared
    for each in ("ds_1", "ds_2", "ds_3"):
        assert choices.state(PersonRef(data_subject=each)).facts.choices["email_marketing"].objected
    with pytest.raises(Conflict):
        choices.history(person)


def test_a_refused_choice_leaves_nothing(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, caller: Any
) -> None:
    """Malformed, unfounded or misdirected choices are refused by name, and not even a person is made for them."""
    nobody = PersonRef(identifier=MAIL)
    for choice, error in (
        (chosen(ANNA, EventKind.GRANT, "email_marketing", notice=None), ConsentNotRaised),
        (chosen(nobody, EventKind.GRANT, "email_marketing", notice=None), ConsentNotRaised),
        (chosen(ANNA, EventKind.OBJECT, "world_domination"), UnknownPurpose),
        (chosen(ANNA, EventKind.GRANT), InputRefused),
        (chosen(PersonRef(data_subject="ds_nobody"), EventKind.OBJECT), NotFound),
        (chosen(PersonRef(identifier=Identifier("email", "canary")), EventKind.OBJECT), IdentifierRefused),
        (chosen(nobody, EventKind.OBJECT, language="not a language"), InputRefused),
    ):
        with pytest.raises(error) as refused:
            choices.record(caller, choice)
        assert "canary" not in str(refused.value)
    assert counts(gateway_engine) == (0, 0, len(people))


def test_unknown_people_have_no_state_and_no_history(people: Sequence[str], choices: Any) -> None:
    """State and history of an unknown id or identifier are not found, and asking makes no person."""
    for person in (PersonRef(data_subject="ds_nobody"), PersonRef(identifier=MAIL)):
        with pytest.raises(NotFound):
            choices.state(person)
        with pytest.raises(NotFound):
            choices.history(person)
    assert choices.of_store_key("1") == ANNA
    with pytest.raises(NotFound):
        choices.of_store_key("999")


def test_rebuild_says_what_differed_and_leaves_an_entry(
    gateway_engine: sa.Engine, people: Sequence[str], choices: Any, caller: Any
) -> None:
    """A state changed by hand is mended for one or for all, and the log says that it was."""
    choices.record(caller, chosen(ANNA, EventKind.OBJECT, "email_marketing"))
    for scope in (ANNA, None):
        with gateway_engine.begin() as connection:
            connection.exec_driver_sql("UPDATE person_state SET legal_hold = (1 = 1)")
        before = counts(gateway_engine)[1]
        assert [each.what for each in choices.rebuild(scope)] == [("legal_hold",)]
        assert counts(gateway_engine)[1] == before + 1
        assert choices.rebuild(scope) == ()


_CHILD = """
import sys
from datetime import datetime, UTC
from consent_gateway.consent import ledger, tables
from consent_gateway.database import open_engine
from consent_gateway.vocabulary import EventKind, Evidence, NewConsentEvent

engine = open_engine(sys.argv[1], threads=2)
now = datetime(2026, 11, 22, tzinfo=UTC)
while True:
    with engine.begin() as connection:
        event = NewConsentEvent("ds_1", "data_sale", EventKind.OPT_OUT, now, Evidence("web", "api", "shop"))
        done = ledger.record(connection, event, now=now)
    print(done.position, flush=True)
"""


def test_a_committed_choice_survives_kill_9(gateway_engine: sa.Engine, people: Sequence[str]) -> None:
    """Whatever a process told as recorded is there after it was killed, and state and positions agree."""
    url = gateway_engine.url.render_as_string(hide_password=False)
    child = subprocess.Popen([sys.executable, "-c", _CHILD, url], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    told += [int(line) for line in child.stdout.read().splitlines() if line.strip().isdigit()]
    child.wait()
    child.stdout.close()
    engine = open_engine(url, threads=2)
    with engine.begin() as connection:
        positions = [each.position for each in ledger.history(connection, "ds_1")]
        assert positions == list(range(1, len(positions) + 1))
        assert len(positions) >= len(told) >= 20
        assert ledger.state(connection, "ds_1").position == len(positions)
        assert ledger.rebuild(connection) == ()
    engine.dispose()
