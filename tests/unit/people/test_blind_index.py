"""Blind indexes: keyed, bound to kind and version, and stable across releases."""

import hashlib

import pytest

from consent_gateway.errors import KeysUnavailable
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.vocabulary import Identifier


def key(kind: str, version: int) -> bytes:
    """A key per kind and version."""
    return hashlib.sha256(f"{kind}/{version}".encode()).digest()


def test_an_index_is_128_bits_and_depends_on_the_key() -> None:
    """The index is 32 hexadecimal digits, equal for equal normal forms and different under another key."""
    one = BlindIndex(key).of(Identifier("email", "Anna@example.com"))
    assert len(one) == 32
    assert int(one, 16) >= 0
    assert one == BlindIndex(key).of(Identifier("email", "anna@EXAMPLE.com"))
    assert one != BlindIndex(lambda kind, version: key(kind, version + 1)).of(Identifier("email", "anna@example.com"))


def test_kinds_do_not_meet_even_under_one_key() -> None:
    """The same text as two kinds has two indexes although the key is one."""
    same = BlindIndex(lambda _kind, _version: bytes(32))
    assert same.of(Identifier("loyalty_number", "77")) != same.of(Identifier("external_id", "77"))


def test_the_form_is_settled() -> None:
    """A known key and value give a known index, so that an upgrade cannot lose everyone unseen."""
    fixed = BlindIndex(lambda _kind, _version: bytes(range(32)))
    assert fixed.of(Identifier("email", "anna@example.com")) == "6971f0f5b14ea3c125881f7c6cd999c1"


def test_a_short_key_is_refused() -> None:
    """A key under 256 bits is not used."""
    with pytest.raises(KeysUnavailable):
        BlindIndex(lambda _kind, _version: b"short").of(Identifier("email", "anna@example.com"))


def test_the_value_is_not_in_the_representation() -> None:
    """Printing an identifier does not print its value."""
    assert "anna" not in repr(Identifier("email", "anna@example.com"))
