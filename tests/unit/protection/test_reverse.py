"""Turning tokens back: each kind in its own place, and nothing anywhere else."""

from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.database import to_micros
from consent_gateway.errors import GatewayError, KeysUnavailable, ProtectionRefused
from consent_gateway.ports import Clock
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.perform import Performer, TransformScope
from consent_gateway.protection.reverse import Reversed, Reverser
from consent_gateway.protection.tables import NAMED_KEYS
from consent_gateway.protection.tokens import TokenKind, write
from consent_gateway.vocabulary import Decision, Effect, Obligation, Reason, Verdict

HERE: Any = {"field": "email", "purpose": "analytics", "recipient": "ad_partner"}
VALUE = "Jo.Doe-1234567@example.com"


@pytest.fixture
def performer(keyring: KeyRing) -> Performer:
    """A performer, and keys for three people."""
    keyring.create_many(["ds_a", "ds_b", "ds_c"])
    return Performer(keyring, "acme")


@pytest.fixture
def reverser(keyring: KeyRing) -> Reverser:
    """A reverser over the same keys."""
    return Reverser(keyring, "acme")


def handed_out(
    performer: Performer, transform: str, value: Any = VALUE, person: str = "ds_b", /, **parameters: str
) -> str:
    """What goes out in the place of a value in the domain of `HERE`."""
    verdict = Verdict(Effect.PSEUDONYMISE, Reason.CONSENT, "r", (Obligation(transform, tuple(parameters.items())),))
    scope = TransformScope("analytics", "ad_partner", person)
    return str(
        performer.perform({"email": value}, Decision({"email": verdict}, "r", "p", "DE", (), None), scope)["email"]
    )


@pytest.mark.parametrize(
    ("transform", "person", "value"),
    [
        ("token.det", None, VALUE),
        ("token.rand", "ds_b", VALUE),
        ("pseudonym.subject", "ds_b", None),
        ("email.alias", "ds_b", None),
    ],
)
def test_each_kind_comes_back(
    performer: Performer, reverser: Reverser, transform: str, person: str | None, value: str | None
) -> None:
    """A token comes back as the person, the value or both, as its kind knows them, and its value is not printed."""
    back = reverser.reverse(handed_out(performer, transform), **HERE)
    assert back == Reversed(person, value)
    assert VALUE not in repr(back)


@pytest.mark.parametrize("transform", ["token.det", "token.rand", "pseudonym.subject", "email.alias"])
@pytest.mark.parametrize(
    "other", [{"purpose": "ads"}, {"recipient": None}, {"recipient": "agency"}, {"field": "phone"}]
)
def test_nothing_comes_back_elsewhere(
    performer: Performer, reverser: Reverser, keyring: KeyRing, transform: str, other: Any
) -> None:
    """Named for another purpose, recipient or field, a token is refused, whether that domain has keys or not."""
    text = handed_out(performer, transform)
    there = {**HERE, **other}
    if "field" in other and transform in ("pseudonym.subject", "email.alias"):
        assert reverser.reverse(text, **there).data_subject == "ds_b"  # a person's name is the same in every field
        return
    with pytest.raises(ProtectionRefused):
        reverser.reverse(text, **there)
    keyring.token_key(there["purpose"], there["recipient"])
    keyring.domain_key(there["purpose"], there["recipient"])
    with pytest.raises(ProtectionRefused):
        reverser.reverse(text, **there)


@pytest.mark.parametrize("transform", ["token.det", "token.rand", "pseudonym.subject", "email.alias"])
def test_a_changed_character_is_refused(performer: Performer, reverser: Reverser, transform: str) -> None:
    """Each single character changed anywhere, and a body with the right check characters, is refused."""
    text = handed_out(performer, transform)
    for at in range(len(text)):
        changed = text[:at] + ("b" if text[at].lower() != "b" else "c") + text[at + 1 :]
        with pytest.raises(GatewayError):
            reverser.reverse(changed, **HERE)
    from consent_gateway.protection.tokens import parse

    token = parse(text)
    for at in range(len(token.body)):
        body = token.body[:at] + bytes([token.body[at] ^ 1]) + token.body[at + 1 :]
        with pytest.raises(GatewayError):
            reverser.reverse(write(token.kind, token.key_id, body), **HERE)


def test_reversing_makes_no_keys(reverser: Reverser, key_engine: sa.Engine) -> None:
    """A question about a domain that never handed anything out is refused and leaves no key behind."""
    for text in ("123-456-7890", write(TokenKind.DETERMINISTIC, "aaaa", bytes(80))):
        with pytest.raises(ProtectionRefused, match="no such key"):
            reverser.reverse(text, **HERE)
    with key_engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(NAMED_KEYS)).scalar_one() == 0


def test_what_nobody_can_reverse_is_refused_by_name(performer: Performer, reverser: Reverser) -> None:
    """One-way names of values and sealed fields say their kind in the refusal."""
    for text, kind in (
        (handed_out(performer, "pseudonym.value"), "pv"),
        (write(TokenKind.SEALED_FIELD, "aaaa", bytes(40)), "fs"),
    ):
        with pytest.raises(ProtectionRefused, match=f"kind `{kind}` cannot be turned back"):
            reverser.reverse(text, **HERE)
    with pytest.raises(ProtectionRefused, match="does not hide the length"):
        reverser.reverse("td1.aaaa.AAAAAAAA", **HERE)


def test_the_person_dies_with_their_keys(performer: Performer, reverser: Reverser, keyring: KeyRing) -> None:
    """Once a person's keys are destroyed, neither pseudonym, alias nor random token leads to them or their value."""
    texts = [handed_out(performer, name) for name in ("token.rand", "pseudonym.subject", "email.alias")]
    keyring.destroy("ds_b")
    for text in texts:
        with pytest.raises(KeysUnavailable):
            reverser.reverse(text, **HERE)


def test_a_retired_key_reverses_nothing(
    performer: Performer, reverser: Reverser, keyring: KeyRing, key_engine: sa.Engine, clock: Clock
) -> None:
    """A token whose domain key was retired says so, which is another cause than a token of another domain."""
    texts = [handed_out(performer, name) for name in ("token.det", "token.rand", "pseudonym.subject")]
    with key_engine.begin() as connection:
        connection.execute(NAMED_KEYS.update().values(wrapped=None, retired_at=to_micros(clock.now())))
    keyring.forget()  # which versions there are is looked up again after 60 seconds
    for text in texts:
        with pytest.raises(KeysUnavailable, match="retired"):
            reverser.reverse(text, **HERE)


@pytest.mark.parametrize(
    ("transform", "value", "parameters"),
    [
        ("fpe.digits", "4111-1111 1111.1111", {}),
        ("fpe.digits", "+49 (170) 123-4567", {"style": "phone"}),
        ("fpe.digits", "DE-1234567-x", {}),
        ("fpe.alnum", "1234-5678", {}),
        ("fpe.alnum", "Ab1-99zz-QQ", {}),
    ],
)
def test_text_without_a_mark_comes_back_by_field(
    performer: Performer, reverser: Reverser, keyring: KeyRing, transform: str, value: str, parameters: dict[str, str]
) -> None:
    """Format-preserving text comes back as its value, with the key of today or the one that is named."""
    text = handed_out(performer, transform, value, **parameters)
    named = transform if any(letter.isalpha() for letter in text) else None
    key_id = keyring.token_key("analytics", "ad_partner").key_id
    for chosen in (None, key_id):
        assert reverser.reverse(text, **HERE, key_id=chosen, transform=named) == Reversed(None, value)
    with pytest.raises(ProtectionRefused, match="no such key"):
        reverser.reverse(text, **HERE, key_id="aaaa", transform=named)
    if named is not None:
        with pytest.raises(ProtectionRefused, match="does not say what made it"):
            reverser.reverse(text, **HERE)


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        ("123-456-7890", {"field": None}, "belongs to a field"),
        ("123-456-7890", {"purpose": ""}, "must both be known"),
        ("123-456-7890", {"recipient": ""}, "must both be known"),
        ("+49 170 1234567", {}, "no token of format-preserving"),
        (" 1234567", {}, "no token of format-preserving"),
        ("+999 12345x7", {"transform": "fpe.digits"}, "no token of format-preserving"),
        ("12-34", {}, "too few others"),
        ("١٢٣٤٥٦٧", {}, "no token of format-preserving"),
        ("1234567", {"transform": "mask"}, "fpe.digits or fpe.alnum"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    keyring: KeyRing, reverser: Reverser, text: str, asked: Any, said: str
) -> None:
    """What is missing or wrong in a question is named, and the text is not quoted."""
    keyring.token_key("analytics", "ad_partner")
    with pytest.raises(ProtectionRefused, match=said) as caught:
        reverser.reverse(text, **{**HERE, **asked})
    assert text not in caught.value.message


def test_a_token_takes_no_hints(performer: Performer, reverser: Reverser) -> None:
    """A token that names its key and kind is refused where the question names others, and opens where it agrees."""
    text = handed_out(performer, "token.det")
    own = text.split(".")[1]
    assert reverser.reverse(text, **HERE, key_id=own).value == VALUE
    for hint in ({"key_id": "aaaa"}, {"transform": "fpe.digits"}):
        with pytest.raises(ProtectionRefused, match="names its own key"):
            reverser.reverse(text, **HERE, **hint)


def test_another_tenants_ring_is_refused(keyring: KeyRing) -> None:
    """A reverser is of the same tenant as its keys."""
    with pytest.raises(ProtectionRefused, match="another tenant"):
        Reverser(keyring, "other")


def test_everybody_is_walked_once(keyring: KeyRing) -> None:
    """All people with keys are found, over more than one page, each once, and none whose keys were destroyed."""
    people = [f"ds_{number:04d}" for number in range(1203)]
    keyring.create_many(people)
    keyring.destroy("ds_0007")
    walked = [(person.data_subject, person.seed) for person in keyring.everybody()]
    assert sorted(name for name, _ in walked) == [name for name in people if name != "ds_0007"]
    assert dict(walked)["ds_0005"] == keyring.person_keys("ds_0005").seed
