"""Blind indexes: keyed, bound to kind and version, and stable across releases."""

from collections.abc import Callable

import pytest

from consent_gateway.errors import KeysUnavailable
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.vocabulary import Identifier
from tests.conftest import FixedIndexKeys


def index(secret: Callable[[str, str], bytes] | None = None) -> BlindIndex:
    """A blind index under fixed keys."""
    return BlindIndex(FixedIndexKeys(secret))


def test_an_index_is_128_bits_and_depends_on_the_key() -> None:
    """The index is a key id and 32 hexadecimal digits, equal for equal normal forms and different under another key."""
    one = index().of(Identifier("email", "Anna@example.com"))
    key_id, _, digits = one.partition(".")
    assert (key_id, len(digits)) == ("k001", 32)
    assert int(digits, 16) >= 0
    assert one == index().of(Identifier("email", "anna@EXAMPLE.com"))
    assert one != index(lambda _kind, _mode: bytes(32)).of(Identifier("email", "anna@example.com"))


def test_kinds_and_modes_do_not_meet_even_under_one_key() -> None:
    """The same text as two kinds, or as a whole and as a part, has two indexes although the key is one."""
    same = index(lambda _kind, _mode: bytes(32))
    made = {same.of(Identifier(kind, "1234")) for kind in ("loyalty_number", "external_id")}
    made |= {
        same.asked("loyalty_number", "last4", "1234").values[0],
        same.asked("external_id", "last4", "1234").values[0],
    }
    assert len(made) == 4


def test_the_form_is_settled() -> None:
    """A known key and value give a known index, so that an upgrade cannot lose everyone unseen."""
    fixed = index(lambda _kind, _mode: bytes(range(32)))
    assert fixed.of(Identifier("email", "anna@example.com")) == "k001.c9debf8467fb782ebc8d3f10f42394c2"
    assert fixed.part(Identifier("phone", "+49 30 1234567"), "last4") == "k001.c1f525018d5537431ff8ea3dae1ab24e"


def test_a_short_key_is_refused() -> None:
    """A key under 256 bits is not used."""
    with pytest.raises(KeysUnavailable):
        index(lambda _kind, _mode: b"short").of(Identifier("email", "anna@example.com"))


def test_the_value_is_not_in_the_representation() -> None:
    """Printing an identifier does not print its value."""
    assert "anna" not in repr(Identifier("email", "anna@example.com"))
