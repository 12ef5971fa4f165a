"""Sealed fields: open where they were sealed and nowhere else, and not after the person's keys are gone."""

from collections.abc import Callable

import pytest

from consent_gateway.errors import KeysDestroyed, KeysUnavailable, ProtectionRefused
from consent_gateway.protection.fields import is_sealed, key_id_of, open_sealed, refused_format, seal
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import ClassKey, KeyGrant
from consent_gateway.protection.sealing import Sealing
from consent_gateway.protection.tokens import TokenKind, write

KEY = ClassKey("acme", "ds_a", "k7q2", "care", bytes(range(32)))
BOTH = KeyGrant(frozenset({"care", "support"}))
CARE = KeyGrant(frozenset({"care"}))
SUPPORT = KeyGrant(frozenset({"support"}))
OLD = "fs1.m7k2.AAECAwQFBgcICQoLVHAAFCSCG9dwfowgMaQ9XC571U8Y589"


def test_the_same_value_never_seals_to_the_same_text() -> None:
    """Two seals of one value differ, show nothing of it, and both open."""
    first, second = (seal("peanuts", "allergies", "ds_a", KEY) for _ in range(2))
    assert first != second
    assert "peanuts" not in first
    assert open_sealed(first, "allergies", "ds_a", KEY) == open_sealed(second, "allergies", "ds_a", KEY) == "peanuts"


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("notes", KEY),
        ("allergies", ClassKey("acme", "ds_a", "aaaa", "care", KEY.secret)),
        ("allergies", ClassKey("other", "ds_a", "k7q2", "care", KEY.secret)),
        ("allergies", ClassKey("acme", "ds_a", "k7q2", "support", KEY.secret)),
        ("allergies", ClassKey("acme", "ds_a", "k7q2", "care", bytes(32))),
    ],
    ids=["field", "key id", "tenant", "class", "key"],
)
def test_a_moved_value_does_not_open(field: str, key: ClassKey) -> None:
    """A sealed text in another field, of another tenant or class or under another key opens for nobody."""
    text = seal("peanuts", "allergies", "ds_a", KEY)
    with pytest.raises(KeysUnavailable):
        open_sealed(text, field, "ds_a", key)


def test_a_value_of_another_person_does_not_open() -> None:
    """Not even with the very same key bytes does a person's sealed text open for another."""
    text = seal("peanuts", "allergies", "ds_a", KEY)
    with pytest.raises(KeysUnavailable):
        open_sealed(text, "allergies", "ds_b", ClassKey("acme", "ds_b", "k7q2", "care", KEY.secret))
    with pytest.raises(KeysUnavailable, match="another person"):
        open_sealed(text, "allergies", "ds_b", KEY)
    with pytest.raises(KeysUnavailable, match="another person"):
        seal("peanuts", "allergies", "ds_b", KEY)


def test_a_class_key_needs_a_grant_and_is_of_one_class_and_person(keyring: KeyRing) -> None:
    """A class is refused that the grant lacks; keys differ by class and by person and show nothing."""
    first, second = keyring.create("ds_a"), keyring.create("ds_b")
    with pytest.raises(ProtectionRefused, match="`support`"):
        first.class_key("support", CARE)
    with pytest.raises(ProtectionRefused, match="`care`"):
        first.class_key("care", KeyGrant())
    made = [keys.class_key(name, BOTH) for keys in (first, second) for name in ("care", "support")]
    assert len({key.secret for key in made} | {first.data_key, second.data_key}) == 6
    assert first.class_key("care", CARE) == made[0]
    assert not [key for key in made if str(key.secret) in repr(key)]


def test_the_key_of_another_class_opens_nothing(keyring: KeyRing) -> None:
    """Even the real key of another class of the same person does not open a value, whatever class it is called."""
    person = keyring.create("ds_a")
    care, marketing = (person.class_key(name, KeyGrant(frozenset({name}))) for name in ("care", "marketing"))
    text = seal("peanuts", "allergies", "ds_a", care)
    renamed = ClassKey(marketing.tenant, "ds_a", marketing.key_id, "care", marketing.secret)
    for key in (marketing, renamed, ClassKey(care.tenant, "ds_a", care.key_id, "care", person.data_key)):
        with pytest.raises(KeysUnavailable, match="does not open"):
            open_sealed(text, "allergies", "ds_a", key)
    assert open_sealed(text, "allergies", "ds_a", care) == "peanuts"


def test_what_an_earlier_format_sealed_is_refused_by_name() -> None:
    """Text sealed before key classes is no unknown text: the refusal says what it is and the mend."""
    with pytest.raises(KeysUnavailable, match=r"was sealed before key classes: .*people seal"):
        open_sealed(OLD, "allergies", "ds_golden", ClassKey("acme", "ds_golden", "m7k2", "care", bytes(32)))
    assert refused_format(OLD)
    assert not is_sealed(OLD)
    assert refused_format(seal("peanuts", "allergies", "ds_a", KEY)) is None
    assert refused_format(7) is None


def test_what_is_not_sealed_does_not_open_and_is_not_quoted() -> None:
    """Plain text and tokens of another kind are refused, and no message shows the text."""
    for text in (
        "peanuts",
        write(TokenKind.DETERMINISTIC, "k7q2", bytes(40)),
        write(TokenKind.SEALED_FIELD, "k7q2", b"x"),
    ):
        with pytest.raises(KeysUnavailable) as caught:
            open_sealed(text, "allergies", "ds_a", KEY)
        assert text not in caught.value.message


def test_it_is_known_what_is_sealed() -> None:
    """Sealed text is told from plain text, damaged text and values of other types."""
    text = seal(None, "allergies", "ds_a", KEY)
    assert is_sealed(text)
    assert key_id_of(text) == "k7q2"
    other = write(TokenKind.DETERMINISTIC, "k7q2", bytes(40))
    assert not any(is_sealed(value) for value in ("peanuts", text[:-1], "fs2.", None, 7, [text], other))


def test_what_is_not_json_is_not_sealed() -> None:
    """A value JSON cannot hold is refused rather than written in a form that does not come back."""
    with pytest.raises(ProtectionRefused, match="not JSON"):
        seal(float("nan"), "allergies", "ds_a", KEY)


@pytest.fixture
def sealing(keyring: KeyRing) -> Sealing:
    """Sealing of one root field and one child field, for a person who has keys."""
    keyring.create("ds_a")
    return Sealing(keyring, {"allergies": "care", "orders.note": "support"})


def test_a_record_is_sealed_and_opened_whole(sealing: Sealing) -> None:
    """Only the catalogue's sealed fields change, in child rows too, nulls stay, and opening gives the record back."""
    record = {
        "email": "jo@example.com",
        "allergies": ["peanuts", 7],
        "orders": [{"note": "ring twice", "total": 5}, {"note": None, "total": 6}],
        "visits": [{"note": "plain"}],
    }
    kept = sealing.sealed(record, "ds_a", BOTH)
    assert is_sealed(kept["allergies"])
    assert kept["orders"][0]["total"] == 5
    assert is_sealed(kept["orders"][0]["note"])
    assert kept["orders"][1] == record["orders"][1]
    assert (kept["email"], kept["visits"]) == (record["email"], record["visits"])
    assert sealing.opened(kept, "ds_a", BOTH) == record


def test_one_field_without_its_class_refuses_the_whole_record(sealing: Sealing) -> None:
    """Opening and sealing are refused whole for a field whose class is not granted: root or child, null or not."""
    record = {"email": "x", "allergies": "peanuts", "orders": [{"note": "ring twice"}]}
    kept = sealing.sealed(record, "ds_a", BOTH)
    for turn, given in ((sealing.opened, kept), (sealing.sealed, record)):
        for grant, refused in ((CARE, r"orders\.note"), (SUPPORT, "allergies"), (KeyGrant(), "allergies")):
            with pytest.raises(ProtectionRefused, match=f"`{refused}`"):
                turn(given, "ds_a", grant)
    for empty, grant in (({"allergies": None}, SUPPORT), ({"orders": [{"note": None}]}, CARE)):
        with pytest.raises(ProtectionRefused):
            sealing.opened(empty, "ds_a", grant)
    assert sealing.opened({"allergies": kept["allergies"]}, "ds_a", CARE) == {"allergies": "peanuts"}


def test_what_looks_sealed_is_sealed_all_the_same(sealing: Sealing) -> None:
    """A caller who writes token text gets it back as text and cannot plant another field's value."""
    planted = sealing.sealed({"allergies": "gluten"}, "ds_a", CARE)["allergies"]
    kept = sealing.sealed({"allergies": planted}, "ds_a", CARE)
    assert kept["allergies"] != planted
    assert sealing.opened(kept, "ds_a", BOTH) == {"allergies": planted}


def test_an_unsealed_value_in_a_sealed_field_is_refused(sealing: Sealing) -> None:
    """What stands in the clear where it should be sealed does not go out."""
    for value in ("peanuts", 7, ["peanuts"]):
        with pytest.raises(KeysUnavailable, match="not a sealed value"):
            sealing.opened({"allergies": value}, "ds_a", CARE)


def test_rows_that_are_no_rows_pass_untouched(sealing: Sealing) -> None:
    """Sealing leaves what has not the form of a row to those who refuse it."""
    assert sealing.opened({"orders": [7]}, "ds_a", CARE) == {"orders": [7]}


def test_no_keys_are_fetched_where_nothing_is_sealed(keyring: KeyRing) -> None:
    """A record without sealed values needs no keys, so a person without any can be read."""
    assert Sealing(keyring, {}).opened({"email": "x"}, "ds_nobody", KeyGrant()) == {"email": "x"}
    assert Sealing(keyring, {"allergies": "care"}).opened({"email": "x", "allergies": None}, "ds_nobody", CARE) == {
        "email": "x",
        "allergies": None,
    }


def test_a_destroyed_person_cannot_be_read(sealing: Sealing, keyring: KeyRing, another: Callable[[], KeyRing]) -> None:
    """Once the keys are destroyed, a sealed value that is still in the store or its back-up opens for nobody."""
    kept = sealing.sealed({"allergies": "peanuts"}, "ds_a", CARE)
    keyring.destroy("ds_a")
    for ring in (keyring, another()):
        with pytest.raises(KeysDestroyed, match="destroyed"):
            Sealing(ring, {"allergies": "care"}).opened(kept, "ds_a", CARE)


def test_a_first_write_makes_keys(keyring: KeyRing) -> None:
    """A person who has no keys yet gets them with their first sealed value."""
    sealing = Sealing(keyring, {"allergies": "care"})
    kept = sealing.sealed({"allergies": "peanuts"}, "ds_new", CARE)
    assert sealing.opened(kept, "ds_new", CARE) == {"allergies": "peanuts"}


def test_opening_makes_no_keys(keyring: KeyRing, another: Callable[[], KeyRing]) -> None:
    """A sealed value of a person whose keys are not there is refused, and no new keys hide that they are lost."""
    with pytest.raises(KeysUnavailable, match="no keys"):
        Sealing(keyring, {"allergies": "care"}).opened({"allergies": seal("x", "allergies", "ds_a", KEY)}, "ds_a", CARE)
    with pytest.raises(KeysUnavailable, match="no keys"):
        another().person_keys("ds_a")
