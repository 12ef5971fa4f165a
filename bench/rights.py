"""What an access package and an erasure over eleven collections take, medians in seconds of the wall clock.

The store has five hundred customers; each asked for has rows in all eleven collections. An erasure is timed from its
plan to its certificate: steps, audit entries, key destruction, the look through every column of store and gateway.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_gateway.connectors.erasing import SqlErasing
from consent_gateway.consent.facts import FactsReader
from consent_gateway.database import HeldConnections
from consent_gateway.rights.access import Packages
from consent_gateway.rights.access_document import Documents
from tests.erasing.world import TERMS, World, policy_of

CHILDREN = ("addresses", "cards", "logins", "orders", "lines", "visits", "notes", "devices", "requests", "reports")
PEOPLE = 500
ROUNDS = 9
TARGETS = {"access": 0.2, "erasure": 0.4}  # seconds, on PostgreSQL


def rights_costs(kind: str, gateway: str, store_url: str) -> Iterator[str]:
    """One line for access and one for erasure, over a fresh store and a fresh gateway database."""
    engine = sa.create_engine(store_url)
    _fill(engine)
    engine.dispose()
    with tempfile.TemporaryDirectory(prefix="cg-rights-") as folder:
        world = World(Path(folder), gateway)
        policies = policy_of(_catalogue(), {"version": "1", "terms": [TERMS]})
        store = SqlErasing(store_url, timeout=60)
        held = HeldConnections(world.engine)
        packages = Packages(
            engine=world.engine,
            store=store,
            catalogue=policies.catalogue,
            retention=policies.documents.retention,
            documents=Documents(policies, "bench", "till"),
            keyring=world.keyring,
            known=FactsReader(held).by_id,
            log=world.log,
            clock=world.clock,
            link_key=bytes(32),
        )
        erasing, _closing = world.erasing(store, policies)
        taken: dict[str, list[float]] = {"access": [], "erasure": []}
        states = set()
        for number in range(1, ROUNDS + 2):  # the first warms up
            person = world.person(f"ds_bench_{number}", str(number))
            begun = time.perf_counter()
            packages.make(person, request_id=f"acc-{number}", by="bench")
            between = time.perf_counter()
            planned = erasing.plan(person, request_id=f"dsr-{number}", by="bench")
            states.add(erasing.execute(planned.erasure_id, by="bench").state.value)
            taken["access"].append(between - begun)
            taken["erasure"].append(time.perf_counter() - between)
        held.close()
        store.close()
        world.close()
    for name, seconds in taken.items():
        median = statistics.median(seconds[1:])
        told = "within" if median <= TARGETS[name] else "misses"
        yield f"{kind}: {name} over eleven collections: {median:.3f} s, {told} the {TARGETS[name]} s wanted"
    yield f"   outcomes: {', '.join(sorted(states))}"


def _catalogue() -> dict[str, Any]:
    root = {
        "name": "people",
        "meta": {"root": True},
        "fields": [
            {"name": "id", "data_categories": ["user.unique_id"], "fides_meta": {"primary_key": True}},
            {"name": "email", "data_categories": ["user.contact.email"], "fides_meta": {"identity": "email"}},
            {"name": "phone", "data_categories": ["user.contact.phone_number"], "fides_meta": {"identity": "phone"}},
            {"name": "name", "data_categories": ["user.name"]},
        ],
    }
    children = [
        {
            "name": name,
            "fields": [
                {"name": "id", "data_categories": ["user.unique_id"], "fides_meta": {"primary_key": True}},
                {
                    "name": "owner",
                    "data_categories": ["user.unique_id"],
                    "fides_meta": {"references": [{"dataset": "bench", "field": pointer, "direction": "from"}]},
                },
                {"name": "text", "data_categories": ["user.content.private"]},
                {"name": "made_at", "data_categories": ["user.behavior"]},
            ],
        }
        for name, pointer in _parents()
    ]
    return {"dataset": [{"fides_key": "bench", "collections": [root, *children]}]}


def _parents() -> Iterator[tuple[str, str]]:
    for name in CHILDREN:
        yield name, "orders.id" if name == "lines" else "people.id"


def _fill(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, phone TEXT, name TEXT)")
        connection.execute(
            sa.text("INSERT INTO people VALUES (:id, :email, :phone, :name)"),
            [
                {"id": at, "email": f"p{at}@example.org", "phone": f"+49170{at:07d}", "name": f"Person Number{at}"}
                for at in range(1, PEOPLE + 1)
            ],
        )
        for name, pointer in _parents():
            table = pointer.partition(".")[0]
            connection.exec_driver_sql(
                f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES {table} (id),"
                " text TEXT, made_at TEXT)"
            )
            connection.exec_driver_sql(f"CREATE INDEX {name}_owner ON {name} (owner)")
            connection.execute(
                sa.text(f"INSERT INTO {name} VALUES (:id, :owner, :text, '2026-01-02')"),
                [
                    {
                        "id": at * 2 + more,
                        "owner": at * 2 if name == "lines" else at,
                        "text": f"what {name} hold of {at}-{more}",
                    }
                    for at in range(1, PEOPLE + 1)
                    for more in (0, 1)
                ],
            )
