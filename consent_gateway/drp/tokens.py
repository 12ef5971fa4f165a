"""The bearer tokens of agents: one each, given for a signed message, found by its digest; never stores a token.

A token has no end of its own. It is over when its agent sets up another, leaves the directory or has another key there.
"""

import secrets
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import reading
from consent_gateway.database import to_micros
from consent_gateway.drp.directory import Agent, Directory
from consent_gateway.drp.tables import DRP_TOKENS
from consent_gateway.ids import new_id

PREFIX = "gw_drp_"
_LABEL = "drp-token"


class AgentTokens:
    """Gives and finds tokens. `key` keys the stored digests. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, directory: Directory, key: bytes) -> None:
        self._engine = engine
        self._directory = directory
        self._key = key

    def give(self, connection: sa.Connection, agent: Agent, now: datetime) -> str:
        """A fresh token for an agent, in the place of the one before, with its audit entry."""
        token = f"{PREFIX}{secrets.token_urlsafe(32)}"
        row = {"token_hash": self._digest(token), "key_hash": _fingerprint(agent), "issued_at": to_micros(now)}
        own = DRP_TOKENS.c.agent_id == agent.agent_id
        if connection.execute(sa.update(DRP_TOKENS).where(own).values(row)).rowcount == 0:
            connection.execute(sa.insert(DRP_TOKENS).values(agent_id=agent.agent_id, **row))
        entry = Entry(
            entry_id=new_id("drp", now),
            kind=EntryKind.CLIENT,
            at=now,
            caller=agent.caller,
            action="agent_token",
            detail={"key": _fingerprint(agent)},
        )
        record_in(connection, entry)
        return token

    def agent(self, token: str) -> Agent | None:
        """The agent whose token this is now, or None."""
        if not token.startswith(PREFIX):
            return None
        query = sa.select(DRP_TOKENS.c.agent_id, DRP_TOKENS.c.key_hash)
        with reading(self._engine) as connection:
            row = connection.execute(query.where(DRP_TOKENS.c.token_hash == self._digest(token))).one_or_none()
        agent = None if row is None else self._directory.agents.get(row.agent_id)
        return agent if agent is not None and row is not None and row.key_hash == _fingerprint(agent) else None

    def _digest(self, token: str) -> str:
        return keyed_digest(self._key, _LABEL, token.encode())


def _fingerprint(agent: Agent) -> str:
    return sha256(agent.key).hexdigest()
