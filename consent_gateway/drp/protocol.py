"""The protocol's five calls, over the rights room: token set-up, its check, exercise, status, revoke; knows no HTTP.

Whoever is not the agent of a request learns nothing of it, not even that it is there.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consent_gateway.callers.replay import ReplayStore
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.drp import records
from consent_gateway.drp.directory import Agent, Directory
from consent_gateway.drp.exercise import Exercise, exercise_of
from consent_gateway.drp.messages import Message, for_us, names_its_parties, opened
from consent_gateway.drp.records import Brought
from consent_gateway.drp.statuses import Told, expected_by, status_of
from consent_gateway.drp.tokens import AgentTokens
from consent_gateway.errors import CallerNotPermitted, Conflict, InputRefused
from consent_gateway.people.directory import PersonRef
from consent_gateway.ports import Clock
from consent_gateway.rights.intake import NewRequest
from consent_gateway.rights.requests import By, Request, Via
from consent_gateway.rights.room import RightsRoom
from consent_gateway.rights.states import State

_NOT_YOURS = "the request is none that this agent brought"


@dataclass(frozen=True, slots=True)
class Status:
    """A status as it stands, and the number of what was looked at to tell it."""

    document: dict[str, Any]
    version: int


class Protocol:
    """Answers agents. `page` is where people see their requests. Safe to share between threads."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        directory: Directory,
        tokens: AgentTokens,
        replay: ReplayStore,
        rights: RightsRoom,
        page: str,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._directory = directory
        self._tokens = tokens
        self._replay = replay
        self._rights = rights
        self._page = page

    def agent(self, token: str) -> Agent | None:
        """The agent whose token this is, or None."""
        return self._tokens.agent(token)

    def set_up(self, agent_id: str, body: bytes) -> str:
        """A token for the agent that signed this. Raises `CallerNotPermitted`, `InputRefused` or `Conflict`."""
        agent = self._directory.agents.get(agent_id)
        if agent is None:
            raise CallerNotPermitted("the directory has no agent of this id")
        now = self._clock.now()
        self._use(agent, for_us(opened(body, agent), agent, self._directory.business_id, now))
        try:
            with transaction(self._engine) as connection:
                return self._tokens.give(connection, agent, now)
        except sa.exc.IntegrityError as error:
            raise Conflict("the agent set up another token at the same moment: sign again") from error

    def exercise(self, agent: Agent, body: bytes) -> dict[str, Any]:
        """Take in what an agent asks for, and tell its status. What is an opt-out binds when this returns.

        Raises `InputRefused`, `CallerNotPermitted`, and `Conflict` for a message that was used.
        """
        message = for_us(opened(body, agent), agent, self._directory.business_id, self._clock.now())
        asked = exercise_of(message, agent)
        new = self._new(asked)
        self._use(agent, message)
        try:
            return self._taken(agent, asked, new, message)
        except BaseException:  # whatever ended it, the same message may be sent again
            self._replay.release(agent.caller, message.digest)
            raise

    def status(self, agent: Agent, request_id: str) -> dict[str, Any]:
        """How a request stands. Raises `CallerNotPermitted` for one that this agent did not bring."""
        with reading(self._engine) as connection:
            return self.looked(connection, self._own(connection, agent, request_id)).document

    def revoke(self, agent: Agent, request_id: str, body: bytes) -> dict[str, Any]:
        """Call a request off, as its person wishes; said again it stays so. What is said why is kept nowhere.

        A message that names its parties and its time is held to them. The protocol writes a body to revoke without
        them (2.04), so a bare one is taken too: it can do no more than its token's agent can.
        """
        message = opened(body, agent)
        if names_its_parties(message):
            message = for_us(message, agent, self._directory.business_id, self._clock.now())
        if not isinstance(message.claims.get("reason", ""), str | None):
            raise InputRefused("`reason` is no text")
        with reading(self._engine) as connection:
            is_left = self._own(connection, agent, request_id).told.left
            is_off = self._rights.handling.book.find(connection, request_id).state is State.CANCELLED
        if message.expires_at is not None:
            self._use(agent, message)
        if not (is_left or is_off or self._rights.handling.call_off(request_id, self._by(agent))):
            with transaction(self._engine) as connection:
                records.leave(connection, request_id)
        return self.status(agent, request_id)

    def looked(self, connection: sa.Connection, brought: Brought) -> Status:
        """The status of a request as it stands now. Raises `NotFound` where its record is gone."""
        book = self._rights.handling.book
        request, version = records.seen(connection, book, brought.request_id)
        page = f"{self._page}/{brought.request_id}"
        today = self._rights.handling.today
        return Status(status_of(brought.told, request, book.dates(request), today, page), version)

    def purge(self) -> int:
        """Delete what belongs to requests whose records are gone, and say how many."""
        with transaction(self._engine) as connection:
            return records.purge(connection)

    def _taken(self, agent: Agent, asked: Exercise, new: NewRequest, message: Message) -> dict[str, Any]:
        request = self._rights.intake.receive(new, self._by(agent))
        with transaction(self._engine) as connection:
            own = self._first_told(request, asked)
            records.add(
                connection,
                own,
                agent.agent_id,
                action=asked.action,
                message_hash=message.digest,
                callback=asked.callback,
            )
            status = self.looked(connection, self._own(connection, agent, request.request_id))
            records.told(connection, request.request_id, status.document, status.version)
            return status.document

    def _first_told(self, request: Request, asked: Exercise) -> Told:
        day = expected_by(request, self._rights.handling.book.dates(request))
        return Told(request.request_id, asked.agent_request_id, day)

    def _new(self, asked: Exercise) -> NewRequest:
        place = self._directory.places.get(asked.regime)
        if place is None:
            raise InputRefused("requests are not taken under this regime")
        return NewRequest(
            right=asked.right,
            person=PersonRef(identifier=asked.person),
            via=Via.AUTHORISED_AGENT,
            received_at=self._clock.now(),
            channel=self._rights.channel,
            jurisdiction=place,
            text=asked.text,
            agent_permission=asked.permission,
            also=asked.also,
        )

    def _own(self, connection: sa.Connection, agent: Agent, request_id: str) -> Brought:
        found = records.find(connection, request_id, agent.agent_id)
        if found is None:
            raise CallerNotPermitted(_NOT_YOURS)
        return found

    def _use(self, agent: Agent, message: Message) -> None:
        if message.expires_at is None:
            raise InputRefused("the message does not say until when it is good")
        if not self._replay.use(agent.caller, message.digest, message.expires_at):
            raise Conflict("this message was used already: if it had no answer, sign a new one")

    def _by(self, agent: Agent) -> By:
        return By(client=agent.caller, channel=self._rights.channel)
