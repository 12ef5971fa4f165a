"""Sealed fields: open where they were sealed and nowhere else, and not after the person's keys are gone."""

from collections.abc import Callable

import pytest

from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.protection.fields import is_sealed, open_sealed, seal
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import PersonKeys
from consent_gateway.protection.sealing import Sealing
from consent_gateway.protection.tokens import TokenKind, write

KEYS = PersonKeys("acme", "ds_a", "k7q2", bytes(range(32)), bytes(32))


def test_the_same_value_never_seals_to_the_same_text() -> None:
    """Two seals of one value differ, show nothing of it, and both open."""
    first, second = (seal("peanuts", "allergies", "ds_a", KEYS) for _ in range(2))
    assert first != second
    assert "peanuts" not in first
    assert open_sealed(first, "allergies", "ds_a", KEYS) == open_sealed(second, "allergies", "ds_a", KEYS) == "peanuts"


@pytest.mark.parametrize(
    ("field", "keys"),
    [
        ("notes", KEYS),
        ("allergies", PersonKeys("acme", "ds_a", "aaaa", KEYS.data_key, KEYS.seed)),
        ("allergies", PersonKeys("other", "ds_a", "k7q2", KEYS.data_key, KEYS.seed)),
        ("allergies", PersonKeys("acme", "ds_a", "k7q2", bytes(32), KEYS.seed)),
    ],
    ids=["field", "key id", "tenant", "key"],
)
def test_a_moved_value_does_not_open(field: str, keys: PersonKeys) -> None:
    """A sealed text in another field, of another tenant or under another key opens for nobody."""
    text = seal("peanuts", "allergies", "ds_a", KEYS)
    with pytest.raises(KeysUnavailable):
        open_sealed(text, field, "ds_a", keys)


def test_a_value_of_another_person_does_not_open() -> None:
    """Not even with the very same key bytes does a person's sealed text open for another."""
    text = seal("peanuts", "allergies", "ds_a", KEYS)
    with pytest.raises(KeysUnavailable):
        open_sealed(text, "allergies", "ds_b", PersonKeys("acme", "ds_b", "k7q2", KEYS.data_key, KEYS.seed))
    with pytest.raises(KeysUnavailable, match="another person"):
        open_sealed(text, "allergies", "ds_b", KEYS)
    with pytest.raises(KeysUnavailable, match="another person"):
        seal("peanuts", "allergies", "ds_b", KEYS)


def test_what_is_not_sealed_does_not_open_and_is_not_quoted() -> None:
    """Plain text and tokens of another kind are refused, and no message shows the text."""
    for text in (
        "peanuts",
        write(TokenKind.DETERMINISTIC, "k7q2", bytes(40)),
        write(TokenKind.SEALED_FIELD, "k7q2", b"x"),
    ):
        with pytest.raises(KeysUnavailable) as caught:
            open_sealed(text, "allergies", "ds_a", KEYS)
        assert text not in caught.value.message


def test_it_is_known_what_is_sealed() -> None:
    """Sealed text is told from plain text, damaged text and values of other types."""
    text = seal(None, "allergies", "ds_a", KEYS)
    assert is_sealed(text)
    other = write(TokenKind.DETERMINISTIC, "k7q2", bytes(40))
    assert not any(is_sealed(value) for value in ("peanuts", text[:-1], "fs1.", None, 7, [text], other))


def test_what_is_not_json_is_not_sealed() -> None:
    """A value JSON cannot hold is refused rather than written in a form that does not come back."""
    with pytest.raises(ProtectionRefused, match="not JSON"):
        seal(float("nan"), "allergies", "ds_a", KEYS)


@pytest.fixture
def sealing(keyring: KeyRing) -> Sealing:
    """Sealing of one root field and one child field, for a person who has keys."""
    keyring.create("ds_a")
    return Sealing(keyring, {"allergies", "orders.note"})


def test_a_record_is_sealed_and_opened_whole(sealing: Sealing) -> None:
    """Only the catalogue's sealed fields change, in child rows too, nulls stay, and opening gives the record back."""
    record = {
        "email": "jo@example.com",
        "allergies": ["peanuts", 7],
        "orders": [{"note": "ring twice", "total": 5}, {"note": None, "total": 6}],
        "visits": [{"note": "plain"}],
    }
    kept = sealing.sealed(record, "ds_a")
    assert is_sealed(kept["allergies"])
    assert kept["orders"][0]["total"] == 5
    assert is_sealed(kept["orders"][0]["note"])
    assert kept["orders"][1] == record["orders"][1]
    assert (kept["email"], kept["visits"]) == (record["email"], record["visits"])
    assert sealing.opened(kept, "ds_a") == record


def test_what_looks_sealed_is_sealed_all_the_same(sealing: Sealing) -> None:
    """A caller who writes token text gets it back as text and cannot plant another field's value."""
    planted = sealing.sealed({"allergies": "gluten"}, "ds_a")["allergies"]
    kept = sealing.sealed({"allergies": planted}, "ds_a")
    assert kept["allergies"] != planted
    assert sealing.opened(kept, "ds_a") == {"allergies": planted}


def test_an_unsealed_value_in_a_sealed_field_is_refused(sealing: Sealing) -> None:
    """What stands in the clear where it should be sealed does not go out."""
    for value in ("peanuts", 7, ["peanuts"]):
        with pytest.raises(KeysUnavailable, match="not a sealed value"):
            sealing.opened({"allergies": value}, "ds_a")


def test_rows_that_are_no_rows_pass_untouched(sealing: Sealing) -> None:
    """Sealing leaves what has not the form of a row to those who refuse it."""
    assert sealing.opened({"orders": [7]}, "ds_a") == {"orders": [7]}


def test_no_keys_are_fetched_where_nothing_is_sealed(keyring: KeyRing) -> None:
    """A record without sealed values needs no keys, so a person without any can be read."""
    assert Sealing(keyring, ()).opened({"email": "x"}, "ds_nobody") == {"email": "x"}
    assert Sealing(keyring, {"allergies"}).opened({"email": "x", "allergies": None}, "ds_nobody") == {
        "email": "x",
        "allergies": None,
    }


def test_a_destroyed_person_cannot_be_read(sealing: Sealing, keyring: KeyRing, another: Callable[[], KeyRing]) -> None:
    """Once the keys are destroyed, a sealed value that is still in the store or its back-up opens for nobody."""
    kept = sealing.sealed({"allergies": "peanuts"}, "ds_a")
    keyring.destroy("ds_a")
    for ring in (keyring, another()):
        with pytest.raises(KeysUnavailable, match="destroyed"):
            Sealing(ring, {"allergies"}).opened(kept, "ds_a")


def test_a_first_write_makes_keys(keyring: KeyRing) -> None:
    """A person who has no keys yet gets them with their first sealed value."""
    sealing = Sealing(keyring, {"allergies"})
    kept = sealing.sealed({"allergies": "peanuts"}, "ds_new")
    assert sealing.opened(kept, "ds_new") == {"allergies": "peanuts"}


def test_opening_makes_no_keys(keyring: KeyRing, another: Callable[[], KeyRing]) -> None:
    """A sealed value of a person whose keys are not there is refused, and no new keys hide that they are lost."""
    with pytest.raises(KeysUnavailable, match="no keys"):
        Sealing(keyring, {"allergies"}).opened({"allergies": seal("x", "allergies", "ds_a", KEYS)}, "ds_a")
    with pytest.raises(KeysUnavailable, match="no keys"):
        another().person_keys("ds_a")
