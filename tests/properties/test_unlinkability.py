"""Two recipients who know who some of their people are cannot find the others: for every transform that claims it.

The adversary is in linking.py. Each attack must do no better than a coin, judged by an exact binomial bound; and
against a weak variant made for it the same attack must succeed, or its failing would say nothing.
`SOAK=1` knows a million pairs and seeks a million others, instead of ten thousand each.
"""

import os
import random
from collections.abc import Callable
from datetime import date
from string import ascii_lowercase, ascii_uppercase

import pytest

from consent_gateway.protection.declarations import Condition, Dropped, Given
from consent_gateway.protection.formats import ALNUM, DIGITS, fpe
from consent_gateway.protection.material import NamedKey, PersonKeys
from consent_gateway.protection.pseudonyms import pseudonym_of_person, pseudonym_of_value
from consent_gateway.protection.registry import REGISTRY
from consent_gateway.protection.reversible import Place, stable_token
from consent_gateway.protection.tokens import TokenKind, parse, write
from tests.properties.linking import ATTACKS, Held, Known, Outcome, Pair, attack, held

PEOPLE = 2_000_000 if os.environ.get("SOAK") else 20_000
SEED = 20261122
CLAIMING = [name for name, one in REGISTRY.items() if one.unlinkable is not None]
CHANCE = 1e-6
"""Less likely by chance than this is no chance: 45 attacks on an honest transform fail falsely once in 20,000 seeds."""


class People:
    """People with seeds and values that meet the conditions of every claim: distinct, of one length and one shape."""

    def __init__(self, number: int) -> None:
        self._draw = random.Random(SEED)
        self.number = number
        self.values = [f"{one:08d}" for one in self._draw.sample(range(10**8), number)]
        self.lettered = [_lettered(one) for one in self._draw.sample(range(_LETTERED), number)]

    def keys(self, at: int) -> PersonKeys:
        """The keys of one person."""
        own = random.Random(SEED * 10**7 + at)
        return PersonKeys("acme", f"ds_{at:026d}", "cccc", own.randbytes(32), own.randbytes(32))

    def common(self, at: int) -> str:
        """A value that many share, as towns and first names are: the n-th is had by a share of 1/n."""
        return f"{int(1 / (1e-4 + random.Random(SEED + at).random())):08d}"


@pytest.fixture(scope="module")
def people() -> People:
    """The people, made once."""
    return People(PEOPLE)


_LETTERED = 26**3 * 10**5


def _lettered(number: int) -> str:
    """A text of the form `Abc12345`, which `fpe.alnum` treats otherwise than digits alone."""
    letters, digits = divmod(number, 10**5)
    first, second, third = letters // 26**2, letters // 26 % 26, letters % 26
    return f"{ascii_uppercase[first]}{ascii_lowercase[second]}{ascii_lowercase[third]}{digits:05d}"


def domain(number: int, person: PersonKeys) -> Given:
    """What is gathered for one person in the first or second domain; all its keys are its own."""
    draw = random.Random(SEED + number)
    keys = [NamedKey("aaaa" if number == 0 else "bbbb", draw.randbytes(32)) for _ in range(2)]
    purpose, recipient = (("analytics", "agency"), ("ads", "ad_partner"))[number]
    return Given("acme", purpose, recipient, date(2026, 11, 22), keys[0], keys[1], person.seed, person)


def handed_out(people: People, name: str) -> Known:
    """What both recipients get for each person, in the same order, by the transform of this name.

    The values are distinct only for a transform whose claim says so; for the others they are shared by many.
    """
    transform = REGISTRY[name]
    chosen = {word: "same" if one.default is None else one.default for word, one in transform.parameters.items()}
    distinct = people.lettered if name == ALNUM else people.values
    pairs = []
    for at in range(people.number):
        person = people.keys(at)
        value = distinct[at] if Condition.DISTINCT in (transform.unlinkable or ()) else people.common(at)
        first, second = (transform.apply(value, "card", domain(number, person), chosen) for number in (0, 1))
        pairs.append((_held(first), _held(second)))
    return pairs


def _held(handed_out: object) -> Held:
    return held("" if isinstance(handed_out, Dropped) else str(handed_out))


def tried(pairs: Known, name: str) -> Outcome:
    """The attack of this name, with half of the pairs known."""
    half = len(pairs) // 2
    return attack(name, pairs[:half], pairs[half:], SEED)


@pytest.mark.parametrize("name", CLAIMING)
def test_knowing_half_of_the_pairs_does_not_find_the_others(
    people: People, name: str, record_property: Callable[[str, object], None]
) -> None:
    """No attack links two domains better than a coin, where a transform's conditions hold."""
    pairs = handed_out(people, name)
    found = {one: tried(pairs, one) for one in ATTACKS}
    for one, outcome in found.items():
        record_property(one, f"{outcome.right} of {outcome.tries} right, {outcome.chance:.2g} by chance")
    assert {one: outcome for one, outcome in found.items() if outcome.chance < CHANCE} == {}


def keyed_alike(people: People, at: int) -> Pair:
    """Weak: both domains have the same key."""
    seed = people.keys(at).seed
    return pseudonym_of_person(seed, bytes(32), "aaaa", "acme"), pseudonym_of_person(seed, bytes(32), "bbbb", "acme")


def unpadded(people: People, at: int) -> Pair:
    """Weak: a token that does not hide the length of its value."""
    value = "x" * random.Random(at).randrange(1, 40)
    one, other = (
        stable_token(value, Place("acme", purpose, "agency", "note"), key, "aaaa", 1)
        for purpose, key in (("analytics", bytes(32)), ("ads", bytes([1]) * 32))
    )
    return str(one), str(other)


def shared(people: People, at: int) -> Pair:
    """Weak: values that many people share, which `pseudonym.value` does not claim to hide."""
    one, other = (pseudonym_of_value(people.common(at), "city", bytes([key]) * 32, "aaaa", "acme") for key in (0, 1))
    return str(one), str(other)


def beginning_in_common(people: People, at: int) -> Pair:
    """Weak: two bytes at the beginning of the body are the person's, not the domain's."""
    seed = people.keys(at).seed
    one, other = (parse(pseudonym_of_person(seed, bytes([key]) * 32, "aaaa", "acme")).body for key in (0, 1))
    return _person(seed[:2] + one[2:]), _person(seed[:2] + other[2:])


def one_bit_in_common(people: People, at: int) -> Pair:
    """Weak: one bit of the body agrees in six of ten people."""
    seed = people.keys(at).seed
    one, other = (parse(pseudonym_of_person(seed, bytes([key]) * 32, "aaaa", "acme")).body for key in (0, 1))
    if random.Random(at).random() < 0.2:
        other = other[:9] + bytes([other[9] & 0xFE | one[9] & 1]) + other[10:]
    return _person(one), _person(other)


def of_many_shapes(people: People, at: int) -> Pair:
    """Weak: values of many lengths through a transform that keeps their form."""
    value = str(10 ** random.Random(at).randrange(6, 15) + at)
    one, other = (fpe(value, Place("acme", "ads", "agency", "card"), bytes([key]) * 32, DIGITS) for key in (0, 1))
    return str(one), str(other)


def _person(body: bytes) -> str:
    return write(TokenKind.PSEUDONYM_OF_PERSON, "aaaa", body)


@pytest.mark.parametrize(
    ("weak", "name"),
    [
        (keyed_alike, "equality"),
        (keyed_alike, "prefix"),
        (keyed_alike, "bits"),
        (unpadded, "length"),
        (of_many_shapes, "length"),
        (shared, "frequency"),
        (beginning_in_common, "prefix"),
        (one_bit_in_common, "bits"),
    ],
)
def test_each_attack_succeeds_against_what_is_weak(
    people: People, weak: Callable[[People, int], Pair], name: str
) -> None:
    """The attack links a variant made weak for it, so that its failing against the real transforms says something."""
    made = (weak(people, at) for at in range(min(people.number, 20_000)))
    outcome = tried([(held(first), held(second)) for first, second in made], name)
    assert outcome.chance < CHANCE


def test_the_bound_is_the_binomial_one() -> None:
    """The probability of doing as well by chance is the exact one, for numbers that can be counted by hand."""
    assert Outcome(0, 4).chance == 1.0
    assert Outcome(3, 4).chance == pytest.approx(5 / 16)
    assert Outcome(4, 4).chance == pytest.approx(1 / 16)
    assert Outcome(5000, 10_000).chance == pytest.approx(0.504, abs=0.001)


def test_each_condition_is_broken_by_a_weak_variant() -> None:
    """There is no condition of a claim that no weak variant above breaks: shared values, lengths, shapes."""
    assert set(Condition) == {Condition.DISTINCT, Condition.ONE_LENGTH, Condition.ONE_SHAPE}
