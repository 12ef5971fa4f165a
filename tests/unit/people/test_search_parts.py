"""Parts of identifiers by which people are searched: what they are, what is refused, and what they let apart."""

import math

import pytest

from consent_gateway.errors import IdentifierRefused
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.normalise import KINDS, normalise
from consent_gateway.people.search_parts import asked_part, part_of
from consent_gateway.vocabulary import SEARCH_MODES, Identifier

MET = [
    ("phone", "last4", "+49 30 1234567", "45 67", "4567"),
    ("loyalty_number", "last4", "mc 0012 ab", "12Ab", "12AB"),
    ("loyalty_number", "prefix3", "mc 0012 ab", "mc0", "MC0"),
    ("external_id", "last4", "C-100815", "0815", "0815"),
    ("external_id", "prefix3", "C-100815", "C-1", "C-1"),
    ("device_id", "last4", "ABCD-EF01", "ef01", "ef01"),
    ("email", "email_domain", "Ada@Example.COM", "@example.com", "example.com"),
    ("email", "email_domain", "ada@bücher.example", "Bücher.example", "xn--bcher-kva.example"),
]


@pytest.mark.parametrize(("kind", "mode", "whole", "given", "part"), MET)
def test_what_is_asked_meets_what_is_kept(kind: str, mode: str, whole: str, given: str, part: str) -> None:
    """The part of a stored identifier and the part as a searcher types it come to the same form."""
    assert part_of(mode, normalise(Identifier(kind, whole), "DE")) == asked_part(kind, mode, given) == part


def test_every_mode_of_every_kind_is_tried_here() -> None:
    """No mode stands in the vocabulary that the cases above do not cover, and no kind is without a line."""
    assert {(kind, mode) for kind, mode, *_ in MET} == {(k, m) for k, modes in SEARCH_MODES.items() for m in modes}
    assert set(SEARCH_MODES) == KINDS


def test_a_short_identifier_has_no_part() -> None:
    """Of a value that is shorter than twice the part, the part would be most: it is not kept."""
    assert part_of("last4", "1234567") is None
    assert part_of("prefix3", "12345") is None
    assert part_of("last4", "12345678") == "5678"


@pytest.mark.parametrize(
    ("kind", "mode", "value"),
    [
        ("phone", "last4", "456"),
        ("phone", "last4", "4a67"),
        ("phone", "last4", "\u0664\u0665\u0666\u0667"),
        ("phone", "prefix3", "+49"),
        ("email", "last4", ".com"),
        ("email", "email_domain", "not a domain"),
        ("email", "email_domain", "b@example.com"),
        ("loyalty_number", "prefix3", "MC"),
        ("nickname", "last4", "abcd"),
    ],
)
def test_what_is_no_part_is_refused_without_being_repeated(kind: str, mode: str, value: str) -> None:
    """A wrong length, a mode of another kind and an unknown kind are refused by pointer; the value is in no message."""
    with pytest.raises(IdentifierRefused) as refused:
        asked_part(kind, mode, value)
    assert value not in refused.value.message
    assert refused.value.faults[0].pointer.startswith("/identifier/")


def test_an_index_is_not_cut_to_hide_people_among_others(indexes: BlindIndex) -> None:
    """No two of all ten thousand last fours meet in an index; cut so that two people always met, they would.

    CipherSweet plans an index so short that between 2 and sqrt(population) people coincide by chance. Its reader
    decrypts all of them and drops the wrong ones. Here a candidate is a record that is read and told, so a chance
    coincidence would hand out a stranger: for a thousand people, nine bits, and most of those found would be wrong.
    """
    made = [indexes.asked("phone", "last4", f"{number:04}").values[0] for number in range(10_000)]
    assert len(set(made)) == 10_000
    population = 1000
    bits = math.floor(math.log2(population / 2))  # the most bits with 2 coincidences or more
    assert 2 <= population / 2**bits < math.sqrt(population)
    cut = [
        value.partition(".")[2][: bits // 4] for value in made[:population]
    ]  # a thousand people, each their own four
    assert sum(cut.count(one) > 1 for one in set(cut)) > len(set(cut)) / 2
