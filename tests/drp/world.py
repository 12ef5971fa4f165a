"""The protocol for tests: two agents over the rights room of a real database, and what goes out kept in memory."""

import json
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_gateway.callers.replay import ReplayStore
from consent_gateway.drp.callbacks import Callbacks
from consent_gateway.drp.directory import Agent, Directory
from consent_gateway.drp.protocol import Protocol
from consent_gateway.drp.tokens import AgentTokens
from consent_gateway.propagation.addresses import AllowedHosts
from tests.rights_world import KEY
from tests.unit.rights.conftest import Rights

US = "COFFEE_CHAIN"
PAGE = "https://gateway.example/preferences/requests"
CALLBACK = "https://agent.example.com/update_status"
KEYS = {name: Ed25519PrivateKey.from_private_bytes(bytes([at]) * 32) for at, name in enumerate(("GOOD", "OTHER"), 1)}


def agent_of(name: str, key: Ed25519PrivateKey | None = None) -> Agent:
    """One of the two agents, or one of its name with another key."""
    raw = (key or KEYS[name]).public_key().public_bytes_raw()
    return Agent(name, f"{name.title()} agent", raw, AllowedHosts(frozenset({"agent.example.com"})))


def directory_of(*agents: Agent) -> Directory:
    """A directory of these agents, or of both."""
    named = agents or tuple(agent_of(name) for name in KEYS)
    return Directory(US, {"ccpa": "US-CA", "voluntary": "US-CA"}, {one.agent_id: one for one in named})


def envelope(now: datetime, **changes: Any) -> dict[str, Any]:
    """The members that every message has, good for ten minutes since a second ago; None takes one away."""
    given: dict[str, Any] = {
        "agent-id": "GOOD",
        "business-id": US,
        "issued-at": (now - timedelta(seconds=1)).isoformat(),
        "expires-at": (now + timedelta(minutes=10)).isoformat(),
        "drp.version": "1.0",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def body_of(message: dict[str, Any] | bytes, key: Ed25519PrivateKey = KEYS["GOOD"]) -> bytes:
    """A message, signed and encoded."""
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b64encode(key.sign(text) + text)


@dataclass
class World:
    """The protocol, its callbacks, and the rights room below."""

    rights: Rights
    protocol: Protocol
    callbacks: Callbacks
    sent: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    failing: list[BaseException] = field(default_factory=list)
    _count: int = 0

    @property
    def now(self) -> datetime:
        """What the clock says."""
        return self.rights.clock.now()

    def message(self, action: str, **claims: Any) -> dict[str, Any]:
        """A request's message that no other is like."""
        self._count += 1
        return envelope(self.now, exercise=action, **{"agent-request-id": f"r-{self._count}", **claims})

    def exercise(self, action: str, agent_id: str = "GOOD", **claims: Any) -> dict[str, Any]:
        """Exercise a right, as this agent."""
        message = self.message(action, **{"agent-id": agent_id, **claims})
        return self.protocol.exercise(agent_of(agent_id), body_of(message, KEYS[agent_id]))

    def status(self, request_id: str, agent_id: str = "GOOD") -> dict[str, Any]:
        """The status, as this agent is told it."""
        return self.protocol.status(agent_of(agent_id), request_id)

    def revoke(self, request_id: str, agent_id: str = "GOOD", **claims: Any) -> dict[str, Any]:
        """Revoke a request, as this agent."""
        body = body_of({"reason": "no", **claims}, KEYS[agent_id])
        return self.protocol.revoke(agent_of(agent_id), request_id, body)

    def send(self, agent: Agent, url: str, body: bytes) -> None:
        """What the callbacks send with."""
        if self.failing:
            raise self.failing.pop(0)
        self.sent.append((agent.agent_id, url, json.loads(body)))


def open_world(rights: Rights, directory: Directory | None = None) -> World:
    """The protocol over this rights room, as a process that has just started opens it."""
    engine: sa.Engine = rights.engine
    known = directory or directory_of()
    protocol = Protocol(
        engine=engine,
        clock=rights.clock,
        directory=known,
        tokens=AgentTokens(engine, known, KEY),
        replay=ReplayStore(engine, rights.clock),
        rights=rights.room,
        page=PAGE,
    )
    world = World(rights, protocol, None)  # type: ignore[arg-type] # the next lines make it

    def send(agent: Agent, url: str, body: bytes) -> None:
        world.send(agent, url, body)  # whatever it is by then

    world.callbacks = Callbacks(
        engine=engine,
        clock=rights.clock,
        directory=known,
        protocol=protocol,
        send=send,
        draw=lambda: 0.0,
    )
    return world
