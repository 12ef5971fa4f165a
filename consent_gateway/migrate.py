"""Brings the gateway's two databases to the newest schema, and says whether they are there; holds no schema."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext

from consent_gateway.database import reading_connection
from consent_gateway.errors import SettingsRefused

Chain = Literal["gateway", "keys"]


def bundled(name: str) -> Path:
    """A directory that ships with the gateway: beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parent / "_bundled" / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name


def upgrade(engine: sa.Engine, chain: Chain) -> None:
    """Run every migration of the chain that this database has not seen, each in its own transaction."""
    _run(engine, chain, lambda config: command.upgrade(config, "head"))


def downgrade(engine: sa.Engine, chain: Chain, revision: str) -> None:
    """Go back to a revision, `base` for an empty database. Tables that go take their rows with them."""
    _run(engine, chain, lambda config: command.downgrade(config, revision))


def refuse_unless_current(engine: sa.Engine, chain: Chain) -> None:
    """Raise `SettingsRefused` where the database is not at the newest revision of its chain."""
    with reading_connection(engine) as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    wanted = newest(chain)
    if present != wanted:
        raise SettingsRefused(
            f"the {chain} database is at `{present}`, this version needs `{wanted}`: run `consent-gateway db upgrade`"
        )


def newest(chain: Chain) -> str:
    """The newest revision of a chain."""
    return (bundled("migrations") / chain / "HEAD").read_text(encoding="utf-8").strip()


def _run(engine: sa.Engine, chain: Chain, step: Callable[[Config], None]) -> None:
    config = Config()
    config.set_main_option("script_location", str(bundled("migrations") / chain))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        step(config)
        connection.commit()
