"""Performing a decision: what is asked goes out as asked, and whatever is not understood stops the answer."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.perform import Performer, TransformScope
from consent_gateway.protection.registry import REGISTRY, known_transforms, parameter_faults
from consent_gateway.vocabulary import Decision, Effect, Obligation, Reason, Verdict

SCOPE = TransformScope("analytics", "ad_partner", "ds_a")


def verdict(effect: Effect, transform: str | None = None, /, **parameters: Any) -> Verdict:
    """A verdict with at most one obligation."""
    obligations = (Obligation(transform, tuple(parameters.items())),) if transform else ()
    return Verdict(effect, Reason.CONSENT, "test.rule", obligations)


def decision(**verdicts: Verdict) -> Decision:
    """A decision over these fields; two underscores stand for the dot of a child field."""
    named = {name.replace("__", "."): one for name, one in verdicts.items()}
    return Decision(named, "r", "eea@1", "DE", (), None)


@pytest.fixture
def performer(keyring: KeyRing) -> Performer:
    """A performer, and keys for the person `ds_a`."""
    keyring.create_many(["ds_a", "ds_b"])
    return Performer(keyring, "acme")


OPEN = verdict(Effect.ALLOW)


def test_what_is_allowed_goes_out_as_it_is(performer: Performer) -> None:
    """Values of every JSON type under plain permission are untouched, child rows included."""
    values = {"a": "x", "b": None, "c": 1.5, "tags": [{"x": 1}], "orders": [{"id": 1, "total": 2}], "visits": []}
    decided = decision(a=OPEN, b=OPEN, c=OPEN, tags=OPEN, orders__id=OPEN, orders__total=OPEN, visits__at=OPEN)
    assert performer.perform(values, decided, SCOPE) == values


def test_each_field_gets_its_own_transform(performer: Performer) -> None:
    """Root and child fields are each transformed as their verdict says, and `drop` removes them."""
    decided = decision(
        email=verdict(Effect.MASK, "mask", style="email"),
        born=verdict(Effect.GENERALISE, "generalise.age_band"),
        secret=verdict(Effect.MASK, "drop"),
        kind=verdict(Effect.MASK, "constant", value="customer"),
        orders__total=verdict(Effect.GENERALISE, "generalise.amount", step=50),
        orders__note=verdict(Effect.MASK, "drop"),
        orders__id=OPEN,
    )
    values: dict[str, Any] = {
        "email": "jo.doe@example.com",
        "born": "1980-11-23",
        "secret": "s",
        "kind": None,
        "orders": [{"id": 1, "total": 137, "note": "x"}, {"id": 2, "total": 49.9}],
    }
    assert performer.perform(values, decided, SCOPE) == {
        "email": "j***@***.com",
        "born": "40-49",
        "kind": "customer",
        "orders": [{"id": 1, "total": 100}, {"id": 2, "total": 0}],
    }


def test_obligations_are_met_in_order(performer: Performer) -> None:
    """Each obligation works on what the one before left, and nothing comes after a drop."""
    chain = Verdict(
        Effect.MASK,
        Reason.CONSENT,
        "r",
        (Obligation("generalise.time", (("unit", "day"),)), Obligation("mask", (("style", "keep_last"), ("keep", 2)))),
    )
    assert performer.perform({"at": "2026-11-22T10:00:00Z"}, decision(at=chain), SCOPE) == {"at": "***22"}
    gone = Verdict(Effect.MASK, Reason.CONSENT, "r", (Obligation("drop"), Obligation("constant", (("value", 1),))))
    assert performer.perform({"at": "x"}, decision(at=gone), SCOPE) == {}


def test_an_age_is_of_the_time_of_the_request(performer: Performer) -> None:
    """A band is counted from the request's moment where one is given, else from the ring's clock."""
    decided = decision(born=verdict(Effect.GENERALISE, "generalise.age_band"))
    later = TransformScope("analytics", None, "ds_a", moment=datetime(2030, 1, 1, tzinfo=UTC))
    assert performer.perform({"born": "1980-01-01"}, decided, SCOPE) == {"born": "40-49"}
    assert performer.perform({"born": "1980-01-01"}, decided, later) == {"born": "50-59"}


@pytest.mark.parametrize("transform", ["pseudonym.subject", "pseudonym.value", "token.det", "email.alias"])
def test_a_pseudonym_belongs_to_its_domain(performer: Performer, transform: str) -> None:
    """The same person and value have one pseudonym within a purpose and recipient, and another in every other."""
    decided = decision(id=verdict(Effect.PSEUDONYMISE, transform))

    def pseudonym(purpose: str, recipient: str | None, person: str = "ds_a") -> object:
        return performer.perform({"id": "c-1"}, decided, TransformScope(purpose, recipient, person))["id"]

    domains = [("analytics", "ad_partner"), ("analytics", None), ("ads", "ad_partner"), ("ads", None)]
    assert len({pseudonym(*domain) for domain in domains}) == 4
    assert all(pseudonym(*domain) == pseudonym(*domain) for domain in domains)
    assert pseudonym("ads", None) == pseudonym("ads", "company")
    same = pseudonym("ads", None) == pseudonym("ads", None, "ds_b")
    assert same is (transform not in ("pseudonym.subject", "email.alias"))


def test_a_random_token_is_another_every_time(performer: Performer, keyring: KeyRing) -> None:
    """No two random tokens of the same value are alike; all show the domain's key id and none the person's."""
    decided = decision(id=verdict(Effect.PSEUDONYMISE, "token.rand"))
    made = [str(performer.perform({"id": "c-1"}, decided, SCOPE)["id"]) for _ in range(20)]
    assert len({text[20:] for text in made}) == 20
    key_id = keyring.token_key("analytics", "ad_partner").key_id
    assert {text.split(".")[1] for text in made} == {key_id}
    assert key_id != keyring.person_keys("ds_a").key_id
    assert performer.perform({"id": None}, decided, SCOPE) == {"id": None}


def test_a_date_moves_with_its_person_and_domain(performer: Performer) -> None:
    """All dates of a person move alike within a domain, and otherwise elsewhere or for another person."""
    decided = decision(a=verdict(Effect.PSEUDONYMISE, "date.shift"), b=verdict(Effect.PSEUDONYMISE, "date.shift"))
    values: dict[str, Any] = {"a": "2026-02-01", "b": "2026-02-11T10:00:00Z"}

    def moved(*scope: Any) -> tuple[int, int]:
        safe = performer.perform(values, decided, TransformScope(*scope))
        days = [
            (date.fromisoformat(str(safe[name])[:10]) - date.fromisoformat(str(values[name])[:10])).days
            for name in "ab"
        ]
        return days[0], days[1]

    scopes = [("p", recipient, f"ds_{number}") for number in range(8) for recipient in ("r", "s", "t")]
    found = [moved(*scope) for scope in scopes]
    assert all(one == other for one, other in found)
    assert len({one for one, _ in found}) > 10
    assert found == [moved(*scope) for scope in scopes]


def test_a_seed_in_the_scope_spares_the_look_up(performer: Performer, keyring: KeyRing) -> None:
    """The pseudonym is the same whether the caller brings the seed or the key table does."""
    decided = decision(id=verdict(Effect.PSEUDONYMISE, "pseudonym.subject"))
    seed = keyring.person_keys("ds_a").seed
    given = TransformScope("analytics", "ad_partner", "ds_a", seed=seed)
    assert performer.perform({"id": 1}, decided, given) == performer.perform({"id": 1}, decided, SCOPE)
    assert seed.hex() not in repr(given)
    assert repr(seed) not in repr(given)


def test_no_pseudonym_once_the_keys_are_destroyed(performer: Performer, keyring: KeyRing) -> None:
    """After the destruction nobody can compute the person's pseudonym again."""
    keyring.destroy("ds_a")
    decided = decision(id=verdict(Effect.PSEUDONYMISE, "pseudonym.subject"))
    with pytest.raises(KeysUnavailable):
        performer.perform({"id": 1}, decided, SCOPE)


REFUSED: dict[str, tuple[dict[str, Any], Decision]] = {
    "withheld": ({"a": 1}, decision(a=verdict(Effect.WITHHOLD))),
    "withheld though it says how": ({"a": 1}, decision(a=verdict(Effect.WITHHOLD, "mask"))),
    "no verdict": ({"b": 1}, decision(a=OPEN)),
    "list without verdict": ({"b": [{"a": 1}]}, decision(a=OPEN)),
    "empty list without verdict": ({"b": []}, decision(a=OPEN)),
    "withheld child": ({"o": [{"x": 1}]}, decision(o__x=verdict(Effect.WITHHOLD))),
    "child without verdict": ({"o": [{"x": 1, "y": 2}]}, decision(o__x=OPEN)),
    "row that is no row": ({"o": [{"x": 1}, "y"]}, decision(o__x=OPEN)),
    "collection that is no list": ({"o": {"x": 1}}, decision(o__x=OPEN)),
    "withheld list": ({"o": [{"x": 1}]}, decision(o=verdict(Effect.WITHHOLD), o__x=OPEN)),
    "closed without saying how": ({"a": 1}, decision(a=verdict(Effect.MASK))),
    "another field closed without saying how": ({"a": 1}, decision(a=OPEN, b=verdict(Effect.PSEUDONYMISE))),
    "unknown transform": ({"a": 1}, decision(a=verdict(Effect.MASK, "mask.everything"))),
    "unknown parameter": ({"a": 1}, decision(a=verdict(Effect.MASK, "mask", styel="email"))),
    "parameter of the wrong type": ({"a": 1}, decision(a=verdict(Effect.MASK, "mask", keep="4"))),
    "parameter out of range": ({"a": 1}, decision(a=verdict(Effect.MASK, "mask", keep=5))),
    "parameter of unknown word": ({"a": 1}, decision(a=verdict(Effect.MASK, "mask", style="some"))),
    "parameter missing": ({"a": 1}, decision(a=verdict(Effect.MASK, "constant"))),
    "parameter twice": (
        {"a": 1},
        decision(a=Verdict(Effect.MASK, Reason.CONSENT, "r", (Obligation("mask", (("keep", 1), ("keep", 4))),))),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_stops_the_answer(performer: Performer, case: str) -> None:
    """No value leaves where a field, a verdict or an obligation is not what it must be."""
    values, decided = REFUSED[case]
    with pytest.raises(ProtectionRefused):
        performer.perform(values, decided, SCOPE)


@pytest.mark.parametrize(
    "scope", [TransformScope("", "r", "ds_a"), TransformScope("p", "", "ds_a"), TransformScope("p", None, "")]
)
def test_a_scope_with_a_part_left_out_is_refused(performer: Performer, scope: TransformScope) -> None:
    """A missing purpose, recipient or person never falls back to a wider domain."""
    with pytest.raises(ProtectionRefused, match="must all be known"):
        performer.perform({"a": 1}, decision(a=OPEN), scope)


def test_another_tenants_ring_is_refused(keyring: KeyRing) -> None:
    """A performer is of the same tenant as its keys."""
    for tenant in ("other", ""):
        with pytest.raises(ProtectionRefused, match="another tenant"):
            Performer(keyring, tenant)


def test_a_failing_transform_stops_the_answer_and_quotes_nothing(performer: Performer) -> None:
    """Where a transform itself breaks, the cause that would quote the value is not shown."""
    decided = decision(a=verdict(Effect.PSEUDONYMISE, "pseudonym.value"))
    unwritable: Any = {"a": {1, "canary"}}
    with pytest.raises(ProtectionRefused) as caught:
        performer.perform(unwritable, decided, SCOPE)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    broken: Any = {"a": type("Odd", (str,), {"split": None, "casefold": None, "lower": None})("canary")}
    with pytest.raises(ProtectionRefused, match=r"`pseudonym.value` failed on `a`"):
        performer.perform(broken, decided, SCOPE)


def test_nothing_in_nothing_out(performer: Performer) -> None:
    """An empty record needs no keys."""
    decided = decision(id=verdict(Effect.PSEUDONYMISE, "pseudonym.subject"))
    assert performer.perform({}, decided, TransformScope("p", None, "ds_nobody")) == {}


def test_the_list_of_transforms_is_told(performer: Performer) -> None:
    """Every transform declares its parameters, and its defaults are values it accepts itself."""
    assert set(known_transforms()) == set(REGISTRY)
    for name, parameters in known_transforms().items():
        defaults = {key: one.default for key, one in parameters.items() if one.default is not None}
        needed = {key: "x" for key, one in parameters.items() if one.default is None}
        assert parameter_faults(name, {**defaults, **needed}) == ()


@pytest.mark.parametrize(
    ("transform", "parameters", "said"),
    [
        ("maks", {}, "`maks` is not a transform"),
        ("mask", {"color": 1}, "has no parameter `color`"),
        ("mask", {"style": "most"}, "must be one of all, email"),
        ("mask", {"keep": True}, "whole number from 1 to 4"),
        ("constant", {}, "needs its parameter `value`"),
        ("constant", {"value": 1.5}, "text or a whole number"),
    ],
)
def test_faults_are_said_with_their_mend(transform: str, parameters: dict[str, object], said: str) -> None:
    """What is wrong with an obligation is said in one sentence that names it."""
    (fault,) = parameter_faults(transform, parameters)
    assert said in fault


def test_a_first_pseudonym_makes_keys(performer: Performer, keyring: KeyRing) -> None:
    """A person who has no keys yet gets them with their first pseudonym, which then stays."""
    decided = decision(id=verdict(Effect.PSEUDONYMISE, "pseudonym.subject"))
    scope = TransformScope("analytics", None, "ds_new")
    first = performer.perform({"id": 1}, decided, scope)
    keyring.forget()
    assert performer.perform({"id": 1}, decided, scope) == first
