"""Brings the gateway's two databases to the newest schema, and says whether they are there; holds no schema."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from consent_gateway.database import reading_connection
from consent_gateway.errors import SettingsRefused

if TYPE_CHECKING:
    from alembic.config import Config

Chain = Literal["gateway", "keys"]


def bundled(name: str) -> Path:
    """A directory that ships with the gateway: beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parent / "_bundled" / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name


def upgrade(engine: sa.Engine, chain: Chain) -> None:
    """Run every migration of the chain that this database has not seen, each in its own transaction."""
    from alembic import command  # noqa: PLC0415 - takes a tenth of a process's start, and few migrate

    _run(engine, chain, lambda config: command.upgrade(config, "head"))


def downgrade(engine: sa.Engine, chain: Chain, revision: str) -> None:
    """Go back to a revision, `base` for an empty database. Tables that go take their rows with them."""
    from alembic import command  # noqa: PLC0415 - as above

    _run(engine, chain, lambda config: command.downgrade(config, revision))


def refuse_unless_current(engine: sa.Engine, chain: Chain) -> None:
    """Raise `SettingsRefused` where the database is not at the newest revision of its chain."""
    with reading_connection(engine) as connection:
        present = _present(connection)
    wanted = newest(chain)
    if present != wanted:
        raise SettingsRefused(
            f"the {chain} database is at `{present}`, this version needs `{wanted}`: run `consent-gateway db upgrade`"
        )


def _present(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return " and ".join(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()) or None


def newest(chain: Chain) -> str:
    """The newest revision of a chain."""
    return (bundled("migrations") / chain / "HEAD").read_text(encoding="utf-8").strip()


def _run(engine: sa.Engine, chain: Chain, step: Callable[["Config"], None]) -> None:
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(bundled("migrations") / chain))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        step(config)
        connection.commit()
