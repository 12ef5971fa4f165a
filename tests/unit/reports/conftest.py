"""A year of a company in the gateway's database: people, choices, destinations, requests, erasures and a sealed log."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.audit.chain import opened
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder, open_recorder
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import Signer, open_signer
from consent_gateway.audit.tables import AUDIT_LOG
from consent_gateway.callers.tables import CLIENTS
from consent_gateway.consent.tables import CONSENT_EVENTS, PURPOSE_STATE
from consent_gateway.database import to_micros
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy import Policies, archive, policies_from
from consent_gateway.propagation.tables import CHANGES, DESTINATIONS, HEARD, SET_ASIDE
from consent_gateway.reports.book import make
from consent_gateway.reports.model import Asked, Report
from consent_gateway.reports.source import open_source
from consent_gateway.rights.erasure_tables import ERASURES
from consent_gateway.rights.tables import RIGHTS_REQUESTS
from tests.conftest import NOON, StillClock
from tests.rights_world import shipped_policies

PEOPLE_COUNT, EVENTS, REQUESTS, ENTRIES = 30, 200, 160, 700
PLACES = ("DE", "US-CA", "GB", "FR", None)
FIELDS = ("email", "phone", "allergies", "orders.total_cents", "street", "points")
PURPOSES = ("email_marketing", "order_fulfilment", "customer_support", "gone_purpose")
RECIPIENTS = ("company", "email_tool", "courier", "unknown_tool")
CALLERS = ("web-shop", "till", "crm")
EFFECTS = ("allow", "mask", "generalise", "withhold")
REGIMES = (("US_CA_CCPA", "know"), ("US_CA_CCPA", "delete"), ("EU_GDPR", "access"))
STATES = ("received", "identity_pending", "in_progress", "fulfilled", "partially_fulfilled", "denied", "cancelled")
KINDS = ("grant", "withdraw", "object", "opt_out", "unsubscribe", "refuse", "frequency")

Ask = Callable[..., Report]


@dataclass
class Company:
    """The database and what seals its log."""

    engine: sa.Engine
    recorder: Recorder
    sealer: Sealer
    signer: Signer
    clock: StillClock
    policies: Policies
    before: Policies

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """Every row of a table, as it is."""
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(sa.select(table))]

    def entries(self) -> list[tuple[int, dict[str, Any]]]:
        """Every sealed entry by its index."""
        return [(row["leaf_index"], opened(bytes(row["entry"]))) for row in self.rows(AUDIT_LOG)]

    def insert(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Rows, as the rooms would have written them."""
        with self.engine.begin() as connection:
            connection.execute(sa.insert(table), rows)

    def seal(self) -> None:
        """Seal what waits."""
        while self.sealer.seal_once().more:
            pass


@pytest.fixture
def company(gateway_engine: sa.Engine, tmp_path: Path, clock: StillClock) -> Iterator[Company]:
    """The company, on both databases."""
    state = tmp_path / "state"
    signer = open_signer(state / "audit" / "log.key", "log.example/audit")
    recorder = open_recorder(gateway_engine, state)
    policies = shipped_policies()
    sources = dict(policies.sources)
    sources["recipients.yaml"] = sources["recipients.yaml"].replace("country: NL", "country: BE")
    sources["packs/eea.yaml"] = sources["packs/eea.yaml"].replace("reask_months: 6", "reask_months: 7")
    made = Company(
        gateway_engine, recorder, Sealer(gateway_engine, state, signer, clock), signer, clock, policies,
        policies_from(sources),
    )  # fmt: skip
    dice = random.Random(20261122)
    _people(made)
    _choices(made, dice)
    _requests(made, dice)
    _log(made, dice)
    made.seal()
    yield made
    recorder.close()


@pytest.fixture
def ask(company: Company) -> Ask:
    """Makes a report of the company as it is now."""

    def asked(name: str, **what: Any) -> Report:
        with open_source(company.engine, company.policies, company.clock.now()) as source:
            return make(source, name, Asked(**what))

    return asked


def _moment(dice: random.Random) -> datetime:
    return NOON - timedelta(seconds=dice.randrange(2 * 365 * 86_400))


def _people(made: Company) -> None:
    made.insert(
        PEOPLE,
        [
            {"data_subject": f"ds_{n}", "store_key": str(n), "jurisdiction": PLACES[n % len(PLACES)], "created_at": 1}
            for n in range(PEOPLE_COUNT)
        ],
    )
    made.insert(
        CLIENTS,
        [
            {
                "client_id": name,
                "channel": "web",
                "purposes": "[]",
                "recipients": json.dumps(recipients),
                "scopes": "[]",
                "auth_method": "client_secret_basic",
                "created_at": 1,
                "revoked_at": revoked,
            }
            for name, recipients, revoked in (
                ("web-shop", ["company"], None),
                ("crm", ["company", "email_tool"], None),
                ("old-crm", ["email_tool"], 5),
            )
        ],
    )


def _choices(made: Company, dice: random.Random) -> None:
    positions = dict.fromkeys(range(PEOPLE_COUNT), 0)
    events = []
    for n in range(EVENTS):
        person = dice.randrange(PEOPLE_COUNT - 3)
        positions[person] += 1
        at = to_micros(NOON - timedelta(days=100) + timedelta(hours=n))
        kind = dice.choice(KINDS)
        events.append(
            {
                "event_id": f"evt_{n:04}",
                "data_subject": f"ds_{person}",
                "position": positions[person],
                "purpose": dice.choice(PURPOSES[:3]),
                "kind": kind,
                "occurred_at": at,
                "recorded_at": at,
                "channel": dice.choice(("web", "till")),
                "how": "web_form",
                "recorded_by": "web-shop",
                "notice": "messages",
                "notice_version": "5",
                "language": "de",
                "notice_sha256": None,
                "conditions": "[]",
                "frequency": "weekly" if kind == "frequency" else None,
            }
        )
    made.insert(CONSENT_EVENTS, events)
    made.recorder.record_all(
        [
            Entry(
                f"con_{event['event_id']}",
                EntryKind.CONSENT_EVENT,
                NOON,
                purpose=str(event["purpose"]),
                action=str(event["kind"]),
                data_subject=str(event["data_subject"]),
                consent_event=str(event["event_id"]),
            )
            for event in events[: EVENTS - 20]
        ]
    )
    made.insert(
        PURPOSE_STATE, [_state(event) for event in {(e["data_subject"], e["purpose"]): e for e in events}.values()]
    )
    _delivery(made, dice, events)


def _state(event: dict[str, Any]) -> dict[str, Any]:
    no = dict.fromkeys(("objected", "opted_out", "opted_in_again", "unsubscribed"), False)
    return {
        **{name: event[name] for name in ("data_subject", "purpose", "event_id", "notice_version")},
        **no,
        "status": "granted",
        "given_at": event["occurred_at"],
        "conditions": "[]",
    }


def _delivery(made: Company, dice: random.Random, events: list[dict[str, Any]]) -> None:
    numbered = len(events) - 15
    made.insert(
        CHANGES,
        [{"event_id": event["event_id"], "number": n + 1 if n < numbered else None} for n, event in enumerate(events)],
    )
    first = events[0]["recorded_at"]
    made.insert(
        DESTINATIONS,
        [
            {
                "destination_id": name,
                "client_id": client,
                "kind": "webhook" if client else "file",
                "target": name,
                "purposes": json.dumps(purposes),
                "recipient": recipient,
                "created_at": created,
                "ended_at": ended,
                "secret_number": 1,
                "position": position,
                "failures": 0,
                "next_attempt_at": 0,
            }
            for name, client, purposes, recipient, created, ended, position in (
                ("whk_1", "crm", ["email_marketing"], "email_tool", 1, None, numbered - 30),
                ("snk_1", None, sorted(PURPOSES[:3]), "company", first + 20 * 3_600_000_000, None, numbered - 30),
                ("whk_2", "web-shop", ["customer_support"], "company", 1, first + 90 * 3_600_000_000, 40),
            )
        ],
    )
    heard: dict[tuple[str, str], dict[str, Any]] = {}
    for n, event in enumerate(events[: numbered - 30]):
        for name in ("whk_1", "snk_1"):
            if dice.random() < 0.8:
                at = event["recorded_at"] + dice.randrange(1, 9_000_000)
                heard[event["data_subject"], name] = {
                    "data_subject": event["data_subject"], "destination_id": name, "number": n + 1, "heard_at": at
                }  # fmt: skip
    made.insert(HEARD, list(heard.values()))
    made.insert(
        SET_ASIDE,
        [
            {
                "destination_id": "snk_1",
                "number": n + 1,
                "data_subject": events[n]["data_subject"],
                "is_dead": n % 2 == 0,
                "attempts": 3,
                "first_attempt_at": 1,
                "next_attempt_at": 1,
                "cause": "timeout",
            }
            for n in range(30, numbered, 17)
        ],
    )


def _requests(made: Company, dice: random.Random) -> None:
    rows = []
    for n in range(REQUESTS):
        regime, right = dice.choice(REGIMES)
        state, received = dice.choice(STATES), _moment(dice)
        answered = received + timedelta(days=dice.randrange(1, 60), hours=dice.randrange(24))
        rows.append(
            {
                "request_id": f"rr_{n}",
                "right": right,
                "regime": regime,
                "jurisdiction": "US-CA",
                "received_at": to_micros(received),
                "via": dice.choice(("page", "api", "post")),
                "channel": "web",
                "recorded_by": "web-shop",
                "data_subject": f"ds_{n % PEOPLE_COUNT}",
                "person_key": "k",
                "purposes": "[]",
                "warnings": "[]",
                "state": state,
                "version": 1,
                "proved": True,
                "begun": True,
                "extended": False,
                "approved": False,
                "running": False,
                "ground": dice.choice(("excessive", "legal_claims")) if state == "denied" else None,
                "pauses": "[]",
                "attempts": 0,
                "codes": 0,
                "prove_until": dice.choice(("2026-11-21", "2026-11-22")) if state == "identity_pending" else None,
                "answered_at": to_micros(answered) if state in STATES[3:] else None,
                "joined_to": "rr_0" if n % 13 == 5 else None,
            }
        )
    made.insert(RIGHTS_REQUESTS, rows)
    fields = [{"field": "email", "erased": 1, "kept": 0, "ground": None, "schedule": None}]
    kept = {"field": "orders.total_cents", "erased": 0, "kept": 2, "ground": "legal_obligation", "schedule": "books-de"}
    made.insert(
        ERASURES,
        [
            {
                "erasure_id": f"era_{n}",
                "data_subject": f"ds_{n}",
                "request_id": f"rr_{n}",
                "requested_by": "ofc_1",
                "state": ("erased", "partially_erased")[n % 2],
                "run": 1,
                "revision": "r",
                "planned_at": to_micros(NOON - timedelta(days=n)),
                "not_before": 0,
                "fields": json.dumps([*fields, kept] if n % 2 else fields),
                "leftovers": json.dumps([{}] * (n % 2)),
            }
            for n in range(6)
        ],
    )


def _log(made: Company, dice: random.Random) -> None:
    with made.engine.begin() as connection:
        archive.save(connection, made.before, NOON - timedelta(days=90))
        archive.save(connection, made.policies, NOON - timedelta(days=40))
    entries = []
    for n in range(ENTRIES):
        at = NOON - timedelta(days=80) + timedelta(hours=2 * n, microseconds=dice.randrange(10**6))
        person = dice.randrange(PEOPLE_COUNT)
        kind = dice.choice((EntryKind.DECISION,) * 6 + (EntryKind.WRITE_INTENT, EntryKind.REIDENTIFICATION))
        entries.append(
            Entry(
                f"dec_{n:05}",
                kind,
                at,
                caller=dice.choice(CALLERS),
                purpose=dice.choice(PURPOSES),
                action="decide" if kind is EntryKind.REIDENTIFICATION else dice.choice(("read", "read", "write")),
                data_subject=None if n % 29 == 0 else f"ds_{person}",
                recipient=dice.choice(RECIPIENTS),
                fields={
                    name: (dice.choice(EFFECTS), "consent", "eea.x")
                    for name in dice.sample(FIELDS, dice.randrange(1, 4))
                },
                jurisdiction=PLACES[person % len(PLACES)],
                revision=dice.choice((made.before.revision, made.policies.revision, "0" * 16)),
                outcome="open",
            )
        )
    for n in range(8):
        words = {"schedule": ("visits", "devices")[n % 2], "step": "delete", "rows": str(n)}
        intent = Entry(
            f"ret_{n}",
            EntryKind.ERASURE,
            NOON - timedelta(days=n),
            action="retention",
            outcome="intended",
            detail=words,
        )
        entries.append(intent)
        if n != 3:
            outcome = "refused" if n == 4 else "done"
            entries.append(replace(intent, entry_id=f"ret_{n}d", outcome=outcome, reference=intent.entry_id))
    made.recorder.record_all(entries)
