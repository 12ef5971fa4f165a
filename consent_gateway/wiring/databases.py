"""Opens the gateway's two databases and makes the first keys beside them; builds no service."""

from contextlib import ExitStack

import sqlalchemy as sa

from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS
from consent_gateway.database import STATEMENT_SECONDS, open_engine, reading_connection, refuse_unless_durable
from consent_gateway.errors import SettingsRefused
from consent_gateway.migrate import refuse_unless_current, upgrade
from consent_gateway.protection.tables import EPOCHS, NAMED_KEYS
from consent_gateway.settings import Settings, prepare_directories
from consent_gateway.wiring.providers import make_root_key

_MIGRATION_SECONDS = 3600


def upgrade_databases(settings: Settings) -> None:
    """Bring both databases to the newest schema. Done once, by one process, before the others start."""
    prepare_directories(settings)
    for url, chain in ((settings.database_url, "gateway"), (settings.key_database_url, "keys")):
        engine = open_engine(url, threads=1, statement_seconds=_MIGRATION_SECONDS)
        try:
            upgrade(engine, "gateway" if chain == "gateway" else "keys")
        finally:
            engine.dispose()
    make_root_key(settings, lambda: keys_were_made(settings))
    _make_log_key(settings)


def _make_log_key(settings: Settings) -> None:
    """A first signing key, only while nothing is signed: a log that changes its key by itself proves nothing."""
    if not settings.log_key_file.exists() and _has_rows(settings.database_url, AUDIT_CHECKPOINTS):
        raise SettingsRefused(f"`{settings.log_key_file}` is gone, but it signed the log: restore it from its backup")
    open_signer(settings.log_key_file, settings.log_origin)


def keys_were_made(settings: Settings) -> bool:
    """Whether the key table holds anything that the root key must open."""
    return _has_rows(settings.key_database_url, EPOCHS) or _has_rows(settings.key_database_url, NAMED_KEYS)


def _has_rows(url: str, table: sa.Table) -> bool:
    engine = open_engine(url, threads=1)
    try:
        with reading_connection(engine) as connection:
            count: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    finally:
        engine.dispose()
    return count > 0


def open_databases(settings: Settings, key_statement_seconds: int = STATEMENT_SECONDS) -> tuple[sa.Engine, sa.Engine]:
    """Engines over the gateway database and the key table; refuses ones that are old or would lose commits."""
    prepare_directories(settings)
    with ExitStack() as opened:  # what is refused is let go of
        engine = open_engine(settings.database_url, threads=settings.threads)
        opened.callback(engine.dispose)
        refuse_unless_durable(engine)
        refuse_unless_current(engine, "gateway")
        key_engine = open_engine(
            settings.key_database_url, threads=settings.threads, statement_seconds=key_statement_seconds
        )
        opened.callback(key_engine.dispose)
        refuse_unless_durable(key_engine)
        refuse_unless_current(key_engine, "keys")
        opened.pop_all()
    return engine, key_engine
