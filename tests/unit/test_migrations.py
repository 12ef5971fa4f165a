"""Migrations go up and down on both databases, and what they build is what the models say."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import consent_gateway.wiring  # noqa: F401 - registers every table
from consent_gateway.database import KEY_METADATA, METADATA, open_engine
from consent_gateway.errors import SettingsRefused
from consent_gateway.migrate import Chain, downgrade, refuse_unless_current, upgrade

ROOT = Path(__file__).resolve().parents[2]
CHAINS: list[tuple[Chain, sa.MetaData]] = [("gateway", METADATA), ("keys", KEY_METADATA)]


def guards(engine: sa.Engine) -> set[tuple[str, str]]:
    """Every trigger and trigger function of the database, by name and normalised text."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
        else:
            rows = connection.exec_driver_sql(
                "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal UNION ALL"
                " SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            ).all()
    return {(str(name), " ".join(str(text).split())) for name, text in rows}


@pytest.mark.parametrize(("chain", "metadata"), CHAINS)
def test_migrations_build_what_the_models_say(empty_database: str, chain: Chain, metadata: sa.MetaData) -> None:
    """After all migrations nothing differs from the models: tables, columns, indexes, triggers."""
    engine = open_engine(empty_database, threads=1)
    upgrade(engine, chain)
    refuse_unless_current(engine, chain)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    built = guards(engine)
    downgrade(engine, chain, "base")
    assert set(sa.inspect(engine).get_table_names()) <= {"alembic_version"}
    assert guards(engine) == set()
    metadata.create_all(engine)
    assert guards(engine) == built
    engine.dispose()


@pytest.mark.parametrize("chain", ["gateway", "keys"])
def test_each_step_goes_down_and_up_again(empty_database: str, chain: Chain) -> None:
    """Every single migration can be undone and done again."""
    engine = open_engine(empty_database, threads=1)
    upgrade(engine, chain)
    for _ in (ROOT / "migrations" / chain / "versions").glob("[0-9]*.py"):
        downgrade(engine, chain, "-1")
    assert set(sa.inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine, chain)
    refuse_unless_current(engine, chain)
    engine.dispose()


def test_used_assertions_stay_used(empty_database: str) -> None:
    """An assertion used just before the upgrade to one store of proofs is still used after it, and back again."""
    engine = open_engine(empty_database, threads=1)
    upgrade(engine, "gateway")
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO used_proofs (signer, jti, expires_at) VALUES ('till', 'j', 7)"))
    downgrade(engine, "gateway", "0005_audit")
    upgrade(engine, "gateway")
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT signer, jti, expires_at FROM used_proofs")).all() == [
            ("till", "j", 7)
        ]
    engine.dispose()


def test_recipients_told_before_are_still_told(empty_database: str) -> None:
    """Notices of both old tables, confirmed or not, stand in the one table after the upgrade, and back again."""
    engine = open_engine(empty_database, threads=1)
    upgrade(engine, "gateway")
    downgrade(engine, "gateway", "0021_console")
    before = [("era_1", "courier", 7, None), ("era_1", "email_tool", 7, 9), ("cor_2", "courier", 8, None)]
    acts = "request_id, requested_by, state, run, revision, planned_at, fields, leftovers"
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO people (data_subject, created_at) VALUES ('ds_1', 0)",
            (
                f"INSERT INTO erasures (erasure_id, data_subject, not_before, {acts})"
                " VALUES ('era_1', 'ds_1', 0, 'dsr-1', 'operator', 'erased', 1, 'r', 0, '[]', '[]')"
            ),
            (
                f"INSERT INTO corrections (correction_id, data_subject, names, {acts})"
                " VALUES ('cor_2', 'ds_1', '[]', 'dsr-2', 'operator', 'corrected', 1, 'r', 0, '[]', '[]')"
            ),
        ):
            connection.execute(sa.text(statement))
        for act, recipient, queued, confirmed in before:
            kind = "erasure" if act.startswith("era") else "correction"
            row = {"act": act, "recipient": recipient, "queued": queued, "confirmed": confirmed}
            connection.execute(
                sa.text(f"INSERT INTO {kind}_notices VALUES (:act, :recipient, :queued, :confirmed)"), row
            )
    upgrade(engine, "gateway")
    told = "SELECT act_id, recipient, queued_at, confirmed_at FROM recipient_notices ORDER BY act_id DESC, recipient"
    with engine.begin() as connection:
        assert [tuple(row) for row in connection.execute(sa.text(told))] == before
        requests = connection.execute(sa.text("SELECT DISTINCT kind, request_id, state FROM recipient_notices"))
        assert set(map(tuple, requests)) == {("erasure", "dsr-1", "to_tell"), ("correction", "dsr-2", "to_tell")}
    downgrade(engine, "gateway", "0021_console")
    with engine.begin() as connection:
        kept = "SELECT erasure_id, recipient, queued_at, acknowledged_at FROM erasure_notices ORDER BY recipient"
        assert [tuple(row) for row in connection.execute(sa.text(kept))] == before[:2]
    engine.dispose()


def test_only_who_migrates_loads_alembic() -> None:
    """A command that migrates nothing starts without it."""
    told = "import sys, consent_gateway.cli.rights as one; print('alembic' in sys.modules, one.__name__)"
    loaded = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == ["False", "consent_gateway.cli.rights"]


def test_an_old_database_is_refused(empty_database: str) -> None:
    """A database that is not at the newest revision is refused with the command that mends it."""
    engine = open_engine(empty_database, threads=1)
    with pytest.raises(SettingsRefused, match="consent-gateway db upgrade"):
        refuse_unless_current(engine, "gateway")
    engine.dispose()
