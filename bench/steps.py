"""What each step of one gated read and of the door before it costs, in one thread: medians in microseconds."""

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import cycle

import sqlalchemy as sa
from joserfc.jwk import ECKey

from bench.fields import COLUMNS, PURPOSE
from consent_gateway.callers.dpop import ProofCheck
from consent_gateway.demo.clients import CLIENTS
from consent_gateway.line import ReadQuery, decision_entry
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy import decide
from consent_gateway.ports import Page
from consent_gateway.protection.perform import Performer, TransformScope
from consent_gateway.vocabulary import Action, Caller
from consent_gateway.wiring import Services
from tests.deployment import Deployment
from tests.peers.oidc_peer import proof

REPEATS = 400


def step_costs(deployment: Deployment) -> Iterator[str]:
    """One line per step."""
    services = deployment.open()
    try:
        with services.engine.connect() as connection:
            people = list(connection.execute(sa.text("SELECT data_subject FROM people LIMIT 500")).scalars())
        turn = cycle(people)
        client = CLIENTS[0]
        caller = Caller(client.client_id, client.channel, client.purposes, client.recipients, client.scopes)
        gateway = services.gateway
        person = PersonRef(data_subject=people[0])
        request = gateway.claim(caller, PURPOSE, COLUMNS, None, Action.READ)
        line = gateway.decided(caller, person, request)
        assert line.known is not None
        assert line.known.store_key is not None
        key, known = line.known.store_key, line.known
        fields = line.decision.open_fields
        record = services.store.read(key, fields, Page())
        assert record is not None
        performer = Performer(services.keyring, services.settings.tenant)
        scope = TransformScope(PURPOSE, None, known.data_subject, request.time)
        steps: list[tuple[str, Callable[[], object]]] = [
            *_door(services, client.client_id),
            ("facts: person, state, choices", lambda: gateway.find(PersonRef(data_subject=next(turn)))),
            ("decision", lambda: decide(services.policies.rulebook, request, known.facts)),
            ("store: the row", lambda: services.store.read(key, fields, Page())),
            ("protection", lambda: performer.perform(record.values, line.decision, scope)),
            ("audit entry as canonical JSON", lambda: decision_entry(line).canonical()),
            ("audit entry made durable", lambda: services.recorder.record(decision_entry(line))),
            (
                "the whole line",
                lambda: gateway.read(caller, ReadQuery(PersonRef(data_subject=next(turn)), PURPOSE, COLUMNS)),
            ),
        ]
        for name, step in steps:
            yield f"{name:34} {_median_micros(step):8.1f} us"
    finally:
        services.close()


def _door(services: Services, client_id: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """The checks of a token and of a proof; each proof is signed beforehand and used once."""
    client = services.registry.get(client_id)
    assert client is not None
    token = services.tokens.issue(client).token
    yield "access token, remembered", lambda: services.tokens.resolve(token)
    key, path = ECKey.generate_key("P-256"), "/v1/customers/lookup"
    proofs = ProofCheck(services.replay, services.clock, services.issuer)
    signed = iter([proof(key, "POST", services.issuer + path, token=token) for _ in range(REPEATS + 20)])
    yield "DPoP proof verified and used up", lambda: proofs.key_thumbprint(next(signed), "POST", path, token)


def _median_micros(step: Callable[[], object]) -> float:
    for _ in range(20):
        step()
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter_ns()
        step()
        taken.append(time.perf_counter_ns() - begun)
    return statistics.median(taken) / 1000
