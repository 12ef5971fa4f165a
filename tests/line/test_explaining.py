"""Why a past decision fell as it did; what never leaves; the real application under generated calls."""

from pathlib import Path

import pytest

from consent_gateway.consent.bound import unbound
from consent_gateway.errors import NotFound
from consent_gateway.explain import Explain
from consent_gateway.line import DecideQuery, ReadQuery
from consent_gateway.policy import policies_from
from consent_gateway.web.app import create_app
from consent_gateway.wiring import open_sealer
from tests.line.conftest import ALL, Line, named
from tests.web.test_openapi_fuzz import fuzz


def test_a_decision_is_explained_by_rule_source_and_event(line: Line) -> None:
    """The explanation names rule, source and the facts that held, and the replay agrees; sealed or not."""
    caller = line.caller("email_marketing")
    asked = line.services.gateway.decide(caller, DecideQuery(named(0), "email_marketing", ("email",)))
    told = line.services.explain.decision(caller, asked.decision_id)
    verdict = asked.verdicts["email"]
    assert told["fields"]["email"]["rule"] == verdict.rule
    assert told["fields"]["email"]["source"]
    assert told["replayed_alike"] is True
    sealer = open_sealer(line.deployment.settings, line.services)
    while sealer.seal_once().sealed:
        pass
    assert line.services.explain.decision(caller, asked.decision_id)["log"]["sealed"] is True


def test_an_old_decision_is_explained_by_the_rules_of_its_day(line: Line) -> None:
    """After the policy has changed, an earlier decision is explained and replayed with the archived revision."""
    caller = line.caller("order_fulfilment")
    asked = line.services.gateway.decide(caller, DecideQuery(named(0), "order_fulfilment", ("email",)))
    sources = dict(line.services.policies.sources)
    sources["packs/house.yaml"] = sources["packs/house.yaml"].replace("2026.11", "2026.12")
    newer = policies_from(sources)
    assert newer.revision != line.services.policies.revision
    told = Explain(line.services.engine, line.deployment.settings.state_dir, newer, line.services.clock).decision(
        caller, asked.decision_id
    )
    assert (told["policy_revision"], told["replayed_alike"]) == (line.services.policies.revision, True)


def test_who_asks_why_is_itself_recorded(line: Line) -> None:
    """An explanation, and a reading of what a person chose, each leave an entry that names who asked."""
    caller = line.caller("order_fulfilment")
    asked = line.services.gateway.decide(caller, DecideQuery(named(0), "order_fulfilment", ("email",)))
    line.services.explain.decision(caller, asked.decision_id)
    line.services.choices.account_for(caller, "read_state", asked.data_subject)
    sealer = open_sealer(line.deployment.settings, line.services)
    while sealer.seal_once().sealed:
        pass
    assert line.scalar("SELECT count(*) FROM audit_log WHERE kind = 'log_read' AND caller = 'till'")
    assert line.scalar(
        "SELECT count(*) FROM audit_log WHERE kind = 'consent_read' AND data_subject = :d", d=asked.data_subject
    )


def test_only_ones_own_decisions_are_explained(line: Line) -> None:
    """Another client's decision is not found, unless the caller may read the log."""
    asked = line.services.gateway.decide(
        line.caller("order_fulfilment"), DecideQuery(named(0), "order_fulfilment", ("email",))
    )
    with pytest.raises(NotFound):
        line.services.explain.decision(line.caller("order_fulfilment", client="other"), asked.decision_id)
    officer = line.caller("order_fulfilment", client="other", scopes=ALL | {"audit:read"})
    assert line.services.explain.decision(officer, asked.decision_id)["caller"] == "till"
    with pytest.raises(NotFound):
        line.services.explain.decision(officer, "dec_never")


def test_no_personal_value_lies_anywhere_in_the_gateway(line: Line) -> None:
    """None of the seeded names, addresses and numbers stands in a file or table of the gateway."""
    line.services.gateway.read(line.caller("customer_support"), ReadQuery(named(0), "customer_support"))
    people = [line.store(f"SELECT {column} FROM customers WHERE customer_id = {number}")
              for column in ("email", "phone", "street", "last_name") for number in range(1, 14)]  # fmt: skip
    canaries = [str(value).encode() for value in people if value and len(str(value)) > 6]
    assert len(canaries) > 20
    files = [path for path in Path(line.deployment.settings.state_dir).rglob("*") if path.is_file()]
    contents = [path.read_bytes() for path in files]
    with line.services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in ("people", "identifiers", "consent_events", "audit_queue", "audit_log", "field_provenance"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}")
            contents += [
                repr(tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)).encode() for row in rows
            ]
    assert not [canary for canary in canaries if any(canary in content for content in contents)]


def test_generated_calls_of_the_real_application(line: Line) -> None:
    """Every operation, called rightly and wrongly on real parts: no 5xx, no answer that is not documented."""
    services = line.services
    client = services.registry.get("till")
    assert client is not None
    token = services.tokens.issue(client).token
    asked = services.gateway.read(line.caller("order_fulfilment"), ReadQuery(named(0), "order_fulfilment", ("email",)))
    known = {
        "purpose": "order_fulfilment",
        "data_subject": asked.data_subject,
        "identifier": {"kind": "email", "value": "anna.berger@example.com"},
        "decision_id": asked.decision_id,
    }
    assert fuzz(create_app(services), token, known, examples=6) > 10


def test_the_ledger_is_bound_to_the_log(line: Line) -> None:
    """Every choice, imported or recorded, is the one that was sealed; a changed, added or dropped row is told."""
    sealer = open_sealer(line.deployment.settings, line.services)
    while sealer.seal_once().sealed:
        pass
    assert line.services.choices.unbound() == []
    guards = {
        "sqlite": [
            "PRAGMA defer_foreign_keys = ON",
            "DROP TRIGGER consent_events_never_updated",
            "DROP TRIGGER consent_events_never_deleted",
        ],
        "postgresql": ["ALTER TABLE consent_events DISABLE TRIGGER ALL"],
    }[line.services.engine.dialect.name]
    changes = [
        "UPDATE consent_events SET kind = 'grant' WHERE kind = 'withdraw' AND how = 'import'",
        "UPDATE consent_events SET occurred_at = occurred_at - 1 WHERE how = 'import'",
        "DELETE FROM consent_events WHERE kind = 'opt_out'",
    ]
    for change in changes:
        connection = line.services.engine.connect()
        transaction = connection.begin()
        for guard in guards:
            connection.exec_driver_sql(guard)
        changed = connection.exec_driver_sql(change).rowcount
        assert bool(list(unbound(connection))) == bool(changed)
        transaction.rollback()
        connection.close()
