"""What officers work with, put together: their registration and ceremonies, and re-identification; decides nothing.

A part of the composition root in a file of its own: `wiring` calls `open_desk` and hands the parts in.
"""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from consent_gateway.consent.facts import FactsReader
from consent_gateway.officers.challenges import Challenges
from consent_gateway.officers.enrolment import Enrolment
from consent_gateway.officers.passkeys import RelyingParty
from consent_gateway.officers.registry import Officers
from consent_gateway.officers.sessions import Sessions
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.policy import Policies
from consent_gateway.ports import Clock
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.reverse import Reverser
from consent_gateway.reidentification.approvals import Approvals
from consent_gateway.reidentification.requests import Requests
from consent_gateway.reidentification.reveals import Reveals
from consent_gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Desk:
    """What officers work with: their registration and ceremonies, and re-identification."""

    officers: Officers
    enrolment: Enrolment
    sessions: Sessions
    challenges: Challenges
    requests: Requests
    approvals: Approvals
    reveals: Reveals

    @property
    def purges(self) -> tuple[Callable[[], int], ...]:
        """What the background worker deletes when its time is over."""
        return (self.officers.purge, self.challenges.purge, self.requests.purge)


def open_desk(
    engine: sa.Engine,
    clock: Clock,
    keyring: KeyRing,
    policies: Policies,
    facts: FactsReader,
    indexes: BlindIndex,
    settings: Settings,
) -> Desk:
    """The desk of one process. The relying party of the passkeys is the issuer's host."""
    party = RelyingParty(engine, settings.issuer)
    challenges = Challenges(engine, clock, keyring.service_key("officer-challenges"))
    officers = Officers(engine, clock, keyring.service_key("officer-codes"))
    key = keyring.service_key("reidentification")
    requests = Requests(engine=engine, clock=clock, policies=policies, key=key)
    return Desk(
        officers=officers,
        enrolment=Enrolment(engine, clock, officers, party, challenges),
        sessions=Sessions(engine, clock, party, challenges, keyring.service_key("officer-sessions")),
        challenges=challenges,
        requests=requests,
        approvals=Approvals(engine, clock, party),
        reveals=Reveals(
            engine=engine,
            clock=clock,
            policies=policies,
            requests=requests,
            reverser=Reverser(keyring, settings.tenant),
            facts=facts,
            indexes=indexes,
        ),
    )
