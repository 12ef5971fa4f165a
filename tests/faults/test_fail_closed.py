"""What is away, full, damaged or slow ends the call with a problem document and no data."""

import contextlib
import os
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from consent_gateway.database import open_engine
from consent_gateway.demo.cast import CAST
from consent_gateway.demo.clients import CALL_CENTRE, NEWSLETTER, TILL
from tests.deployment import Deployment, Running, deploy, running, start_postgresql

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


def writer_files(deployment: Deployment) -> list[Path]:
    """The files of living web workers; the background worker writes no entry of its own."""
    return list(Path(deployment.folder, "state", "audit").glob("*.db"))


def make_audit_unwritable(deployment: Deployment) -> None:
    """Every place an entry could go refuses it."""
    engine = open_engine(deployment.variables["CONSENT_GATEWAY_DATABASE_URL"], threads=1)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(
                sa.text("CREATE TRIGGER closed BEFORE INSERT ON audit_queue BEGIN SELECT RAISE(ABORT, 'closed'); END")
            )
        else:
            connection.execute(
                sa.text("CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'closed'; END $$")
            )
            connection.execute(
                sa.text("CREATE TRIGGER closed BEFORE INSERT ON audit_queue FOR EACH ROW EXECUTE FUNCTION closed()")
            )
    engine.dispose()
    for path in writer_files(deployment):
        with sqlite3.connect(path) as file:
            file.execute("CREATE TRIGGER closed BEFORE INSERT ON leaves BEGIN SELECT RAISE(ABORT, 'closed'); END")


def test_unwritable_audit_answers_503_everywhere(deployment: Deployment) -> None:
    """With the audit table unwritable, every gated call answers 503 with a problem document, no data, no change."""
    with running(deployment) as served:
        calls = gated_calls(served)
        while len(writer_files(deployment)) < len(served.workers()):  # until every worker has its file
            with ThreadPoolExecutor(16) as threads:
                assert {reply.status for reply in threads.map(lambda call: served.call(*call), calls[:1] * 16)} == {200}
            if not deployment.settings.database_url.startswith("sqlite"):
                break
        before = _choices(deployment)
        make_audit_unwritable(deployment)
        for method, path, body, token in calls:
            reply = served.call(method, path, body, token)
            assert reply.status == 503, (method, path, reply)
            assert reply.headers["content-type"] == "application/problem+json"
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
        engine = sa.create_engine(
            sa.make_url(deployment.retailer).set(
                drivername="sqlite" if deployment.retailer.startswith("sqlite") else "postgresql+psycopg"
            )
        )
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE customers RENAME TO gone"))
        engine.dispose()
        statuses = [served.call(method, path, body, token).status for method, path, body, token in calls]
        assert statuses == [503, 503, 503, 200, 200, 201]
        assert served.call("GET", "/readyz").status == 503
        assert served.call("GET", "/healthz").status == 200


def test_a_slow_store_answers_503_within_its_time_out(deployment: Deployment) -> None:
    """While somebody else holds the retailer's table, a read ends with 503; when it is free, the next succeeds."""
    deployment.variables["CONSENT_GATEWAY_STORE_TIMEOUT_MS"] = "1500"  # long enough for a free store on a busy machine
    with running(deployment) as served:
        method, path, body, token = gated_calls(served)[0]
        url = sa.make_url(deployment.retailer)
        sqlite = url.get_backend_name() == "sqlite"
        engine = sa.create_engine(url if sqlite else url.set(drivername="postgresql+psycopg"))
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN EXCLUSIVE" if sqlite else "LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
            reply = served.call(method, path, body, token)
            assert (reply.status, reply.body["code"]) == (503, "store_unavailable")
            assert "retry-after" in reply.headers
            connection.exec_driver_sql("ROLLBACK")
        engine.dispose()
        assert served.call(method, path, body, token).status == 200


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """On a full disk every gated call is refused, what was acknowledged stays, and space that returns is enough."""
    if os.geteuid() != 0:
        pytest.skip("filling a disk needs root, to mount one of 64 MB; CI runs as root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", str(disk)], check=True)
    try:
        (disk / "state").mkdir(mode=0o700)
        names = {
            "gateway": disk / "state" / "gateway.db",
            "keys": disk / "state" / "keys.db",
            "store": tmp_path / "s.db",
        }
        deployment = deploy(disk, {name: f"sqlite:///{path}" for name, path in names.items()}, customers=20)
        with running(deployment) as served:
            calls = gated_calls(served)
            assert [served.call(*call).status for call in calls] == [200, 200, 200, 200, 200, 201]
            before = _choices(deployment)
            filler = disk / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            statuses = [served.call(*call).status for call in calls * 4]
            assert statuses.count(503) > len(calls)
            refused = statuses.count(503)
            filler.unlink()
            served.wait_ready()
            assert [served.call(*call).status for call in calls] == [200, 200, 200, 200, 200, 201]
            acknowledged = statuses.count(201) + 1
            assert _choices(deployment) == before + acknowledged
            assert refused
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_database_server_that_restarts_is_survived(tmp_path: Path) -> None:
    """While PostgreSQL is stopped every gated call answers 503; after its restart the same processes answer again."""
    server = start_postgresql(tmp_path)
    try:
        admin = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(admin, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for name in ("gateway", "keys", "store"):
                connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        urls = {n: admin.set(database=n).render_as_string(hide_password=False) for n in ("gateway", "keys", "store")}
        (tmp_path / "state").mkdir(mode=0o700)
        deployment = deploy(tmp_path, urls, customers=20)
        deployment.variables["CONSENT_GATEWAY_WORKERS"] = (
            "1"  # one that is ready is all; another could still be starting
        )
        with running(deployment) as served:
            calls = gated_calls(served)
            server.stop()
            for call in calls:
                reply = served.call(*call)
                assert reply.status == 503, (call[:2], reply)
                assert "record" not in reply.body
            server.start()
            deadline = time.monotonic() + 20
            while served.call(*calls[0]).status != 200:
                assert time.monotonic() < deadline, "the gateway did not find its database again"
            served.wait_ready()
            assert [served.call(*call).status for call in calls] == [200, 200, 200, 200, 200, 201]
    finally:
        server.cleanup()
