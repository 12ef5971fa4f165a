"""CPU of authentication plus protection of one read of twelve fields, warm and cold, beside a bare step of the run.

Twelve fields with a mix of transforms, two of them sealed under different key classes. Cold is a person whose keys are
not in memory. The bare step is what an endpoint without a gateway does with the same values: write them as JSON.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import MappingProxyType

from consent_gateway.demo.clients import CLIENTS
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.ports import Page
from consent_gateway.protection.perform import Performer, TransformScope
from consent_gateway.vocabulary import Caller, Decision, Effect, Identifier, JsonValue, Obligation, Reason, Verdict
from consent_gateway.wiring import Services, every_class
from tests.deployment import Deployment

_PURPOSE = "rights_requests"
_TARGETS = {"warm": 40, "cold": 60}  # microseconds of CPU
_ALLOW = Verdict(Effect.ALLOW, Reason.CONSENT, "bench")


def _as(effect: Effect, transform: str, **parameters: str | int) -> Verdict:
    return Verdict(effect, Reason.CONSENT, "bench", (Obligation(transform, tuple(sorted(parameters.items()))),))


TWELVE = {
    "customer_id": _as(Effect.PSEUDONYMISE, "pseudonym.subject"),
    "external_ref": _as(Effect.PSEUDONYMISE, "pseudonym.value"),
    "first_name": _ALLOW,
    "last_name": _as(Effect.MASK, "mask", style="name"),
    "email": _as(Effect.MASK, "mask", style="email"),
    "phone": _as(Effect.MASK, "mask", style="phone"),
    "birth_date": _as(Effect.GENERALISE, "generalise.age_band", width=10),
    "postcode": _as(Effect.GENERALISE, "generalise.zip3", keep=3),
    "city": _ALLOW,
    "created_at": _as(Effect.GENERALISE, "generalise.time", unit="month"),
    "allergies": _ALLOW,
    "service_note": _ALLOW,
}


def protection_costs(deployment: Deployment, repeats: int) -> Iterator[str]:
    """A heading and one line per measure."""
    with closing(deployment.open()) as services:
        work, bare, forget = _parts(services)
        costs = {"warm": _cpu_micros(work, repeats), "cold": _cpu_micros(work, repeats, forget)}
        base = _cpu_micros(bare, repeats)
    yield f"token resolved, {len(TWELVE)} fields protected, 2 of them opened; CPU per read, median of {repeats}:"
    for name, cost in costs.items():
        yield f"   {name:5} {cost:6.1f} us (target {_TARGETS[name]}), {cost / base:5.1f} times the bare step"
    yield f"   bare  {base:6.1f} us: the same values as JSON"


def _parts(services: Services) -> tuple[Callable[[], object], Callable[[], object], Callable[[], None]]:
    client = services.registry.get(CLIENTS[0].client_id)
    assert client is not None
    token = services.tokens.issue(client).token
    caller = Caller(client.client_id, client.channel, frozenset({_PURPOSE}), client.recipients, client.scopes)
    anna = PersonRef(identifier=Identifier("email", "anna.berger@example.com"))
    found = services.gateway.read(caller, ReadQuery(anna, _PURPOSE, ("customer_id",)))
    person, number = str(found.data_subject), str(found.record["customer_id"])
    grant = every_class(services.policies)
    stored = services.store.read(number, tuple(TWELVE), Page())
    assert stored is not None
    clear: dict[str, JsonValue] = {"allergies": "hazelnuts", "service_note": "calls back after six only"}
    values = {**stored.values, **services.sealing.sealed(clear, person, grant)}
    decision = Decision(MappingProxyType(TWELVE), services.policies.revision, None, "DE", (), None)
    performer = Performer(services.keyring, services.settings.tenant)
    scope = TransformScope(_PURPOSE, None, person, services.clock.now())

    def work() -> object:
        assert services.tokens.resolve(token) is not None
        return performer.perform(services.sealing.opened(values, person, grant), decision, scope)

    plain = {**values, **clear}
    assert len(work()) == len(TWELVE)  # type: ignore[arg-type]
    return work, lambda: json.dumps(plain), lambda: services.keyring.forget(person)


def _cpu_micros(step: Callable[[], object], repeats: int, before: Callable[[], None] | None = None) -> float:
    """Median CPU of this thread; `before` is not measured."""
    taken = []
    for turn in range(repeats + 50):
        if before is not None:
            before()
        begun = time.thread_time_ns()
        step()
        if turn >= 50:
            taken.append(time.thread_time_ns() - begun)
    return statistics.median(taken) / 1000
