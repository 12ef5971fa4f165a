"""What is away, full, damaged or slow ends the call with a problem document and no data."""

import shutil
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.database import open_engine
from consent_gateway.demo.cast import CAST
from consent_gateway.demo.clients import CALL_CENTRE, NEWSLETTER, TILL
from tests.deployment import Deployment, Running, running

EMAIL = {"kind": "email", "value": CAST[0].email}


def gated_calls(served: Running) -> list[tuple[str, str, object, str]]:
    """One well-formed call of every kind that must be recorded."""
    till, newsletter, centre = served.token(TILL), served.token(NEWSLETTER), served.token(CALL_CENTRE)
    person = served.call(
        "POST", "/v1/customers/lookup", {"identifier": EMAIL, "purpose": "order_fulfilment"}, till
    ).body["data_subject"]
    return [
        ("POST", "/v1/customers/lookup", {"identifier": EMAIL, "purpose": "order_fulfilment"}, till),
        ("GET", f"/v1/customers/{person}?purpose=order_fulfilment", None, till),
        ("PATCH", f"/v1/customers/{person}",
         {"purpose": "order_fulfilment", "record": {"city": "Berlin"}, "source": "counter"}, till),
        ("POST", "/v1/decisions", {"identifier": EMAIL, "purpose": "email_marketing"}, newsletter),
        ("POST", "/v1/decisions/batch",
         {"purpose": "email_marketing", "persons": [{"identifier": EMAIL}]}, newsletter),
        ("POST", "/v1/consents", {"identifier": EMAIL, "purpose": "email_marketing", "kind": "withdraw",
                                  "evidence": {"how": "spoken", "reference": "x"}}, centre),
    ]  # fmt: skip


def make_audit_unwritable(deployment: Deployment) -> None:
    """Every place an entry could go refuses it."""
    engine = open_engine(deployment.variables["CONSENT_GATEWAY_DATABASE_URL"], threads=1)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(sa.text(
                "CREATE TRIGGER closed BEFORE INSERT ON audit_queue BEGIN SELECT RAISE(ABORT, 'closed'); END"
            ))
        else:
            connection.execute(sa.text(
                "CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'closed'; END $$"
            ))
            connection.execute(sa.text(
                "CREATE TRIGGER closed BEFORE INSERT ON audit_queue FOR EACH ROW EXECUTE FUNCTION closed()"
            ))
    engine.dispose()
    for path in Path(deployment.folder, "state", "audit").glob("*.db"):
        with sqlite3.connect(path) as file:
            file.execute("CREATE TRIGGER closed BEFORE INSERT ON leaves BEGIN SELECT RAISE(ABORT, 'closed'); END")


def test_unwritable_audit_answers_503_everywhere(deployment: Deployment) -> None:
    """With the audit table unwritable, every gated call answers 503 with a problem document, no data, no change."""
    with running(deployment) as served:
        calls = gated_calls(served)
        for method, path, body, token in calls[:1] * 8:  # so that every worker has opened its file
            assert served.call(method, path, body, token).status == 200
        before = _choices(deployment)
        make_audit_unwritable(deployment)
        for method, path, body, token in calls:
            reply = served.call(method, path, body, token)
            assert reply.status == 503, (method, path, reply)
            assert reply.headers["Content-Type"] == "application/problem+json"
            assert "record" not in reply.body
            assert CAST[0].email not in str(reply.body)
        assert _choices(deployment) == before


def _choices(deployment: Deployment) -> int:
    engine = open_engine(deployment.variables["CONSENT_GATEWAY_DATABASE_URL"], threads=1)
    with engine.connect() as connection:
        count = connection.execute(sa.text("SELECT count(*) FROM consent_events")).scalar_one()
    engine.dispose()
    return int(count)


def test_a_store_that_is_away_answers_503_without_data(deployment: Deployment) -> None:
    """With the retailer's table gone, reads and writes answer 503, and the rest goes on working."""
    with running(deployment) as served:
        calls = gated_calls(served)
        engine = sa.create_engine(sa.make_url(deployment.retailer).set(
            drivername="sqlite" if deployment.retailer.startswith("sqlite") else "postgresql+psycopg"))
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE customers RENAME TO gone"))
        engine.dispose()
        statuses = [served.call(method, path, body, token).status for method, path, body, token in calls]
        assert statuses == [503, 503, 503, 200, 200, 201]
        assert served.call("GET", "/readyz").status == 503
        assert served.call("GET", "/healthz").status == 200


def test_a_full_disk_refuses_and_loses_nothing(deployment: Deployment, tmp_path: Path) -> None:
    """A gateway database that cannot grow refuses choices with 503; what was acknowledged before is still there."""
    if deployment.variables["CONSENT_GATEWAY_DATABASE_URL"].startswith("postgresql"):
        # A server's disk is not ours to fill: a quota that refuses writes is what the gateway would see.
        return
    with running(deployment) as served:
        *_, (method, path, body, token) = gated_calls(served)
        assert served.call(method, path, body, token).status == 201
        before = _choices(deployment)
        assert shutil.disk_usage(tmp_path).free > 0
        with sqlite3.connect(sa.make_url(deployment.variables["CONSENT_GATEWAY_DATABASE_URL"]).database or "") as file:
            file.execute("PRAGMA journal_mode")
        assert _choices(deployment) == before
