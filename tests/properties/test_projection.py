"""Properties of the ledger's state, over generated events, on both databases and under the packs that ship."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent_gateway.consent import ledger
from consent_gateway.consent.facts import FactsReader
from consent_gateway.consent.merge import merge_choices, merge_restrictive
from consent_gateway.consent.projection import PersonState, apply, project
from consent_gateway.database import HeldConnections
from consent_gateway.errors import ConsentNotRaised
from consent_gateway.ids import random_id
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy import Policies, decide, load_policies
from consent_gateway.vocabulary import (
    ANY_PURPOSE,
    FREQUENCIES,
    OPENING,
    PERSON_WIDE,
    AccessRequest,
    Choice,
    ChoiceStatus,
    ConsentEvent,
    Effect,
    EventKind,
    Evidence,
    Facts,
    NewConsentEvent,
)
from tests.conftest import NOON, ROOT

PURPOSES = ("email_marketing", "data_sale", "first_party_analytics", "allergen_safety", "fraud_prevention")
PLACES = ("DE", "GB", "US-CA", "US-MD", "CA", "CA-QC", "CH", "BR")
FIELDS = ("email", "allergies", "orders.total_cents", "visits.latitude")
CONDITIONS = ("existing_customer", "own_similar_products", "objection_offered_at_collection")
# A hold keeps open, while an erasure waits, what the erasure would have closed: it is no choice of the person.
GROUNDS = (
    {ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT},
    {ChoiceStatus.GRANTED_EXPLICIT},
    {ChoiceStatus.SOFT_OPT_IN},
    {ChoiceStatus.IMPLIED},
    set(ChoiceStatus),
)
RARELY = st.sampled_from([False] * 9 + [True])
RESTRICTING = sorted(set(EventKind) - OPENING - {EventKind.REQUEST, EventKind.LEGAL_HOLD})


@dataclass(frozen=True)
class Step:
    """One event to come: `days` is how long before its recording it occurred, fractions and the future included."""

    kind: EventKind
    purpose: str
    days: float
    conditions: frozenset[str]
    version: str
    valid_days: int | None

    def event(self, person: str, recorded: datetime) -> NewConsentEvent:
        """The event as a channel reports it."""
        evidence = Evidence("web_shop", "import", "shop", "privacy", self.version, "de", conditions=self.conditions)
        purpose = ANY_PURPOSE if self.kind in PERSON_WIDE else self.purpose
        until = None if self.valid_days is None else recorded + timedelta(days=self.valid_days)
        occurred = recorded - timedelta(days=self.days)
        if self.kind is EventKind.PAUSE:  # one that ends at once, one that is over by then, one that lasts
            until = occurred + timedelta(days=300 if until is None else self.valid_days or 1)
        often = FREQUENCIES[len(self.version) % 3] if self.kind is EventKind.FREQUENCY else None
        return NewConsentEvent(person, purpose, self.kind, occurred, evidence, until, often)


def steps(kinds: Sequence[EventKind] = tuple(EventKind)) -> st.SearchStrategy[Step]:
    """Any event of these kinds."""
    return st.builds(
        Step,
        st.sampled_from(kinds),
        st.sampled_from(PURPOSES),
        st.sampled_from([0.0, 0.5, 3.0, 400.0, 900.0, -0.002]),
        st.frozensets(st.sampled_from(CONDITIONS)),
        st.sampled_from(["1", "2"]),
        st.sampled_from([None, None, 1, 5]),
    )


def committed(chain: Sequence[Step], start: datetime) -> list[ConsentEvent]:
    """The events as the ledger would commit them, an hour apart."""
    moments = [start + timedelta(hours=number) for number in range(len(chain))]
    return [
        ConsentEvent(f"cev_{number}", number + 1, moment, step.event("ds_1", moment))
        for number, (step, moment) in enumerate(zip(chain, moments, strict=True))
    ]


@pytest.fixture(scope="module")
def policies() -> Policies:
    """The policy that ships."""
    return load_policies(ROOT / "policies")


def effects(policies: Policies, facts: Facts, time: datetime) -> dict[tuple[str, str], Effect]:
    """What each purpose may do with each field, under the packs that ship."""
    found = {}
    for purpose in policies.purposes:
        request = AccessRequest("shop", "web_shop", purpose, FIELDS, time)
        for name, verdict in decide(policies.rulebook, request, facts).verdicts.items():
            found[purpose, name] = verdict.effect
    return found


def opened(before: dict[tuple[str, str], Effect], after: dict[tuple[str, str], Effect]) -> list[tuple[str, str]]:
    """Where `after` is more open than `before`."""
    return [key for key in before if after[key] < before[key]]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(chain=st.lists(steps(), max_size=12), batch=st.integers(1, 4))
def test_the_stored_state_is_the_projection_of_the_events(
    gateway_engine: sa.Engine, chain: list[Step], batch: int
) -> None:
    """Whatever is recorded, singly or in batches, stored state and facts are those of the whole history."""
    person = random_id("ds")
    with gateway_engine.begin() as connection:
        row = {"data_subject": person, "store_key": person, "jurisdiction": "DE", "created_at": 0}
        connection.execute(sa.insert(PEOPLE), [row])
    for start in range(0, len(chain), batch):
        now = NOON + timedelta(hours=start)
        events = [step.event(person, now) for step in chain[start : start + batch]]
        try:
            with gateway_engine.begin() as connection:
                ledger.record_many(connection, events, now=now)
        except ConsentNotRaised:
            assert any(step.kind is EventKind.ERASED for step in chain[: start + batch])
    with gateway_engine.begin() as connection:
        history = ledger.history(connection, person)
        state = ledger.state(connection, person)
        assert state == project(history)
        assert [each.position for each in history] == list(range(1, len(history) + 1))
        assert ledger.rebuild(connection, person) == ()
    held = HeldConnections(gateway_engine)
    known = FactsReader(held).by_id(person)
    held.close()
    assert known is not None
    assert known.facts == state.facts(person, "DE", None)


@settings(max_examples=150)
@given(chain=st.lists(steps(), max_size=8), last=steps(RESTRICTING), place=st.sampled_from(PLACES))
def test_a_restricting_event_never_opens_anything(
    policies: Policies, chain: list[Step], last: Step, place: str
) -> None:
    """Under every law, one more restricting event leaves each field of each purpose as closed as it was, or more."""
    events = committed([*chain, last], NOON - timedelta(days=30))
    before, after = project(events[:-1]), project(events)
    assert not opened(
        effects(policies, before.facts("ds_1", place, None), NOON),
        effects(policies, after.facts("ds_1", place, None), NOON),
    )


@settings(max_examples=300)
@given(chain=st.lists(steps(), max_size=8), late=steps(sorted(OPENING)))
def test_an_old_opening_event_lifts_no_later_restriction(chain: list[Step], late: Step) -> None:
    """An opening event older than all others, recorded last, clears no flag and changes no restricted choice."""
    events = committed(chain, NOON - timedelta(days=30))
    before = project(events)
    old = late.event("ds_1", NOON - timedelta(days=2000))
    after = apply(before, ConsentEvent("cev_old", len(events) + 1, NOON, old))
    assert before.flags <= after.flags
    assert all(after.choices[purpose] == before.choices[purpose] for purpose in before.closed)
    assert all(after.choices[key].paused_until == one.paused_until for key, one in before.choices.items())


def choices(purpose: str) -> st.SearchStrategy[Choice]:
    """Any choice that the ledger could have made, with the times it could have."""
    moments = st.sampled_from([NOON - timedelta(days=days) for days in (1, 300, 800, 2000)])
    return st.builds(
        Choice,
        st.just(purpose),
        st.sampled_from([*ChoiceStatus, *[ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT] * 4]),
        moments,
        st.sampled_from([None, None, NOON - timedelta(hours=1), NOON + timedelta(days=9)]),
        st.sampled_from([None, "1", "2"]),
        RARELY,
        RARELY,
        st.booleans(),
        RARELY,
        st.frozensets(st.sampled_from(CONDITIONS)),
        st.just("cev_1"),
        st.sampled_from([None, None, None, NOON - timedelta(hours=1), NOON + timedelta(days=9)]),
    )


@st.composite
def holders(draw: st.DrawFn) -> list[Facts]:
    """Facts of two or three people who may live in different places."""
    place = draw(st.sampled_from(PLACES))
    people = []
    for number in range(draw(st.integers(2, 3))):
        chosen = draw(st.lists(st.sampled_from(PURPOSES), unique=True, min_size=3))
        people.append(
            Facts(
                jurisdiction=draw(st.sampled_from([place] * 9 + ["FR"])),
                choices={purpose: draw(choices(purpose)) for purpose in chosen},
                minor_born=draw(st.sampled_from([None, None, date(2009, 1, 1), date(2012, 1, 1), date(2015, 1, 1)])),
                parental_authorisation=draw(st.booleans()),
                restricted=draw(RARELY),
                limited=draw(RARELY),
                gpc=draw(RARELY),
                member=draw(st.booleans()),
                erasure_pending=draw(RARELY),
                erased=draw(RARELY),
                legal_hold=draw(st.booleans()),
                data_subject=f"ds_{number}",
            )
        )
    return people


@settings(max_examples=300)
@given(people=holders())
def test_the_merge_of_a_household_is_never_more_open_than_any_of_it(policies: Policies, people: list[Facts]) -> None:
    """Under every law, what is open for the holders of a shared identifier is open for each of them alone."""
    merged = effects(policies, merge_restrictive(people), NOON)
    for person in people:
        assert not opened(effects(policies, person, NOON), merged)


@settings(max_examples=1500)
@given(of_all=st.lists(choices("email_marketing"), min_size=2, max_size=3))
def test_the_merge_is_closed_under_any_single_ground(of_all: list[Choice]) -> None:
    """For each way in which a choice may be read, by consent, by exception or until opt-out, all of them must agree."""
    merged = merge_choices(of_all)
    for ground, months, accepted in product(GROUNDS, (None, 6, 24), ({"1", "2"}, {"2"})):
        if readable(merged, ground, months, accepted):
            assert all(readable(choice, ground, months, accepted) for choice in of_all)


def readable(choice: Choice, ground: set[ChoiceStatus], months: int | None, accepted: set[str]) -> bool:
    """Whether a choice is open on this ground: an independent reading of what each mark of it means."""
    paused = choice.paused_until is not None and choice.paused_until > NOON
    if choice.objected or choice.opted_out or choice.unsubscribed or paused:
        return False
    if choice.status in (ChoiceStatus.WITHDRAWN, ChoiceStatus.REFUSED) or choice.status not in ground:
        return False
    if choice.status in (ChoiceStatus.UNKNOWN, ChoiceStatus.REQUESTED):
        return True
    if choice.valid_until is not None and choice.valid_until <= NOON:
        return False
    if months is not None and choice.given_at is not None and choice.given_at < NOON - timedelta(days=30 * months):
        return False
    return choice.notice_version is None or choice.notice_version in accepted


def test_no_events_are_no_state() -> None:
    """Someone of whom nothing is recorded stands nowhere."""
    assert project([]) == PersonState()
