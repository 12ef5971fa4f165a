"""Meets the obligations of a decision on the values of a record; decides nothing and never lets a value by unasked.

What leaves here is what may go out. Whatever is not understood, a transform, a parameter, a field without a verdict, a
verdict that closes or tightens without saying how, raises `ProtectionRefused`, and the gateway then answers nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from consent_gateway.errors import GatewayError, ProtectionRefused
from consent_gateway.protection.declarations import Apply, Dropped, Given, Needs, Parameters
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.registry import REGISTRY, parameter_faults
from consent_gateway.protection.scrub import Scrubber
from consent_gateway.vocabulary import COMPANY, Decision, Effect, JsonValue, Obligation, Verdict

_MOST_REMEMBERED = 1024  # plans, and lists of obligations of which a policy has dozens


@dataclass(frozen=True, slots=True)
class TransformScope:
    """For whom and to whom: the domain of every pseudonym is `purpose` and `recipient` (None: the company).

    `seed` spares a look-up where the caller holds the person's keys already. `moment` is the time of the request,
    from which ages are counted; None is now.
    """

    purpose: str
    recipient: str | None
    data_subject: str
    moment: datetime | None = None
    seed: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Step:
    """One obligation, checked and ready to run."""

    name: str
    apply: Apply
    parameters: Parameters
    needs: int  # the bits of its Needs: adding up flags themselves costs more than a pseudonym


_Steps = Mapping[str, tuple[_Step, ...]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one set of verdicts comes to: the steps of each open field, if any has one, and what all of them need."""

    verdicts: Mapping[str, Verdict]
    steps: _Steps
    transforms: bool
    needs: int


_PERSON, _SEED = Needs.PERSON.value, Needs.SEED.value
_DOMAIN_KEY, _TOKEN_KEY, _SCRUBBER = Needs.DOMAIN_KEY.value, Needs.TOKEN_KEY.value, Needs.SCRUBBER.value


class Performer:
    """Performs decisions for one tenant. Safe to share between threads."""

    def __init__(self, keyring: KeyRing, tenant: str) -> None:
        if not tenant or tenant != keyring.tenant:
            raise ProtectionRefused("the key ring is of another tenant: give both the same name")
        self._keyring = keyring
        self._tenant = tenant
        self._steps: dict[tuple[Obligation, ...], tuple[_Step, ...]] = {}
        self._plans: dict[int, _Plan] = {}  # by id of the verdicts, which the plan keeps alive
        self._scrubber: Scrubber | None = None  # made when an answer first needs it, for it takes a second

    def perform(
        self, values: Mapping[str, JsonValue], decision: Decision, scope: TransformScope
    ) -> dict[str, JsonValue]:
        """What may go out of `values`: fields by catalogue name, child collections by name as lists of rows.

        A member `total` of a row of `orders` is under the verdict of `orders.total`. Raises `ProtectionRefused`, or
        `KeysUnavailable` where a key is missing; in both cases nothing may leave.
        """
        if not scope.purpose or scope.recipient == "" or not scope.data_subject:
            raise ProtectionRefused("purpose, recipient and person must all be known: nothing may leave")
        if not values:
            return {}
        verdicts = decision.verdicts
        plan = self._plan(verdicts)
        given = self._gather(plan.needs, scope) if plan.transforms else None
        planned = plan.steps
        done: dict[str, JsonValue] = {}
        for name, value in values.items():
            steps = planned.get(name)
            if steps is not None:
                result = _run(value, name, steps, given) if steps else value
                if not isinstance(result, Dropped):
                    done[name] = result
            elif name not in verdicts and isinstance(value, list):
                done[name] = [_row(name, row, planned, given) for row in _rows(name, value, planned)]
            else:
                raise _unasked(name)
        return done

    def _plan(self, verdicts: Mapping[str, Verdict]) -> _Plan:
        """The plan of these verdicts; that of a read-only mapping is remembered, for the rulebook gives it again."""
        known = self._plans.get(id(verdicts))
        if known is not None and known.verdicts is verdicts:
            return known
        plan = self._planned(verdicts)
        if isinstance(verdicts, MappingProxyType):
            if len(self._plans) >= _MOST_REMEMBERED:
                self._plans.clear()
            self._plans[id(verdicts)] = plan
        return plan

    def _planned(self, verdicts: Mapping[str, Verdict]) -> _Plan:
        """The steps of each open field; a withheld one has no place in it."""
        plan: dict[str, tuple[_Step, ...]] = {}
        needs = 0
        for name, verdict in verdicts.items():
            effect = verdict.effect
            if effect is Effect.WITHHOLD:
                continue
            if verdict.obligations:
                plan[name] = steps = self._steps.get(verdict.obligations) or self._ready(verdict.obligations)
                for step in steps:
                    needs |= step.needs
            elif effect is Effect.ALLOW:
                plan[name] = ()
            else:
                raise ProtectionRefused(f"`{name}` may only go out protected, but the decision does not say how")
        return _Plan(verdicts, plan, any(plan.values()), needs)

    def _ready(self, obligations: tuple[Obligation, ...]) -> tuple[_Step, ...]:
        steps = tuple(_step(obligation) for obligation in obligations)
        if len(self._steps) < _MOST_REMEMBERED:
            self._steps[obligations] = steps
        return steps

    def _gather(self, needs: int, scope: TransformScope) -> Given:
        ring, recipient = self._keyring, COMPANY if scope.recipient is None else scope.recipient
        seed, person = scope.seed, None
        if needs & _PERSON or (seed is None and needs & _SEED):
            person = ring.create(scope.data_subject)  # made on first use; refused where they were destroyed
            seed = person.seed
        return Given(
            tenant=self._tenant,
            purpose=scope.purpose,
            recipient=recipient,
            today=(scope.moment or ring.clock.now()).astimezone(UTC).date(),
            domain=ring.domain_key(scope.purpose, recipient) if needs & _DOMAIN_KEY else None,
            token=ring.token_key(scope.purpose, recipient) if needs & _TOKEN_KEY else None,
            seed=seed,
            person=person,
            scrub=self._scrubbing().scrub if needs & _SCRUBBER else None,
        )

    def _scrubbing(self) -> Scrubber:
        if self._scrubber is None:
            self._scrubber = Scrubber()  # two threads at once make two of the same
        return self._scrubber


def _step(obligation: Obligation) -> _Step:
    parameters = dict(obligation.parameters)
    faults = parameter_faults(obligation.transform, parameters)
    if faults or len(parameters) != len(obligation.parameters):
        raise ProtectionRefused(faults[0] if faults else f"`{obligation.transform}` has a parameter twice")
    transform = REGISTRY[obligation.transform]
    defaults = {name: one.default for name, one in transform.parameters.items() if one.default is not None}
    return _Step(transform.name, transform.apply, {**defaults, **parameters}, transform.needs.value)


def _unasked(name: str) -> ProtectionRefused:
    return ProtectionRefused(f"`{name}` came without an open verdict: the store may only answer what it is asked")


def _rows(name: str, value: Sequence[JsonValue], planned: _Steps) -> list[dict[str, JsonValue]]:
    """The rows of a child collection, or a refusal: the collection must have an open field, the rows be mappings."""
    if not any(known.startswith(name + ".") for known in planned):
        raise _unasked(name)
    rows = [row for row in value if isinstance(row, dict)]
    if len(rows) != len(value):
        raise ProtectionRefused(f"a row of `{name}` is not a mapping of columns: nothing may leave")
    return rows


def _row(collection: str, row: Mapping[str, JsonValue], planned: _Steps, given: Given | None) -> dict[str, JsonValue]:
    done: dict[str, JsonValue] = {}
    for column, value in row.items():
        name = f"{collection}.{column}"
        steps = planned.get(name)
        if steps is None:
            raise _unasked(name)
        result = _run(value, name, steps, given)
        if not isinstance(result, Dropped):
            done[column] = result
    return done


def _run(value: JsonValue, name: str, steps: Sequence[_Step], given: Given | None) -> JsonValue | Dropped:
    for step in steps:
        if given is None:
            raise ProtectionRefused(f"`{step.name}` was run with nothing gathered: nothing may leave")
        try:
            result = step.apply(value, name, given, step.parameters)
        except GatewayError:
            raise
        except Exception:  # noqa: BLE001 - whatever fails denies, and without its cause: messages quote values
            raise ProtectionRefused(f"`{step.name}` failed on `{name}`: nothing may leave") from None
        if isinstance(result, Dropped):
            return result
        value = result
    return value
