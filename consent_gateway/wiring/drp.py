"""Builds what answers authorised agents, where the settings name their directory; decides nothing."""

import random
from dataclasses import replace

from consent_gateway.callers.replay import ReplayStore
from consent_gateway.drp.callbacks import HEADERS, Callbacks
from consent_gateway.drp.directory import Agent, read_directory
from consent_gateway.drp.protocol import Protocol
from consent_gateway.drp.room import AgentRoom
from consent_gateway.drp.tokens import AgentTokens
from consent_gateway.rights.room import RightsRoom
from consent_gateway.settings import Settings
from consent_gateway.wiring.outward import Outward
from consent_gateway.wiring.parts import Parts
from consent_gateway.wiring.requests import REQUESTS_PAGE


def open_agents(parts: Parts, settings: Settings, rights: RightsRoom, outward: Outward) -> AgentRoom | None:
    """The room of one process; None where no directory is named. Raises `SettingsRefused` for one that is none."""
    if settings.drp_directory is None:
        return None
    directory = read_directory(settings.drp_directory, rights.laws.places)
    protocol = Protocol(
        engine=parts.engine,
        clock=parts.clock,
        directory=directory,
        tokens=AgentTokens(parts.engine, directory, parts.keyring.service_key("drp-tokens")),
        replay=ReplayStore(parts.engine, parts.clock),
        rights=rights,
        page=f"{settings.issuer}{REQUESTS_PAGE}",
    )

    def send(agent: Agent, url: str, body: bytes) -> None:
        replace(outward.poster, hosts=agent.hosts).post(url, body, HEADERS)

    callbacks = Callbacks(
        engine=parts.engine,
        clock=parts.clock,
        directory=directory,
        protocol=protocol,
        send=send,
        draw=random.SystemRandom().random,
    )
    return AgentRoom(protocol, callbacks)
